"""The file that holds a model: JSON, with a checksum over all that decides the energy."""

from __future__ import annotations

import json
import os
from hashlib import sha256
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from ..errors import ModelFileError

FORMAT = "ase_scatter-model"


VERSION = 1


UNITS = {"energy": "eV", "length": "Angstrom", "stress": "eV/Angstrom^3"}


def shipped_models() -> list[str]:
    """Names of the models that come with the package."""
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


def _checksum(content: Any) -> str:
    """SHA-256 of the content as JSON in one fixed spelling."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return sha256(text.encode()).hexdigest()
