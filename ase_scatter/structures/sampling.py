"""A few structures for many, and the typical bond in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .pair_search import half_list
from .system import System

CALIBRATION_FRAMES = 24

FARTHEST_BOND = 6.0
"""Nearest neighbours farther apart than this (Å) are no bond."""

SHORTEST_BOND = 0.5
"""No bond is as short as this (Å): that of hydrogen is 0.74 Å."""

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

    Raises
    ------
    InputError
        If there are no bonds, or if they are too short to be in Å.
    """
    for chosen in (spread(systems, CALIBRATION_FRAMES), systems):
        nearest = np.concatenate([_nearest_distances(system) for system in chosen])
        if len(nearest):
            break
    else:
        raise InputError(
            f"no two atoms of the data are nearer than {FARTHEST_BOND} Å: a potential needs structures with "
            "bonds, and positions must be in Å"
        )
    bond = float(np.median(nearest))
    if bond < SHORTEST_BOND:
        raise InputError(f"the nearest neighbours of the data are {bond:.2g} Å apart: positions must be in Å")
    return bond


def _nearest_distances(system: System) -> NDArray[np.float64]:
    """Distance (Å) from each atom to its nearest neighbour, where there is one within FARTHEST_BOND."""
    near = half_list(system.positions, system.cell, system.pbc, FARTHEST_BOND)
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
