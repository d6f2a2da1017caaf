"""Files that commands read and write."""

from __future__ import annotations

import argparse
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..compute.files import write_whole
from ..errors import InputError
from .arguments import keys_of

if TYPE_CHECKING:
    from ase import Atoms


def claim(
    paths: Iterable[Path | None], options: argparse.Namespace, plots: Iterable[Path | None] = ()
) -> list[Path]:
    """Refuse, before any work is done, what could not be written after it.

    Parameters
    ----------
    paths : iterable of Path or None
        Files that will be written; None is passed over.
    options : argparse.Namespace
        `force` says whether files that exist are overwritten.
    plots : iterable of Path or None
        Figures that will be written too.

    Returns
    -------
    list of Path
        All of them.

    Raises
    ------
    InputError
        For a file that exists, a folder that is not there or cannot be written to, and a figure of
        unknown format.
    """
    figures = [path for path in plots if path is not None]
    claimed = [path for path in paths if path is not None] + figures
    for path in claimed:
        if path.is_dir():
            raise InputError(f"{path} is a directory; give the name of a file")
        if path.exists() and not options.force:
            raise InputError(f"{path} exists already; choose another name, or overwrite it with --force")
        if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
            raise InputError(f"{path} cannot be written: {path.parent} is no folder that you may write to")
    if figures:
        from ..plotting import require_format

        for path in figures:
            require_format(path)
    return claimed


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a document.

    Parameters
    ----------
    path : Path
        The file.
    document : dict
        What JSON can hold.
    """
    write_whole(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def write_structures(path: Path, structures: Sequence[Atoms]) -> None:
    """Write structures as extended XYZ.

    Parameters
    ----------
    path : Path
        The file.
    structures : sequence of Atoms
        The structures.
    """
    from ase.io import write

    text = io.StringIO()
    write(text, structures, format="extxyz")
    write_whole(path, text.getvalue())


def frames_and_systems(path: str, options: argparse.Namespace) -> tuple[list[Any], list[Any]]:
    """Read the structures of a file, labelled or not.

    Parameters
    ----------
    path : str
        The file.
    options : argparse.Namespace
        What `add_keys` defines.

    Returns
    -------
    frames : list of Frame
        Labelled structures; none if the file has no energies.
    systems : list of System
        All structures.
    """
    from ..structures.dataset import read_frames, read_structures
    from ..structures.system import System

    keys = keys_of(options)
    if not keys:
        structures = read_structures(path)
        results = [atoms.calc.results if atoms.calc is not None else {} for atoms in structures]
        labelled = (
            "energy" in atoms.info or "energy" in found
            for atoms, found in zip(structures, results, strict=True)
        )
        if not any(labelled):
            return [], [System.from_atoms(atoms) for atoms in structures]
    frames = read_frames(path, **keys)
    return frames, [frame.system for frame in frames]
