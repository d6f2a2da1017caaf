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
    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64] | None  # (3, 3), where there is one


def values_of(calculator: BaseCalculator, atoms: Atoms) -> Values:
    twin = atoms.copy()
    twin.calc = calculator
    stress = from_voigt(twin.get_stress()) if has_stress(calculator, atoms) else None
    return Values(twin.get_potential_energy(), twin.get_forces(), stress)


def has_stress(calculator: BaseCalculator, atoms: Atoms) -> bool:
    return atoms.cell.rank == 3 and "stress" in calculator.implemented_properties


def energy_of(calculator: BaseCalculator, atoms: Atoms) -> float:
    twin = atoms.copy()
    twin.calc = calculator
    return float(twin.get_potential_energy())


def apart(one: Values, other: Values) -> Deviation:
    """Deviation of two structures with as many atoms."""
    stress = 0.0
    if one.stress is not None and other.stress is not None:
        stress = largest(one.stress - other.stress)
    return Deviation(
        abs(one.energy - other.energy) / len(one.forces), largest(one.forces - other.forces), stress
    )


def worst_of(found: Iterable[Deviation]) -> Deviation:
    """The largest value of each kind; NaN, if there is one."""
    return Deviation(*(float(np.max(values)) for values in zip(*found, strict=True)))


def largest(difference: NDArray[np.float64]) -> float:
    return float(np.abs(difference).max())


def require(what: str, found: Deviation, allowed: Deviation) -> Deviation:
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
    """Keep the grid of this cell, where the calculator has one, while the cell changes."""
    freeze = getattr(calculator, "freeze_grid", None)
    if freeze is None or calculator.parameters.get("grid_shape") is not None:
        yield
        return
    freeze(biggest)
    try:
        yield
    finally:
        freeze(None)
