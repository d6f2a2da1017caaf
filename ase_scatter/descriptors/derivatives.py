"""Derivatives of features with respect to positions and strain, sparse."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from ..scattering.sites.host_jacobian import LocalJacobian
from ..units import from_voigt

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Derivatives:
    """Features of one structure and their derivatives.

    Parameters
    ----------
    values : ndarray, shape (n_rows, n_features)
        The features: of atoms, or one row for the structure.
    strain : ndarray, shape (n_rows, n_features, 3, 3)
        ∂feature/∂ε for a symmetric strain ε of positions and cell alike.
    n_atoms : int
        Number of atoms N.
    first : ndarray of int, shape (n_rows + 1,)
        Where in `atoms` those of each row begin.
    atoms : ndarray of int, shape (n,)
        The atoms that each row depends on, ascending for each.
    flat : ndarray, shape (3·n_features·n,)
        For each row the derivatives with respect to the positions of these atoms, (n_features, atoms, 3).
    """

    values: Floats
    strain: Floats
    n_atoms: int
    first: NDArray[np.int64]
    atoms: NDArray[np.int64]
    flat: Floats

    @classmethod
    def of_atoms(cls, found: LocalJacobian, n_atoms: int) -> Derivatives:
        """Those of the columns of atoms.

        Parameters
        ----------
        found : LocalJacobian
            The columns and their derivatives.
        n_atoms : int
            Number of atoms of the structure.

        Returns
        -------
        Derivatives
        """
        return cls(
            found.values, from_voigt(found.strain), n_atoms, found.first, found.atoms, found.d_positions
        )

    @classmethod
    def of_structure(cls, values: Floats, d_positions: Floats, d_strain: Floats) -> Derivatives:
        """Those of one row that depends on all atoms.

        Parameters
        ----------
        values : ndarray, shape (n_features,)
            The features.
        d_positions : ndarray, shape (n_features, N, 3)
            Derivatives with respect to the positions, per Å.
        d_strain : ndarray, shape (n_features, 3, 3)
            Derivatives with respect to the strain.

        Returns
        -------
        Derivatives
        """
        n = d_positions.shape[1]
        first, atoms = np.array([0, n]), np.arange(n)
        return cls(values[None], d_strain[None], n, first, atoms, np.ascontiguousarray(d_positions).ravel())

    def of_row(self, row: int) -> tuple[NDArray[np.int64], Floats]:
        """Derivatives of one row as a dense table.

        Parameters
        ----------
        row : int
            Which row.

        Returns
        -------
        atoms : ndarray of int, shape (n,)
            The atoms that the row depends on.
        table : ndarray, shape (n_features, n, 3)
            Derivatives with respect to their positions, per Å; a view.
        """
        n_features = self.values.shape[1]
        start, stop = int(self.first[row]), int(self.first[row + 1])
        table = self.flat[3 * n_features * start : 3 * n_features * stop]
        return self.atoms[start:stop], table.reshape(n_features, stop - start, 3)

    @cached_property
    def positions(self) -> scipy.sparse.csr_array:
        """∂feature/∂R per Å, sparse, (n_rows·n_features, 3N).

        Row i·n_features + λ is feature λ of row i; column 3j + a is component a of the position of atom j.
        """
        n_rows, n_features = self.values.shape
        counts = 3 * np.diff(self.first)
        pointers = np.concatenate([[0], np.cumsum(np.repeat(counts, n_features))])
        within = (3 * self.atoms[:, None] + np.arange(3)).ravel()
        parts = [
            np.tile(within[3 * start : 3 * stop], n_features)
            for start, stop in zip(self.first[:-1].tolist(), self.first[1:].tolist(), strict=True)
        ]
        indices = np.concatenate([np.zeros(0, dtype=np.int64), *parts])
        return scipy.sparse.csr_array(
            (self.flat, indices, pointers), shape=(n_rows * n_features, 3 * self.n_atoms)
        )
