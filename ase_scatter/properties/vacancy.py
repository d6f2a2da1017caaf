"""Formation energy of a vacancy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from ..errors import InputError
from .common import Progress, Result, require_crystal, with_calculator
from .relax import relax_positions


@dataclass(frozen=True)
class VacancyFormation(Result):
    """A vacancy in a supercell.

    energy: formation energy with relaxed ions, eV. unrelaxed: the same with all atoms on their
    sites, eV. n_atoms: atoms of the perfect supercell. atoms: the relaxed structure, without a
    calculator. max_force: what is left of the forces, eV/Å. converged: whether they are below the
    tolerance.
    """

    energy: float
    unrelaxed: float
    n_atoms: int
    atoms: Atoms
    max_force: float
    converged: bool


def vacancy_formation(
    supercell: Atoms,
    calculator: BaseCalculator,
    *,
    index: int = 0,
    atom_energy: float | None = None,
    rattle: float = 0.0,
    fmax: float = 0.01,
    steps: int = 300,
    progress: Progress = False,
    name: str = "vacancy",
) -> VacancyFormation:
    """E_f = E(supercell without one atom) + μ − E(supercell), at the supercell's volume.

    supercell: the perfect crystal, relaxed, large enough that a vacancy does not see its images.
    index: the atom to be taken out. atom_energy: μ, the energy of that atom in its reservoir, eV;
    by default the crystal's energy per atom, which only an elemental crystal has. rattle: width
    (Å) of random displacements (the same each time) before relaxing, for vacancies that lower
    their symmetry. Check `converged`. Raises InputError for a compound without atom_energy.
    """
    require_crystal(supercell)
    if not -len(supercell) <= index < len(supercell) or len(supercell) < 2:
        raise InputError(f"there is no atom {index} to take out of {len(supercell)} atoms")
    perfect = float(with_calculator(supercell, calculator).get_potential_energy())
    if atom_energy is None:
        if len(set(supercell.numbers)) > 1:
            raise InputError(
                "in a compound the formation energy depends on where the atom goes; give the "
                "energy of an atom of that element as atom_energy"
            )
        atom_energy = perfect / len(supercell)
    defect = supercell.copy()
    del defect[index]
    unrelaxed = float(with_calculator(defect, calculator).get_potential_energy())
    if rattle > 0:
        defect.positions += np.random.default_rng(0).normal(scale=rattle, size=(len(defect), 3))
    relaxed = relax_positions(defect, calculator, fmax=fmax, steps=steps, progress=progress, name=name)
    return VacancyFormation(
        energy=relaxed.energy + atom_energy - perfect,
        unrelaxed=unrelaxed + atom_energy - perfect,
        n_atoms=len(supercell),
        atoms=relaxed.atoms,
        max_force=relaxed.max_force,
        converged=relaxed.converged,
    )
