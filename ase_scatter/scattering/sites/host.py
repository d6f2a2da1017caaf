"""The compiled passes on the host: work space and threads."""

from __future__ import annotations

from threading import Lock

import numpy as np
from numpy.typing import NDArray

LEAST_PER_THREAD = 32
"""Fewer atoms than this are not worth another thread."""


class _Buffers:
    """Work space of the last evaluation, for the next: fresh memory costs time (page faults)."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._shapes: _Shapes | None = None
        self._arrays: list[NDArray[np.float64]] = []

    def take(self, shapes: _Shapes) -> list[NDArray[np.float64]]:
        """Arrays of these shapes, their values left over from anything."""
        with self._lock:
            arrays, known = self._arrays, self._shapes
            self._arrays, self._shapes = [], None
        if known == shapes:
            return arrays
        del arrays  # before the new ones are made
        return [np.empty(shape) for shape in shapes]

    def give_back(self, shapes: _Shapes, arrays: list[NDArray[np.float64]]) -> None:
        """Keep these for the next that wants the like."""
        with self._lock:
            self._shapes, self._arrays = shapes, arrays


_Shapes = tuple[tuple[int, int], ...]


_BUFFERS = _Buffers()
