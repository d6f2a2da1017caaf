"""How near the atoms of each pair of elements come to each other in some structures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray

from .pair_search import half_list
from .system import System, kinds_of

REACH = 4.0
"""Pairs farther apart than this (Å) are not looked at."""
BOUND = 0.8
"""Of elements that are nowhere within reach of their like: so much of the sum of their covalent radii."""


def distances_seen(systems: Sequence[System], elements: Sequence[str]) -> NDArray[np.float64]:
    """Find the shortest distance of each pair of elements in some structures.

    Parameters
    ----------
    systems : sequence of System
        The structures.
    elements : sequence of str
        Chemical symbols.

    Returns
    -------
    ndarray, shape (n_elements, n_elements)
        In Å; `REACH` for pairs that are nowhere nearer.
    """
    shortest = np.full((len(elements), len(elements)), REACH)
    for system in systems:
        kinds = kinds_of(system.numbers, elements)
        pairs = half_list(system.positions, system.cell, system.pbc, REACH)
        np.minimum.at(shortest, (kinds[pairs.i], kinds[pairs.j]), pairs.distances)
    both: NDArray[np.float64] = np.minimum(shortest, shortest.T)
    return both


def shortest_distances(systems: Sequence[System], elements: Sequence[str]) -> NDArray[np.float64]:
    """Find the distance of each pair of elements below which some structures tell nothing.

    It is the shortest one seen. Unlike atoms may never have been near each other, as in dilute or ordered
    alloys: their distance is at most the mean of those of the like ones.

    Parameters
    ----------
    systems : sequence of System
        The structures.
    elements : sequence of str
        Chemical symbols.

    Returns
    -------
    ndarray, shape (n_elements, n_elements)
        In Å.
    """
    seen = distances_seen(systems, elements)
    radii = covalent_radii[[atomic_numbers[symbol] for symbol in elements]]
    like = np.where(np.diag(seen) < REACH, np.diag(seen), 2.0 * BOUND * radii)
    found: NDArray[np.float64] = np.minimum(seen, 0.5 * (like[:, None] + like))
    return found
