"""The periodic box in which a structure's fields live.

Along periodic directions it is the cell. Along open ones it is the extent of the atoms plus enough
vacuum that no wavelet sees an image, so the cell given there does not matter. Its length is a multiple
of one step, and every grid divides the step evenly: when the box grows with the structure, grid points
are added and none moves. Along open directions the atoms are placed with their mean position at the
origin of the grid, so the energy is exactly the same wherever they are, and net forces are exactly zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...structures.system import System


@dataclass(frozen=True)
class Box:
    """Box vectors, and how they follow a strain.

    Parameters
    ----------
    vectors : ndarray, shape (3, 3)
        Rows in Å.
    steps : ndarray of int, shape (3,)
        Number of steps in each open direction, 0 in periodic ones.
    """

    vectors: NDArray[np.float64]
    steps: NDArray[np.int64]

    @property
    def volume(self) -> float:
        """Volume in Å³."""
        return float(abs(np.linalg.det(self.vectors)))

    @property
    def open_axes(self) -> NDArray[np.int64]:
        """Indices of the open directions."""
        return np.flatnonzero(self.steps)

    @property
    def normals(self) -> NDArray[np.float64]:
        """Unit vectors of the open directions, (n_open, 3)."""
        vectors = self.vectors[self.open_axes]
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1)[:, None])

    def place(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move positions along the open directions so that their mean there is zero.

        Parameters
        ----------
        positions : ndarray, shape (N, 3)
            In Å.

        Returns
        -------
        ndarray, shape (N, 3)
        """
        normals = self.normals
        return np.asarray(positions - normals.T @ (normals @ positions.mean(axis=0)))

    def d_original(self, d_placed: NDArray[np.float64]) -> NDArray[np.float64]:
        """Differentiate with respect to the positions as given.

        Parameters
        ----------
        d_placed : ndarray, shape (..., N, 3)
            ∂E/∂R of the placed positions.

        Returns
        -------
        ndarray, shape (..., N, 3)
            ∂E/∂R of those that were given.
        """
        if not len(self.open_axes):
            return d_placed
        along = d_placed.mean(axis=-2) @ self.normals.T @ self.normals
        return np.asarray(d_placed - along[..., None, :])

    def strain_gradient(
        self,
        with_box: NDArray[np.float64],
        d_placed: NDArray[np.float64],
        positions: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Differentiate with respect to a strain of the structure.

        Parameters
        ----------
        with_box : ndarray, shape (..., 3, 3)
            dE/dε of atoms and box strained alike; element ab belongs to R_a → R_a + ε_ab R_b.
        d_placed : ndarray, shape (..., N, 3)
            ∂E/∂R of the placed positions at a fixed box.
        positions : ndarray, shape (N, 3)
            Positions in Å, as given.

        Returns
        -------
        ndarray, shape (..., 3, 3)
            dE/dε.

        Notes
        -----
        The periodic vectors take part in the strain as they are. The open ones keep their length and only
        turn with the normals of the periodic ones, and the atoms stay placed along them.
        """
        if not len(self.open_axes):
            return with_box
        return self.strain_of_moments(
            with_box,
            np.einsum("...ja,jb->...ab", d_placed, self.place(positions)),
            np.einsum("...ja,jb->...ab", d_placed, positions),
            d_placed.sum(axis=-2),
            positions,
        )

    def strain_of_moments(
        self,
        with_box: NDArray[np.float64],
        placed: NDArray[np.float64],
        total: NDArray[np.float64],
        net: NDArray[np.float64],
        positions: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Do what `strain_gradient` does, from sums over the atoms.

        Parameters
        ----------
        with_box : ndarray, shape (..., 3, 3)
            dE/dε of atoms and box strained alike; element ab belongs to R_a → R_a + ε_ab R_b.
        placed : ndarray, shape (..., 3, 3)
            Σ_j ∂E/∂R_ja R_jb over placed positions.
        total : ndarray, shape (..., 3, 3)
            The same over given positions.
        net : ndarray, shape (..., 3)
            Σ_j ∂E/∂R_j.
        positions : ndarray, shape (N, 3)
            Positions in Å, as given.

        Returns
        -------
        ndarray, shape (..., 3, 3)
            dE/dε.
        """
        total = np.array(total)
        # ∂E/∂A_ia at fixed positions, from (∂E/∂A)ᵀ A = with_box − placed.
        d_box = np.swapaxes((with_box - placed) @ np.linalg.inv(self.vectors), -1, -2)
        mean, normals = positions.mean(axis=0), self.normals
        for a in range(3):
            for b in range(3):
                strain = np.zeros((3, 3))
                strain[a, b] = 1.0
                change = self._response(strain)
                turns = change[self.open_axes] / np.linalg.norm(self.vectors[self.open_axes], axis=1)[:, None]
                # How the shift Σ n (n·mean) that places the atoms follows the strain.
                shift = turns.T @ (normals @ mean) + normals.T @ (turns @ mean + normals @ strain @ mean)
                total[..., a, b] += np.einsum("...ic,ic->...", d_box, change) - net @ shift
        return total

    def _response(self, strain: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derivative (3, 3) of the box vectors along a strain."""
        change = self.vectors @ strain.T
        periodic = self.steps == 0
        open_axes = np.flatnonzero(~periodic)
        lengths = np.linalg.norm(self.vectors[open_axes], axis=1)
        units = self.vectors[open_axes] / lengths[:, None]
        if len(open_axes) == 3:
            change[:] = 0.0
        elif len(open_axes) == 1:
            normal = units[0]
            turn = -strain.T @ normal
            change[open_axes[0]] = lengths[0] * (turn - normal * (normal @ turn))
        else:
            axis = self.vectors[periodic][0]
            axis = axis / np.linalg.norm(axis)
            d_axis = strain @ axis
            d_axis -= axis * (axis @ d_axis)
            d_units = _normals_slope(axis, d_axis)
            change[open_axes] = lengths[:, None] * d_units
        return change


def padded_box(system: System, padding: float, step: float) -> Box:
    """Make the box of a structure.

    Parameters
    ----------
    system : System
        The structure.
    padding : float
        Least vacuum in Å along open directions.
    step : float
        Their length is a multiple of this, in Å.

    Returns
    -------
    Box
    """
    vectors = np.array(system.cell)
    steps = np.zeros(3, dtype=np.int64)
    open_axes = np.flatnonzero(~system.pbc)
    units = np.eye(3)
    if len(open_axes) == 0:
        return Box(vectors, steps)
    elif len(open_axes) == 2:
        axis = vectors[system.pbc][0]
        units = _normals(axis / np.linalg.norm(axis))
    elif len(open_axes) == 1:
        first, second = vectors[system.pbc]
        normal = np.cross(first, second)
        units = normal[None] / np.linalg.norm(normal)
    for axis_index, unit in zip(open_axes, units, strict=True):
        heights = system.positions @ unit
        steps[axis_index] = int(np.ceil((np.ptp(heights) + padding) / step))
        vectors[axis_index] = unit * steps[axis_index] * step
    return Box(vectors, steps)


def _reference(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """The Cartesian unit vector that is furthest from the axis."""
    unit: NDArray[np.float64] = np.eye(3)[int(np.argmin(np.abs(axis).round(6)))]
    return unit


def _normals(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two unit normals (2, 3) of a unit vector, smooth in it."""
    reference = _reference(axis)
    first = reference - axis * (axis @ reference)
    first /= np.linalg.norm(first)
    return np.array([first, np.cross(axis, first)])


def _normals_slope(axis: NDArray[np.float64], d_axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Derivative of `_normals` when the axis changes by d_axis (normal to it)."""
    reference = _reference(axis)
    first = reference - axis * (axis @ reference)
    length = np.linalg.norm(first)
    first /= length
    change = -d_axis * (axis @ reference) - axis * (d_axis @ reference)
    d_first = (change - first * (first @ change)) / length
    return np.array([d_first, np.cross(d_axis, first) + np.cross(axis, d_first)])
