"""From the document of a model file to the parts of a model, every one of them checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ..compute.entries import entries, numbers
from ..errors import InputError, ModelFileError
from ..scattering import transform_from_dict
from . import model_file
from .committee import Committee
from .repulsion import ZBLRepulsion

T = TypeVar("T")


def assemble(name_or_path: str | Path, make: Callable[..., T]) -> T:
    """Read a model file, or that of a shipped model, and make a model of it.

    Parameters
    ----------
    name_or_path : str or Path
        The name of a shipped model or the path of a file.
    make : callable
        What takes the parts as `Model` does, by keyword.

    Returns
    -------
    object
        What `make` returns.

    Raises
    ------
    ModelFileError
        For what is not there, is no model, is damaged, or is of a newer version.
    """
    source, document = model_file.read(name_or_path)
    try:
        return make(**_parts(document))
    except InputError as error:
        raise ModelFileError(f"{source} cannot be used: {error}") from error
    # What is not looked for in particular: a value of another type than the one that is written.
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ModelFileError(
            f"{source} holds a model that this version cannot use ({type(error).__name__}: {error})"
        ) from error


def _parts(document: dict[str, Any]) -> dict[str, Any]:
    e0, committee, core = document["e0"], document.get("committee"), document["core"]
    entries(e0, tuple(document.get("elements", ())), "e0")
    return {
        "name": str(document["name"]),
        "transform": transform_from_dict(document["transform"]),
        "weights": numbers(document["weights"], 1, "weights"),
        "e0": {symbol: numbers(value, 0, "e0").item() for symbol, value in e0.items()},
        "core": None if core is None else ZBLRepulsion.from_dict(core),
        "metadata": document["metadata"],
        "committee": None if committee is None else Committee.from_dict(committee),
    }
