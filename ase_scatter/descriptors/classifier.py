"""A linear classifier of two sets of vectors, cross-validated, and the area under its curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

AXES = 80
"""So many principal axes of the vectors are used, at most."""
PENALTY = 3e-3
"""Strength of the ridge on the weights of the axes, each of unit variance."""
STEPS = 30
"""Of Newton's method, at most."""


def auc(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """Area under the receiver operating characteristic.

    Parameters
    ----------
    scores : ndarray, shape (n,)
        Any scores; ties count half.
    positive : ndarray of bool, shape (n,)
        What high scores should find.

    Returns
    -------
    float
        Probability that a positive has a higher score than a negative; nan if there are only the ones or the
        others.

    References
    ----------
    J. A. Hanley, B. J. McNeil, Radiology 143, 29 (1982).
    """
    n_positive = int(np.sum(positive))
    n_negative = len(scores) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def column_aucs(x: Floats, positive: NDArray[np.bool_]) -> Floats:
    """Areas under the curves of each column by itself.

    Parameters
    ----------
    x : ndarray, shape (n, n_columns)
        Vectors.
    positive : ndarray of bool, shape (n,)
        Which belong to the second set.

    Returns
    -------
    ndarray, shape (n_columns,)
    """
    n_positive = int(positive.sum())
    n_negative = len(x) - n_positive
    ranks = rankdata(x, axis=0)
    found: Floats = (ranks[positive].sum(axis=0) - n_positive * (n_positive + 1) / 2) / (
        n_positive * n_negative
    )
    return found


def held_out_scores(x: Floats, positive: NDArray[np.bool_], folds: Ints) -> Floats:
    """Log-odds of belonging to the second set, each by a classifier that did not see its fold.

    It is a logistic regression on the leading principal axes; both sets count alike, however large.

    Parameters
    ----------
    x : ndarray, shape (n, n_columns)
        Vectors.
    positive : ndarray of bool, shape (n,)
        Which belong to the second set.
    folds : ndarray of int, shape (n,)
        The fold of each.

    Returns
    -------
    ndarray, shape (n,)
        0 for folds without which one of the sets is empty.
    """
    scores = np.zeros(len(x))
    for fold in np.unique(folds):
        seen = folds != fold
        if not positive[seen].any() or positive[seen].all():
            continue
        shift, axes = _axes(x[seen])
        z = (x - shift) @ axes
        weights, offset = _logistic(z[seen], positive[seen])
        scores[~seen] = z[~seen] @ weights + offset
    return scores


def _axes(x: Floats) -> tuple[Floats, Floats]:
    """Mean, and the leading principal axes of standardised columns, over their standard deviations."""
    shift, scale = x.mean(axis=0), x.std(axis=0)
    varies = scale > 1e-9 * max(1e-300, float(np.abs(x).max(initial=0.0)))
    inverse = np.where(varies, 1.0 / np.where(varies, scale, 1.0), 0.0)
    z = (x - shift) * inverse
    values, vectors = np.linalg.eigh(z.T @ z / len(z))
    kept = np.arange(len(values))[::-1][: min(AXES, max(1, len(x) // 10))]
    kept = kept[values[kept] > 1e-8 * max(values[-1], 1e-300)]
    return shift, inverse[:, None] * vectors[:, kept] / np.sqrt(values[kept])


def _logistic(z: Floats, positive: NDArray[np.bool_]) -> tuple[Floats, float]:
    """Weights and offset by Newton's method."""
    share = positive.mean()
    weight = np.where(positive, 0.5 / share, 0.5 / (1.0 - share)) / len(z)
    design = np.column_stack([z, np.ones(len(z))])
    ridge = np.append(np.full(z.shape[1], PENALTY), 1e-9)
    found = np.zeros(design.shape[1])

    def loss(at: Floats) -> float:
        margin = np.where(positive, 1.0, -1.0) * (design @ at)
        return float(weight @ np.logaddexp(0.0, -margin) + 0.5 * ridge @ at**2)

    now = loss(found)
    for _ in range(STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(design @ found, -50, 50)))
        gradient = design.T @ (weight * (p - positive)) + ridge * found
        hessian = (design * (weight * p * (1 - p))[:, None]).T @ design + np.diag(ridge)
        step, size = np.linalg.solve(hessian, gradient), 1.0
        while size > 1e-4 and loss(found - size * step) > now:
            size *= 0.5
        found = found - size * step
        before, now = now, loss(found)
        if before - now < 1e-9:
            break
    return found[:-1], float(found[-1])
