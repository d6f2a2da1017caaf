"""What the commands share: options, files that are read and written."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from ..properties import Relaxation

RELAXATION_STEPS = 500
"""A crystal that is not at rest after so many steps is given up."""


def claim(paths: Iterable[Path], force: bool) -> None:
    """Refuse, before any work is done, what could not be written after it."""
    for path in paths:
        if path.is_dir():
            raise InputError(f"{path} is a directory; give the name of a file")
        if path.exists() and not force:
            raise InputError(f"{path} exists already; choose another name, or overwrite it with --force")
        if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
            raise InputError(f"{path} cannot be written: {path.parent} is no folder that you may write to")


def write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def keys_of(options: argparse.Namespace) -> dict[str, str]:
    return given(options, "energy_key", "forces_key", "stress_key")


def frames_or_path(path: str, options: argparse.Namespace) -> Any:
    """What `fit` is given: the path, whose checksum it keeps, unless labels have other names."""
    from ..structures.dataset import read_frames

    keys = keys_of(options)
    return read_frames(path, **keys) if keys else path


def structures(options: argparse.Namespace) -> tuple[list[Any], list[Any]]:
    """Labelled frames (none if the file has no energies) and the systems of all structures."""
    from ..structures.dataset import read_frames, read_structures
    from ..structures.system import System

    keys = keys_of(options)
    if not keys:
        structures = read_structures(options.file)
        results = [atoms.calc.results if atoms.calc is not None else {} for atoms in structures]
        labelled = (
            "energy" in atoms.info or "energy" in found
            for atoms, found in zip(structures, results, strict=True)
        )
        if not any(labelled):
            return [], [System.from_atoms(atoms) for atoms in structures]
    frames = read_frames(options.file, **keys)
    return frames, [frame.system for frame in frames]


def structure_of(text: str) -> Atoms:
    """The structure that a user names: a file that ASE reads, or what `ase.build.bulk` knows.

    text: a path, of whose images the last is taken, or a name such as Si, whose conventional cubic cell
    is given where there is one. A file of that name wins. Raises InputError if it is neither.
    """
    from ase.build import bulk

    from ..structures.dataset import read_structures

    if Path(text).is_file():
        return read_structures(text)[-1]
    for cubic in (True, False):
        try:
            return bulk(text, cubic=cubic)
        except (ValueError, RuntimeError, KeyError, NotImplementedError):
            continue
    raise InputError(
        f"{text!r} is no structure: give a file that ASE reads (POSCAR, .cif, .extxyz …), or an element "
        "whose crystal ase.build.bulk knows, such as Si"
    )


def given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The options that were given; the others keep the defaults of what they are passed to."""
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def numbers(kind: type) -> Any:
    def parse(text: str) -> tuple[Any, ...]:
        return tuple(kind(part) for part in text.split(","))

    parse.__name__ = f"comma-separated {kind.__name__}"  # what argparse calls it in its errors
    return parse


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def at_rest(atoms: Atoms, calculator: Any, *, quiet: bool, otherwise: str) -> Relaxation:
    """The crystal with its cell and positions relaxed, of the symmetry that it had.

    otherwise: what else the user may do; part of the InputError for a crystal that does not come to rest.
    """
    from ..properties import relax_cell

    found = relax_cell(atoms, calculator, fmax=1e-4, steps=RELAXATION_STEPS, progress=not quiet)
    if not found.converged:
        raise InputError(
            f"the crystal does not come to rest in {RELAXATION_STEPS} steps; is it one that the model was "
            f"trained for? {otherwise}"
        )
    return found


def new_command(commands: Any, name: str, run: Any, text: str, examples: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def add_device(command: argparse.ArgumentParser, *, dtype: bool = True) -> None:
    command.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: %(default)s)")
    if dtype:
        command.add_argument(
            "--dtype", choices=("float64", "float32"), default="float64", help="(default: %(default)s)"
        )


def add_keys(command: argparse.ArgumentParser) -> None:
    labels = command.add_argument_group("labels", "names of the labels, where they are not ASE's own")
    for name in ("energy", "forces", "stress"):
        labels.add_argument(f"--{name}-key", metavar="NAME", help=with_default(f"of the {name}", name))


def add_common(
    command: argparse.ArgumentParser, *, workers: str | None = None, default: int | None = 1
) -> None:
    """workers: what the option of that name is for; None for a command without it."""
    if workers is not None:
        shown = "one per core" if default is None else str(default)
        command.add_argument("--workers", type=positive, default=default, help=with_default(workers, shown))
    command.add_argument("--force", action="store_true", help="overwrite existing files")
    command.add_argument("--quiet", action="store_true", help="no progress bars")


def both_defaults(sites: Any, grid: Any) -> str:
    """The defaults of the two transforms, as one text."""

    def text(value: Any) -> str:
        return ",".join(f"{v:g}" for v in value) if isinstance(value, tuple) else f"{value:g}"

    return f"{text(sites)} for sites, {text(grid)} for grid"


def with_default(meaning: str, value: Any) -> str:
    if isinstance(value, tuple):
        value = ",".join(f"{entry:g}" for entry in value)
    return f"{meaning} (default: {value})"


positive.__name__ = "positive integer"  # what argparse calls it in its errors
