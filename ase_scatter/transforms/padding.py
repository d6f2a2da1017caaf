"""The periodic box in which a structure's fields live.

Along periodic directions it is the cell. Along open ones it is the extent of the atoms plus enough
vacuum that no wavelet sees an image, so the cell given there does not matter. Its length is a multiple
of one step, and every grid divides the step evenly: when the box grows with the structure, grid points
are added and none moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..system import System


@dataclass(frozen=True)
class Box:
    """Box vectors, and how they follow a strain.

    vectors: (3, 3) rows in Å. steps: (3,) number of steps in each open direction, 0 in periodic ones.
    """

    vectors: NDArray[np.float64]
    steps: NDArray[np.int64]

    @property
    def volume(self) -> float:
        return float(abs(np.linalg.det(self.vectors)))

    @property
    def is_padded(self) -> bool:
        return bool(self.steps.any())

    def strain_gradient(
        self,
        with_box: NDArray[np.float64],
        d_positions: NDArray[np.float64],
        positions: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """dE/dε of the structure from that of structure and box strained alike.

        with_box: (..., 3, 3), element ab belonging to R_a → R_a + ε_ab R_b of atoms and box.
        d_positions: (..., N, 3) ∂E/∂R at a fixed box. positions: (N, 3).
        The periodic vectors take part in the strain as they are. The open ones keep their length and
        only turn with the normals of the periodic ones.
        """
        if not self.is_padded:
            return with_box
        atoms = np.einsum("...ja,jb->...ab", d_positions, positions)
        # ∂E/∂A_ia at fixed positions, from (∂E/∂A)ᵀ A = with_box − atoms.
        d_box = np.swapaxes((with_box - atoms) @ np.linalg.inv(self.vectors), -1, -2)
        response = np.empty((3, 3, 3, 3))
        for a in range(3):
            for b in range(3):
                strain = np.zeros((3, 3))
                strain[a, b] = 1.0
                response[a, b] = self._response(strain)
        total: NDArray[np.float64] = atoms + np.einsum("...ic,abic->...ab", d_box, response)
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
    """The box of a structure, with at least `padding` Å of vacuum in a multiple of `step` Å."""
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
