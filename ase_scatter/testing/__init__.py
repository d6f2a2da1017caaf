"""Checks that any interatomic potential must pass, for models and ASE calculators of your own.

Each check measures how far values that should be equal are apart. It returns a `Deviation` and raises an
AssertionError with the numbers where one is larger than the tolerance::

    from ase_scatter.testing import check_calculator, example_structures

    for name, atoms in example_structures(["Si"]).items():
        print(name, check_calculator(calculator, atoms), sep="\\n")

A `Model` is checked as `ScatteringCalculator(model)`. No test framework is needed. Structures given to a
check are never changed.
"""

from __future__ import annotations

from .behaviour import check_batch, check_copies, check_determinism, check_input_unchanged
from .contract import check_calculator
from .derivatives import check_forces, check_stress
from .deviations import BITS, DERIVATIVES, ROUNDING, Deviation, Report
from .limits import CONTINUOUS, check_cutoff, check_isolated_atom, check_separation
from .structures import example_structures
from .symmetries import (
    check_lattice_shifts,
    check_permutation,
    check_rotation,
    check_supercell,
    check_translation,
)

__all__ = [
    "BITS",
    "CONTINUOUS",
    "DERIVATIVES",
    "ROUNDING",
    "Deviation",
    "Report",
    "check_batch",
    "check_calculator",
    "check_copies",
    "check_cutoff",
    "check_determinism",
    "check_forces",
    "check_input_unchanged",
    "check_isolated_atom",
    "check_lattice_shifts",
    "check_permutation",
    "check_rotation",
    "check_separation",
    "check_stress",
    "check_supercell",
    "check_translation",
    "example_structures",
]
