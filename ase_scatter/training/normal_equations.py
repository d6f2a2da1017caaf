"""Normal equations: sums over rows, streamed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..compute.backend import Array, Backend, require_device

Matrix = NDArray[np.float64]


Vector = NDArray[np.float64]


@dataclass(frozen=True)
class NormalEquations:
    """Normal equations of some rows: products of the matrix A (r, n) and the targets b (r,).

    The arrays are on the host everywhere but inside a `Stream`.

    Parameters
    ----------
    gram : array, shape (n, n)
        AᵀA.
    moment : array, shape (n,)
        Aᵀb.
    square : float
        bᵀb.
    count : int
        Number of rows.
    """

    gram: Matrix
    moment: Vector
    square: float
    count: int

    @classmethod
    def empty(cls, n: int) -> NormalEquations:
        """Those of no rows.

        Parameters
        ----------
        n : int
            Number of columns.

        Returns
        -------
        NormalEquations
        """
        return cls(np.zeros((n, n)), np.zeros(n), 0.0, 0)

    @classmethod
    def of(cls, rows: Array, targets: Vector, backend: Backend | None = None) -> NormalEquations:
        """Those of some rows; products are summed in float64 and stay where the rows are.

        Parameters
        ----------
        rows : array, shape (r, n)
            A, on the device.
        targets : ndarray, shape (r,)
            b, on the host.
        backend : Backend, optional
            The device; by default the host.

        Returns
        -------
        NormalEquations
        """
        backend = backend or require_device("cpu")
        a = backend.xp.asarray(rows, dtype="float64")
        moment = a.T @ backend.to_device(targets, "float64")
        return cls(a.T @ a, moment, float(targets @ targets), len(targets))

    @classmethod
    def summed(cls, parts: Iterable[NormalEquations]) -> NormalEquations:
        """The sum of several, with no more memory than for two.

        Parameters
        ----------
        parts : iterable of NormalEquations
            What is added, at least one.

        Returns
        -------
        NormalEquations
        """
        several = iter(parts)
        first = next(several)
        gram, moment, square, count = first.gram.copy(), first.moment.copy(), first.square, first.count
        for part in several:
            gram += part.gram
            moment += part.moment
            square += part.square
            count += part.count
        return cls(gram, moment, square, count)

    def __add__(self, other: NormalEquations) -> NormalEquations:
        return NormalEquations(
            self.gram + other.gram,
            self.moment + other.moment,
            self.square + other.square,
            self.count + other.count,
        )

    def __sub__(self, other: NormalEquations) -> NormalEquations:
        return self + (-1.0) * other

    def __mul__(self, factor: float) -> NormalEquations:
        """Weighted rows (a factor of −1 takes them away, their number included)."""
        sign = -1 if factor < 0 else 1
        return NormalEquations(
            factor * self.gram, factor * self.moment, factor * self.square, sign * self.count
        )

    __rmul__ = __mul__

    def on_host(self, backend: Backend) -> NormalEquations:
        """The same with arrays brought from a device.

        Parameters
        ----------
        backend : Backend
            The device.

        Returns
        -------
        NormalEquations
        """
        return NormalEquations(
            backend.to_host(self.gram), backend.to_host(self.moment), self.square, self.count
        )

    def columns(self, indices: NDArray[np.int64]) -> NormalEquations:
        """Those of some columns.

        Parameters
        ----------
        indices : ndarray of int, shape (k,)
            Columns that stay.

        Returns
        -------
        NormalEquations
        """
        return NormalEquations(
            self.gram[np.ix_(indices, indices)], self.moment[indices], self.square, self.count
        )

    def rmse(self, weights: Vector) -> float:
        """Root mean square of Aw − b.

        Parameters
        ----------
        weights : ndarray, shape (n,)
            w.

        Returns
        -------
        float
            nan without rows.
        """
        if self.count == 0:
            return float("nan")
        residual = weights @ self.gram @ weights - 2.0 * weights @ self.moment + self.square
        return float(np.sqrt(max(float(residual), 0.0) / self.count))

    def loss(self, weights: Vector) -> float:
        """Sum of squares of Aw − b.

        Parameters
        ----------
        weights : ndarray, shape (n,)
            w.

        Returns
        -------
        float
        """
        return self.rmse(weights) ** 2 * self.count if self.count else 0.0


ROWS_AT_ONCE = 2048
"""So many rows, or as many as there are columns, are multiplied together."""


def rows_at_once(n: int) -> int:
    """Count the rows that are multiplied together.

    Parameters
    ----------
    n : int
        Number of columns.

    Returns
    -------
    int
    """
    return max(ROWS_AT_ONCE, n)


class Stream:
    """Adds up the moments of rows that come in small pieces.

    Fewer rows than columns are kept as they are, which takes less memory than their Gram matrix.

    Parameters
    ----------
    n : int
        Number of columns.
    backend : Backend, optional
        Where the rows are; by default the host.
    sums_there : bool
        Whether their moments stay there until `on_host`.
    """

    def __init__(self, n: int, backend: Backend | None = None, sums_there: bool = True) -> None:
        self._n = n
        self._backend = backend or require_device("cpu")
        self._sums_there = sums_there
        self._sum: NormalEquations | None = None
        self._rows: list[Array] = []
        self._targets: list[Vector] = []
        self._waiting = 0

    def add(self, rows: Array, targets: Vector) -> None:
        """Add some rows.

        Parameters
        ----------
        rows : array, shape (r, n)
            On the device.
        targets : ndarray, shape (r,)
            On the host.
        """
        self._rows.append(rows)
        self._targets.append(targets)
        self._waiting += len(targets)
        if self._waiting >= rows_at_once(self._n):
            self._multiply()

    def add_multiplied(self, moments: NormalEquations) -> None:
        """Add rows that another stream multiplied at once, where this one has none waiting.

        Parameters
        ----------
        moments : NormalEquations
            Of the rows, on the host.
        """
        self._sum = moments if self._sum is None else self._sum + moments

    def _multiply(self) -> None:
        rows, targets = self._backend.xp.concatenate(self._rows), np.concatenate(self._targets)
        self._rows, self._targets, self._waiting = [], [], 0
        moments = NormalEquations.of(rows, targets, self._backend)
        if not self._sums_there:
            moments = moments.on_host(self._backend)
        self._sum = moments if self._sum is None else self._sum + moments

    def on_host(self) -> Stream:
        """The same with rows and moments on the host.

        Returns
        -------
        Stream
        """
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
        """The moments of some columns, on the host.

        Parameters
        ----------
        indices : ndarray of int, shape (k,)
            Columns that stay.

        Returns
        -------
        Stream
        """
        stream = Stream(len(indices))
        if self._sum is not None:
            stream._sum = self.moments().columns(indices)
        elif self._waiting:
            rows = np.concatenate([rows[:, indices] for rows in self._rows])
            stream.add(rows, np.concatenate(self._targets))
        return stream

    def moments(self) -> NormalEquations:
        """The moments of all rows so far.

        Returns
        -------
        NormalEquations
        """
        if self._backend.name != "cpu":
            return self.on_host().moments()
        if self._waiting and self._sum is not None:
            self._multiply()
        if self._sum is not None:
            return self._sum
        if not self._waiting:
            return NormalEquations.empty(self._n)
        return NormalEquations.of(np.concatenate(self._rows), np.concatenate(self._targets))


def stream_memory(n: int, n_streams: int) -> float:
    """Memory that sums take.

    Parameters
    ----------
    n : int
        Number of columns.
    n_streams : int
        Number of sums.

    Returns
    -------
    float
        Bytes, about.
    """
    at_once = rows_at_once(n)
    return n_streams * n * (8.0 * n + 4.0 * at_once) + n * (8.0 * n + 12.0 * at_once)
