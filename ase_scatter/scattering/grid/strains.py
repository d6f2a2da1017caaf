"""Strain gradients of many paths: overlaps of one scale and degree are added up, and contracted once."""

from __future__ import annotations

from typing import Any

from ...compute.backend import Array
from ..wavelets import Wavelet
from .plane_waves import Level, Overlap

HELD = 1 << 23
"""Sums of overlaps hold so many numbers (64 MB); for one row they take a third of the tables of a level."""


class StrainSums:
    """Adds up strain gradients of each row of weights.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    xp : module
        Array namespace.
    dtype : str
        "float64" or "float32".
    held : int
        How many numbers the sums of overlaps may hold. An overlap without room is contracted at once.
    """

    def __init__(self, n_rows: int, xp: Any, dtype: str, held: int = HELD) -> None:
        self._xp = xp
        self._room = held
        self._contracted = xp.zeros((n_rows, 3, 3), dtype=dtype)
        self._sums: dict[tuple[int, int], tuple[Level, Overlap]] = {}

    def add(self, level: Level, wavelet: Wavelet, overlap: Overlap, rows: slice) -> None:
        """Add what came back through a wavelet.

        Parameters
        ----------
        level : Level
            That of the wavelet's scale.
        wavelet : Wavelet
            The wavelet.
        overlap : Overlap
            What `Level.adjoint` gave; it may be changed here.
        rows : slice
            Rows of weights that it belongs to.
        """
        key, n_rows = (wavelet.scale, wavelet.l), len(self._contracted)
        if key in self._sums:
            for total, part in zip(self._sums[key][1], overlap, strict=True):
                total[rows] += part
            return
        size = n_rows * (2 * wavelet.l + 2) * level.n_waves
        if size > self._room:
            self.add_contracted(level.strain(wavelet.l, overlap), rows)
            return
        self._room -= size
        if len(overlap.radial) < n_rows:
            part = overlap
            shapes = [(n_rows, *array.shape[1:]) for array in part]
            overlap = Overlap(*(self._xp.zeros(shape, dtype=part.radial.dtype) for shape in shapes))
            overlap.along[rows], overlap.radial[rows] = part
        self._sums[key] = level, overlap

    def add_contracted(self, strain: Array, rows: slice) -> None:
        """Add a strain gradient.

        Parameters
        ----------
        strain : array, shape (n, 3, 3)
            For each of the rows.
        rows : slice
            Rows of weights that it belongs to.
        """
        self._contracted[rows] += strain

    def total(self) -> Array:
        """The sum of all that was added.

        Returns
        -------
        array, shape (n_rows, 3, 3)
        """
        through = (level.strain(l, overlap) for (_, l), (level, overlap) in self._sums.items())
        return sum(through, start=self._contracted)
