"""Relaxed positions and relaxed lattices."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from ase.optimize.optimize import Optimizer
from numpy.typing import NDArray

from ..compute.parallel import Progress, reporting
from ..errors import InputError
from ..units import GPA
from .common import frozen_calculator, largest_force, minimise, require_crystal, with_calculator
from .result import Result
from .tensors import spglib_quiet

CELL_ROUNDS = 5
"""How often a relaxed cell gets the grid that fits it before what is left is taken as it is."""


@dataclass(frozen=True)
class Relaxation(Result):
    """A relaxed structure.

    Parameters
    ----------
    atoms : Atoms
        The relaxed copy, without a calculator.
    energy : float
        eV, of the whole cell.
    max_force : float
        Largest force that is left, eV/Å.
    stress : ndarray, shape (6,), or None
        GPa, in Voigt order xx, yy, zz, yz, xz, xy, positive in tension; None if only positions were
        relaxed.
    steps : int
        Steps of the optimizer.
    converged : bool
        Whether the tolerance was reached.
    """

    atoms: Atoms
    energy: float
    max_force: float
    stress: NDArray[np.float64] | None
    steps: int
    converged: bool

    @property
    def lengths(self) -> NDArray[np.float64]:
        """(3,) lengths of the cell vectors, Å."""
        return np.asarray(self.atoms.cell.lengths())


def relax_positions(
    atoms: Atoms,
    calculator: BaseCalculator,
    *,
    fmax: float = 0.01,
    steps: int = 300,
    optimizer: type[Optimizer] = BFGS,
    progress: Progress = False,
    name: str = "positions",
) -> Relaxation:
    """Relax the positions in a fixed cell.

    Parameters
    ----------
    atoms : Atoms
        Any structure; it stays as it is.
    calculator : BaseCalculator
        Any calculator of ASE.
    fmax : float, default 0.01
        Tolerance on the forces, eV/Å.
    steps : int, default 300
        Most steps of the optimizer; check `converged`.
    optimizer : type of Optimizer, default BFGS
        A class of `ase.optimize`.
    progress : bool or callable, default False
        As in `compute.parallel.Progress`.
    name : str, default "positions"
        What the progress is called.

    Returns
    -------
    Relaxation
        The relaxed copy; `stress` is None.

    Raises
    ------
    InputError
        If an energy is not finite.
    """
    atoms = with_calculator(atoms, calculator)
    with reporting(progress, name) as tick:
        converged, taken = minimise(atoms, fmax=fmax, steps=steps, tick=tick, optimizer=optimizer)
    energy, force = float(atoms.get_potential_energy()), largest_force(atoms)
    atoms.calc = None
    return Relaxation(atoms, energy, force, None, taken, converged)


def relax_cell(
    atoms: Atoms,
    calculator: BaseCalculator,
    *,
    keep: Literal["symmetry", "shape", "nothing"] = "symmetry",
    fmax: float = 0.001,
    steps: int = 300,
    optimizer: type[Optimizer] = BFGS,
    progress: Progress = False,
    name: str = "cell",
) -> Relaxation:
    """Relax the cell and the positions in it.

    The grid of a calculator on a grid is frozen while the cell moves, then chosen anew for the relaxed cell,
    until the cell stays.

    Parameters
    ----------
    atoms : Atoms
        A crystal; it stays as it is.
    calculator : BaseCalculator
        Any calculator of ASE that has stresses.
    keep : {"symmetry", "shape", "nothing"}, default "symmetry"
        "symmetry" keeps the space group that the atoms have within 0.01 Å, "shape" only scales the cell, to
        zero pressure, "nothing" leaves all six strains free.
    fmax : float, default 0.001
        Tolerance on the forces (eV/Å) and on the derivatives of the energy with respect to the strains, per
        atom (eV).
    steps : int, default 300
        Most steps of the optimizer for each grid; check `converged`.
    optimizer : type of Optimizer, default BFGS
        A class of `ase.optimize`.
    progress : bool or callable, default False
        As in `compute.parallel.Progress`.
    name : str, default "cell"
        What the progress is called.

    Returns
    -------
    Relaxation
        The relaxed copy; `stress` is what a kept symmetry or shape leaves.

    Raises
    ------
    InputError
        If the atoms are not periodic in three dimensions, if `keep` is none of the three words, and if an
        energy is not finite.
    """
    require_crystal(atoms)
    if keep not in ("symmetry", "shape", "nothing"):
        raise InputError(f"keep is {keep!r}, but must be 'symmetry', 'shape' or 'nothing'")
    atoms, total = atoms.copy(), 0
    constraints = list(atoms.constraints)
    with reporting(progress, name) as tick, spglib_quiet(), warnings.catch_warnings():
        # Of the logarithm of a deformation near 1, which is off by 1e-13: it has nothing to tell.
        warnings.filterwarnings("ignore", message="logm result may be inaccurate")
        if keep == "symmetry":
            atoms.set_constraint([*constraints, FixSymmetry(atoms)])
        for _ in range(CELL_ROUNDS):
            atoms.calc = frozen_calculator(calculator, atoms)
            cell = FrechetCellFilter(atoms, hydrostatic_strain=keep == "shape")
            converged, taken = minimise(cell, fmax=fmax, steps=steps, tick=tick, optimizer=optimizer)
            total += taken
            if taken == 0 or not converged or atoms.calc is calculator:
                break
    energy, force = float(atoms.get_potential_energy()), largest_force(atoms)
    stress = atoms.get_stress() / GPA
    atoms.calc = None
    atoms.set_constraint(constraints)
    return Relaxation(atoms, energy, force, stress, total, converged)
