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


def pairs_within(
    system: System, cutoff: float = REACH
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Atoms i and j of each pair, in both orders, and their distance (Å)."""
    neighbors = vesin.NeighborList(cutoff=cutoff, full_list=True, n_threads=1)
    i, j, r = neighbors.compute(
        points=system.positions,
        box=completed_cell(system.cell, system.pbc),
        periodic=system.pbc,
        quantities="ijd",
    )
    return i.astype(np.int64), j.astype(np.int64), r


def distances_seen(systems: Sequence[System], elements: Sequence[str]) -> NDArray[np.float64]:
    """Shortest distance (Å) of each pair of elements in these structures, (n, n), or what is looked at."""
    shortest = np.full((len(elements), len(elements)), REACH)
    for system in systems:
        kinds = kinds_of(system.numbers, elements)
        i, j, r = pairs_within(system)
        np.minimum.at(shortest, (kinds[i], kinds[j]), r)
    return shortest


def shortest_distances(systems: Sequence[System], elements: Sequence[str]) -> NDArray[np.float64]:
    """Distance (Å) of each pair of elements below which these structures tell nothing, (n, n).

    That is the shortest one seen. But unlike atoms may never have been near to each other, as in dilute or
    ordered alloys: it is at most the mean of those of the like ones.
    """
    seen = distances_seen(systems, elements)
    radii = covalent_radii[[atomic_numbers[symbol] for symbol in elements]]
    like = np.where(np.diag(seen) < REACH, np.diag(seen), 2.0 * BOUND * radii)
    found: NDArray[np.float64] = np.minimum(seen, 0.5 * (like[:, None] + like))
    return found
