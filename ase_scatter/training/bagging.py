"""Bagged selections, as in Sinz et al., J. Chem. Phys. 153, 084109 (2020): for studies of what they bring.

Bags each leave out a quarter of the parts of the data, drawn without replacement, and choose their own
columns from a random subset of a pool, as random forests do (Breiman, Machine Learning 45, 5 (2001)); their
weights are then refitted on all the data. The mean of the bags is hardly better than one fit with the whole
pool, and their spread is no measure of what the form of the model cannot express: error bars come from
`pops`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..compute.parallel import in_order
from .least_squares import Indices, Regression, Vector
from .normal_equations import NormalEquations

LEFT_OUT = 0.25
"""So much of the data is in no bag."""
CANDIDATES = 0.95
"""So much of the pool may a bag choose from."""
CHOSEN = 0.9
"""So much of the pool does it choose."""


def members(
    regression: Regression,
    parts: Sequence[NormalEquations],
    ridge: float,
    pool: Indices,
    n_members: int,
    seed: int = 0,
    workers: int = 1,
) -> NDArray[np.float64]:
    """Weights of a committee with columns from a pool.

    Parameters
    ----------
    regression : Regression
        How weights follow from moments.
    parts : sequence of NormalEquations
        Of each part of the data.
    ridge : float
        Strength.
    pool : ndarray of int
        Columns to choose from.
    n_members : int
        Number of members.
    seed : int
        Of the random numbers.
    workers : int
        Members at a time.

    Returns
    -------
    ndarray, shape (n_members, n)
    """
    rng = np.random.default_rng(seed)
    total = NormalEquations.summed(parts)
    pool = np.setdiff1d(pool, regression.forced)
    n_left = min(len(parts) - 1, max(1, round(LEFT_OUT * len(parts))))
    n_candidates, size = max(1, round(CANDIDATES * len(pool))), max(1, round(CHOSEN * len(pool)))
    bags: list[tuple[Indices, Indices]] = []
    for _ in range(n_members):
        left_out = rng.choice(len(parts), n_left, replace=False)
        bags.append((left_out, np.sort(rng.choice(pool, n_candidates, replace=False))))

    def member(bag: tuple[Indices, Indices]) -> Vector:
        left_out, among = bag
        # Of one part there is nothing to leave out.
        rest = (
            total - NormalEquations.summed([parts[k] for k in left_out.tolist()]) if len(left_out) else total
        )
        columns = regression.choose(rest, ridge, size, among)
        return regression.weights(total, ridge, columns)

    return np.array(list(in_order(member, bags, workers, False, "")))
