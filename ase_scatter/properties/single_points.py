"""Energies, forces and stresses of structures as they are, with half-widths and extrapolation grades."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from numpy.typing import NDArray

from .responses import evaluate
from .result import Result


@dataclass(frozen=True)
class SinglePoint(Result):
    """What a calculator gives for one structure. Without a committee half-widths and grades are None.

    Parameters
    ----------
    atoms : Atoms
        The structure, with the results in a calculator of its own.
    energy : float
        eV, of the whole cell.
    forces : ndarray, shape (N, 3)
        eV/Å.
    stress : ndarray, shape (6,), or None
        eV/Å³, in Voigt order xx, yy, zz, yz, xz, xy, positive in tension; None without a volume.
    energy_half_width : float or None
        Half-width of the 90 % interval of `energy`, eV.
    forces_half_width : ndarray, shape (N,), or None
        Of any component of the force on each atom, eV/Å.
    stress_half_width : float or None
        Of any component of the stress, eV/Å³.
    grade : ndarray, shape (N,), or None
        Extrapolation grade of each atom: above 1 it is outside the training data.
    """

    atoms: Atoms
    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64] | None
    energy_half_width: float | None
    forces_half_width: NDArray[np.float64] | None
    stress_half_width: float | None
    grade: NDArray[np.float64] | None


def can_judge(calculator: BaseCalculator) -> bool:
    """Whether a calculator has a committee to say how sure it is.

    Parameters
    ----------
    calculator : BaseCalculator
        Any calculator of ASE. One with a committee has a method `get_uncertainty` and a true attribute
        `has_committee`, as `ScatteringCalculator` has.

    Returns
    -------
    bool
    """
    return bool(getattr(calculator, "has_committee", False))


def single_points(structures: Sequence[Atoms], calculator: BaseCalculator) -> list[SinglePoint]:
    """Evaluate structures as they are.

    Parameters
    ----------
    structures : sequence of Atoms
        They stay as they are.
    calculator : BaseCalculator
        Any calculator of ASE; one with a committee gives half-widths and grades.

    Returns
    -------
    list of SinglePoint
        One for each structure.
    """
    bare = [atoms.copy() for atoms in structures]
    evaluate(bare, calculator, members=False)
    judge: Any = calculator if can_judge(calculator) else None
    judged = [None] * len(bare) if judge is None else judge.get_uncertainty(bare)
    return [
        SinglePoint(
            atoms=atoms,
            energy=float(atoms.get_potential_energy()),
            forces=atoms.get_forces(apply_constraint=False),
            stress=atoms.calc.results.get("stress"),
            energy_half_width=None if unsure is None else unsure.energy,
            forces_half_width=None if unsure is None else unsure.forces,
            stress_half_width=None if unsure is None else unsure.stress,
            grade=None if unsure is None else unsure.grade,
        )
        for atoms, unsure in zip(bare, judged, strict=True)
    ]
