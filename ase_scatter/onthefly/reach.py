"""What the data reach: how near atoms have been to each other, and how densely they were surrounded.

The spread of the weights cannot tell everything: columns stay constant below the shortest distances, and all
weights agree on an atom without neighbours.
"""

from __future__ import annotations

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from ..structures.pair_search import half_list
from ..structures.system import System

NEARER = 0.95
"""Pairs may be nearer than the nearest of their kind in the data by this factor."""
DENSITY = (0.7, 1.4)
"""Numbers of neighbours, each counted by 1 − (r/r_c)², may leave the range of the data by these factors."""
ALONE = 0.5
"""Neighbours; with fewer in the data, an atom may have none."""


class Reach:
    """Shortest distances of the pairs of elements, and ranges of the numbers of neighbours."""

    def __init__(self) -> None:
        self._shortest: dict[tuple[int, int], float] = {}
        self._density: dict[int, tuple[float, float]] = {}
        self._cutoff = 0.0

    def add(self, system: System, cutoff: float) -> None:
        """Widen the reach by a structure.

        Parameters
        ----------
        system : System
            The structure.
        cutoff : float
            Å.
        """
        self._cutoff = cutoff
        shortest, density = self._measured(system)
        for pair, distance in shortest.items():
            self._shortest[pair] = min(distance, self._shortest.get(pair, np.inf))
        for z in np.unique(system.numbers).tolist():
            mine = density[system.numbers == z]
            low, high = self._density.get(z, (np.inf, 0.0))
            self._density[z] = (min(low, float(mine.min())), max(high, float(mine.max())))

    def outside(self, system: System) -> str:
        """In what a structure is unlike all data.

        Parameters
        ----------
        system : System
            The structure.

        Returns
        -------
        str
            Empty if in nothing.
        """
        shortest, density = self._measured(system)
        for (a, b), distance in shortest.items():
            seen = self._shortest.get((a, b), np.inf)
            if np.isfinite(seen) and distance < NEARER * seen:
                return f"{chemical_symbols[a]} and {chemical_symbols[b]} are {distance:.2f} Å apart"
        for z in np.unique(system.numbers).tolist():
            if z not in self._density:
                return f"{chemical_symbols[z]} is new"
            mine, (low, high) = density[system.numbers == z], self._density[z]
            if mine.min() < DENSITY[0] * low and low > ALONE:
                return f"an atom of {chemical_symbols[z]} has few neighbours"
            if mine.max() > DENSITY[1] * high + ALONE:
                return f"an atom of {chemical_symbols[z]} has many neighbours"
        return ""

    def _measured(self, system: System) -> tuple[dict[tuple[int, int], float], NDArray[np.float64]]:
        """Shortest distances by pair of elements, and the density at each atom."""
        pairs = half_list(system.positions, system.cell, system.pbc, self._cutoff)
        density = np.zeros(len(system))
        weight = 1.0 - (pairs.distances / self._cutoff) ** 2
        for end in (pairs.i, pairs.j):
            density += np.bincount(end, weight, len(system))
        one, other = np.sort([system.numbers[pairs.i], system.numbers[pairs.j]], axis=0)
        found: dict[tuple[int, int], float] = {}
        for a, b in {*zip(one.tolist(), other.tolist(), strict=True)}:
            found[a, b] = float(pairs.distances[(one == a) & (other == b)].min())
        return found, density
