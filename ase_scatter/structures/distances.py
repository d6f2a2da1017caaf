"""How near the atoms of each pair of elements come to each other in some structures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import vesin
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray

from .system import System, completed_cell, kinds_of

REACH = 4.0
"""Pairs farther apart than this (Å) are not looked at."""
BOUND = 0.8
"""Of elements that are nowhere within reach of their like: so much of the sum of their covalent radii."""


def shortest_distances(systems: Sequence[System], elements: Sequence[str]) -> NDArray[np.float64]:
    """Shortest distance (Å) of each pair of elements in these structures, (n, n).

    Unlike atoms may never have been near to each other, as in dilute or ordered alloys: their distance is at
    most the mean of those of the like ones.
    """
    n = len(elements)
    shortest = np.full((n, n), np.inf)
    neighbors = vesin.NeighborList(cutoff=REACH, full_list=True, n_threads=1)
    for system in systems:
        kinds = kinds_of(system.numbers, elements)
        i, j, r = neighbors.compute(
            points=system.positions,
            box=completed_cell(system.cell, system.pbc),
            periodic=system.pbc,
            quantities="ijd",
        )
        np.minimum.at(shortest, (kinds[i.astype(np.int64)], kinds[j.astype(np.int64)]), r)
    radii = covalent_radii[[atomic_numbers[symbol] for symbol in elements]]
    like = np.diag(shortest)
    like = np.where(np.isfinite(like), like, 2.0 * BOUND * radii)
    found: NDArray[np.float64] = np.minimum(shortest, 0.5 * (like[:, None] + like))
    return found
