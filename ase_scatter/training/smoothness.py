"""How much each column varies on structures near the data, beside how much it varies on the data.

A ridge in units of a column's size in the data leaves free what the data hardly move: a pair that is seen
at one distance only, a combination that thermal motion does not reach. There weights grow, and a step
outside the data costs electronvolts. So a column's penalty follows from the derivatives with respect to
positions on structures that are moved at random as well:

    penalty ∝ R² / D,

where D is their mean square on some frames of the data, R that on the same frames with atoms displaced at
random. Columns that vary alike on both have the penalty of an ordinary ridge; those that vary more off the
data than on them are held back by as much more.
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
FRAMES, ATOMS = 24, 1200
"""At most so many frames with so many atoms are displaced."""
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
    sampled = _sample([system for system in systems if len(system) > 1])
    length = DISPLACEMENT * typical_bond(sampled)
    on, off = 0.0, 0.0
    for system in sampled:
        moved = system.positions + rng.normal(scale=length, size=system.positions.shape)
        on = on + len(system) * mean_squares(system)
        off = off + len(system) * mean_squares(replace(system, positions=moved))
    off = np.asarray(off / sum(map(len, sampled)))
    on = np.asarray(on / sum(map(len, sampled)))
    return off * np.minimum(off / np.maximum(on, np.finfo(float).tiny), STEEPEST)


def _sample(systems: Sequence[System]) -> list[System]:
    """Some structures, evenly spread, with not too many atoms."""
    mean = sum(map(len, systems)) / max(1, len(systems))
    return spread(list(systems), max(2, min(FRAMES, int(ATOMS / max(mean, 1.0)))))
