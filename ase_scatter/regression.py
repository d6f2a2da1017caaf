"""Ridge regression and greedy orthogonal least squares, on normal equations alone.

Rows are streamed into `Moments` (AᵀA, Aᵀb, bᵀb), whose size does not depend on how many there are; on a
device they are multiplied there, and what comes to the host is the moments.
Everything after that - fits with other weights, ridge strengths or columns, validation errors on folds
kept apart - is algebra on moments: ‖Aw − b‖² = wᵀGw − 2wᵀh + bᵀb.

Selection is orthogonal least squares (Chen, Billings, Luo, Int. J. Control 50, 1873 (1989); used for
scattering by Hirn, Mallat, Poilvert, Multiscale Model. Simul. 15, 827 (2017)): at each step the column
joins that lowers the penalised residual most, and the others are orthogonalised against it. On the Gram
matrix that is a Cholesky factorisation with pivots chosen by gain, row by row: k columns out of n cost
n k² operations, and the Gram matrix stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from .backend import Array, Backend, require_device
from .errors import InputError

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Normal equations of some rows: gram AᵀA (n, n), moment Aᵀb (n,), square bᵀb, their number.

    The arrays are on the host everywhere but inside a `Stream`.
    """

    gram: Matrix
    moment: Vector
    square: float
    count: int

    @classmethod
    def empty(cls, n: int) -> Moments:
        return cls(np.zeros((n, n)), np.zeros(n), 0.0, 0)

    @classmethod
    def of(cls, rows: Array, targets: Vector, backend: Backend | None = None) -> Moments:
        """Of rows (r, n) on a device (None: the host) and targets (r,); the products are summed in
        float64, and stay where the rows are."""
        backend = backend or require_device("cpu")
        a = backend.xp.asarray(rows, dtype="float64")
        moment = a.T @ backend.to_device(targets, "float64")
        return cls(a.T @ a, moment, float(targets @ targets), len(targets))

    @classmethod
    def summed(cls, parts: Sequence[Moments]) -> Moments:
        """The sum of several, with no more memory than for one."""
        gram, moment = np.zeros_like(parts[0].gram), np.zeros_like(parts[0].moment)
        for part in parts:
            gram += part.gram
            moment += part.moment
        return cls(gram, moment, sum(p.square for p in parts), sum(p.count for p in parts))

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.gram + other.gram,
            self.moment + other.moment,
            self.square + other.square,
            self.count + other.count,
        )

    def __sub__(self, other: Moments) -> Moments:
        return self + (-1.0) * other

    def __mul__(self, factor: float) -> Moments:
        """Weighted rows (a factor of −1 takes them away, their number included)."""
        sign = -1 if factor < 0 else 1
        return Moments(factor * self.gram, factor * self.moment, factor * self.square, sign * self.count)

    __rmul__ = __mul__

    def on_host(self, backend: Backend) -> Moments:
        """With arrays brought from a device."""
        return Moments(backend.to_host(self.gram), backend.to_host(self.moment), self.square, self.count)

    def columns(self, indices: NDArray[np.int64]) -> Moments:
        return Moments(self.gram[np.ix_(indices, indices)], self.moment[indices], self.square, self.count)

    def rmse(self, weights: Vector) -> float:
        """Root mean square of Aw − b (nan without rows)."""
        if self.count == 0:
            return float("nan")
        residual = weights @ self.gram @ weights - 2.0 * weights @ self.moment + self.square
        return float(np.sqrt(max(float(residual), 0.0) / self.count))

    def loss(self, weights: Vector) -> float:
        """Sum of squares of Aw − b."""
        return self.rmse(weights) ** 2 * self.count if self.count else 0.0


ROWS_AT_ONCE = 2048
"""So many rows, or as many as there are columns, are multiplied together."""


