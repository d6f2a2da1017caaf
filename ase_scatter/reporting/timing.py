"""Times of steps as in molecular dynamics, and of batches, by any ASE calculator.

Results come back to the host at every step: a device is done when the clock is stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from ..calculator import ScatteringCalculator
from ..compute.parallel import Progress, bar
from ..structures import neighbors, neighbors_cuda
from .samples import RATTLE

MOVE = 0.01
"""Å. Atoms move by about this at each step, as in MD: neighbour lists serve for tens of steps."""

LEAST_STEPS = 3
"""Least number of timed steps, however long they take."""

ROUNDS = 3
"""How often a batch is timed."""

BATCH_COLUMNS = ["batches", "atoms", "ms each, one by one", "together", "ratio"]
"""Headings of a table of batches."""


# ---- steps ----------------------------------------------------------------------------------------------


def step(atoms: Atoms, rng: np.random.Generator, move: float = MOVE) -> float:
    """Move all atoms, and time energy, forces and stress.

    Parameters
    ----------
    atoms : Atoms
        Atoms with a calculator. They stay moved.
    rng : numpy.random.Generator
        Source of the displacements.
    move : float
        Standard deviation of the displacements along each direction, Å.

    Returns
    -------
    float
        Seconds.
    """
    atoms.positions += rng.normal(scale=move, size=(len(atoms), 3))
    start = perf_counter()
    atoms.get_potential_energy()
    atoms.get_forces()
    atoms.get_stress()
    return perf_counter() - start


def lists_made() -> int:
    """Count the neighbour lists that this process has made so far, on the host and on devices.

    Returns
    -------
    int
        Their number.
    """
    return neighbors.CACHE.built + neighbors_cuda.CACHE.built


def forget_lists() -> None:
    """Let all neighbour lists go."""
    neighbors.CACHE.clear()
    neighbors_cuda.CACHE.clear()


@dataclass(frozen=True)
class Timing:
    """Times of steps.

    Parameters
    ----------
    n_atoms : int
        Atoms of the structure.
    first : float
        Seconds of the first step, which makes lists and tables.
    times : tuple of float
        Seconds of the later steps. The second step is left out.
    lists : int
        Neighbour lists that were made during `times`.
    """

    n_atoms: int
    first: float
    times: tuple[float, ...]
    lists: int

    @property
    def median(self) -> float:
        """Seconds per step."""
        return float(np.median(self.times))

    @property
    def atom_steps(self) -> float:
        """Atoms times steps per second."""
        return self.n_atoms / self.median

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain data.

        Returns
        -------
        dict
            What JSON can hold; the units are in the names.
        """
        return {
            "atoms": self.n_atoms,
            "ms_per_step": 1e3 * self.median,
            "fastest_ms": 1e3 * min(self.times),
            "slowest_ms": 1e3 * max(self.times),
            "first_ms": 1e3 * self.first,
            "atom_steps_per_s": self.atom_steps,
            "lists_made": self.lists,
            "times_s": list(self.times),
        }


def time_steps(atoms: Atoms, calculator: BaseCalculator, **how: Any) -> Timing:
    """Time the steps of one calculator.

    Parameters
    ----------
    atoms : Atoms
        The structure, which is copied.
    calculator : BaseCalculator
        Any ASE calculator.
    **how
        steps, seconds, progress and name, as in `time_in_turns`.

    Returns
    -------
    Timing
        The times.
    """
    return time_in_turns(atoms, {"": calculator}, **how)[""]


