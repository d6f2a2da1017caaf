"""Atoms of structures on a device, kept there while they are the same."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...compute.backend import Array, Backend
from .columns import Tree
from .plan import Floats


class Atoms(NamedTuple):
    """Atoms of several structures on the device.

    Parameters
    ----------
    n_atoms : int
        Number of atoms N.
    first : array of int, shape (n_structures + 1,)
        Where the atoms of each structure begin.
    charges : array, shape (n_channels, N)
        q of each channel and atom.
    """

    n_atoms: int
    first: Array
    charges: Array


def _charges(tree: Tree, numbers: bytes) -> Floats:
    return tree.channels.charges(np.frombuffer(numbers, dtype=np.int64))


@lru_cache(maxsize=16)
def occupied(tree: Tree, numbers: bytes) -> tuple[bool, ...]:
    """Tell in which channels there are atoms.

    Parameters
    ----------
    tree : Tree
        Columns.
    numbers : bytes
        Atomic numbers as int64.

    Returns
    -------
    tuple of bool
    """
    return tuple(bool(q.any()) for q in _charges(tree, numbers))


@lru_cache(maxsize=16)
def atoms(tree: Tree, numbers: bytes, ends: tuple[int, ...], backend: Backend, dtype: str) -> Atoms:
    """Copy the charges of atoms to a device.

    Parameters
    ----------
    tree : Tree
        Columns.
    numbers : bytes
        Atomic numbers as int64.
    ends : tuple of int
        0 and where the atoms of each structure end.
    backend : Backend
        The device.
    dtype : str
        "float64" or "float32".

    Returns
    -------
    Atoms
    """
    charges = _charges(tree, numbers)
    return Atoms(
        charges.shape[1],
        backend.to_device(np.array(ends), "int32"),
        backend.to_device(charges, dtype),
    )


@lru_cache(maxsize=16)
def pairs(
    ends: tuple[int, ...], n_heads: int, n_targets: int, channels: tuple[int, ...], backend: Backend
) -> Array:
    """List pairs of a head and an atom for the kernel `gradient`.

    Parameters
    ----------
    ends : tuple of int
        0 and where the atoms of each structure end.
    n_heads : int
        Heads of each structure, which follow each other.
    n_targets : int
        Rows of each head.
    channels : tuple of int
        Channel of the first row of each head of a structure.
    backend : Backend
        The device.

    Returns
    -------
    array of int, shape (n_pairs, 4)
        First row, number of rows, channel, atom.
    """
    rows = [
        ((s * n_heads + head) * n_targets, n_targets, channels[head], atom)
        for s in range(len(ends) - 1)
        for head in range(n_heads)
        for atom in range(ends[s], ends[s + 1])
    ]  # fmt: skip
    return backend.to_device(np.array(rows), "int32")
