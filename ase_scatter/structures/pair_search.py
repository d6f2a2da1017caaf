"""Pairs of atoms nearer to each other than a cutoff: the one place that asks vesin.

A cell of any shape with any mix of periodic directions is searched, also one that is smaller than the cutoff;
atoms may lie outside of it. The work is estimated before it begins, and refused where it is too much.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import vesin
from numpy.typing import NDArray

from ..errors import InputError

MOST_NEIGHBORS = 10_000
"""More neighbours per atom are taken for a mistake: a dense metal has them within 30 Å."""

MOST_IMAGES = 100_000
"""A cell is not repeated more often than this."""

MANY_IMAGES = 1000
"""vesin is not asked where the cell is repeated more often than this: very skew cells take it long."""

EMPTY_BINS = 64
"""vesin is not asked where there are more bins per atom than this: it walks through all of them."""

MOST_TURNS = 1000
"""vesin is not asked for atoms farther out of the cell than this many cells."""

MOST_BINS = 1e5
"""vesin merges its bins where there are more than this. In an elongated box it may merge them to none."""


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


def require_searchable(
    positions: NDArray[np.float64], cell: NDArray[np.float64], pbc: NDArray[np.bool_], cutoff: float
) -> None:
    """Refuse a structure that has too many pairs to be listed.

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

    Raises
    ------
    InputError
        If an atom would have more than `MOST_NEIGHBORS` neighbours, or the cell would have to be repeated
        more than `MOST_IMAGES` times.
    """
    geometry = _geometry_of(cell, pbc)
    _require_searchable(len(positions), geometry, geometry.heights_of(positions @ geometry.inverse), cutoff)


class _Geometry(NamedTuple):
    """A completed cell, its inverse, the distances between its faces, its volume, and the open directions."""

    box: NDArray[np.float64]
    inverse: NDArray[np.float64]
    heights: NDArray[np.float64]
    volume: float
    pbc: NDArray[np.bool_]

    def heights_of(self, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distances between the faces; along open directions, whose vectors have length 1, the extent."""
        if self.pbc.all() or not len(fractions):
            return self.heights
        return np.where(self.pbc, self.heights, np.ptp(fractions, axis=0))


def _geometry_of(cell: NDArray[np.float64], pbc: NDArray[np.bool_]) -> _Geometry:
    return _geometry(np.asarray(cell, dtype=np.float64).tobytes(), np.asarray(pbc, dtype=bool).tobytes())


@lru_cache(maxsize=256)
def _geometry(cell: bytes, pbc: bytes) -> _Geometry:
    """Many structures share a cell, and this takes longer than the search among few atoms."""
    periodic = np.frombuffer(pbc, dtype=bool)
    box = completed_cell(np.frombuffer(cell).reshape(3, 3), periodic)
    inverse = np.asarray(np.linalg.inv(box), dtype=np.float64)
    heights = np.asarray(1.0 / np.linalg.norm(inverse, axis=0), dtype=np.float64)
    return _Geometry(box, inverse, heights, float(abs(np.linalg.det(box))), periodic)


