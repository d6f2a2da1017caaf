"""The file that holds a model: JSON, with a checksum over all that decides the energy."""

from __future__ import annotations

import json
import os
from hashlib import sha256
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from ..errors import InputError, ModelFileError

FORMAT = "ase_scatter-model"


VERSION = 1


UNITS = {"energy": "eV", "length": "Angstrom", "stress": "eV/Angstrom^3"}


def shipped_models() -> list[str]:
    """Names of the models that come with the package.

    Returns
    -------
    list of str
    """
    names = (Path(entry.name) for entry in _shipped_directory().iterdir())
    return sorted(name.stem for name in names if name.suffix == ".json")


def _shipped_directory() -> Traversable:
    try:
        return resources.files("ase_scatter.potentials")
    except ModuleNotFoundError:
        # Run from a source tree, where the directory stands beside the package.
        return Path(__file__).parents[1] / "potentials"


def _find(name_or_path: str | Path) -> Traversable:
    path = Path(name_or_path)
    if path.is_file():
        return path
    if path.suffix or len(path.parts) != 1:
        raise ModelFileError(f"there is no model file {path}")
    known = shipped_models()
    if path.name not in known:
        raise ModelFileError(
            f"there is no shipped model {path.name!r}; choose from "
            f"{', '.join(known) or '(none is installed)'}, or give the path of a model file"
        )
    return _shipped_directory() / f"{path.name}.json"


def _parse(source: Traversable) -> dict[str, Any]:
    """The document of a model file whose format, version and keys are right."""
    try:
        document = json.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelFileError(f"{source} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ModelFileError(
            f"{source} is not a complete JSON file ({error}); it is cut off, or it is no model file"
        ) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ModelFileError(f"{source} is not a model file of ase_scatter (format {FORMAT!r})")
    version = document.get("version")
    if version != VERSION:
        raise ModelFileError(
            f"{source} is of format version {version!r}, but this ase-scatter reads version "
            f"{VERSION}; a newer ase-scatter may read it"
        )
    keys = ("name", "transform", "weights", "e0", "core", "metadata", "sha256")
    missing = [key for key in keys if key not in document]
    if missing:
        raise ModelFileError(f"{source} is damaged: it lacks {', '.join(missing)}")
    return document


def _write_atomically(path: Path, text: str) -> None:
    """Write beside the target and move into place: no half-written file ever has its name."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def checksum(content: Any) -> str:
    """SHA-256 of the content as JSON in one fixed spelling.

    Parameters
    ----------
    content : object
        What JSON can hold.

    Returns
    -------
    str
        Hexadecimal digits.
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return sha256(text.encode()).hexdigest()


def write(
    path: Path,
    described: dict[str, Any],
    content: dict[str, Any],
    committee: dict[str, Any] | None,
    *,
    overwrite: bool = False,
) -> None:
    """Write a model file, which appears whole or not at all, also if the writing is interrupted.

    Parameters
    ----------
    path : Path
        Where to.
    described : dict
        Name, elements and metadata.
    content : dict
        All that decides the energy; covered by the checksum.
    committee : dict, optional
        The committee, with a checksum of its own.
    overwrite : bool
        Whether a file that exists is replaced.

    Raises
    ------
    InputError
        If the file exists and is not to be replaced, if it cannot be written, or if the model holds
        what JSON cannot.
    """
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; choose another name, or replace it with --force (overwrite=True)")
    head = {"format": FORMAT, "version": VERSION, "units": UNITS}
    try:
        document = {**head, **described, **content, "sha256": checksum(content)}
        if committee is not None:
            document |= {"committee": committee, "committee_sha256": checksum(committee)}
        text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"the model cannot be written as JSON: {error}") from error
    try:
        _write_atomically(path, text + "\n")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error


def read(name_or_path: str | Path) -> tuple[Traversable, dict[str, Any]]:
    """Read a model file, or that of a shipped model.

    Parameters
    ----------
    name_or_path : str or Path
        The name of a shipped model or the path of a file.

    Returns
    -------
    source : Traversable
        Where it was found.
    document : dict
        Its content, whose checksums are right.

    Raises
    ------
    ModelFileError
        For what is not there, is no model, is damaged, or is of a newer version.
    """
    source = _find(name_or_path)
    document = _parse(source)
    content = {key: document[key] for key in ("transform", "weights", "e0", "core")}
    committee = document.get("committee")
    if checksum(content) != document["sha256"] or (
        committee is not None and checksum(committee) != document.get("committee_sha256")
    ):
        raise ModelFileError(f"{source} is damaged: its numbers do not fit its checksum; get the file anew")
    return source, document
