"""Structures by a name or a path."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms
from ase.build import bulk

from ..errors import InputError
from .dataset import read_structures


def conventional_cell(name: str, a: float | None = None) -> Atoms:
    """Build the conventional cell of a crystal that `ase.build.bulk` knows.

    Parameters
    ----------
    name : str
        A name such as "Si".
    a : float, optional
        Lattice parameter, Å; by default ASE's.

    Returns
    -------
    Atoms
        The cubic cell where there is one, else the primitive one.

    Raises
    ------
    InputError
        If ASE knows no such crystal.
    """
    for cubic in (True, False):
        try:
            found: Atoms = bulk(name, a=a, cubic=cubic)
            return found
        except (ValueError, RuntimeError, KeyError, NotImplementedError):
            continue
    raise InputError(f"ASE knows no crystal of {name}; give a structure")


def structure_of(text: str) -> Atoms:
    """Read a structure from a file, or build the crystal of that name.

    Parameters
    ----------
    text : str
        The path of a file that ASE reads, of whose images the last is taken, or a name as in
        `conventional_cell`. A file of that name wins.

    Returns
    -------
    Atoms
        The structure.

    Raises
    ------
    InputError
        If the file cannot be read, or there is neither a file nor a crystal of that name.
    """
    if Path(text).is_file():
        return read_structures(text)[-1]
    try:
        return conventional_cell(text)
    except InputError:
        raise InputError(
            f"{text!r} is no structure: give a file that ASE reads (POSCAR, .cif, .extxyz …), or an element "
            "whose crystal ase.build.bulk knows, such as Si"
        ) from None
