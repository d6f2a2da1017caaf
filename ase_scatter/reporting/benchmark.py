"""How fast a model is, over sizes, devices and dtypes, and how far float32 is off.

Everything goes through the ASE calculator, so that what is measured is what a user gets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from ..calculator import ScatteringCalculator
from ..compute.backend import require_device, require_dtype
from ..compute.parallel import Progress
from ..errors import DeviceError, InputError
from ..model.model import Model
from .machine import forget_peak, free_memory, machine, peak_memory
from .samples import disturbed
from .tables import MISSING, text_table
from .timing import BATCH_COLUMNS, Batch, Timing, forget_lists, time_batch, time_steps

T = TypeVar("T")

CELL = 64
"""Atoms of the cells of a batch, and of the cell that forces are compared on."""

STEP_COLUMNS = [
    "energy, forces, stress", "atoms", "ms/step", "fastest", "slowest", "first step",
    "atom-steps/s", "lists/steps", "peak memory (MB)",
]  # fmt: skip
DIFFERENCE_COLUMNS = [
    "off from cpu float64 by", "energy (meV/atom)", "forces (eV/Å)", "stress (eV/Å³)", "largest force",
]  # fmt: skip
"""Headings of the tables."""


@dataclass(frozen=True)
class Difference:
    """Largest differences between two calculators on a structure.

    Parameters
    ----------
    energy : float
        eV/atom.
    force : float
        Of a force component, eV/Å.
    stress : float
        Of a stress component, eV/Å³.
    force_scale : float
        The largest force component itself, eV/Å.
    """

    energy: float
    force: float
    stress: float
    force_scale: float

    def to_dict(self) -> dict[str, float]:
        """Convert to plain data.

        Returns
        -------
        dict
            What JSON can hold; the units are in the names.
        """
        return {
            "energy_eV_per_atom": self.energy,
            "force_eV_per_A": self.force,
            "stress_eV_per_A3": self.stress,
            "largest_force_eV_per_A": self.force_scale,
        }

    def cells(self) -> list[str]:
        """Format the differences.

        Returns
        -------
        list of str
            Cells under the headings `DIFFERENCE_COLUMNS` after the first.
        """
        scale = f"{self.force_scale:.2f}"
        return [f"{1e3 * self.energy:.1e}", f"{self.force:.1e}", f"{self.stress:.1e}", scale]


def difference(atoms: Atoms, one: BaseCalculator, other: BaseCalculator) -> Difference:
    """Compare two calculators on a structure.

    Parameters
    ----------
    atoms : Atoms
        The structure, which is copied.
    one, other : BaseCalculator
        Any ASE calculators.

    Returns
    -------
    Difference
        How far they are apart.
    """
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


@dataclass(frozen=True)
class Row:
    """One size on one device with one dtype.

    Parameters
    ----------
    device, dtype : str
        Where and how precisely.
    n_atoms : int
        Atoms of the structure.
    timing : Timing or None
        None if the size could not be measured.
    memory : float
        Bytes: the most that was held on the device, or by the whole process on a CPU.
    grown : float
        Bytes by which a CPU's process grew.
    problem : str
        Why there is no timing.
    """

    device: str
    dtype: str
    n_atoms: int
    timing: Timing | None
    memory: float = 0.0
    grown: float = 0.0
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain data.

        Returns
        -------
        dict
            What JSON can hold; the units are in the names.
        """
        about = {"device": self.device, "dtype": self.dtype, "atoms": self.n_atoms}
        if self.timing is None:
            return about | {"problem": self.problem}
        return about | self.timing.to_dict() | {"memory_bytes": self.memory}


