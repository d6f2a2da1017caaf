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
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from .errors import InputError
from .progress import in_order
from .regression import Moments, Selection, select, solve

if TYPE_CHECKING:
    from .judging import Judge

Vector = NDArray[np.float64]
Indices = NDArray[np.int64]

LEFT_OUT = 0.25
"""So much of the data is in no bag."""
CANDIDATES = 0.95
"""So much of the pool may a bag choose from."""
CHOSEN = 0.9
"""So much of the pool does it choose."""
INSIDE = 0.9
"""So many of the errors are to lie within the bands."""
SIZES = (0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0)
"""Numbers of columns that are tried, over the most that are allowed."""


@dataclass(frozen=True)
class Regression:
    """How weights follow from moments.

    price: (n,) what each column's gain is divided by when columns are chosen. forced: columns that are
    always there and carry no penalty. prior: rows that count in every fit.
    """

    price: Vector
    forced: Indices
    prior: Moments | None = None

    def penalty(self, moments: Moments, ridge: float) -> Vector:
        """(n,) of each column, in units of its own size in the rows."""
        penalty = ridge * np.diag(moments.gram)
        penalty[self.forced] = 0.0
        return penalty

    def usable(self, moments: Moments) -> int:
        """How many columns there are to choose from: those that differ from zero and are not excluded."""
        there = (np.diag(moments.gram) > 0) & np.isfinite(self.price)
        there[self.forced] = False
        return int(np.count_nonzero(there))

    def among(self, columns: Indices) -> Regression:
        """Of these columns alone, ascending, the forced ones among them."""
        prior = None if self.prior is None else self.prior.columns(columns)
        return Regression(self.price[columns], np.searchsorted(columns, self.forced), prior)

    def told(self, moments: Moments) -> Moments:
        """With the prior."""
        return moments if self.prior is None else moments + self.prior

    def select(self, moments: Moments, ridge: float, size: int) -> Selection:
        """The forced columns and so many more, with what their weights follow from."""
        return select(
            self.told(moments), self.penalty(moments, ridge), size + len(self.forced),
            forced=self.forced, price=self.price,
        )  # fmt: skip

    def choose(self, moments: Moments, ridge: float, size: int, among: Indices | None = None) -> Indices:
        """The forced columns and so many more, in the order of their choice."""
        if among is None:
            return self.select(moments, ridge, size).columns
        among = np.concatenate([among, self.forced])
        places = np.arange(len(among) - len(self.forced), len(among))
        prior = None if self.prior is None else self.prior.columns(among)
        inner = Regression(self.price[among], places, prior)
        return np.asarray(among[inner.choose(moments.columns(among), ridge, size)])

    def weights(self, moments: Moments, ridge: float, columns: Indices) -> Vector:
        """(n,), zero for all other columns."""
        weights = np.zeros(len(self.price))
        penalty = self.penalty(moments, ridge)[columns]
        weights[columns] = solve(self.told(moments).columns(columns), penalty)
        return weights


@dataclass(frozen=True)
class Validation:
    """Errors on data left out.

    scores: by ridge and number of columns. errors: the same, mean absolute errors by kind of label, where
    there was a judge. sigmas, pressures, notes: what else was chosen (`judging.choose`): sigmas by kind of
    label, GPa by which the stresses of each group are off (empty if they have no offsets), what a user should
    know. averaging: of one fit with the whole pool ("single") and of the mean of a committee ("mean"), with a
    quarter of the data left out; empty without a committee.
    """

    scores: dict[tuple[float, int], float]
    averaging: dict[str, float] = field(default_factory=dict)
    errors: dict[tuple[float, int], dict[str, float]] = field(default_factory=dict)
    sigmas: dict[str, float] = field(default_factory=dict)
    pressures: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> tuple[float, int]:
        """Ridge and number of columns with the least error; of equals the stronger ridge, fewer columns."""
        return min(self.scores, key=lambda key: (self.scores[key], -key[0], key[1]))

    @property
    def least(self) -> float:
        """The least error."""
        return self.scores[self.best]

    @property
    def by_ridge(self) -> dict[float, float]:
        """The least error for each ridge."""
        ridges = sorted({ridge for ridge, _ in self.scores})
        return {r: min(score for (ridge, _), score in self.scores.items() if ridge == r) for r in ridges}

    @property
    def by_size(self) -> dict[int, float]:
        """Errors with the best ridge by number of columns."""
        return {size: score for (ridge, size), score in self.scores.items() if ridge == self.best[0]}


def validate(
    regression: Regression,
    parts: Sequence[Moments],
    ridges: Sequence[float],
    most: int,
    workers: int = 1,
    progress: bool = False,
    judge: Judge | None = None,
    fractions: Sequence[float] = SIZES,
) -> Validation:
    """Errors on each part of fits to all the others, with at most so many columns.

    judge: gives the scores; without one they are mean squared weighted errors, their geometric mean over the
    parts. fractions: numbers of columns that are tried, over the most.
    """
    sizes = sorted({max(1, round(most * fraction)) for fraction in fractions})
    total = Moments.summed(parts)

    def fits(job: tuple[int, float]) -> Any:
        """On one part with one ridge, for each size."""
        part, ridge = job
        selection = regression.select(total - parts[part], ridge, max(sizes))
        weights = np.zeros((len(sizes), len(regression.price)))
        for row, size in zip(weights, sizes, strict=True):
            chosen = selection.weights(size + len(regression.forced))
            row[selection.columns[: len(chosen)]] = chosen
        if judge is not None:
            return judge.sums(part, weights)
        return [_per_row(parts[part], row) for row in weights]

    jobs = list(product(range(len(parts)), ridges))
    found: dict[float, list[Any]] = {ridge: [] for ridge in ridges}
    for (_, ridge), of_job in zip(jobs, in_order(fits, jobs, workers, progress, "validation"), strict=True):
        found[ridge].append(of_job)
    scores: dict[tuple[float, int], float] = {}
    errors: dict[tuple[float, int], dict[str, float]] = {}
    for ridge, of_parts in found.items():
        if judge is None:
            values = [geometric_mean(losses) for losses in zip(*of_parts, strict=True)]
        else:
            means = judge.mean_errors(of_parts)
            values = judge.score(means).tolist()
            for k, size in enumerate(sizes):
                errors[ridge, size] = {kind: float(mean[k]) for kind, mean in means.items()}
        scores.update({(ridge, size): value for size, value in zip(sizes, values, strict=True)})
    return Validation(scores, errors=errors)


