"""A committee of pointwise optimal parameter sets, which tells what the form of the model cannot express.

Refitting to other samples of the data (bagging) shows how little noise there is in the weights; it does not
show that no weights fit everything. So each row of the data is asked how the weights would have to change
for it alone to be met exactly. With A the normal matrix, ridge included, and r = b − xᵀw, the least such
change in the metric of A, which spoils the other rows least, is

    δ = A⁻¹x r / (xᵀA⁻¹x).

Members are the fit plus random sums of these changes, with the covariance Σ δδᵀ / n, every kind of label
counting the same. Rows with small leverage xᵀA⁻¹x ask for large changes in directions that hardly matter to
them; the lower half is left out, as in the reference implementation. So are wild rows, whose change is far
longer than that of the others: an energy that is wrong by electronvolts would widen all error bars.

T. D. Swinburne and D. Perez, Mach. Learn.: Sci. Technol. 6, 015008 (2025), arXiv:2502.07104.

Calibration is conformal (Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018)): the same with a quarter of the
parts kept out altogether, in four rounds. Errors there, over the spread there, give the factor that turns a
spread into the half-width of an interval with nine errors of ten inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .least_squares import Indices, Regression, Vector, whitening
from .normal_equations import NormalEquations
from .rows import Normals

LEVERAGE = 0.5
"""The rows of a kind with the least leverage, so much of them, ask for nothing."""
WILD = 10.0
"""A change longer than this times that of nine in ten of its kind is left out."""
MOST_ROWS = 3000
"""So many rows of each kind ask, evenly spread."""


@dataclass(frozen=True)
class Ensemble:
    """A fit and its members.

    Parameters
    ----------
    weights : ndarray, shape (n,)
        The fit.
    members : ndarray, shape (n_members, n)
        Weights whose mean is the fit.
    n_wild : int
        Number of rows that were left out as wild.
    """

    weights: Vector
    members: NDArray[np.float64]
    n_wild: int


@dataclass(frozen=True)
class Round:
    """A fit to some parts of the data, the others kept out.

    Parameters
    ----------
    out : list of int
        Parts that were kept out.
    ensemble : Ensemble
        The fit and its members.
    """

    out: list[int]
    ensemble: Ensemble


def ensemble(
    regression: Regression,
    parts: Mapping[int, NormalEquations],
    normals: Normals,
    sigmas: Mapping[str, float],
    ridge: float,
    columns: Indices,
    n_members: int,
    seed: int = 0,
) -> Ensemble:
    """Fit some columns to some parts, and make members of the changes that rows ask for.

    Parameters
    ----------
    regression : Regression
        How weights follow from normal equations.
    parts : mapping of int to NormalEquations
        Of the parts to fit, by number.
    normals : Normals
        What holds the sample of rows.
    sigmas : mapping of str to float
        Errors that count as 1, by kind of label.
    ridge : float
        Strength.
    columns : ndarray of int
        Columns that have weights.
    n_members : int
        Number of members.
    seed : int
        Of the random numbers.

    Returns
    -------
    Ensemble
    """
    total = NormalEquations.summed(list(parts.values()))
    weights = regression.weights(total, ridge, columns)
    told = total if regression.prior is None else total + regression.prior
    metric = whitening(told.columns(columns), regression.penalty(total, ridge)[columns])
    rng = np.random.default_rng(seed)
    sums = np.zeros((n_members, metric.shape[1]))
    n_wild = 0
    for kind in sorted({kind for sample in normals.sample for kind in sample.rows.matrix}):
        chosen = [s.rows for s in normals.sample if s.part in parts and kind in s.rows.matrix]
        if not chosen:
            continue
        step = max(1, sum(len(rows.target[kind]) for rows in chosen) // MOST_ROWS)
        matrix = np.concatenate([rows.matrix[kind] for rows in chosen])[::step, columns].astype(np.float64)
        target = np.concatenate([rows.target[kind] for rows in chosen])[::step]
        asked, wild = changes(
            matrix @ metric / sigmas[kind], (target - matrix @ weights[columns]) / sigmas[kind]
        )
        n_wild += wild
        if len(asked):
            sums += rng.normal(size=(n_members, len(asked))) @ asked / np.sqrt(len(asked))
    # The spread of the members is that of the changes, and their mean the fit.
    sums -= sums.mean(axis=0)
    members = np.repeat(weights[None], n_members, axis=0)
    members[:, columns] += sums @ metric.T
    return Ensemble(weights, members, n_wild)


def changes(rows: NDArray[np.float64], residuals: Vector) -> tuple[NDArray[np.float64], int]:
    """Find the least changes of the weights that meet each row, where its leverage is not small.

    Parameters
    ----------
    rows : ndarray, shape (r, k)
        In coordinates where the normal matrix is 1.
    residuals : ndarray, shape (r,)
        What is missing.

    Returns
    -------
    changes : ndarray, shape (≤ r, k)
        In the same coordinates.
    n_wild : int
        Number of those that were left out since they are far longer than the others.
    """
    leverage = np.square(rows).sum(axis=1)
    some = (leverage >= np.quantile(leverage, LEVERAGE)) & (leverage > 0)
    found = rows[some] * (residuals[some] / leverage[some])[:, None]
    lengths = np.linalg.norm(found, axis=1)
    wild = lengths > WILD * np.quantile(lengths, 0.9) if len(lengths) else np.zeros(0, dtype=bool)
    return found[~wild], int(np.count_nonzero(wild))


def kept_out(
    regression: Regression,
    parts: Sequence[NormalEquations],
    normals: Normals,
    sigmas: Mapping[str, float],
    ridge: float,
    size: int,
    n_members: int,
) -> Iterator[Round]:
    """Fit in four rounds, each with a quarter of the parts kept out altogether.

    Parameters
    ----------
    regression : Regression
        How weights follow from normal equations.
    parts : sequence of NormalEquations
        Of each part of the data.
    normals : Normals
        What holds the sample of rows.
    sigmas : mapping of str to float
        Errors that count as 1, by kind of label.
    ridge : float
        Strength.
    size : int
        Number of columns.
    n_members : int
        Number of members.

    Yields
    ------
    Round
    """
    rounds = min(4, len(parts))
    for k in range(rounds):
        out = list(range(k, len(parts), rounds))
        rest = {i: part for i, part in enumerate(parts) if i not in out}
        columns = regression.choose(NormalEquations.summed(list(rest.values())), ridge, size)
        yield Round(out, ensemble(regression, rest, normals, sigmas, ridge, columns, n_members, seed=k))
