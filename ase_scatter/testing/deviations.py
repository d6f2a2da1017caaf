"""Energies, forces and stress of a calculator, and how far two of them are apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from numpy.typing import NDArray

from ..units import from_voigt


class Deviation(NamedTuple):
    """Largest differences between values that should be equal, or how large they may be.

    Parameters
    ----------
    energy : float
        Energy per atom in eV.
    forces : float
        Component of a force in eV/Å.
    stress : float
        Component of the stress in eV/Å³.
    """

    energy: float = 0.0
    forces: float = 0.0
    stress: float = 0.0


BITS = Deviation()
"""Nothing may differ."""
ROUNDING = Deviation(1e-9, 1e-8, 1e-8)
"""Differences from the order of summation in double precision."""
DERIVATIVES = Deviation(forces=1e-5, stress=1e-6)
"""Differences between derivatives and finite differences."""


class Report(dict[str, Deviation]):
    """Deviations by the name of the check; as a string, a table."""

    def __str__(self) -> str:
        """Lay the deviations out as a table."""
        rows = [f"{'':<14}{'eV/atom':>10}{'eV/Å':>10}{'eV/Å³':>10}"]
        rows += [f"{name:<14}" + "".join(f"{x:>10.1e}" for x in found) for name, found in self.items()]
        return "\n".join(rows)


class Values(NamedTuple):
    """What a calculator gives for a structure.

    Parameters
    ----------
    energy : float
        Energy in eV.
    forces : ndarray of float, shape (n_atoms, 3)
        Forces in eV/Å.
    stress : ndarray of float, shape (3, 3), or None
        Stress in eV/Å³, where there is one.
    """

    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64] | None


def values_of(calculator: BaseCalculator, atoms: Atoms) -> Values:
    """Evaluate a copy of a structure.

    Parameters
    ----------
    calculator : ase.calculators.calculator.BaseCalculator
        What is asked.
    atoms : ase.Atoms
        The structure, which stays as it is.

    Returns
    -------
    Values
        Energy, forces and stress.
    """
    twin = atoms.copy()
    twin.calc = calculator
    stress = from_voigt(twin.get_stress()) if has_stress(calculator, atoms) else None
    return Values(twin.get_potential_energy(), twin.get_forces(), stress)


def has_stress(calculator: BaseCalculator, atoms: Atoms) -> bool:
    """Tell whether there is a stress: for a cell that spans space, if the calculator has it.

    Parameters
    ----------
    calculator : ase.calculators.calculator.BaseCalculator
        What is asked.
    atoms : ase.Atoms
        The structure, which stays as it is.

    Returns
    -------
    bool
        Whether to ask for it.
    """
    return atoms.cell.rank == 3 and "stress" in calculator.implemented_properties


def energy_of(calculator: BaseCalculator, atoms: Atoms) -> float:
    """Evaluate the energy of a copy of a structure.

    Parameters
    ----------
    calculator : ase.calculators.calculator.BaseCalculator
        What is asked.
    atoms : ase.Atoms
        The structure, which stays as it is.

    Returns
    -------
    float
        Energy in eV.
    """
    twin = atoms.copy()
    twin.calc = calculator
    return float(twin.get_potential_energy())


def apart(one: Values, other: Values) -> Deviation:
    """Compare two evaluations.

    Parameters
    ----------
    one, other : Values
        Of structures with the same number of atoms.

    Returns
    -------
    Deviation
        Largest differences; of the stress, where both have one.
    """
    stress = 0.0
    if one.stress is not None and other.stress is not None:
        stress = largest(one.stress - other.stress)
    return Deviation(
        abs(one.energy - other.energy) / len(one.forces), largest(one.forces - other.forces), stress
    )


def worst_of(found: Iterable[Deviation]) -> Deviation:
    """Take the largest deviation of each kind.

    Parameters
    ----------
    found : iterable of Deviation
        What was measured.

    Returns
    -------
    Deviation
        The largest values; NaN where there is one.
    """
    return Deviation(*(float(np.max(values)) for values in zip(*found, strict=True)))


def largest(difference: NDArray[np.float64]) -> float:
    """Take the largest component.

    Parameters
    ----------
    difference : ndarray of float
        Any shape.

    Returns
    -------
    float
        Its magnitude.
    """
    return float(np.abs(difference).max())


def require(what: str, found: Deviation, allowed: Deviation) -> Deviation:
    """Refuse deviations above a tolerance.

    Parameters
    ----------
    what : str
        What it means if one is too large.
    found : Deviation
        What was measured.
    allowed : Deviation
        The tolerance.

    Returns
    -------
    Deviation
        What was measured.

    Raises
    ------
    AssertionError
        If a value is above its tolerance, or NaN.
    """
    # Negated, so that NaN fails too.
    off = [
        f"{name} by {value:.2e} {unit} (allowed: {limit:.0e})"
        for name, unit, value, limit in zip(
            Deviation._fields, ("eV/atom", "eV/Å", "eV/Å³"), found, allowed, strict=True
        )
        if not value <= limit
    ]
    if off:
        raise AssertionError(f"{what}: off are {', '.join(off)}")
    return found


@contextmanager
def same_grid(calculator: BaseCalculator, biggest: Atoms) -> Iterator[None]:
    """Keep the grid, where a calculator has one, while the cell changes.

    Parameters
    ----------
    calculator : ase.calculators.calculator.BaseCalculator
        If it has a method `freeze_grid`, and no grid is frozen yet, that is called.
    biggest : ase.Atoms
        In the largest cell that will come.

    Yields
    ------
    None
        Inside, the grid is the same for all cells.
    """
    freeze = getattr(calculator, "freeze_grid", None)
    if freeze is None or calculator.parameters.get("grid_shape") is not None:
        yield
        return
    freeze(biggest)
    try:
        yield
    finally:
        freeze(None)
