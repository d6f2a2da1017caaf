"""Ridge regression and greedy orthogonal least squares, on normal equations alone.

Rows are streamed into `NormalEquations` (AᵀA, Aᵀb, bᵀb), whose size does not depend on their number; on a
device they are multiplied there, and only the products come to the host.
Everything after that - fits with other weights, ridge strengths or columns, validation errors on folds
kept apart - is algebra on moments: ‖Aw − b‖² = wᵀGw − 2wᵀh + bᵀb.

Selection is orthogonal least squares (Chen, Billings, Luo, Int. J. Control 50, 1873 (1989); used for
scattering by Hirn, Mallat, Poilvert, Multiscale Model. Simul. 15, 827 (2017)): at each step the column
joins that lowers the penalised residual most, and the others are orthogonalised against it. On the Gram
matrix that is a Cholesky factorisation with pivots chosen by gain, row by row: k columns out of n cost
n k² operations, and the Gram matrix stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from ..errors import InputError
from .normal_equations import Matrix, NormalEquations, Vector

Indices = NDArray[np.int64]


def solve(moments: NormalEquations, penalty: Vector) -> Vector:
    """Minimise ‖Aw − b‖² + Σ_i penalty_i w_i².

    The system is scaled to a unit diagonal first. Where rounding makes it indefinite, the directions that
    carry no information are left out (eigenvalues below 1e-13 of the largest).

    Parameters
    ----------
    moments : NormalEquations
        Of A and b.
    penalty : ndarray, shape (n,)
        Of each column.

    Returns
    -------
    ndarray, shape (n,)
        The minimiser w.
    """
    gram = moments.gram + np.diag(penalty)
    scale: Vector = np.sqrt(np.diag(gram))
    scale = np.where(scale > 0, scale, 1.0)
    scaled = gram / scale[:, None] / scale[None, :]
    target = moments.moment / scale
    try:
        factor = scipy.linalg.cho_factor(scaled)
        return np.asarray(scipy.linalg.cho_solve(factor, target) / scale)
    except scipy.linalg.LinAlgError:
        values, vectors = scipy.linalg.eigh(scaled)
        kept = values > 1e-13 * values[-1]
        projected = (vectors[:, kept].T @ target) / values[kept]
        return np.asarray(vectors[:, kept] @ projected / scale)


def whitening(moments: NormalEquations, penalty: Vector) -> Matrix:
    """Coordinates in which ‖Aw‖² + Σ_i penalty_i w_i² is the squared length.

    Directions that rounding makes meaningless are left out, as in `solve`.

    Parameters
    ----------
    moments : NormalEquations
        Of A.
    penalty : ndarray, shape (n,)
        Of each column.

    Returns
    -------
    ndarray, shape (n, m)
        W with W Wᵀ = (AᵀA + diag(penalty))⁻¹. A row x has the coordinates x W; coordinates v are those of the
        weights W v.
    """
    gram = moments.gram + np.diag(penalty)
    scale: Vector = np.sqrt(np.diag(gram))
    scale = np.where(scale > 0, scale, 1.0)
    scaled = gram / scale[:, None] / scale[None, :]
    try:
        factor = np.linalg.cholesky(scaled)
        inverse = scipy.linalg.solve_triangular(factor, np.eye(len(scale)), lower=True, check_finite=False)
        return np.asarray(inverse.T / scale[:, None])
    except np.linalg.LinAlgError:
        values, vectors = scipy.linalg.eigh(scaled)
        kept = values > 1e-13 * values[-1]
        return np.asarray(vectors[:, kept] / np.sqrt(values[kept]) / scale[:, None])


class Selection(NamedTuple):
    """Columns in the order of their choice, with the Cholesky factor that came with them.

    Parameters
    ----------
    columns : ndarray of int, shape (k,)
        The columns.
    factor : ndarray, shape (k, k)
        R, upper triangular; RᵀR is their Gram matrix with the penalty.
    projected : ndarray, shape (k,)
        z; Rᵀz is their moment.
    """

    columns: NDArray[np.int64]
    factor: Matrix
    projected: Vector

    def weights(self, size: int) -> Vector:
        """Weights of the first columns alone, without another factorisation.

        Parameters
        ----------
        size : int
            Number of columns.

        Returns
        -------
        ndarray, shape (size,)
        """
        return np.asarray(
            scipy.linalg.solve_triangular(
                self.factor[:size, :size], self.projected[:size], check_finite=False
            )
        )


def select(
    moments: NormalEquations,
    penalty: Vector,
    n_select: int,
    *,
    forced: NDArray[np.int64] | None = None,
    price: Vector | None = None,
) -> Selection:
    """Choose columns by orthogonal least squares, the forced ones first.

    Parameters
    ----------
    moments : NormalEquations
        Of all columns.
    penalty : ndarray, shape (n,)
        Of each column.
    n_select : int
        Number of columns. There are fewer if the remaining ones are combinations of the chosen ones.
    forced : ndarray of int, optional
        Columns that are always chosen.
    price : ndarray, shape (n,), optional
        The gain of a column is divided by it, so that the cheaper of two columns that say nearly the same
        is taken. Columns with an infinite price are never taken.

    Returns
    -------
    Selection

    Raises
    ------
    InputError
        If no column is asked for.

    References
    ----------
    .. [1] S. Chen, S. A. Billings and W. Luo, Int. J. Control 50, 1873 (1989),
       https://doi.org/10.1080/00207178908953472
    """
    if n_select < 1:
        raise InputError("at least one column must be selected")
    target = moments.moment.copy()
    size = np.diag(moments.gram) + penalty
    diagonal = size.copy()  # of the Gram matrix of what is left of the columns
    active = size > 0
    cost = np.ones(len(size)) if price is None else price
    affordable = np.isfinite(cost)
    chosen: list[int] = []
    projected: list[float] = []
    rows = np.empty((min(n_select, len(size)), len(size)))  # the Cholesky factor's
    queue = [] if forced is None else [int(i) for i in forced]
    while len(chosen) < n_select:
        # A column whose remainder is rounding error has nothing left to say.
        usable = active & (diagonal > 1e-12 * size) & affordable
        if queue:
            best = queue.pop(0)
            if not usable[best]:
                continue
        elif usable.any():
            gain = np.where(usable, target**2 / np.where(usable, diagonal, 1.0) / cost, -1.0)
            best = int(np.argmax(gain))
        else:
            break
        k = len(chosen)
        row = moments.gram[best] - rows[:k, best] @ rows[:k]
        row[best] += penalty[best]
        row /= np.sqrt(row[best])
        rows[k] = row
        step = target[best] / row[best]
        diagonal -= row * row
        target -= step * row
        active[best] = False
        chosen.append(best)
        projected.append(step)
    columns = np.array(chosen, dtype=np.int64)
    return Selection(columns, rows[: len(chosen), columns], np.array(projected))


@dataclass(frozen=True)
class Regression:
    """How weights follow from moments.

    Parameters
    ----------
    price : ndarray, shape (n,)
        What the gain of each column is divided by when columns are chosen.
    forced : ndarray of int
        Columns that are always there and carry no penalty.
    prior : NormalEquations, optional
        Rows that count in every fit.
    sizes : ndarray, shape (n,), optional
        Squares that the penalty of each column is in proportion to; by default those of the rows.
    """

    price: Vector
    forced: Indices
    prior: NormalEquations | None = None
    sizes: Vector | None = None

    def penalty(self, moments: NormalEquations, ridge: float) -> Vector:
        """Penalty of each column.

        Parameters
        ----------
        moments : NormalEquations
            Of the rows.
        ridge : float
            Strength.

        Returns
        -------
        ndarray, shape (n,)
        """
        penalty = ridge * (np.diag(moments.gram) if self.sizes is None else self.sizes)
        penalty[self.forced] = 0.0
        return penalty

    def usable(self, moments: NormalEquations) -> int:
        """Number of columns to choose from: those that differ from zero and are not excluded.

        Parameters
        ----------
        moments : NormalEquations
            Of the rows.

        Returns
        -------
        int
        """
        there = (np.diag(moments.gram) > 0) & np.isfinite(self.price)
        there[self.forced] = False
        return int(np.count_nonzero(there))

    def among(self, columns: Indices) -> Regression:
        """The regression with some columns alone.

        Parameters
        ----------
        columns : ndarray of int
            Columns that stay, ascending, the forced ones among them.

        Returns
        -------
        Regression
        """
        return self._reduced(columns, np.searchsorted(columns, self.forced))

    def _reduced(self, columns: Indices, forced: Indices) -> Regression:
        """With some columns, the forced ones at these places."""
        prior = None if self.prior is None else self.prior.columns(columns)
        sizes = None if self.sizes is None else self.sizes[columns]
        return Regression(self.price[columns], forced, prior, sizes)

    def _told(self, moments: NormalEquations) -> NormalEquations:
        """With the prior."""
        return moments if self.prior is None else moments + self.prior

    def select(self, moments: NormalEquations, ridge: float, size: int) -> Selection:
        """The forced columns and some more, with what their weights follow from.

        Parameters
        ----------
        moments : NormalEquations
            Of the rows.
        ridge : float
            Strength.
        size : int
            Number of columns beside the forced ones.

        Returns
        -------
        Selection
        """
        return select(
            self._told(moments), self.penalty(moments, ridge), size + len(self.forced),
            forced=self.forced, price=self.price,
        )  # fmt: skip

    def choose(
        self, moments: NormalEquations, ridge: float, size: int, among: Indices | None = None
    ) -> Indices:
        """The forced columns and some more, in the order of their choice.

        Parameters
        ----------
        moments : NormalEquations
            Of the rows.
        ridge : float
            Strength.
        size : int
            Number of columns beside the forced ones.
        among : ndarray of int, optional
            Columns to choose from; by default all.

        Returns
        -------
        ndarray of int
        """
        if among is None:
            return self.select(moments, ridge, size).columns
        among = np.concatenate([among, self.forced])
        places = np.arange(len(among) - len(self.forced), len(among))
        inner = self._reduced(among, places)
        return np.asarray(among[inner.choose(moments.columns(among), ridge, size)])

    def weights(self, moments: NormalEquations, ridge: float, columns: Indices) -> Vector:
        """Weights of some columns, zero for all others.

        Parameters
        ----------
        moments : NormalEquations
            Of the rows.
        ridge : float
            Strength.
        columns : ndarray of int
            Columns that have weights.

        Returns
        -------
        ndarray, shape (n,)
        """
        weights = np.zeros(len(self.price))
        penalty = self.penalty(moments, ridge)[columns]
        weights[columns] = solve(self._told(moments).columns(columns), penalty)
        return weights
