"""Plane-wave coefficients of point charges: sums of phases."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...compute.backend import COMPLEX, Array, Backend
from .box import Box
from .plane_waves import Waves


@dataclass(frozen=True)
class StructureFactor:
    """e^{−ik·R_j} of all atoms and waves, made from three one-dimensional tables per atom.

    Parameters
    ----------
    backend : Backend
        Where the arrays are.
    factors : tuple of array
        Three tables (2 n_max + 1, N).
    places : tuple of array
        Three lists (K,) of indices into them.
    vectors : array, shape (K, 3)
        k in 1/Å.
    multiplicity : array, shape (K,)
        How many waves each stands for.
    whole : array, shape (K, N), optional
        All phases where they are few enough to keep; otherwise blocks of atoms are made when needed.
    """

    backend: Backend
    factors: tuple[Array, Array, Array]
    places: tuple[Array, Array, Array]
    vectors: Array
    multiplicity: Array
    whole: Array | None = None

    MAX_PRODUCTS = 1 << 23
    """Atoms times waves held at a time (the memory is 16 bytes times this)."""

    @classmethod
    def build(
        cls, waves: Waves, box: Box, positions: NDArray[np.float64], backend: Backend, dtype: str
    ) -> StructureFactor:
        """Tabulate the phases of atoms.

        Parameters
        ----------
        waves : Waves
            Waves of the box.
        box : Box
            The box.
        positions : ndarray, shape (N, 3)
            Positions in Å.
        backend : Backend
            Where the arrays are.
        dtype : str
            "float64" or "float32".

        Returns
        -------
        StructureFactor
        """
        fractional = positions @ np.linalg.inv(box.vectors)
        # Wrapping keeps the phases exact for atoms far outside the cell.
        fractional = fractional - np.floor(fractional)
        factors, places = [], []
        for axis in range(3):
            n = waves.indices[:, axis]
            top = int(np.abs(n).max(initial=0))
            angles = -2.0 * np.pi * np.arange(-top, top + 1)[:, None] * fractional[:, axis]
            factors.append(backend.to_device(np.exp(1j * angles), COMPLEX[dtype]))
            places.append(backend.to_device(n + top))
        made = cls(
            backend,
            (factors[0], factors[1], factors[2]),
            (places[0], places[1], places[2]),
            backend.to_device(waves.vectors, dtype),
            backend.to_device(waves.multiplicity, dtype),
        )
        blocks = made._blocks()
        return replace(made, whole=made._phases(blocks[0])) if len(blocks) == 1 else made

    def _blocks(self) -> list[slice]:
        n_atoms, n_waves = self.factors[0].shape[1], max(1, self.places[0].shape[0])
        size = max(1, self.MAX_PRODUCTS // n_waves)
        return [slice(start, start + size) for start in range(0, n_atoms, size)]

    def _phases(self, block: slice) -> Array:
        if self.whole is not None:
            return self.whole
        # Whole rows are gathered, which is what memory is good at.
        x, y, z = (factor[:, block][place] for factor, place in zip(self.factors, self.places, strict=True))
        x *= y
        x *= z
        return x

    def densities(self, charges: Array) -> Array:
        """Sum charges times phases over the atoms.

        Parameters
        ----------
        charges : array, shape (n_channels, N)
            q of each channel and atom.

        Returns
        -------
        array, shape (n_channels, K)
            ρ̂_c(k) = Σ_j q_cj e^{−ik·R_j}.
        """
        return sum((self._phases(block) @ charges[:, block].T).T for block in self._blocks())

    def gradient(self, charges: Array, adjoint: Array) -> Array:
        """Differentiate Re Σ_k ρ̂(k) Φ(k) over all waves.

        Parameters
        ----------
        charges : array, shape (N,)
            q of each atom.
        adjoint : array, shape (n, K)
            Several Φ.

        Returns
        -------
        array, shape (n, N, 3)
            ∂/∂R_j.
        """
        xp = self.backend.xp
        weighted = adjoint * self.multiplicity
        blocks = []
        for block in self._blocks():
            phases = self._phases(block)
            parts = [((weighted * self.vectors[:, axis]) @ phases).imag for axis in range(3)]
            blocks.append(xp.stack(parts, axis=-1) * charges[None, block, None])
        return xp.concatenate(blocks, axis=1)
