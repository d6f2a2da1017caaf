"""How much each column varies on structures near the data, beside how much it varies on the data.

A ridge in units of a column's size in the data leaves free what the data hardly move: a pair that is seen
at one distance only, three elements that never meet. There weights grow, and a step outside the data costs
electronvolts. So a column's penalty follows from its derivatives with respect to positions on structures
near the data as well:

    penalty ∝ R² / D,

where D is their mean square on some frames of the data, R that on the same frames with atoms displaced at
random and, of several elements, some atoms exchanged for others. Columns that vary alike on both have the
penalty of an ordinary ridge; those that vary more off the data than on them are held back by as much more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..structures.sampling import spread, typical_bond
from ..structures.system import System

DISPLACEMENT = 0.1
"""Standard deviation of each coordinate, over the typical bond."""
EXCHANGED = 0.5
"""Probability that the element of an atom is drawn anew."""
FRAMES, ATOMS = 24, 1200
"""For each element, at most so many frames with so many atoms are displaced."""
STEEPEST = 1e3
"""R / D counts as this at most."""


def penalty_sizes(
    systems: Sequence[System], mean_squares: Callable[[System], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Mean squares that penalties of columns are in proportion to.

    Parameters
    ----------
    systems : sequence of System
        The structures of the data.
    mean_squares : callable
        Mean square of each column's derivatives with respect to positions, for one structure.

    Returns
    -------
    ndarray, shape (n_columns,)
        R² / D, in squares of a column's unit over Å.
    """
    rng = np.random.default_rng(0)
    elements = np.unique(np.concatenate([system.numbers for system in systems]))
    sampled = _sample([system for system in systems if len(system) > 1], len(elements))
    length = DISPLACEMENT * typical_bond(sampled)
    on: list[NDArray[np.float64]] = []
    off: list[NDArray[np.float64]] = []
    for system in sampled:
        numbers = system.numbers.copy()
        exchanged = rng.random(len(system)) < EXCHANGED
        numbers[exchanged] = rng.choice(elements, int(exchanged.sum()))
        moved = system.positions + rng.normal(scale=length, size=system.positions.shape)
        on.append(len(system) * mean_squares(system))
        off.append(len(system) * mean_squares(replace(system, positions=moved, numbers=numbers)))
    here, near = (np.sum(several, axis=0) / sum(map(len, sampled)) for several in (on, off))
    return np.asarray(near * (near / np.maximum(np.maximum(here, near / STEEPEST), np.finfo(float).tiny)))


def _sample(systems: Sequence[System], n_elements: int) -> list[System]:
    """Some structures, evenly spread, with not too many atoms."""
    mean = sum(map(len, systems)) / max(1, len(systems))
    return spread(list(systems), n_elements * max(2, min(FRAMES, int(ATOMS / max(mean, 1.0)))))
