"""Ridge and number of columns, chosen on parts of the data left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from ..compute.parallel import Progress, in_order
from .least_squares import Regression, Vector
from .normal_equations import Moments

SIZES = (0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0)
"""Numbers of columns that are tried, over the most that are allowed."""


@dataclass(frozen=True)
class Validation:
    """Mean squared weighted errors on data left out, their geometric mean over the parts.

    Parameters
    ----------
    scores : dict of (float, int) to float
        By ridge and number of columns.
    averaging : dict of str to float
        With a quarter of the data left out: of one fit with the whole pool ("single") and of the mean of a
        committee ("mean"). Empty without a committee.
    """

    scores: dict[tuple[float, int], float]
    averaging: dict[str, float] = field(default_factory=dict)

    @property
    def best(self) -> tuple[float, int]:
        """Ridge and number of columns with the least error; of equals the stronger ridge, fewer columns."""
        return min(self.scores, key=lambda key: (self.scores[key], -key[0], key[1]))

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
    progress: Progress = False,
) -> Validation:
    """Try ridges and numbers of columns on each part of the data, with fits to all the others.

    Parameters
    ----------
    regression : Regression
        How weights follow from moments.
    parts : sequence of Moments
        Normal equations of the parts.
    ridges : sequence of float
        Strengths of the ridge.
    most : int
        Largest number of columns; smaller ones are the fractions `SIZES` of it.
    workers : int
        Fits at a time.
    progress : bool or callable
        Whether, or by which function, progress is shown.

    Returns
    -------
    Validation
    """
    sizes = sorted({max(1, round(most * fraction)) for fraction in SIZES})
    total = Moments.summed(parts)

    def losses(job: tuple[Moments, float]) -> list[float]:
        """On one part with one ridge, for each size."""
        part, ridge = job
        selection = regression.select(total - part, ridge, most)
        found = []
        for size in sizes:
            weights = np.zeros(len(regression.price))
            chosen = selection.weights(size + len(regression.forced))
            weights[selection.columns[: len(chosen)]] = chosen
            found.append(loss_per_row(part, weights))
        return found

    jobs = list(product(parts, ridges))
    found: dict[tuple[float, int], list[float]] = {key: [] for key in product(ridges, sizes)}
    for (_, ridge), several in zip(
        jobs, in_order(losses, jobs, workers, progress, "validation"), strict=True
    ):
        for size, loss in zip(sizes, several, strict=True):
            found[ridge, size].append(loss)
    return Validation({key: geometric_mean(values) for key, values in found.items()})


def loss_per_row(part: Moments, weights: Vector) -> float:
    """Mean squared weighted error of a fit on one part of the data.

    Parameters
    ----------
    part : Moments
        The part.
    weights : ndarray, shape (n,)
        The fit.

    Returns
    -------
    float
    """
    return part.loss(weights) / max(1, part.count)


def geometric_mean(losses: Sequence[float]) -> float:
    """Geometric mean of losses on several parts.

    A part that is hard for all choices does not outweigh the others.

    Parameters
    ----------
    losses : sequence of float
        One for each part.

    Returns
    -------
    float
    """
    return float(np.exp(np.mean(np.log(np.maximum(losses, 1e-30)))))
