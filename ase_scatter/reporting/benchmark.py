"""How fast a model is: time per step as in molecular dynamics, structures in a batch, and float32's errors.

Everything goes through the ASE calculator, so that what is measured is what a user gets. Results come back
to the host at every step: a device is done when the clock is stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import BaseCalculator

from ..calculator import ScatteringCalculator
from ..compute.backend import require_device, require_dtype
from ..compute.parallel import bar
from ..errors import DeviceError, InputError
from ..model.model import Model
from ..structures import neighbors
from ..structures import neighbors_cuda as pairs
from .machine import forget_peak, free_memory, machine, peak_memory

T = TypeVar("T")

RATTLE = 0.1
"""Å. Atoms are disturbed by so much before anything is measured."""

MOVE = 0.01
"""Å. So much atoms move at each step, about as in MD: neighbour lists serve for tens of steps."""

CELL = 64
"""Atoms of the cells of a batch, and of the cell that forces are compared on."""

LEAST_STEPS = 3
"""So many steps are timed at least, however long they take."""

ROUNDS = 3
"""A batch is timed so often."""


# ---- structures -----------------------------------------------------------------------------------------


def crystal(model: Model) -> Atoms:
    """The conventional cell of the model's first element, with the lattice parameter of its reference
    values, or else ASE's."""
    element = model.elements[0]
    known = model.metadata.get("reference", {}).get("properties", {})
    for cubic in (True, False):
        try:
            found: Atoms = bulk(element, a=known.get("a"), cubic=cubic)
            return found
        except (ValueError, RuntimeError, KeyError, NotImplementedError):
            continue
    raise InputError(f"ASE knows no crystal of {element}; give a structure")


def repeated(unit: Atoms, n_atoms: int) -> Atoms:
    """A supercell with about so many atoms and edges that are about equal."""
    lengths = np.where(unit.pbc, unit.cell.lengths(), np.inf)
    repeats = np.ones(3, dtype=int)
    smaller = repeats
    while len(unit) * repeats.prod() < n_atoms and unit.pbc.any():
        smaller = repeats.copy()
        repeats[np.argmin(lengths * repeats)] += 1
    ratio = n_atoms / (len(unit) * smaller.prod()), len(unit) * repeats.prod() / n_atoms
    chosen: Atoms = unit.repeat(smaller if ratio[0] < ratio[1] else repeats)
    return chosen


def disturbed(model: Model, n_atoms: int, structure: Atoms | None = None, seed: int = 0) -> Atoms:
    """About n_atoms atoms that are not at rest, the same for the same seed.

    structure: what is repeated; None for the model's own crystal, on which several elements are
    dealt out at random.
    """
    atoms = repeated(crystal(model) if structure is None else structure, n_atoms)
    rng = np.random.default_rng(seed)
    if structure is None and len(model.elements) > 1:
        atoms.symbols = rng.permutation(np.resize(model.elements, len(atoms)))
    atoms.positions += rng.normal(scale=RATTLE, size=(len(atoms), 3))
    return atoms


# ---- time -----------------------------------------------------------------------------------------------


def step(atoms: Atoms, rng: np.random.Generator, move: float = MOVE) -> float:
    """Seconds for energy, forces and stress after every atom has moved (by `move` Å and direction)."""
    atoms.positions += rng.normal(scale=move, size=(len(atoms), 3))
    start = perf_counter()
    atoms.get_potential_energy()
    atoms.get_forces()
    atoms.get_stress()
    return perf_counter() - start


def lists_made() -> int:
    """Neighbour lists that this process has made so far, on the host and on devices."""
    return neighbors.CACHE.built + pairs.CACHE.built


def forget_lists() -> None:
    """Let all neighbour lists go."""
    neighbors.CACHE.clear()
    pairs.CACHE.clear()


@dataclass(frozen=True)
class Timing:
    """Times of steps.

    n_atoms: of the structure. first: s, of the first step, which makes lists and tables. times: s, of the
    later steps but for the second, which is left out. lists: neighbour lists that were made during these.
    """

    n_atoms: int
    first: float
    times: tuple[float, ...]
    lists: int

    @property
    def median(self) -> float:
        """s per step."""
        return float(np.median(self.times))

    @property
    def atom_steps(self) -> float:
        """Atoms times steps per second."""
        return self.n_atoms / self.median

    def to_dict(self) -> dict[str, Any]:
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
    """`time_in_turns` for one calculator."""
    return time_in_turns(atoms, {"": calculator}, **how)[""]


