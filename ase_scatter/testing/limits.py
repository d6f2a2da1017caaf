"""Atoms far from each other: alone, apart, and on their way over the cutoff."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from numpy.typing import NDArray

from .deviations import ROUNDING, Deviation, Values, apart, largest, require, values_of, worst_of

CONTINUOUS = Deviation(1e-7, 1e-6)
"""Jumps of energies and forces that do no harm."""


def check_isolated_atom(
    calculator: BaseCalculator,
    elements: Collection[str],
    *,
    energies: Mapping[str, float] | None = None,
    tolerance: Deviation = ROUNDING,
) -> Deviation:
    """Compare atoms alone with what is known: no force, and the free atom's energy.

    Parameters
    ----------
    calculator : ase.calculators.calculator.BaseCalculator
        What is checked.
    elements : collection of str
        Chemical symbols.
    energies : mapping of str to float, optional
        Energies of the free atoms in eV, as far as they are known.
    tolerance : Deviation
        How far values may be off.

    Returns
    -------
    Deviation
        Of the known energies, and of the forces from zero.

    Raises
    ------
    AssertionError
        If a deviation is above the tolerance.
    """
    worst = Deviation()
    for element in elements:
        alone = values_of(calculator, Atoms(element, positions=[[0.3, 0.2, 0.1]]))
        known = (energies or {}).get(element, alone.energy)
        worst = worst_of([worst, Deviation(abs(alone.energy - known), largest(alone.forces))])
    return require("an atom alone", worst, tolerance)


def check_separation(
    calculator: BaseCalculator, atoms: Atoms, *, distance: float = 50.0, tolerance: Deviation = ROUNDING
) -> Deviation:
    """Compare two copies of a molecule far from each other with one.

    Parameters
    ----------
    calculator : ase.calculators.calculator.BaseCalculator
        What is checked, without interactions of long range.
    atoms : ase.Atoms
        A structure that is periodic nowhere.
    distance : float
        Length in Å of the vector between the copies.
    tolerance : Deviation
        How far values may be off.

    Returns
    -------
    Deviation
        Of the energy per atom and of the forces on both.

    Raises
    ------
    AssertionError
        If a deviation is above the tolerance.
    """
    one = values_of(calculator, atoms)
    far = atoms.copy()
    far.positions += distance * np.array([2.0, 1.0, 2.0]) / 3.0
    both = values_of(calculator, atoms + far)
    expected = Values(2 * one.energy, np.tile(one.forces, (2, 1)), None)
    return require("atoms that are far apart interact", apart(both, expected), tolerance)


def check_cutoff(
    calculator: BaseCalculator,
    atoms: Atoms,
    cutoff: float,
    *,
    width: float = 0.5,
    steps: int = 40,
    tolerance: Deviation = CONTINUOUS,
) -> Deviation:
    """Look for jumps of energy and forces while an atom crosses the cutoff of another.

    The last atom moves away from the first one, over the cutoff. Where energies or forces are least smooth
    the steps are made smaller again and again, so that a jump is found anywhere in the range.

    Parameters
    ----------
    calculator : ase.calculators.calculator.BaseCalculator
        What is checked.
    atoms : ase.Atoms
        At least two atoms, periodic nowhere. The others see how the last one leaves.
    cutoff : float
        Distance in Å over which it leaves.
    width : float
        How far in Å from the cutoff it starts and ends.
    steps : int
        Number of steps in the whole range.
    tolerance : Deviation
        How large a jump may be. The search ends where a larger one is out of the question.

    Returns
    -------
    Deviation
        The largest jump, or what every jump is below.

    Raises
    ------
    AssertionError
        If a jump is above the tolerance.
    """
    start, away = atoms.positions[0], atoms.positions[-1] - atoms.positions[0]
    away /= np.linalg.norm(away)

    def at(distance: float) -> Values:
        moved = atoms.copy()
        moved.positions[-1] = start + distance * away
        return values_of(calculator, moved)

    def energy(distance: float) -> NDArray[np.float64]:
        return np.array([at(distance).energy / len(atoms)])

    def forces(distance: float) -> NDArray[np.float64]:
        return at(distance).forces

    ends = cutoff - width, cutoff + width
    jumps = Deviation(
        _largest_jump(energy, *ends, steps, tolerance.energy),
        _largest_jump(forces, *ends, steps, tolerance.forces),
    )
    return require(f"there is a jump within {width} Å of {cutoff} Å", jumps, tolerance)


def _largest_jump(
    function: Callable[[float], NDArray[np.float64]], low: float, high: float, steps: int, allowed: float
) -> float:
    """The largest jump of an array, or what it is below if that is less than `allowed`.

    Where a function is smooth its fourth difference falls with the fourth power of the step, at a kink with
    the step; a jump stays: three times itself, in the middle of the five points. The four windows where it is
    largest are looked at again with smaller steps.
    """
    windows = [(low, high)]
    while True:
        found = []
        for window in windows:
            places = np.linspace(*window, steps + 1)
            bends = np.abs(np.diff([function(place) for place in places], 4, axis=0))
            sizes = bends.reshape(steps - 3, -1).max(axis=1) / 3.0
            for k in sorted(range(len(sizes)), key=lambda k: -sizes[k])[:12]:
                found.append((float(sizes[k]), places[k], places[k + 4]))
        found.sort(reverse=True)
        largest_jump, first, last = found[0]
        if not largest_jump > allowed or last - first < 1e-8:
            return largest_jump
        windows = []
        for _, first, last in found:
            if all(last <= other_first or first >= other_last for other_first, other_last in windows):
                windows.append((first, last))
        windows, steps = windows[:4], 16
