"""Neighbour lists: every pair in both directions, in one fixed order, with a skin.

The pairs come from vesin. They are sorted by (i, j, shift), so that sums over them are the same, bit for
bit, whichever list they come from: a list that was made a few steps ago, with a skin, only holds further
pairs in between, which lie beyond the cutoff and add exact zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..compute.cache import Latest
from ..errors import InputError
from .pair_search import completed_cell, full_list
from .system import System

SKIN = 0.6
"""Lists reach so much (Å) farther than the cutoff: they serve until an atom has moved half of it."""

KEPT = 16
"""So many lists are kept: the images of a band, the displaced cells of a phonon calculation."""

LARGEST_KEPT = 20_000
"""Of structures with more atoms only the last list is kept, so that memory does not pile up."""


@dataclass(frozen=True, eq=False)
class Neighbors:
    """Pairs of atoms within reach of each other, each in both directions, sorted by (i, j, shift).

    Parameters
    ----------
    first : ndarray of int, shape (N + 1,)
        Where the pairs of each atom begin.
    second : ndarray of int, shape (n_pairs,)
        The neighbour j of each pair.
    shifts : ndarray of int, shape (n_pairs, 3)
        In cell vectors: the vector of a pair is R_j − R_i + shift·cell.
    reverse : ndarray of int, shape (n_pairs,)
        Which pair is j → i.
    reach : float
        Å.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int32]
    shifts: NDArray[np.int32]
    reverse: NDArray[np.int32]
    reach: float

    @property
    def n_pairs(self) -> int:
        """Number of pairs."""
        return len(self.second)


def find_neighbors(system: System, reach: float) -> Neighbors:
    """Find all pairs of a structure nearer than a distance, images included.

    Any mix of periodic directions, cells smaller than the reach and atoms outside the cell are allowed.

    Parameters
    ----------
    system : System
        The structure.
    reach : float
        Å.

    Returns
    -------
    Neighbors

    Raises
    ------
    InputError
        If they cannot be found.
    """
    n = len(system)
    # Of atoms wrapped into the cell, so that shifts are small, however far atoms have wandered.
    cell = completed_cell(system.cell, system.pbc)
    away = np.floor(system.positions @ np.linalg.inv(cell)) * system.pbc
    i, j, shifts = full_list(system.positions - away @ cell, cell, system.pbc, reach)
    low = shifts.min(axis=0, initial=0)
    low = np.minimum(low, -shifts.max(axis=0, initial=0))
    width = 1 - 2 * low
    if float(np.prod(width, dtype=float)) * n**2 > 2**62:
        raise InputError("the cell is too skew for this many atoms; ase.geometry.minkowski_reduce mends it")
    # One integer per pair, in the order wanted, and the same of the way back.
    there = _code(shifts - low, width) + np.prod(width) * (i * n + j)
    back = _code(-shifts - low, width) + np.prod(width) * (j * n + i)
    order = np.argsort(there)
    turns = away.astype(np.int64)
    shifts += turns[i] - turns[j]
    reverse = np.searchsorted(there, back[order], sorter=order)
    return Neighbors(
        first=np.concatenate([[0], np.cumsum(np.bincount(i, minlength=n))]).astype(np.int64),
        second=j[order].astype(np.int32),
        shifts=np.ascontiguousarray(shifts[order], dtype=np.int32),
        reverse=reverse.astype(np.int32),
        reach=reach,
    )


def _code(shifts: NDArray[np.int64], width: NDArray[np.int64]) -> NDArray[np.int64]:
    code: NDArray[np.int64] = (shifts[:, 0] * width[1] + shifts[:, 1]) * width[2] + shifts[:, 2]
    return code


@dataclass(frozen=True, eq=False)
class _Entry:
    """A list and the structure that it was made for."""

    system: System
    neighbors: Neighbors

    def serves(self, system: System, cutoff: float) -> bool:
        """Whether all pairs within the cutoff must be in the list."""
        return self._within(system, self.neighbors.reach - cutoff)

    def keeps_apart(self, system: System, distance: float) -> bool:
        """Whether no pair can be nearer than a distance."""
        return self.neighbors.reach > distance and self._within(system, self.nearest - distance)

    def _within(self, system: System, slack: float) -> bool:
        """Whether no two atoms can have come nearer to each other by this length (Å)."""
        mine = self.system
        if slack < 0 or len(mine) != len(system) or not np.array_equal(mine.pbc, system.pbc):
            return False
        if not np.array_equal(mine.cell, system.cell):
            return False
        moved = system.positions - mine.positions
        return bool(np.einsum("ka,ka->k", moved, moved).max() < (0.5 * slack) ** 2)

    @cached_property
    def nearest(self) -> float:
        """The shortest distance between two atoms (Å), or how far the list reaches."""
        near, positions = self.neighbors, self.system.positions
        i = np.repeat(np.arange(len(positions)), np.diff(near.first))
        vectors = positions[near.second] - positions[i] + near.shifts @ self.system.cell
        return float(np.linalg.norm(vectors, axis=1).min(initial=near.reach))


class NeighborCache(Latest[_Entry]):
    """The latest lists, found again by structure."""

    def __init__(self) -> None:
        super().__init__(KEPT)

    def neighbors(self, system: System, cutoff: float) -> Neighbors:
        """A list that holds all pairs within a cutoff, and some beyond it.

        Parameters
        ----------
        system : System
            The structure.
        cutoff : float
            Å.

        Returns
        -------
        Neighbors
            Of an earlier structure, as long as no atom has moved by half the skin.
        """
        known = self.find(lambda entry: entry.serves(system, cutoff))
        if known is not None:
            return known.neighbors
        if len(system) > LARGEST_KEPT:
            self.clear()  # the old one goes before the new one is made: memory holds one of them
        return self.keep(_Entry(system, find_neighbors(system, cutoff + SKIN))).neighbors

    def keeps_apart(self, system: System, distance: float) -> bool:
        """Whether the lists at hand show that no two atoms are nearer to each other than a distance.

        Parameters
        ----------
        system : System
            The structure.
        distance : float
            Å.

        Returns
        -------
        bool
            False if there is no list that shows it, too.
        """
        return self.find(lambda entry: entry.keeps_apart(system, distance)) is not None


CACHE = NeighborCache()
"""The lists of this process."""