def time_in_turns(
    atoms: Atoms,
    calculators: Mapping[str, BaseCalculator],
    *,
    steps: int = 10,
    seconds: float = 60.0,
    progress: Progress = False,
    name: str = "steps",
) -> dict[str, Timing]:
    """Time energy, forces and stress of atoms that move, the same way with each calculator.

    The calculators take turns at every step, so that what disturbs the machine disturbs all of them.

    Parameters
    ----------
    atoms : Atoms
        The structure, which is copied.
    calculators : mapping of str to BaseCalculator
        Any ASE calculators by name.
    steps : int
        Steps that are timed, after two that warm up.
    seconds : float
        No further step begins after this time once there are `LEAST_STEPS`.
    progress : bool or callable
        Whether, or by which function, progress is shown.
    name : str
        What the work is called.

    Returns
    -------
    dict of str to Timing
        The times by the names of the calculators.
    """
    copies = {}
    for who, calculator in calculators.items():
        copies[who] = atoms.copy()
        copies[who].calc = calculator
    moves = {who: np.random.default_rng(1) for who in copies}
    times: dict[str, list[float]] = {who: [] for who in copies}
    lists = dict.fromkeys(copies, 0)
    start = perf_counter()
    for k in bar(range(steps + 2), progress, name, steps + 2):
        if k >= LEAST_STEPS + 2 and perf_counter() - start > seconds:
            break
        for who, copy in copies.items():
            before = lists_made()
            times[who].append(step(copy, moves[who]))
            lists[who] += lists_made() - before if k >= 2 else 0
    return {who: Timing(len(atoms), taken[0], tuple(taken[2:]), lists[who]) for who, taken in times.items()}


# ---- batches --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """Times of many structures together, and of one after the other.

    Parameters
    ----------
    n_structures : int
        Structures of the batch.
    n_atoms : int
        Atoms of each.
    together : tuple of float
        Seconds for all of them together, of each round.
    apart : tuple of float
        Seconds for all of them one after the other, of each round.
    """

    n_structures: int
    n_atoms: int
    together: tuple[float, ...]
    apart: tuple[float, ...]

    @property
    def together_ms(self) -> float:
        """Milliseconds per structure together, the median of the rounds."""
        return 1e3 * float(np.median(self.together)) / self.n_structures

    @property
    def apart_ms(self) -> float:
        """Milliseconds per structure one after the other, the median of the rounds."""
        return 1e3 * float(np.median(self.apart)) / self.n_structures

    @property
    def ratio(self) -> float:
        """How many times faster they are together."""
        return self.apart_ms / self.together_ms

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain data.

        Returns
        -------
        dict
            What JSON can hold; the units are in the names.
        """
        return {
            "structures": self.n_structures,
            "atoms_each": self.n_atoms,
            "together_ms": self.together_ms,
            "one_by_one_ms": self.apart_ms,
            "ratio": self.ratio,
            "together_s": list(self.together),
            "one_by_one_s": list(self.apart),
        }

    def cells(self) -> list[str]:
        """Format the times.

        Returns
        -------
        list of str
            Cells under the headings `BATCH_COLUMNS` after the first.
        """
        sizes = f"{self.n_structures} × {self.n_atoms}"
        return [sizes, f"{self.apart_ms:.4g}", f"{self.together_ms:.4g}", f"{self.ratio:.2f}"]


def time_batch(
    structure: Atoms,
    calculator: ScatteringCalculator,
    *,
    n: int = 100,
    rounds: int = ROUNDS,
    progress: Progress = False,
    name: str = "batches",
) -> Batch:
    """Time displaced copies of a structure by `evaluate_many` and one by one, in turns.

    Parameters
    ----------
    structure : Atoms
        The structure.
    calculator : ScatteringCalculator
        The calculator.
    n : int
        Number of copies.
    rounds : int
        How often both are timed, after one round that warms up.
    progress : bool or callable
        Whether, or by which function, progress is shown.
    name : str
        What the work is called.

    Returns
    -------
    Batch
        The times.
    """
    rng = np.random.default_rng(2)
    together, apart = [], []
    for _ in bar(range(rounds + 1), progress, name, rounds + 1):
        images = [structure.copy() for _ in range(n)]
        for atoms in images:
            atoms.positions += rng.normal(scale=RATTLE, size=(len(atoms), 3))
        forget_lists()
        start = perf_counter()
        calculator.evaluate_many(images)
        together.append(perf_counter() - start)
        forget_lists()  # neither way finds lists that the other has made
        start = perf_counter()
        for atoms in images:
            calculator.calculate(atoms)
        apart.append(perf_counter() - start)
    return Batch(n, len(structure), tuple(together[1:]), tuple(apart[1:]))
