"""Whether a reference's stresses have the sign of its energies."""

from __future__ import annotations

import numpy as np

from ..structures.dataset import Frame

LARGEST = 0.05
"""Strains and displacements over the cell beyond which two structures are not compared."""
LEAST = 0.003
"""eV. Less work than this tells nothing."""


def stress_contradicts(one: Frame, other: Frame) -> bool:
    """Compare the difference of two energies with the work of forces and stresses between them.

    Parameters
    ----------
    one, other : Frame
        Two structures with their labels.

    Returns
    -------
    bool
        Whether stresses of the opposite sign explain the energies, and those given do not.
    """
    a, b = one.system, other.system
    if one.stress is None or other.stress is None or one.forces is None or other.forces is None:
        return False
    if len(a) != len(b) or (a.numbers != b.numbers).any():
        return False
    deformation = np.linalg.solve(a.cell, b.cell)
    strain = 0.5 * (deformation + deformation.T) - np.eye(3)
    moved = b.positions - a.positions @ deformation
    if np.abs(strain).max() > LARGEST or np.abs(moved).max() > 10 * LARGEST:
        return False
    voigt = np.array([*np.diag(strain), 2 * strain[1, 2], 2 * strain[0, 2], 2 * strain[0, 1]])
    first, last = float(one.stress @ voigt) * a.volume, float(other.stress @ voigt) * b.volume
    begun, ended = -float(np.sum(one.forces * moved)), -float(np.sum(other.forces * moved))
    by_stress, by_forces = 0.5 * (first + last), 0.5 * (begun + ended)
    change = other.energy - one.energy
    # Where the ends work against each other, what is left is the error of the sum over two points.
    if abs(by_stress) < max(LEAST, abs(last - first) / 8, abs(ended - begun) / 8):
        return False
    return abs(change - by_forces + by_stress) < 0.2 * abs(change - by_forces - by_stress)
