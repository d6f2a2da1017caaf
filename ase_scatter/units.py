"""Units, Voigt order and the sign of the stress: the only place that fixes them.

Lengths are in Å, energies in eV, forces in eV/Å. Stress is dE/dε / V in eV/Å³, positive
under tension, in the Voigt order xx, yy, zz, yz, xz, xy. GPa appear only where a person reads.
"""

from __future__ import annotations

import numpy as np
from ase import units
from numpy.typing import NDArray

GPA: float = float(units.GPa)
"""One GPa in eV/Å³: divide a stress by it to read it in GPa."""

VOIGT: tuple[tuple[int, int], ...] = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Index pairs of the six Voigt components."""

VOIGT_ROWS = np.array([pair[0] for pair in VOIGT])
VOIGT_COLS = np.array([pair[1] for pair in VOIGT])


def to_voigt(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Voigt components of symmetric matrices, averaging the two halves.

    Parameters
    ----------
    matrix : ndarray, shape (..., 3, 3)
        Matrices.

    Returns
    -------
    ndarray, shape (..., 6)
        xx, yy, zz, yz, xz, xy.
    """
    symmetric = 0.5 * (matrix + np.swapaxes(matrix, -1, -2))
    return np.asarray(symmetric[..., VOIGT_ROWS, VOIGT_COLS])


def from_voigt(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Symmetric matrices from Voigt components.

    Parameters
    ----------
    vector : ndarray, shape (..., 6)
        xx, yy, zz, yz, xz, xy.

    Returns
    -------
    ndarray, shape (..., 3, 3)
    """
    vector = np.asarray(vector)
    matrix = np.empty((*vector.shape[:-1], 3, 3), dtype=vector.dtype)
    matrix[..., VOIGT_ROWS, VOIGT_COLS] = vector
    matrix[..., VOIGT_COLS, VOIGT_ROWS] = vector
    return matrix
