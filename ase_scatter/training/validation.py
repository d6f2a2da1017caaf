"""Ridge and number of columns, chosen on parts of the data left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from ..compute.parallel import Progress, in_order
from .judge import Judge
from .least_squares import Regression, Vector
from .normal_equations import NormalEquations

SIZES = (0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0)
"""Numbers of columns that are tried, over the most that are allowed."""


NEARLY = 1.01
"""Errors that differ by less than this factor are nearly equal."""


@dataclass(frozen=True)
class Validation:
    """Errors on data left out.

    Parameters
    ----------
    scores : dict of (float, int) to float
        By ridge and number of columns.
    errors : dict of (float, int) to dict
        The same, mean absolute errors by kind of label, where there was a judge.
    sigmas : dict of str to float
        By kind of label, as they were chosen.
    pressures : dict of str to float
        GPa by which the stresses of each group are off; empty if they have no offsets.
    notes : tuple of str
        What a user should know.
    """

    scores: dict[tuple[float, int], float]
    errors: dict[tuple[float, int], dict[str, float]] = field(default_factory=dict)
    sigmas: dict[str, float] = field(default_factory=dict)
    pressures: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> tuple[float, int]:
        """Ridge and number of columns with the least error; of nearly equals the strongest ridge.

        A stronger ridge bears structures better that the data do not hold, which parts of the data cannot
        tell.
        """
        least = min(self.scores.values())
        close = [key for key, score in self.scores.items() if score <= NEARLY * least]
        strongest = max(ridge for ridge, _ in close)
        return min((key for key in close if key[0] == strongest), key=lambda key: (self.scores[key], key[1]))

    @property
    def least(self) -> float:
        """The error of the best."""
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
    parts: Sequence[NormalEquations],
    ridges: Sequence[float],
    most: int,
    workers: int = 1,
    progress: Progress = False,
    judge: Judge | None = None,
    fractions: Sequence[float] = SIZES,
) -> Validation:
    """Try ridges and numbers of columns on each part of the data, with fits to all the others.

    Parameters
    ----------
    regression : Regression
        How weights follow from moments.
    parts : sequence of NormalEquations
        Normal equations of the parts.
    ridges : sequence of float
        Strengths of the ridge.
    most : int
        Largest number of columns.
    workers : int
        Fits at a time.
    progress : bool or callable
        Whether, or by which function, progress is shown.
    judge : Judge, optional
        What gives the scores; by default they are mean squared weighted errors, their geometric mean over the
        parts.
    fractions : sequence of float
        Numbers of columns that are tried, over the most.

    Returns
    -------
    Validation
    """
    sizes = sorted({max(1, round(most * fraction)) for fraction in fractions})
    total = NormalEquations.summed(parts)

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
        return [loss_per_row(parts[part], row) for row in weights]

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


def loss_per_row(part: NormalEquations, weights: Vector) -> float:
    """Mean squared weighted error of a fit on one part of the data.

    Parameters
    ----------
    part : NormalEquations
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
