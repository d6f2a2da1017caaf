"""Rows of the design matrix, and their sums by part of the data and kind of label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..compute.backend import Array
from .normal_equations import NormalEquations, Stream


@dataclass(frozen=True)
class Rows:
    """Rows of one frame, in physical units: eV/atom, eV/Å, GPa, and the net force over N in eV/Å.

    Parameters
    ----------
    matrix : mapping of str to array, shape (r, width)
        By kind of label, on the device.
    target : mapping of str to ndarray, shape (r,)
        By kind of label, on the host.
    """

    matrix: Mapping[str, Array]
    target: Mapping[str, NDArray[np.float64]]

    def __mul__(self, factor: float) -> Rows:
        """Rows whose squared errors count by the square of a factor."""
        if factor == 1.0:
            return self
        return Rows(
            {kind: factor * matrix for kind, matrix in self.matrix.items()},
            {kind: factor * target for kind, target in self.target.items()},
        )


@dataclass(frozen=True)
class Sample:
    """Some rows of one part of the data, on the host; of forces three for each of some atoms.

    Parameters
    ----------
    part : int
        Which part.
    rows : Rows
        The rows.
    """

    part: int
    rows: Rows


@dataclass(frozen=True)
class Normals:
    """Normal equations of each part by kind of label, and a sample of the rows.

    Parameters
    ----------
    parts : sequence of mapping of str to Stream
        The sums.
    sample : sequence of Sample
        The rows.
    """

    parts: Sequence[Mapping[str, Stream]]
    sample: Sequence[Sample]

    def weighted(self, sigmas: Mapping[str, float]) -> list[NormalEquations]:
        """Normal equations of each part, with errors over the sigmas.

        Parameters
        ----------
        sigmas : mapping of str to float
            By kind of label.

        Returns
        -------
        list of NormalEquations
        """
        return [self._weighted(part, sigmas) for part in self.parts]

    def total(self, sigmas: Mapping[str, float]) -> NormalEquations:
        """Normal equations of all parts, with errors over the sigmas, one part at a time.

        Parameters
        ----------
        sigmas : mapping of str to float
            By kind of label.

        Returns
        -------
        NormalEquations
        """
        return NormalEquations.summed(self._weighted(part, sigmas) for part in self.parts)

    @staticmethod
    def _weighted(part: Mapping[str, Stream], sigmas: Mapping[str, float]) -> NormalEquations:
        return NormalEquations.summed(stream.moments() * sigmas[kind] ** -2 for kind, stream in part.items())

    def columns(self, indices: NDArray[np.int64]) -> Normals:
        """Those of some columns.

        Parameters
        ----------
        indices : ndarray of int, shape (k,)
            Columns that stay.

        Returns
        -------
        Normals
        """
        return Normals(
            [{kind: stream.columns(indices) for kind, stream in part.items()} for part in self.parts],
            [
                Sample(s.part, Rows({k: m[:, indices] for k, m in s.rows.matrix.items()}, s.rows.target))
                for s in self.sample
            ],
        )
