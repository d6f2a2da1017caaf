"""What changes neither energy nor forces nor stress: order, place, orientation, choice of the cell."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from scipy.spatial.transform import Rotation

from .deviations import ROUNDING, Deviation, Values, apart, require, values_of, worst_of


def check_permutation(
    calculator: BaseCalculator, atoms: Atoms, *, tolerance: Deviation = ROUNDING, seed: int = 0
) -> Deviation:
    """Compare with the same atoms in another order.

    Parameters
    ----------
    calculator : ase.calculators.calculator.BaseCalculator
        What is checked.
    atoms : ase.Atoms
        The structure.
    tolerance : Deviation
        How far values may be off.
    seed : int
        Seed of the order.

    Returns
    -------
    Deviation
        Of the values, forces compared atom by atom.

    Raises
    ------
    AssertionError
        If a deviation is above the tolerance.
    """
    before = values_of(calculator, atoms)
    order = np.random.default_rng(seed).permutation(len(atoms))
    after = values_of(calculator, atoms[order])
    expected = before._replace(forces=before.forces[order])
    return require("the order of the atoms matters", apart(after, expected), tolerance)


def check_translation(
    calculator: BaseCalculator,
    atoms: Atoms,
    *,
    tolerance: Deviation = ROUNDING,
    shifts: int = 2,
    seed: int = 0,
) -> Deviation:
    """Compare with the same atoms moved rigidly.

    Parameters
    ----------
    calculator : ase.calculators.calculator.BaseCalculator
        What is checked.
    atoms : ase.Atoms
        The structure.
    tolerance : Deviation
        How far values may be off.
    shifts : int
        Number of random translations of up to 3 Å in each direction.
    seed : int
        Seed of the translations.

    Returns
    -------
    Deviation
        The largest between any two places.

    Raises
    ------
    AssertionError
        If a deviation is above the tolerance.
    """
    found = [values_of(calculator, atoms)]
    for shift in np.random.default_rng(seed).uniform(0.0, 3.0, size=(shifts, 3)):
        moved = atoms.copy()
        moved.positions += shift
        found.append(values_of(calculator, moved))
    worst = worst_of([apart(one, other) for k, one in enumerate(found) for other in found[:k]])
    return require("a rigid translation matters", worst, tolerance)


def check_lattice_shifts(
    calculator: BaseCalculator, atoms: Atoms, *, tolerance: Deviation = ROUNDING, seed: int = 0
) -> Deviation:
    """Compare with the same atoms, each moved by vectors of the lattice.

    Parameters
    ----------
    calculator : ase.calculators.calculator.BaseCalculator
        What is checked.
    atoms : ase.Atoms
        A structure that is periodic in at least one direction.
    tolerance : Deviation
        How far values may be off.
    seed : int
        Seed of the vectors, up to two cells long along each periodic direction.

    Returns
    -------
    Deviation
        Of the values.

    Raises
    ------
    AssertionError
        If a deviation is above the tolerance.
    """
    moved = atoms.copy()
    steps = np.random.default_rng(seed).integers(-2, 3, size=(len(atoms), 3)) * atoms.pbc
    moved.positions += steps @ atoms.cell[:]
    found = apart(values_of(calculator, moved), values_of(calculator, atoms))
    return require("the choice of the periodic image matters", found, tolerance)


def check_rotation(
    calculator: BaseCalculator,
    atoms: Atoms,
    *,
    tolerance: Deviation = ROUNDING,
    turns: int = 1,
    seed: int = 0,
) -> Deviation:
    """Compare with atoms and cell rotated, the forces and the stress with them.

    Parameters
    ----------
    calculator : ase.calculators.calculator.BaseCalculator
        What is checked.
    atoms : ase.Atoms
        The structure.
    tolerance : Deviation
        How far values may be off.
    turns : int
        Number of random rotations.
    seed : int
        Seed of the rotations.

    Returns
    -------
    Deviation
        Of the values, forces and stress rotated back to the axes of the structure.

    Raises
    ------
    AssertionError
        If a deviation is above the tolerance.
    """
    before = values_of(calculator, atoms)
    found = []
    for turn in Rotation.random(turns, rng=np.random.default_rng(seed)).as_matrix():
        turned = atoms.copy()
        turned.set_cell(atoms.cell[:] @ turn.T)
        turned.positions = atoms.positions @ turn.T
        after = values_of(calculator, turned)
        stress = None if after.stress is None else turn.T @ after.stress @ turn
        found.append(apart(Values(after.energy, after.forces @ turn, stress), before))
    return require("the orientation matters", worst_of(found), tolerance)


def check_supercell(
    calculator: BaseCalculator, atoms: Atoms, *, tolerance: Deviation = ROUNDING, repeat: int = 2
) -> Deviation:
    """Compare with a supercell: the same energy per atom, forces and stress.

    Parameters
    ----------
    calculator : ase.calculators.calculator.BaseCalculator
        What is checked.
    atoms : ase.Atoms
        A structure that is periodic in at least one direction.
    tolerance : Deviation
        How far values may be off.
    repeat : int
        Number of cells along each periodic direction.

    Returns
    -------
    Deviation
        Of the values, forces compared image by image. Where a direction is open, the stress, which refers to
        the volume of the cell, is the same too.

    Raises
    ------
    AssertionError
        If a deviation is above the tolerance.
    """
    before = values_of(calculator, atoms)
    times = np.where(atoms.pbc, repeat, 1)
    after = values_of(calculator, atoms.repeat(times))
    n = int(times.prod())
    expected = Values(n * before.energy, np.tile(before.forces, (n, 1)), before.stress)
    return require("energy, forces or stress of a supercell differ", apart(after, expected), tolerance)
