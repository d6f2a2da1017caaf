"""Forces and stress against finite differences of the energy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from numpy.typing import NDArray

from .deviations import DERIVATIVES, Deviation, energy_of, require, same_grid, values_of


def _slope(function: Callable[[float], float], step: float) -> float:
    """Derivative at 0, with an error of fourth order in the step."""
    near, far = (function(h) - function(-h) for h in (step, 2 * step))
    return (8 * near - far) / (12 * step)


def check_forces(
    calculator: BaseCalculator,
    atoms: Atoms,
    *,
    tolerance: Deviation = DERIVATIVES,
    directions: int = 2,
    step: float = 2e-3,
    seed: int = 0,
) -> Deviation:
    """Compare forces with finite differences of the energy.

    All atoms move at once: along the forces, and along random directions.

    Parameters
    ----------
    calculator : ase.calculators.calculator.BaseCalculator
        What is checked.
    atoms : ase.Atoms
        The structure.
    tolerance : Deviation
        How far forces may be off.
    directions : int
        Number of random directions.
    step : float
        Step of the differences in Å. Their error is of fourth order in it.
    seed : int
        Seed of the directions.

    Returns
    -------
    Deviation
        Of the force along a direction of unit length.

    Raises
    ------
    AssertionError
        If the forces are not the slopes.
    """
    forces = values_of(calculator, atoms).forces
    rng = np.random.default_rng(seed)
    worst = 0.0
    for along in [forces, *rng.normal(size=(directions, *forces.shape))]:
        if not (norm := float(np.linalg.norm(along))):
            continue
        along = along / norm

        def energy(step: float, along: NDArray[np.float64] = along) -> float:
            moved = atoms.copy()
            moved.positions += step * along
            return energy_of(calculator, moved)

        worst = max(worst, abs(_slope(energy, step) + float((forces * along).sum())))
    return require("forces are not the slope of the energy", Deviation(forces=worst), tolerance)


def check_stress(
    calculator: BaseCalculator,
    atoms: Atoms,
    *,
    tolerance: Deviation = DERIVATIVES,
    directions: int = 2,
    step: float = 1e-3,
    seed: int = 0,
) -> Deviation:
    """Compare the stress with finite differences of the energy under strain.

    Parameters
    ----------
    calculator : ase.calculators.calculator.BaseCalculator
        What is checked. If it has a method `freeze_grid`, the grid is the same for all strains.
    atoms : ase.Atoms
        A structure in a cell with three independent vectors.
    tolerance : Deviation
        How far the stress may be off.
    directions : int
        Number of random strains, of all six components; an isotropic one is added.
    step : float
        Step of the differences, no unit. Their error is of fourth order in it.
    seed : int
        Seed of the strains.

    Returns
    -------
    Deviation
        Of the stress along a strain of unit norm.

    Raises
    ------
    AssertionError
        If the stress is not the slope.
    """
    rng = np.random.default_rng(seed)
    strains = [np.eye(3), *(random + random.T for random in rng.normal(size=(directions, 3, 3)))]

    def strained(strain: NDArray[np.float64]) -> Atoms:
        twin: Atoms = atoms.copy()
        twin.set_cell(atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
        return twin

    worst = 0.0
    with same_grid(calculator, strained(0.02 * np.eye(3))):
        stress = values_of(calculator, atoms).stress
        if stress is None:
            raise AssertionError(
                "there is no stress to check: the cell has no volume, or it is not implemented"
            )
        for strain in strains:
            unit = strain / np.linalg.norm(strain)

            def energy(step: float, unit: NDArray[np.float64] = unit) -> float:
                return energy_of(calculator, strained(step * unit))

            slope = _slope(energy, step)
            worst = max(worst, abs(slope / atoms.get_volume() - float((stress * unit).sum())))
    return require("the stress is not the slope of the energy", Deviation(stress=worst), tolerance)
