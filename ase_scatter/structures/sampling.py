"""A few structures for many, and the typical bond in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .pair_search import half_list
from .system import System

CALIBRATION_FRAMES = 24


T = TypeVar("T")


def typical_bond(systems: Sequence[System]) -> float:
    """Typical distance of nearest neighbours in some structures.

    Parameters
    ----------
    systems : sequence of System
        The structures.

    Returns
    -------
    float
        Å.
    """
    nearest = np.concatenate([_nearest_distances(system) for system in spread(systems, CALIBRATION_FRAMES)])
    return float(np.median(nearest)) if len(nearest) else 2.35


def _nearest_distances(system: System) -> NDArray[np.float64]:
    """Distance (Å) from each atom to its nearest neighbour, where there is one within 6 Å."""
    near = half_list(system.positions, system.cell, system.pbc, 6.0)
    nearest = np.full(len(system), np.inf)
    for end in (near.i, near.j):
        np.minimum.at(nearest, end, near.distances)
    found: NDArray[np.float64] = nearest[np.isfinite(nearest)]
    return found


def spread(items: Sequence[T], n: int) -> list[T]:
    """A few of many items, evenly spread.

    Parameters
    ----------
    items : sequence
        The items.
    n : int
        Number of items that are wanted, at most.

    Returns
    -------
    list
    """
    indices = np.unique(np.linspace(0, len(items) - 1, min(n, len(items))).round().astype(int))
    return [items[i] for i in indices]