def time_in_turns(
    atoms: Atoms,
    calculators: Mapping[str, BaseCalculator],
    *,
    steps: int = 10,
    seconds: float = 60.0,
    progress: str = "",
) -> dict[str, Timing]:
    """Time energy, forces and stress of atoms that move, the same way with each of any ASE calculators.

    They take turns at every step, so that what disturbs the machine disturbs all. seconds: after so long no
    further step begins, once there are LEAST_STEPS. progress: what to call the bar, if there is to be one.
    The atoms are copied.
    """
    copies = {}
    for name, calculator in calculators.items():
        copies[name] = atoms.copy()
        copies[name].calc = calculator
    moves = {name: np.random.default_rng(1) for name in copies}
    times: dict[str, list[float]] = {name: [] for name in copies}
    lists = dict.fromkeys(copies, 0)
    start = perf_counter()
    for k in bar(range(steps + 2), bool(progress), progress, steps + 2):
        if k >= LEAST_STEPS + 2 and perf_counter() - start > seconds:
            break
        for name, copy in copies.items():
            before = lists_made()
            times[name].append(step(copy, moves[name]))
            lists[name] += lists_made() - before if k >= 2 else 0
    return {
        name: Timing(len(atoms), taken[0], tuple(taken[2:]), lists[name]) for name, taken in times.items()
    }


@dataclass(frozen=True)
class Batch:
    """Many structures together, against one after the other; s for all of them, of each round."""

    n_structures: int
    n_atoms: int
    together: tuple[float, ...]
    apart: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """How many times faster they are together."""
        return float(np.median(self.apart) / np.median(self.together))

    def to_dict(self) -> dict[str, Any]:
        return {
            "structures": self.n_structures,
            "atoms_each": self.n_atoms,
            "together_ms": 1e3 * float(np.median(self.together)) / self.n_structures,
            "one_by_one_ms": 1e3 * float(np.median(self.apart)) / self.n_structures,
            "ratio": self.ratio,
            "together_s": list(self.together),
            "one_by_one_s": list(self.apart),
        }


def time_batch(
    structure: Atoms,
    calculator: ScatteringCalculator,
    *,
    n: int = 100,
    rounds: int = ROUNDS,
    progress: str = "",
) -> Batch:
    """Time n displaced copies of a structure by `evaluate_many` and one by one, in turns.

    One round more goes before, which is left out.
    """
    rng = np.random.default_rng(2)
    together, apart = [], []
    for _ in bar(range(rounds + 1), bool(progress), progress, rounds + 1):
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


# ---- differences ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """Largest differences: energy in eV/atom, force component in eV/Å, stress component in eV/Å³.

    force_scale: eV/Å, the largest force component that there is.
    """

    energy: float
    force: float
    stress: float
    force_scale: float

    def to_dict(self) -> dict[str, float]:
        return {
            "energy_eV_per_atom": self.energy,
            "force_eV_per_A": self.force,
            "stress_eV_per_A3": self.stress,
            "largest_force_eV_per_A": self.force_scale,
        }


def difference(atoms: Atoms, one: BaseCalculator, other: BaseCalculator) -> Difference:
    """How far two calculators are apart on a structure."""
    values = []
    for calculator in (one, other):
        copy = atoms.copy()
        copy.calc = calculator
        values.append((copy.get_potential_energy(), copy.get_forces(), copy.get_stress()))
    (e, f, s), (e_other, f_other, s_other) = values
    return Difference(
        energy=abs(e - e_other) / len(atoms),
        force=float(np.abs(f - f_other).max()),
        stress=float(np.abs(s - s_other).max()),
        force_scale=float(np.abs(f).max()),
    )


# ---- machine and memory ---------------------------------------------------------------------------------


# ---- all of it ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One size with one device and dtype.

    timing: None if it could not be measured. memory: bytes, the most that was held on the device, or by
    the whole process on a CPU. grown: bytes, by how much a CPU's process grew. problem: why there is no
    timing.
    """

    device: str
    dtype: str
    n_atoms: int
    timing: Timing | None
    memory: float = 0.0
    grown: float = 0.0
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        about = {"device": self.device, "dtype": self.dtype, "atoms": self.n_atoms}
        if self.timing is None:
            return about | {"problem": self.problem}
        return about | self.timing.to_dict() | {"memory_bytes": self.memory}