@dataclass(frozen=True)
class Benchmark:
    """What was measured.

    Parameters
    ----------
    model, hash : str
        Name and hash of the model.
    machine : dict
        What `machine` tells.
    rows : list of Row
        Times of steps.
    batches : dict
        (device, dtype) → `Batch`, or a text where it could not be measured.
    differences : dict
        (device, dtype) → `Difference` from the CPU in float64, or a text where it could not be computed.
    """

    model: str
    hash: str
    machine: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    batches: dict[tuple[str, str], Batch | str] = field(default_factory=dict)
    differences: dict[tuple[str, str], Difference | str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain data.

        Returns
        -------
        dict
            What JSON can hold; the units are in the names.
        """

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

    def table(self) -> str:
        """Tabulate steps, batches and differences, and say what could not be measured.

        Returns
        -------
        str
            The tables; units are in their headings.
        """
        texts = [text_table(STEP_COLUMNS, [_step_cells(row) for row in self.rows])]
        problems = {
            f"{row.device} {row.dtype}, {row.n_atoms} atoms": row.problem
            for row in self.rows
            if row.timing is None
        }
        for what, header, entries in (
            ("batch", BATCH_COLUMNS, self.batches),
            ("differences", DIFFERENCE_COLUMNS, self.differences),
        ):
            rows = []
            for (device, dtype), found in entries.items():
                if isinstance(found, str):
                    problems[f"{device} {dtype}, {what}"] = found
                else:
                    rows.append([f"{device} {dtype}", *found.cells()])
            if rows:
                texts.append(text_table(header, rows))
        if problems:
            texts.append("\n".join(f"{what}: {problem}" for what, problem in problems.items()))
        return "\n\n".join(texts)


def _step_cells(row: Row) -> list[str]:
    cells = [f"{row.device} {row.dtype}", str(row.n_atoms)]
    t = row.timing
    if t is None:
        return [*cells, "does not fit", *[MISSING] * 6]
    times = (t.median, min(t.times), max(t.times), t.first)
    cells += [f"{1e3 * seconds:.4g}" for seconds in times]
    return [*cells, f"{t.atom_steps:.3g}", f"{t.lists}/{len(t.times)}", f"{row.memory / 1e6:.0f}"]


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
    progress: Progress = False,
) -> Benchmark:
    """Measure a model over sizes, devices and dtypes.

    Parameters
    ----------
    model : Model
        The model.
    sizes : sequence of int
        About the numbers of atoms. What does not fit into memory becomes a row that says so.
    devices, dtypes : sequence of str
        What is combined.
    structure : Atoms, optional
        What is repeated; by default as in `disturbed`.
    steps : int
        Timed steps of each size.
    seconds : float
        No further step of a size begins after this time, once there are three.
    batch : int
        Structures of the batches, 0 for no batches.
    progress : bool or callable
        Whether, or by which function, progress is shown.

    Returns
    -------
    Benchmark
        What was measured.

    Raises
    ------
    DeviceError
        For a device that is not there.
    InputError
        For a structure that the model cannot compute or that has no cell, and for unknown devices, dtypes,
        sizes, times or batches that cannot be.
    """
    if min(sizes) < 1 or batch < 0 or not seconds > 0:
        raise InputError("sizes and seconds must be positive, a batch cannot have fewer than 0 structures")
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
            key, name = (device, dtype), f"{device} {dtype}"
            calculator = ScatteringCalculator(model, device=device, dtype=dtype)
            if key != ("cpu", "float64"):
                # Before anything is timed: this compiles as well.
                found.differences[key] = _or_problem(difference, cell, reference, calculator)
            how: dict[str, Any]
            last: Row | None = None
            for size in sorted(set(sizes)):
                atoms = disturbed(model, size, structure)
                if last is None or len(atoms) > last.n_atoms:
                    label = f"{name}, {len(atoms)} atoms"
                    how = {"steps": steps, "seconds": seconds, "progress": progress, "name": label}
                    last = _row(atoms, calculator, last, **how)
                    found.rows.append(last)
            if batch:
                how = {"n": batch, "progress": progress, "name": f"{name}, batches"}
                found.batches[key] = _or_problem(time_batch, cell, calculator, **how)
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
