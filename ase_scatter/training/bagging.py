"""Which columns and how strong a ridge, by validation; and a committee of fits that tells how sure it is.

All of it is algebra on the moments of a few parts of the data, which are formed once: what is left when
some parts are left out is a difference of moments. Parts are made of whole structures.

    1. Validation: for each part, columns are chosen by orthogonal least squares on all the others, and the
       loss on the part is summed, for every ridge and number of columns. The best pair is taken.
    2. The pool: so many columns, chosen on all the data.
    3. Bags: each leaves out a quarter of the parts, drawn without replacement, and chooses its own columns
       from a random subset of the pool; its weights are then refitted on all the data.
    4. The standard deviation of the members, the spread, tells where they differ.
    5. Calibration: the same with a quarter of the parts kept out altogether, in four rounds. Errors there,
       over the spread there, give the factor that turns a spread into the half-width of a band with nine
       errors of ten inside; and tell whether the model is better off as the mean of the members or as the
       one fit with the whole pool.

Bagged orthogonal least squares on scattering coefficients is Sinz et al., J. Chem. Phys. 153, 084109 (2020);
random candidate subsets are those of random forests (Breiman, Machine Learning 45, 5 (2001)). Bands from
ratios on data kept out are conformal prediction (Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018)).

Cost: selecting k of n columns takes n k² operations, the Gram matrix of r rows r n²; as r is many times k²/n,
all the bags together cost less than the sum over the data, which is done once. Each selection is a long row
of small products, and none depends on another: they run side by side, on one core each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..compute.parallel import in_order
from .least_squares import Indices, Regression, Vector
from .normal_equations import NormalEquations
from .validation import geometric_mean, loss_per_row

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


@dataclass(frozen=True)
class Round:
    """Fits to some parts of the data, the others kept out.

    Parameters
    ----------
    out : list of int
        Parts that were kept out.
    single : ndarray, shape (n,)
        Weights of one fit with the whole pool.
    members : ndarray, shape (n_members, n)
        Weights of a committee.
    loss : dict of str to float
        Mean squared weighted error on the parts kept out, of "single" and of "mean", the mean member.
    """

    out: list[int]
    single: Vector
    members: NDArray[np.float64]
    loss: dict[str, float]


def kept_out(
    regression: Regression,
    parts: Sequence[NormalEquations],
    ridge: float,
    size: int,
    n_members: int,
    workers: int = 1,
) -> Iterator[Round]:
    """Fit in four rounds, each with a quarter of the parts kept out altogether.

    Parameters
    ----------
    regression : Regression
        How weights follow from moments.
    parts : sequence of NormalEquations
        Of each part of the data.
    ridge : float
        Strength.
    size : int
        Number of columns in the pool.
    n_members : int
        Number of members.
    workers : int
        Members at a time.

    Yields
    ------
    Round
    """
    rounds = min(4, len(parts))
    for k in range(rounds):
        out = list(range(k, len(parts), rounds))
        rest = [part for i, part in enumerate(parts) if i not in out]
        total = NormalEquations.summed(rest)
        pool = regression.choose(total, ridge, size)
        single = regression.weights(total, ridge, pool)
        weights = members(regression, rest, ridge, pool, n_members, seed=k, workers=workers)
        loss = {
            name: geometric_mean([loss_per_row(parts[i], w) for i in out])
            for name, w in (("single", single), ("mean", weights.mean(axis=0)))
        }
        yield Round(out, single, weights, loss)
