"""The file that holds a model: JSON, with a checksum over all that decides the energy."""

from __future__ import annotations

import json
from hashlib import sha256
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from ..compute.entries import entries
from ..compute.files import write_whole
from ..errors import InputError, ModelFileError

FORMAT = "ase_scatter-model"

VERSION = 1

USED = ("fit", "golden")
"""Metadata that computations read; files of earlier releases have no checksum of them."""

DEEPEST = 40
"""Metadata are nested no deeper than this."""

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
    if not isinstance(name_or_path, str | Path):
        raise InputError(
            f"give the name of a shipped model or the path of a model file, not {type(name_or_path).__name__}"
        )
    path = Path(name_or_path)
    try:
        if path.is_file():
            return path
    except (OSError, ValueError) as error:  # too long, or of characters that no path has
        raise ModelFileError(f"there is no model file {str(path)!r:.200}") from error
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
    except RecursionError as error:
        raise ModelFileError(f"{source} is nested too deeply for a model file") from error
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
    if document.get("units", UNITS) != UNITS:
        raise ModelFileError(f"{source} is in other units than {', '.join(UNITS.values())}")
    return document


def _require_metadata(metadata: Any) -> None:
    """Refuse metadata that cannot be looked through."""
    entries(metadata, (), "metadata")
    for key in ("golden", "fit", "errors", "reference"):
        entries(metadata.get(key) or {}, (), f"metadata {key!r}")
    level = [metadata]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    if level:
        raise InputError(f"metadata are nested deeper than {DEEPEST} times")


def _used(metadata: Any) -> dict[str, Any]:
    entries(metadata, (), "metadata")
    return {key: metadata.get(key) for key in USED}


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
        Name, elements and metadata; those that computations read have a checksum of their own.
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
        document |= {"metadata_sha256": checksum(_used(described["metadata"]))}
        if committee is not None:
            document |= {"committee": committee, "committee_sha256": checksum(committee)}
        text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the model cannot be written as JSON: {error}") from error
    try:
        write_whole(path, text + "\n")
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
    committee = document.get("committee")
    parts = {"sha256": {key: document[key] for key in ("transform", "weights", "e0", "core")}}
    if committee is not None:
        parts["committee_sha256"] = committee
    try:
        if "metadata_sha256" in document:
            parts["metadata_sha256"] = _used(document["metadata"])
        whole = all(checksum(part) == document.get(key) for key, part in parts.items())
        if whole:
            _require_metadata(document["metadata"])
    except RecursionError as error:
        raise ModelFileError(f"{source} is nested too deeply for a model file") from error
    except InputError as error:
        raise ModelFileError(f"{source} cannot be used: {error}") from error
    if not whole:
        raise ModelFileError(f"{source} is damaged: its numbers do not fit its checksum; get the file anew")
    return source, document
