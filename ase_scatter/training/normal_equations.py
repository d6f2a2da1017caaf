"""Normal equations: sums over rows, streamed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..compute.backend import Array, Backend, require_device

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
