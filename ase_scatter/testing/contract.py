"""All checks that apply to a calculator and a structure, in one go."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from .behaviour import check_batch, check_copies, check_determinism, check_input_unchanged
from .derivatives import check_forces, check_stress
from .deviations import Deviation, Report, has_stress
from .limits import check_cutoff, check_isolated_atom, check_separation
from .symmetries import (
    check_lattice_shifts,
    check_permutation,
    check_rotation,
    check_supercell,
    check_translation,
)


def check_calculator(
    calculator: BaseCalculator,
    atoms: Atoms,
    *,
    cutoff: float | None = None,
    tolerances: Mapping[str, Deviation] | None = None,
    skip: Collection[str] = (),
) -> Report:
    """Run every check that applies to a structure.

    Parameters
    ----------
    calculator : ase.calculators.calculator.BaseCalculator
        What is checked.
    atoms : ase.Atoms
        The structure. "stress" is checked where there is one, "lattice shifts" and "supercell" where a
        direction is periodic, "separation" and "cutoff" where none is.
    cutoff : float, optional
        Range of the interactions in Å. By default that of a ScatteringCalculator's model; without any,
        "cutoff" is not checked.
    tolerances : mapping of str to Deviation, optional
        By the name of the check, instead of its own.
    skip : collection of str
        Names of checks to leave out.

    Returns
    -------
    Report
        What each check measured. As a string it is a table.

    Raises
    ------
    AssertionError
        If any check fails. All are run before, and the message names every one that failed.
    ValueError
        If `tolerances` or `skip` name a check that there is not.
    """
    periodic = bool(atoms.pbc.any())
    if cutoff is None and (model := getattr(calculator, "model", None)) is not None:
        cutoff = float(model.transform.cutoff) or None
    many = [atoms, atoms[: max(1, len(atoms) - 1)], atoms]
    checks: dict[str, tuple[bool, Callable[..., Deviation], tuple[object, ...]]] = {
        "forces": (True, check_forces, (atoms,)),
        "stress": (has_stress(calculator, atoms), check_stress, (atoms,)),
        "permutation": (True, check_permutation, (atoms,)),
        "translation": (True, check_translation, (atoms,)),
        "lattice shifts": (periodic, check_lattice_shifts, (atoms,)),
        "rotation": (True, check_rotation, (atoms,)),
        "supercell": (periodic, check_supercell, (atoms,)),
        "isolated atom": (True, check_isolated_atom, (sorted(set(atoms.symbols)),)),
        "separation": (not periodic, check_separation, (atoms,)),
        "cutoff": (not periodic and len(atoms) > 1 and cutoff is not None, check_cutoff, (atoms, cutoff)),
        "input": (True, check_input_unchanged, (atoms,)),
        "determinism": (True, check_determinism, (atoms,)),
        "copies": (True, check_copies, (atoms,)),
        "batch": (hasattr(calculator, "evaluate_many"), check_batch, (many,)),
    }
    tolerances = tolerances or {}
    if unknown := (set(tolerances) | set(skip)) - set(checks):
        raise ValueError(f"there is no check {', '.join(sorted(unknown))}; there are {', '.join(checks)}")
    report, failed = Report(), []
    for name, (applies, check, given) in checks.items():
        if not applies or name in skip:
            continue
        how = {"tolerance": tolerances[name]} if name in tolerances else {}
        try:
            report[name] = check(calculator, *given, **how)
        except Exception as error:  # whatever a calculator raises, it has failed
            report[name] = Deviation(np.nan, np.nan, np.nan)
            kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            failed.append(f"{name}: {kind}{error}")
    if failed:
        raise AssertionError("\n".join([*failed, str(report)]))
    return report
