"""What the workflows ask of crystals and calculators, and one way to minimise."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.optimize import BFGS
from ase.optimize.optimize import Optimizer

from ..errors import InputError

LARGEST_STRESS = 0.5
"""GPa. A crystal under a larger stress has neither elastic constants nor phonons to speak of."""


def frozen_calculator(calculator: BaseCalculator, atoms: Atoms) -> BaseCalculator:
    """Return the calculator to be used while the cell of these atoms is strained.

    Parameters
    ----------
    calculator : BaseCalculator
        Any calculator of ASE.
    atoms : Atoms
        The crystal before it is strained.

    Returns
    -------
    BaseCalculator
        For a calculator on a grid (one with a method `freeze_grid`), a copy that keeps the grid of these
        atoms: the energy would jump where the number of grid points changes. Any other calculator is
        returned as it is.
    """
    if not hasattr(calculator, "freeze_grid"):
        return calculator
    frozen = deepcopy(calculator)
    frozen.freeze_grid(atoms)
    return frozen


def with_calculator(atoms: Atoms, calculator: BaseCalculator) -> Atoms:
    """Copy the atoms and attach the calculator to the copy.

    Parameters
    ----------
    atoms : Atoms
        They stay as they are.
    calculator : BaseCalculator
        Any calculator of ASE.

    Returns
    -------
    Atoms
        The copy.
    """
    copy: Atoms = atoms.copy()
    copy.calc = calculator
    return copy


def minimise(
    target: Any,
    *,
    fmax: float,
    steps: int,
    tick: Callable[[], None],
    optimizer: type[Optimizer] = BFGS,
) -> tuple[bool, int]:
    """Run one of ASE's optimizers on what has energies and forces.

    Parameters
    ----------
    target : Atoms, Filter or NEB
        What is relaxed, in place.
    fmax : float
        Tolerance on the largest force, eV/Å.
    steps : int
        Most steps of the optimizer.
    tick : callable
        Called without arguments before the first and after each step.
    optimizer : type of Optimizer, default BFGS
        A class of `ase.optimize`.

    Returns
    -------
    converged : bool
        Whether the forces are below the tolerance.
    steps : int
        Steps taken.

    Raises
    ------
    InputError
        If an energy is not finite.
    """

    def watch() -> None:
        energy = target.get_potential_energy()
        if not np.isfinite(energy):
            raise InputError(
                f"the calculator gave the energy {energy} during the relaxation; check that the "
                "structure is one that it is meant for"
            )
        tick()

    with optimizer(target, logfile=None) as run:
        run.attach(watch)
        converged = run.run(fmax=fmax, steps=steps)
        return bool(converged), int(run.nsteps)


def require_crystal(atoms: Atoms) -> None:
    """Check that the atoms form a crystal.

    Parameters
    ----------
    atoms : Atoms
        What is checked.

    Raises
    ------
    InputError
        Unless the atoms are periodic in three dimensions.
    """
    if not (atoms.pbc.all() and atoms.cell.rank == 3):
        raise InputError("this property needs a crystal: a cell, periodic in three directions")


def largest_force(atoms: Atoms) -> float:
    """Return the length of the largest force on an atom.

    Parameters
    ----------
    atoms : Atoms
        With a calculator.

    Returns
    -------
    float
        eV/Å; constraints are applied.
    """
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max(initial=0.0))
