"""What a calculator must not do: change its input, keep state, depend on how it is called."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from typing import Any

from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from ..units import from_voigt
from .deviations import BITS, ROUNDING, Deviation, Values, apart, has_stress, require, values_of, worst_of


def check_input_unchanged(
    calculator: BaseCalculator, atoms: Atoms, *, tolerance: Deviation = BITS
) -> Deviation:
    """Check that atoms stay as they are, and that changing results changes nothing.

    Parameters
    ----------
    calculator : ase.calculators.calculator.BaseCalculator
        What is checked.
    atoms : ase.Atoms
        The structure.
    tolerance : Deviation
        How far later values may be off.

    Returns
    -------
    Deviation
        Of values asked for again after arrays of results were overwritten.

    Raises
    ------
    AssertionError
        If the atoms have changed, or a deviation is above the tolerance.
    """
    twin = atoms.copy()
    twin.calc = calculator
    twin.get_potential_energy()
    given = [twin.get_forces()]
    if has_stress(calculator, atoms):
        given.append(twin.get_stress())
    assert twin == atoms, "the calculator has changed the atoms that it was given"
    before = values_of(calculator, atoms)
    for array in given:
        array[:] = 7.0
    after = values_of(calculator, atoms)
    return require("changed results are given out again", apart(after, before), tolerance)


def check_determinism(calculator: BaseCalculator, atoms: Atoms, *, tolerance: Deviation = BITS) -> Deviation:
    """Compare two evaluations of the same atoms, with one of other atoms between them.

    Parameters
    ----------
    calculator : ase.calculators.calculator.BaseCalculator
        What is checked.
    atoms : ase.Atoms
        The structure.
    tolerance : Deviation
        How far values may be off: nothing at all by default.

    Returns
    -------
    Deviation
        Of the second evaluation.

    Raises
    ------
    AssertionError
        If a deviation is above the tolerance.
    """
    first = values_of(calculator, atoms)
    other = atoms.copy()
    other.rattle(0.05, seed=3)
    other.set_cell(1.01 * other.cell[:])
    values_of(calculator, other)
    again = values_of(calculator, atoms)
    return require("a second evaluation differs", apart(again, first), tolerance)


def check_copies(calculator: BaseCalculator, atoms: Atoms, *, tolerance: Deviation = BITS) -> Deviation:
    """Compare with copies of the calculator, made by `pickle` and by `copy.deepcopy`.

    Parameters
    ----------
    calculator : ase.calculators.calculator.BaseCalculator
        What is checked.
    atoms : ase.Atoms
        The structure.
    tolerance : Deviation
        How far values may be off.

    Returns
    -------
    Deviation
        Of the copies, which have nothing to do but to evaluate the atoms anew.

    Raises
    ------
    AssertionError
        If a deviation is above the tolerance.
    """
    before = values_of(calculator, atoms)
    other = atoms.copy()
    other.rattle(0.05, seed=4)
    found = []
    for twin in (pickle.loads(pickle.dumps(calculator)), copy.deepcopy(calculator)):
        values_of(twin, other)  # so that it forgets what it was copied with
        found += [apart(values_of(twin, atoms), before), apart(values_of(calculator, atoms), before)]
    return require("a copy of the calculator differs", worst_of(found), tolerance)


def check_batch(
    calculator: Any, structures: Sequence[Atoms], *, tolerance: Deviation = ROUNDING
) -> Deviation:
    """Compare many structures together with each alone.

    Parameters
    ----------
    calculator : ase.calculators.calculator.BaseCalculator
        What is checked. Its method `evaluate_many(structures)` returns a dict of results for each of them.
    structures : sequence of ase.Atoms
        Structures of any sizes.
    tolerance : Deviation
        How far values may be off.

    Returns
    -------
    Deviation
        The largest of all structures.

    Raises
    ------
    AssertionError
        If a deviation is above the tolerance.
    """
    off = []
    found = calculator.evaluate_many([atoms.copy() for atoms in structures])
    assert len(found) == len(structures), f"{len(found)} results for {len(structures)} structures"
    for atoms, results in zip(structures, found, strict=True):
        alone = values_of(calculator, atoms)
        stress = from_voigt(results["stress"]) if "stress" in results else None
        assert (stress is None) == (alone.stress is None), "stress is there only alone, or only in a batch"
        together = Values(results["energy"], results["forces"], stress)
        off.append(apart(together, alone))
    return require("structures together differ from structures alone", worst_of(off), tolerance)
