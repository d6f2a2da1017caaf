"""Pairs of atoms nearer to each other than a cutoff: the one place that asks vesin.

A cell of any shape with any mix of periodic directions is searched, also one that is smaller than the cutoff;
atoms may lie outside of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import vesin
from numpy.typing import NDArray

from ..errors import InputError


class HalfList(NamedTuple):
    """Pairs of atoms, each in one direction.

    Parameters
    ----------
    i, j : ndarray of int, shape (n_pairs,)
        The two atoms; equal for an atom and its own image.
    distances : ndarray, shape (n_pairs,)
        Å.
    vectors : ndarray, shape (n_pairs, 3)
        From i to j, Å.
    """

    i: NDArray[np.int64]
    j: NDArray[np.int64]
    distances: NDArray[np.float64]
    vectors: NDArray[np.float64]


class FullList(NamedTuple):
    """Pairs of atoms, each in both directions.

    Parameters
    ----------
    i, j : ndarray of int, shape (n_pairs,)
        The two atoms; equal for an atom and its own image.
    shifts : ndarray of int, shape (n_pairs, 3)
        In cell vectors: the vector of a pair is R_j − R_i + shift·cell.
    """

    i: NDArray[np.int64]
    j: NDArray[np.int64]
    shifts: NDArray[np.int64]


def half_list(
    positions: NDArray[np.float64], cell: NDArray[np.float64], pbc: NDArray[np.bool_], cutoff: float
) -> HalfList:
    """Find all pairs within a cutoff, each once.

    Parameters
    ----------
    positions : ndarray, shape (N, 3)
        Å.
    cell : ndarray, shape (3, 3)
        Rows in Å; those of directions that are not periodic may be zero.
    pbc : ndarray of bool, shape (3,)
        Which directions are periodic.
    cutoff : float
        Å.

    Returns
    -------
    HalfList
        In an order that depends on the arguments only.

    Raises
    ------
    InputError
        If the pairs cannot be found.
    """
    i, j, distances, vectors = _ask(positions, cell, pbc, cutoff, full=False, quantities="ijdD")
    return HalfList(_signed(i), _signed(j), distances, vectors)


def full_list(
    positions: NDArray[np.float64], cell: NDArray[np.float64], pbc: NDArray[np.bool_], cutoff: float
) -> FullList:
    """Find all pairs within a cutoff, each in both directions.

    Parameters
    ----------
    positions : ndarray, shape (N, 3)
        Å.
    cell : ndarray, shape (3, 3)
        Rows in Å; those of directions that are not periodic may be zero.
    pbc : ndarray of bool, shape (3,)
        Which directions are periodic.
    cutoff : float
        Å.

    Returns
    -------
    FullList
        In no particular order.

    Raises
    ------
    InputError
        If the pairs cannot be found.
    """
    i, j, shifts = _ask(positions, cell, pbc, cutoff, full=True, quantities="ijS")
    return FullList(_signed(i), _signed(j), _signed(shifts))


def completed_cell(cell: NDArray[np.float64], pbc: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Replace the vectors of open directions by unit normals to the periodic ones.

    Parameters
    ----------
    cell : ndarray, shape (3, 3)
        Å.
    pbc : ndarray of bool, shape (3,)
        Which directions are periodic.

    Returns
    -------
    ndarray, shape (3, 3)
        Å; it spans space.
    """
    vectors = np.array(cell, dtype=np.float64)
    open_axes = np.flatnonzero(~np.asarray(pbc))
    if len(open_axes) == 3:
        return np.eye(3)
    if len(open_axes) == 0:
        return vectors
    periodic = vectors[np.asarray(pbc)]
    normals = np.linalg.svd(periodic)[2][len(periodic) :]
    vectors[open_axes] = normals
    return vectors


def _ask(
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    pbc: NDArray[np.bool_],
    cutoff: float,
    *,
    full: bool,
    quantities: str,
) -> list[NDArray[np.float64]]:
    """What vesin finds, on one thread: others are busy with other structures."""
    finder = vesin.NeighborList(cutoff=cutoff, full_list=full, n_threads=1)
    try:
        return list(
            finder.compute(
                points=positions, box=completed_cell(cell, pbc), periodic=pbc, quantities=quantities
            )
        )
    except RuntimeError as error:
        raise InputError(f"the neighbours of the atoms cannot be found: {error}") from error


def _signed(integers: NDArray[np.float64]) -> NDArray[np.int64]:
    """Older NumPy does not count unsigned integers."""
    return integers.astype(np.int64)