@dataclass(frozen=True)
class Benchmark:
    """What was measured. batches, differences: by (device, dtype); a text where that was not possible."""

    model: str
    hash: str
    machine: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    batches: dict[tuple[str, str], Batch | str] = field(default_factory=dict)
    differences: dict[tuple[str, str], Difference | str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""

        def listed(entries: dict[tuple[str, str], Any]) -> list[dict[str, Any]]:
            return [
                {"device": device, "dtype": dtype}
                | ({"problem": found} if isinstance(found, str) else found.to_dict())
                for (device, dtype), found in entries.items()
            ]

        return {
            "model": self.model,
            "hash": self.hash,
            "machine": self.machine,
            "steps": [row.to_dict() for row in self.rows],
            "batches": listed(self.batches),
            "differences_to_cpu_float64": listed(self.differences),
        }


def benchmark(
    model: Model,
    *,
    sizes: Sequence[int] = (64, 1000, 8000),
    devices: Sequence[str] = ("cpu",),
    dtypes: Sequence[str] = ("float64",),
    structure: Atoms | None = None,
    steps: int = 10,
    seconds: float = 60.0,
    batch: int = 100,
    progress: bool = False,
) -> Benchmark:
    """Measure a model over sizes, devices and dtypes.

    sizes: about so many atoms each. structure: what is repeated (default: see `disturbed`). steps: timed
    steps of each size. seconds: after so long a size's next step does not begin. batch: structures of the
    batches, 0 for none. What does not fit into memory becomes a row that says so. Raises DeviceError for
    a device that is not there, InputError for a structure that the model cannot compute or without a cell.
    """
    for device in devices:
        require_device(device)
    for dtype in dtypes:
        require_dtype(dtype)
    cell = disturbed(model, CELL, structure)
    reference = ScatteringCalculator(model)
    reference.calculate(cell)  # refuses what the model cannot compute, before anything is measured
    if "stress" not in reference.results:
        raise InputError("the structure has no stress, which is measured too; give it three cell vectors")
    found = Benchmark(model.name, model.hash, machine(devices))
    for device in devices:
        for dtype in dtypes:
            key, label = (device, dtype), f"{device} {dtype}" if progress else ""
            calculator = ScatteringCalculator(model, device=device, dtype=dtype)
            if key != ("cpu", "float64"):
                # Before anything is timed: this compiles as well.
                found.differences[key] = _or_problem(difference, cell, reference, calculator)
            last: Row | None = None
            for size in sorted(set(sizes)):
                atoms = disturbed(model, size, structure)
                if last is None or len(atoms) > last.n_atoms:
                    last = _row(atoms, calculator, last, steps=steps, seconds=seconds, progress=label)
                    found.rows.append(last)
            if batch:
                name = label and f"{label}, batches"
                found.batches[key] = _or_problem(time_batch, cell, calculator, n=batch, progress=name)
    return found


def _row(atoms: Atoms, calculator: ScatteringCalculator, last: Row | None, **how: Any) -> Row:
    """`time_steps` with the memory that it takes. last: the row of the size before."""
    device, dtype = calculator.parameters["device"], calculator.parameters["dtype"]
    taken = require_device(device).taken
    # Rows do not depend on each other: what earlier ones keep is let go.
    forget_lists()
    if taken is not None:
        taken()
    if device == "cpu" and (problem := _too_large(len(atoms), last)):
        return Row(device, dtype, len(atoms), None, problem=problem)
    forget_peak()
    before = peak_memory()
    how["progress"] = how["progress"] and f"{how['progress']}, {len(atoms)} atoms"
    timing = _or_problem(time_steps, atoms, calculator, **how)
    if isinstance(timing, str):
        return Row(device, dtype, len(atoms), None, problem=timing)
    if taken is not None:
        return Row(device, dtype, len(atoms), timing, taken())
    peak = peak_memory()
    return Row(device, dtype, len(atoms), timing, peak, peak - before)


def _too_large(n_atoms: int, last: Row | None) -> str:
    """Why a size will not fit into the host's memory, which would end the process; "" if it may.

    Told from the size before: memory is proportional to the number of atoms.
    """
    if last is None or last.timing is None:
        return "" if last is None else f"does not fit: {last.n_atoms} atoms did not"
    needed, free = last.grown * n_atoms / last.n_atoms, free_memory()
    if needed < free:
        return ""
    return f"does not fit: about {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free"


def _or_problem(function: Callable[..., T], *arguments: Any, **how: Any) -> T | str:
    """What a function gives, or in words what does not fit."""
    try:
        return function(*arguments, **how)
    except (DeviceError, MemoryError) as error:
        return f"does not fit: {error or 'out of memory'}"