class Stream:
    """Adds up the moments of rows that come in small pieces.

    Fewer rows than columns are kept as they are, which takes less memory than their Gram matrix. backend:
    where the rows are (None: the host). sums_there: whether their moments stay there until `on_host` too.
    """

    def __init__(self, n: int, backend: Backend | None = None, sums_there: bool = True) -> None:
        self._n = n
        self._backend = backend or require_device("cpu")
        self._sums_there = sums_there
        self._sum: Moments | None = None
        self._rows: list[Array] = []
        self._targets: list[Vector] = []
        self._waiting = 0

    def add(self, rows: Array, targets: Vector) -> None:
        """Rows (r, n) on the device, and targets (r,) on the host."""
        self._rows.append(rows)
        self._targets.append(targets)
        self._waiting += len(targets)
        if self._waiting >= max(ROWS_AT_ONCE, self._n):
            self._multiply()

    def _multiply(self) -> None:
        rows, targets = self._backend.xp.concatenate(self._rows), np.concatenate(self._targets)
        self._rows, self._targets, self._waiting = [], [], 0
        moments = Moments.of(rows, targets, self._backend)
        if not self._sums_there:
            moments = moments.on_host(self._backend)
        self._sum = moments if self._sum is None else self._sum + moments

    def on_host(self) -> Stream:
        """The same, of rows and moments on the host."""
        stream = Stream(self._n)
        if self._sum is not None:
            if self._waiting:
                self._multiply()
            stream._sum = self._sum.on_host(self._backend) if self._sums_there else self._sum
        elif self._waiting:
            stream.add(
                self._backend.to_host(self._backend.xp.concatenate(self._rows)), np.concatenate(self._targets)
            )
        return stream

    def columns(self, indices: NDArray[np.int64]) -> Stream:
        """The moments of some of the columns, on the host."""
        stream = Stream(len(indices))
        stream._sum = self.moments().columns(indices)
        return stream

    def moments(self) -> Moments:
        """Of all rows so far, on the host."""
        if self._backend.name != "cpu":
            return self.on_host().moments()
        if self._waiting and self._sum is not None:
            self._multiply()
        if self._sum is not None:
            return self._sum
        if not self._waiting:
            return Moments.empty(self._n)
        return Moments.of(np.concatenate(self._rows), np.concatenate(self._targets))


def stream_memory(n: int, n_streams: int) -> float:
    """Bytes that so many streams of rows of n columns take on a device with their moments, about."""
    at_once = max(ROWS_AT_ONCE, n)
    return n_streams * n * (8.0 * n + 4.0 * at_once) + n * (8.0 * n + 12.0 * at_once)


def solve(moments: Moments, penalty: Vector) -> Vector:
    """Minimiser w (n,) of ‖Aw − b‖² + Σ_i penalty_i w_i².

    The system is scaled to a unit diagonal first. Where rounding makes it indefinite, the directions that
    carry no information are left out (eigenvalues below 1e-13 of the largest).
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


class Selection(NamedTuple):
    """Columns in the order of their choice, with the Cholesky factor that came with them.

    columns: (k,). factor: R (k, k), upper triangular, RᵀR = their Gram matrix with the penalty.
    projected: z (k,), Rᵀz = their moment.
    """

    columns: NDArray[np.int64]
    factor: Matrix
    projected: Vector

    def weights(self, size: int) -> Vector:
        """Of the first so many columns alone: R w = z, without another factorisation."""
        return np.asarray(
            scipy.linalg.solve_triangular(
                self.factor[:size, :size], self.projected[:size], check_finite=False
            )
        )


def select(
    moments: Moments,
    penalty: Vector,
    n_select: int,
    *,
    forced: NDArray[np.int64] | None = None,
    price: Vector | None = None,
) -> Selection:
    """n_select columns in the order of their choice, the forced ones first.

    price: (n,) positive; a column's gain is divided by it, so that of two columns that say nearly the
    same the cheaper one is taken, and none whose price is infinite. Fewer are returned when the remaining
    columns are combinations of the chosen ones.
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
