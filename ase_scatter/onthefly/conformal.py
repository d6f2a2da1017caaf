"""Factors that turn standard deviations into half-widths, from the predictions that were checked.

Each time the reference labels a structure that has been predicted, the absolute errors over the standard
deviations are kept. The factor is the 0.9 quantile of these ratios, where a structure counts less the longer
ago it was checked, and a cautious start counts as the oldest: an online form of conformal
prediction (Gibbs, Candès, NeurIPS 34, 1660 (2021)). It begins with the data that a run starts from: each
frame is predicted from those before it.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

INSIDE = 0.9
"""Fraction of the errors within the half-widths."""
START = 2.5
"""Factor before anything is checked. Nine of ten draws of a normal distribution lie within 1.64."""
FORGET = 0.93
"""Weight of a structure over that of the one checked after it."""
KEPT = 60
"""Structures; older ones no longer count."""
SAMPLED = 600
"""Ratios kept of each."""


class Conformal:
    """The ratios of one kind of label.

    Parameters
    ----------
    start : float
        Factor before anything is checked.
    """

    def __init__(self, start: float = START) -> None:
        self._start = start
        self._ratios: deque[NDArray[np.float64]] = deque(maxlen=KEPT)
        self.factor = start

    def __len__(self) -> int:
        return len(self._ratios)

    def add(self, errors: NDArray[np.float64], spreads: NDArray[np.float64]) -> None:
        """Add a structure that was predicted and then labelled.

        Parameters
        ----------
        errors : ndarray, shape (r,)
            Predicted − true.
        spreads : ndarray, shape (r,)
            Standard deviations of the predictions.
        """
        ratios = np.sort(np.abs(errors) / np.maximum(spreads, 1e-12))
        step = max(1, len(ratios) // SAMPLED)
        self._ratios.append(ratios[step // 2 :: step])
        self.factor = self._quantile()

    def _quantile(self) -> float:
        """The weighted quantile, the start among the ratios."""
        ages = range(len(self._ratios) - 1, -1, -1)
        values = [np.array([self._start]), *self._ratios]
        weights = [
            np.array([FORGET ** len(self._ratios)]),
            *(np.full(len(r), FORGET**k / len(r)) for r, k in zip(self._ratios, ages, strict=True)),
        ]
        ratio, weight = np.concatenate(values), np.concatenate(weights)
        order = np.argsort(ratio)
        reached = np.cumsum(weight[order]) / weight.sum()
        return float(ratio[order][np.searchsorted(reached, INSIDE)])
