"""Ridge regression as Bayes has it, from normal equations alone.

Weights are drawn from a normal distribution of variance 1/(α d_i), d_i the mean square of a column's rows,
and labels scatter about the columns' sums with variance 1/β, over the sigmas. With G = AᵀA and h = Aᵀb the
posterior of the weights has the precision βG + αD and the mean β(βG + αD)⁻¹h. α and β are where the evidence
is largest (MacKay, Neural Comput. 4, 415 (1992)): fixed-point iterations on the eigenvalues of
D^-1/2 G D^-1/2, found once per update. For a new row x the variance of the prediction is xᵀ(βG + αD)⁻¹x, its
leverage, and 1/β more for its label.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from ..training.normal_equations import NormalEquations

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

ROUNDS = 30
"""Fixed-point iterations; they end before where nothing changes."""
LEAST_NOISE = 0.02
"""Labels scatter at least by this much, in units of the sigmas."""
RIDGE = 1e-14
"""Least α, over β times the largest eigenvalue: what rounding of the sums allows."""
EXPECTED = 1.0
"""Rows' worth of belief in `START` that evidence from few rows has to overcome."""
START = (1.0, 1.0)
"""α and β before anything is known."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is known about the weights.

    Parameters
    ----------
    weights : ndarray, shape (n,)
        Their mean.
    axes : ndarray, shape (n, n)
        Columns of T with (βG + αD)⁻¹ = T Tᵀ.
    alpha, beta : float
        Precisions of the weights and of the noise.
    """

    weights: Vector
    axes: Matrix
    alpha: float
    beta: float

    @classmethod
    def of(cls, equations: NormalEquations, size: Vector, start: tuple[float, float] = START) -> Posterior:
        """From normal equations.

        Parameters
        ----------
        equations : NormalEquations
            G, h and the number of rows.
        size : ndarray, shape (n,)
            d.
        start : tuple of float
            α and β to begin from.

        Returns
        -------
        Posterior

        References
        ----------
        .. [1] D. J. C. MacKay, Neural Comput. 4, 415 (1992), https://doi.org/10.1162/neco.1992.4.3.415
        """
        scale = 1.0 / np.sqrt(size)
        values, vectors = scipy.linalg.eigh(
            equations.gram * scale * scale[:, None], overwrite_a=True, check_finite=False
        )
        values = np.maximum(values, 0.0)
        moment = vectors.T @ (scale * equations.moment)
        alpha, beta = start
        for _ in range(ROUNDS):
            precision = beta * values + alpha
            w = beta * moment / precision
            gamma = float(np.sum(beta * values / precision))
            residual = equations.square - 2.0 * float(w @ moment) + float(values @ w**2)
            new_alpha = (gamma + EXPECTED) / (float(w @ w) + EXPECTED / START[0])
            new_beta = (equations.count - gamma + EXPECTED) / (max(residual, 0.0) + EXPECTED / START[1])
            new_beta = min(max(new_beta, 1e-4), LEAST_NOISE**-2)
            new_alpha = max(new_alpha, RIDGE * new_beta * float(values[-1]))
            done = abs(np.log(new_alpha / alpha)) + abs(np.log(new_beta / beta)) < 1e-3
            alpha, beta = new_alpha, new_beta
            if done:
                break
        precision = beta * values + alpha
        weights = scale * (vectors @ (beta * moment / precision))
        return cls(weights, scale[:, None] * vectors / np.sqrt(precision), float(alpha), float(beta))

    def spread(self, rows: Matrix) -> Vector:
        """Standard deviations of the sums of columns that the posterior leaves open.

        Parameters
        ----------
        rows : ndarray, shape (r, n)
            Over the sigmas.

        Returns
        -------
        ndarray, shape (r,)
        """
        return np.asarray(np.sqrt(np.square(rows @ self.axes).sum(axis=1)))

    def gain(self, rows: Matrix) -> float:
        """Information that labels of some rows would add.

        Parameters
        ----------
        rows : ndarray, shape (r, n)
            Over the sigmas.

        Returns
        -------
        float
            Nats.
        """
        inner = rows @ self.axes
        _, logarithm = np.linalg.slogdet(np.eye(len(rows)) + self.beta * (inner @ inner.T))
        return 0.5 * float(logarithm)

    def draws(self, n: int, seed: int) -> Matrix:
        """Draw weights from the posterior, their mean moved to that of the posterior.

        Parameters
        ----------
        n : int
            How many.
        seed : int
            Of the random numbers.

        Returns
        -------
        ndarray, shape (n, n_columns)
        """
        noise = np.random.default_rng(seed).standard_normal((n, len(self.weights)))
        noise -= noise.mean(axis=0)
        noise *= np.sqrt(n / (n - 1))
        return np.asarray(self.weights + noise @ self.axes.T)

    @cached_property
    def noise(self) -> float:
        """Standard deviation of labels about the columns' sums, over the sigmas."""
        return float(self.beta**-0.5)