def _per_row(part: Moments, weights: Vector) -> float:
    return part.loss(weights) / max(1, part.count)


def geometric_mean(losses: Sequence[float]) -> float:
    """Of losses on several parts: a part that is hard for all choices does not outweigh the others."""
    return float(np.exp(np.mean(np.log(np.maximum(losses, 1e-30)))))


def members(
    regression: Regression,
    parts: Sequence[Moments],
    ridge: float,
    pool: Indices,
    n_members: int,
    seed: int = 0,
    workers: int = 1,
) -> NDArray[np.float64]:
    """Weights (n_members, n) of a committee with columns from a pool."""
    rng = np.random.default_rng(seed)
    total = Moments.summed(parts)
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
        rest = total - Moments.summed([parts[k] for k in left_out.tolist()]) if len(left_out) else total
        columns = regression.choose(rest, ridge, size, among)
        return regression.weights(total, ridge, columns)

    return np.array(list(in_order(member, bags, workers, False, "")))


@dataclass(frozen=True)
class HeldOut:
    """Errors and spreads on data kept out, of one kind of label.

    errors: (r,) |predicted − true|. spreads: (r,) of what the label belongs to: root mean square over the
    components of an atom's force, of a stress.
    """

    errors: Vector
    spreads: Vector

    @classmethod
    def of(cls, errors: Vector, members: NDArray[np.float64], size: int) -> HeldOut:
        """errors: (r,); members: (n_members, r) predictions; every `size` of the r belong together."""
        spread = members.std(axis=0, ddof=1).reshape(-1, size)
        spread = np.sqrt(np.mean(spread**2, axis=1))
        return cls(np.abs(errors), np.repeat(spread, size))

    @classmethod
    def joined(cls, several: Sequence[HeldOut]) -> HeldOut:
        return cls(np.concatenate([h.errors for h in several]), np.concatenate([h.spreads for h in several]))

    @property
    def factor(self) -> float:
        """What to multiply spreads with for bands that hold nine errors of ten."""
        sure = self.spreads > 0  # no spread, no ratio: what symmetry makes zero
        if not sure.any():
            raise InputError("the members of the committee agree on everything; give more varied structures")
        return float(np.quantile(self.errors[sure] / self.spreads[sure], INSIDE, method="higher"))

    def inside(self, factor: float) -> float:
        """The fraction of errors within the bands."""
        return float(np.mean(self.errors <= factor * self.spreads))

    @property
    def rank_correlation(self) -> float:
        """Spearman's, between spread and error."""
        if np.ptp(self.spreads) == 0 or np.ptp(self.errors) == 0:
            return 0.0
        return float(scipy.stats.spearmanr(self.spreads, self.errors)[0])

    def table(self, factor: float, n_bins: int = 8) -> list[dict[str, float]]:
        """In bins of equally many, from sure to unsure: mean band, the true one, the fraction inside."""
        order = np.argsort(self.spreads)
        rows = []
        for bin_ in np.array_split(order, min(n_bins, max(1, len(order) // 10))):
            errors, bands = self.errors[bin_], factor * self.spreads[bin_]
            rows.append(
                {
                    "band": float(bands.mean()),
                    "true": float(np.quantile(errors, INSIDE)),
                    "inside": float(np.mean(errors <= bands)),
                    "count": len(bin_),
                }
            )
        return rows


@dataclass(frozen=True)
class Round:
    """Fits to some parts, and which others were kept out.

    single: (n,) with the whole pool. members: (n_members, n). loss: mean squared weighted error on the
    parts kept out, of "single" and of "mean", the members'.
    """

    out: list[int]
    single: Vector
    members: NDArray[np.float64]
    loss: dict[str, float]


def kept_out(
    regression: Regression,
    parts: Sequence[Moments],
    ridge: float,
    size: int,
    n_members: int,
    workers: int = 1,
) -> Iterator[Round]:
    """Four rounds, each with a quarter of the parts kept out altogether."""
    rounds = min(4, len(parts))
    for k in range(rounds):
        out = list(range(k, len(parts), rounds))
        rest = [part for i, part in enumerate(parts) if i not in out]
        total = Moments.summed(rest)
        pool = regression.choose(total, ridge, size)
        single = regression.weights(total, ridge, pool)
        weights = members(regression, rest, ridge, pool, n_members, seed=k, workers=workers)
        loss = {
            name: geometric_mean([_per_row(parts[i], w) for i in out])
            for name, w in (("single", single), ("mean", weights.mean(axis=0)))
        }
        yield Round(out, single, weights, loss)
