"""Entries of a document that was read from a file, checked before they are used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError


def entries(data: Any, names: tuple[str, ...], what: str) -> list[Any]:
    """Look up entries of a mapping.

    Parameters
    ----------
    data : object
        What should be a mapping.
    names : tuple of str
        Its entries.
    what : str
        What the mapping describes, for messages.

    Returns
    -------
    list
        The entries in the order of the names.

    Raises
    ------
    InputError
        If it is no mapping, or lacks an entry.
    """
    if not isinstance(data, Mapping):
        raise InputError(f"{what} must be described by names and values, not by {type(data).__name__}")
    missing = [name for name in names if name not in data]
    if missing:
        raise InputError(f"{what}: {', '.join(missing)} missing")
    return [data[name] for name in names]


def numbers(value: Any, ndim: int, what: str, *, whole: bool = False) -> NDArray[Any]:
    """Read nested lists of finite numbers.

    Parameters
    ----------
    value : object
        What should be nested lists of numbers, or an array.
    ndim : int
        Number of dimensions; 0 for a number.
    what : str
        What they are, for messages.
    whole : bool
        Whether they are whole numbers.

    Returns
    -------
    ndarray
        float64, or int64 of whole numbers.

    Raises
    ------
    InputError
        If it is anything else.
    """
    try:
        found = np.asarray(value)
    except (ValueError, OverflowError):  # ragged lists
        found = np.asarray(None)
    if found.size == 0 and found.ndim == ndim:
        found = found.astype(np.float64)
    if found.ndim != ndim or found.dtype.kind not in "iuf" or not np.isfinite(found).all():
        kind = "a finite number" if ndim == 0 else f"finite numbers in {ndim} dimension{'s' * (ndim > 1)}"
        raise InputError(f"{what} must be {kind}")
    if whole and (found != np.floor(found)).any():
        raise InputError(f"{what} must be whole")
    if whole and np.abs(found).max(initial=0) > 2**31:
        raise InputError(f"{what} must be below 2^31")
    return found.astype(np.int64 if whole else np.float64)


def strings(value: Any, what: str) -> tuple[str, ...]:
    """Read a list of distinct strings.

    Parameters
    ----------
    value : object
        What should be such a list.
    what : str
        What they are, for messages.

    Returns
    -------
    tuple of str

    Raises
    ------
    InputError
        If it is anything else.
    """
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise InputError(f"{what} must be a list of names")
    if len(set(value)) < len(value):
        raise InputError(f"{what} must be distinct")
    return tuple(value)


def keywords(data: Any, defaults: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Read settings: numbers, and lists of numbers where the default is a tuple.

    Parameters
    ----------
    data : object
        What should be a mapping.
    defaults : mapping of str to object
        Names that are known, and a value of the right type for each.
    what : str
        What they are the settings of, for messages.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        If a name is not known, or a value is of another type.
    """
    entries(data, (), what)
    unknown = [str(name) for name in data if name not in defaults]
    if unknown:
        raise InputError(f"{what}: {', '.join(unknown)} not known; a newer ase-scatter may know them")
    read = {}
    for name, value in data.items():
        default = defaults[name]
        many = isinstance(default, tuple)
        whole = isinstance(default[0] if many and default else default, int)
        found = numbers(value, int(many), f"{what}: {name}", whole=whole)
        read[name] = tuple(found.tolist()) if many else found.item()
    return read
