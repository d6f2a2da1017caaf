"""The reference: any calculator of ASE, asked for one structure at a time or for several at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, PropertyNotImplementedError
from numpy.typing import NDArray

from ..errors import InputError
from ..structures.dataset import LARGEST_LABEL, Frame
from ..structures.system import System

Source: TypeAlias = BaseCalculator | Callable[[], BaseCalculator]
"""A calculator, or a function without arguments that makes one."""

MOST_FAILURES = 3
"""One after the other; then there is no use in going on."""


@dataclass(frozen=True, eq=False)
class Labels:
    """What the reference gives for a structure.

    Parameters
    ----------
    energy : float
        eV.
    forces : ndarray, shape (N, 3)
        eV/Å.
    stress : ndarray, shape (6,), or None
        eV/Å³.
    """

    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64] | None


class Reference:
    """A calculator whose results count as true.

    Parameters
    ----------
    source : calculator, or callable without arguments
        A calculator of ASE with energies and forces, or what makes one. An executor of processes needs one
        that can be pickled; an executor of threads needs a callable, which each thread calls once.
    name : str, optional
        What it is called in a store; by default the calculator's class and parameters.
    executor : concurrent.futures.Executor, optional
        Where several structures are computed at once.

    Raises
    ------
    InputError
        If it is no calculator, or has no forces.
    """

    def __init__(self, source: Source, name: str | None = None, executor: Executor | None = None) -> None:
        self._source = source
        self._made: BaseCalculator | None = None
        self._executor = executor
        self._name = name
        self.failures = 0
        implemented = getattr(self.calculator, "implemented_properties", None)
        if implemented is None:
            raise InputError(
                f"the reference is a {type(self.calculator).__name__}, but must be a calculator of ASE, or a "
                "function that makes one"
            )
        missing = [name for name in ("energy", "forces") if name not in implemented]
        if missing:
            raise InputError(
                f"the reference {type(self.calculator).__name__} has no {' and no '.join(missing)}; learning "
                "needs both"
            )

    @property
    def calculator(self) -> BaseCalculator:
        """The calculator of this process."""
        if self._made is None:
            self._made = _calculator(self._source)
        return self._made

    @property
    def has_stress(self) -> bool:
        """Whether it computes stresses."""
        return "stress" in self.calculator.implemented_properties

    @property
    def parallel(self) -> bool:
        """Whether several structures are computed at once."""
        return self._executor is not None

    def identity(self) -> dict[str, Any]:
        """What tells it from other references.

        Returns
        -------
        dict
            Name, class and parameters.
        """
        if self._name is not None:
            return {"name": self._name}
        calculator = self.calculator
        parameters = dict(getattr(calculator, "parameters", None) or {})
        kind = type(calculator)
        return {
            "class": f"{kind.__module__}.{kind.__qualname__}",
            "parameters": json.loads(json.dumps(parameters, default=repr, sort_keys=True)),
        }

    def compute(self, structures: Sequence[Atoms]) -> Iterator[tuple[int, Labels | str]]:
        """Compute structures, each result as soon as it is there.

        Parameters
        ----------
        structures : sequence of Atoms
            The structures.

        Yields
        ------
        number : int
            Which structure.
        labels : Labels or str
            What it gives, or why it failed.
        """
        if self._executor is None or len(structures) == 1:
            for number, atoms in enumerate(structures):
                yield number, labelled(self.calculator, atoms)
            return
        pending = {
            self._executor.submit(labelled, self._source, atoms): number
            for number, atoms in enumerate(structures)
        }
        for future in as_completed(pending):
            try:
                yield pending[future], future.result()
            except Exception as error:  # a worker that died
                yield pending[future], _reason(error)


def labelled(source: Source, atoms: Atoms) -> Labels | str:
    """Compute one structure.

    Parameters
    ----------
    source : calculator, or callable without arguments
        The reference.
    atoms : Atoms
        The structure; it stays as it is.

    Returns
    -------
    Labels or str
        What it gives, or why it failed.
    """
    atoms = atoms.copy()
    atoms.set_constraint()
    try:
        calculator = _calculator(source)
        energy = float(calculator.get_property("energy", atoms))
        forces = np.array(calculator.get_property("forces", atoms), dtype=np.float64)
        stress = None
        if "stress" in calculator.implemented_properties and atoms.pbc.all() and atoms.cell.rank == 3:
            try:
                stress = np.array(calculator.get_property("stress", atoms), dtype=np.float64)
            except PropertyNotImplementedError:
                stress = None
    except Exception as error:  # whatever a reference raises: the run goes on without it
        return _reason(error)
    finite = [np.isfinite(values).all() for values in (energy, forces, stress) if values is not None]
    if not all(finite) or max(abs(energy), np.abs(forces).max()) > LARGEST_LABEL:
        return "the results are not finite"
    if forces.shape != (len(atoms), 3) or (stress is not None and stress.shape != (6,)):
        return f"the forces are shaped {forces.shape}, for {len(atoms)} atoms"
    return Labels(energy, forces, stress)


def frame_of(system: System, labels: Labels, purpose: str) -> Frame:
    """A structure with its labels.

    Parameters
    ----------
    system : System
        The structure.
    labels : Labels
        What the reference gave.
    purpose : str
        What it was computed for.

    Returns
    -------
    Frame
    """
    return Frame(system, labels.energy, labels.forces, labels.stress, purpose)


def _calculator(source: Source) -> Any:
    """The calculator itself, or what the function makes."""
    made = hasattr(source, "get_property") and not isinstance(source, type)
    return source if made or not callable(source) else source()


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip()
