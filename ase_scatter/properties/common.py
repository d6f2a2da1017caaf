"""What the workflows share: results as data, private calculators, one way to minimise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.optimize import BFGS
from ase.optimize.optimize import Optimizer
from numpy.typing import NDArray

from ..compute.parallel import Progress, reporting
from ..errors import InputError
from ..model.committee import Members


class Result:
    """Base of the frozen dataclasses that the workflows return."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as what JSON can hold (null for what is not a finite number); the units are those of
        the class's docstring."""
        return {entry.name: _plain(getattr(self, entry.name)) for entry in fields(self)}  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, Atoms):
        return {
            "symbols": value.get_chemical_symbols(),
            "positions": value.positions.tolist(),
            "cell": value.cell[:].tolist(),
            "pbc": value.pbc.tolist(),
        }
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    return value


def evaluate_together(structures: Sequence[Atoms], calculator: BaseCalculator) -> None:
    """Give each structure its results, in a calculator of its own that holds nothing else.

    A calculator with a method `evaluate_many` gets them all in one call, any other one by one.
    """
    many = getattr(calculator, "evaluate_many", None)
    if many is not None:
        for atoms, results in zip(structures, many(structures), strict=True):
            atoms.calc = SinglePointCalculator(atoms, **results)
        return
    kinds = [kind for kind in ("energy", "forces", "stress") if kind in calculator.implemented_properties]
    for atoms in structures:
        known = [kind for kind in kinds if kind != "stress" or atoms.cell.rank == 3]
        results = {kind: calculator.get_property(kind, atoms) for kind in known}
        atoms.calc = SinglePointCalculator(atoms, **results)


@dataclass(frozen=True)
class Responses:
    """What a calculator, and after it each member of its committee, gives for structures of one kind.

    energy: (models, structures) eV. forces: (models, structures, 3N) eV/Å and stress: (models,
    structures, 6) eV/Å³, without any structures unless asked for. factors: as in `Members`; none without
    a committee.
    """

    energy: NDArray[np.float64]
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]
    factors: Mapping[str, float]

    def band(self, values: NDArray[np.float64], kind: str) -> NDArray[np.float64] | None:
        """Half-widths of 90 % bands of what follows from the models' values (models, …) of that kind."""
        return band(values[1:], self.factors.get(kind, np.nan)) if len(values) > 1 else None


def responses(
    structures: Sequence[Atoms],
    calculator: BaseCalculator,
    *,
    derivatives: bool = True,
    progress: Progress = False,
    name: str = "structures",
) -> Responses:
    """Evaluate structures with the same atoms in one batch, and by the committee if there is one.

    derivatives: whether forces and stress are needed.
    """
    evaluate_together(structures, calculator)
    rows: list[list[NDArray[np.float64]]] = []
    factors: Mapping[str, float] = {}
    with reporting(progress, name, len(structures)) as tick:
        for atoms in structures:
            row = [np.array([atoms.get_potential_energy()])]
            if derivatives:
                row += [atoms.get_forces(apply_constraint=False).reshape(1, -1), atoms.get_stress()[None]]
            members = members_of(calculator, atoms)
            if members is not None:
                stress = np.empty((0, 6)) if members.stress is None else members.stress
                more = (members.energy, members.forces.reshape(len(members), -1), stress)
                row = [np.concatenate(pair) for pair in zip(row, more, strict=False)]
                factors = members.factors
            rows.append(row)
            tick()
    stacked = [np.stack(values, axis=1) for values in zip(*rows, strict=True)]
    nothing = np.empty((len(stacked[0]), 0, 0))
    energy, forces, stress = stacked if derivatives else (stacked[0], nothing, nothing)
    return Responses(energy, forces, stress, factors)


def members_of(calculator: BaseCalculator, atoms: Atoms) -> Members | None:
    """What the members of the calculator's committee give for these atoms; None if it has no committee."""
    ask = getattr(calculator, "get_members", None)
    found: Members | None = None if ask is None else ask(atoms)
    return found


def band(values: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Half-width of the 90 % band of what members (first axis of values) say; factor as in `Members`."""
    return np.asarray(factor * values.std(axis=0, ddof=1))


def frozen_calculator(calculator: BaseCalculator, atoms: Atoms) -> BaseCalculator:
    """The calculator to be used while the cell of these atoms is strained.

    Calculators on a grid (those with a method `freeze_grid`) are copied, and the copy keeps the
    grid of these atoms, since the energy would jump where the number of grid points changes. Any
    other calculator is returned as it is.
    """
    if not hasattr(calculator, "freeze_grid"):
        return calculator
    frozen = deepcopy(calculator)
    frozen.freeze_grid(atoms)
    return frozen


def with_calculator(atoms: Atoms, calculator: BaseCalculator) -> Atoms:
    """A copy of the atoms with this calculator, so that the caller's atoms stay as they are."""
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
    """Run one of ASE's optimizers on atoms, a cell filter or a band: (converged, steps taken).

    fmax: largest force that remains, eV/Å. Raises InputError once an energy is not finite.
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
    """Raise InputError unless the atoms are periodic in three dimensions."""
    if not (atoms.pbc.all() and atoms.cell.rank == 3):
        raise InputError("this property needs a crystal: a cell, periodic in three directions")


def largest_force(atoms: Atoms) -> float:
    """Length of the largest force on an atom, constraints applied, in eV/Å."""
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max(initial=0.0))