def _require_searchable(
    n_atoms: int, geometry: _Geometry, heights: NDArray[np.float64], cutoff: float
) -> None:
    volume, images = geometry.volume, 1.0
    for height, periodic in zip(heights.tolist(), geometry.pbc.tolist(), strict=True):
        volume *= 1.0 if periodic else height + cutoff
        images *= 2.0 * cutoff / height + 1.0 if periodic else 1.0
    neighbors = n_atoms * min(images, 4 / 3 * np.pi * cutoff**3 / volume)
    if neighbors > MOST_NEIGHBORS or images > MOST_IMAGES or images * n_atoms > 100 * MOST_IMAGES:
        what = (
            f"an atom would have about {neighbors:.1g} neighbours"
            if neighbors > MOST_NEIGHBORS
            else f"the cell would be repeated {images:.1g} times"
        )
        raise InputError(
            f"within {cutoff:.3g} Å {what}: lengths must be in Å, and the cell vectors neither very short "
            "nor nearly parallel (ase.geometry.minkowski_reduce mends a skew cell)"
        )


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
    geometry = _geometry_of(cell, pbc)
    fractions = positions @ geometry.inverse
    heights = geometry.heights_of(fractions)
    _require_searchable(len(positions), geometry, heights, cutoff)
    bins = [max(1.0, height // cutoff) for height in heights.tolist()]
    total = bins[0] * bins[1] * bins[2]
    many = math.prod(2.0 * cutoff / h + 1.0 for h in heights[geometry.pbc].tolist()) > MANY_IMAGES
    empty = total > EMPTY_BINS * (len(positions) + 16)
    long = total > MOST_BINS and min(bins) * (MOST_BINS / total) ** (1 / 3) < 2.0
    # Fractions along open directions are lengths.
    inside = fractions[:, geometry.pbc]
    if many or empty or long or (inside.size and max(-inside.min(), inside.max()) > MOST_TURNS):
        return _by_tree(positions, geometry, heights, cutoff, full=full, quantities=quantities)
    finder = vesin.NeighborList(cutoff=cutoff, full_list=full, n_threads=1)
    try:
        return list(
            finder.compute(points=positions, box=geometry.box, periodic=geometry.pbc, quantities=quantities)
        )
    except RuntimeError as error:
        raise InputError(f"the neighbours of the atoms cannot be found: {error}") from error


def _by_tree(
    positions: NDArray[np.float64],
    geometry: _Geometry,
    heights: NDArray[np.float64],
    cutoff: float,
    *,
    full: bool,
    quantities: str,
) -> list[NDArray[np.float64]]:
    """The same from a k-d tree, where vesin would divide by zero bins, or go through empty bins or cells."""
    from scipy.spatial import cKDTree  # at the top of the module it would slow every import

    cell, pbc = geometry.box, geometry.pbc
    turns = np.floor(positions @ geometry.inverse) * pbc
    wrapped = positions - turns @ cell
    fractions = wrapped @ geometry.inverse
    # Images within the cutoff of the cell, one direction after the other.
    atoms, shifts = np.arange(len(positions)), np.zeros((len(positions), 3))
    for axis in np.flatnonzero(pbc):
        margin = 1.001 * cutoff / heights[axis] + 1e-9
        kept = []
        for shift in range(-int(np.ceil(margin)), int(np.ceil(margin)) + 1):
            place = fractions[atoms, axis] + shift
            near = np.flatnonzero((place > -margin) & (place < 1 + margin))
            kept.append((atoms[near], shifts[near] + shift * np.eye(3)[axis]))
        atoms, shifts = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    images = cKDTree(wrapped[atoms] + shifts @ cell)
    found = cKDTree(wrapped).sparse_distance_matrix(images, cutoff, output_type="ndarray")
    i, j, shifts = found["i"], atoms[found["j"]], shifts[found["j"]]
    wanted = (i != j) | shifts.any(axis=1) if full else (i < j) | ((i == j) & _ahead(shifts))
    i, j, shifts = i[wanted], j[wanted], shifts[wanted] + turns[i[wanted]] - turns[j[wanted]]
    vectors = positions[j] - positions[i] + shifts @ cell
    distances = np.linalg.norm(vectors, axis=1)
    table = {"i": i, "j": j, "S": shifts, "D": vectors, "d": distances}
    # vesin leaves out pairs that are just as far apart as the cutoff.
    return [table[name][distances < cutoff] for name in quantities]


def _ahead(shifts: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Of a shift and its opposite only one."""
    x, y, z = shifts.T
    return np.asarray((x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0)))))


def _signed(integers: NDArray[np.float64]) -> NDArray[np.int64]:
    """Older NumPy does not count unsigned integers."""
    return integers.astype(np.int64)
