"""The places where a crystal can be cut along a plane, and the slabs that come of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import surface
from numpy.typing import NDArray

from .result import Result
from .tensors import spglib_quiet

PLANE = 0.15
"""Å. Atoms that are nearer to each other along the normal lie in one plane, which no cut divides."""

VACUUM = 5.0
"""Å on each side of a slab. Slabs are open there: nothing acts across it."""


@dataclass(frozen=True)
class Termination(Result):
    """A slab that begins and ends at one of the places where the crystal can be cut.

    Parameters
    ----------
    atoms : Atoms
        The slab as it was cut, without a calculator. It has the composition of the crystal.
    gap : float
        Distance along the normal between the planes that the cut parts, Å.
    faces : (str, str)
        Elements of the outermost planes, below and above.
    symmetric : bool
        Whether an operation of symmetry takes one face to the other.
    energy : float
        J/m² of a face with unrelaxed ions, the mean of both faces; nan before it is computed.
    """

    atoms: Atoms
    gap: float
    faces: tuple[str, str]
    symmetric: bool
    energy: float = np.nan


def cut_crystal(
    crystal: Atoms, miller: tuple[int, int, int], layers: int, repeat: tuple[int, int] = (1, 1)
) -> list[Termination]:
    """Cut a crystal between each two of its planes.

    Parameters
    ----------
    crystal : Atoms
        In the cell that `miller` refers to.
    miller : tuple of int
        Indices (h, k, l) of the plane, without a common divisor.
    layers : int
        Layers of the slab, of the thickness after which the crystal repeats itself.
    repeat : tuple of int, default (1, 1)
        Cells in the plane.

    Returns
    -------
    list of Termination
        One slab for each gap between planes, the widest gap first.
    """
    normal = np.asarray(miller) @ crystal.cell.reciprocal()  # as long as one over the thickness of a layer
    thickness = 1 / float(np.linalg.norm(normal))
    found = []
    for height, gap in _gaps(crystal.positions @ normal, thickness):
        moved = crystal.copy()
        moved.positions -= height * thickness**2 * normal
        slab = surface(moved, tuple(miller), layers, vacuum=VACUUM).repeat((*repeat, 1))
        slab.pbc = (True, True, False)
        found.append(Termination(slab, gap, _faces(slab), _symmetric(slab)))
    return sorted(found, key=lambda each: -each.gap)


def _gaps(heights: NDArray[np.float64], thickness: float) -> list[tuple[float, float]]:
    """Middle (in units of a layer's thickness) and width (Å) of what lies between planes of atoms."""
    inside = np.sort(heights % 1.0)
    widths = np.diff(inside, append=inside[0] + 1.0)
    wide = widths * thickness > PLANE
    if not wide.any():
        wide = widths == widths.max()
    middles = inside + widths / 2
    return [(float(middles[k]), float(widths[k]) * thickness) for k in np.flatnonzero(wide)]


def _faces(slab: Atoms) -> tuple[str, str]:
    """Elements within a plane's thickness of both ends."""
    z = slab.positions[:, 2]
    ends = (z - z.min() < PLANE, z.max() - z < PLANE)
    below, above = (",".join(sorted(set(slab[end].get_chemical_symbols()))) for end in ends)
    return below, above


def _symmetric(slab: Atoms) -> bool:
    """Whether a rotation, mirror or inversion turns the slab upside down."""
    import spglib

    cell: Any = (np.array(slab.cell), slab.get_scaled_positions(), slab.numbers)
    with spglib_quiet():
        found = spglib.get_symmetry(cell, symprec=0.01)
    return found is not None and bool((found["rotations"][:, 2, 2] == -1).any())
