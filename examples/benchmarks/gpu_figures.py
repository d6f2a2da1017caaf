"""The figures that are asked of a GPU, and what is measured on the one that is here.

    python examples/benchmarks/gpu_figures.py --data DIR        everything, into gpu-figures.json and .png
    python examples/benchmarks/gpu_figures.py agreement sites   some parts
    python examples/benchmarks/gpu_figures.py sites --small --device cpu    to see that it runs

ceilings: what the device copies and multiplies per second at best. agreement: every shipped potential
against the CPU. sites, grid: time per step. batch: displaced cells together against one by one. fit:
silicon on a grid, from DIR/Si_train.extxyz. A part that fails says why and leaves the others alone; figures
are written after each part. Times are medians of energy, forces and stress through ASE, for atoms that move
as in molecular dynamics, whatever compiles left out (but for the fit).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from ase import Atoms
from matplotlib.figure import Figure as Canvas

from ase_scatter import (
    DeviceError,
    FitSettings,
    GridSettings,
    InputError,
    Model,
    ScatteringCalculator,
    fit,
    shipped_models,
)
from ase_scatter.compute.backend import require_device
from ase_scatter.compute.target import Target
from ase_scatter.plotting.base import COLOURS, tidy, written
from ase_scatter.reporting.benchmark import difference
from ase_scatter.reporting.machine import machine
from ase_scatter.reporting.samples import disturbed
from ase_scatter.reporting.tables import text_table
from ase_scatter.reporting.timing import MOVE, step, time_batch, time_steps
from ase_scatter.structures.system import System

SMALL_CELL = 8
"""Atoms of the cells that CPU and GPU are compared on."""

NEIGHBORS = 28
"""Of an atom in silicon, within the cutoff of the potential Si."""

SMALL_FIT = GridSettings(scales=(0.8, 1.2), first=(2,), inner=(1,), outer=(1,))


@dataclass(frozen=True)
class Figure:
    """One figure.

    asked: at most, or at least where `more` is better; None if nothing is asked. range: lowest, highest.
    """

    what: str
    measured: float
    unit: str
    asked: float | None = None
    more: bool = False
    range: tuple[float, float] | None = None

    @property
    def met(self) -> bool | None:
        if self.asked is None:
            return None
        return bool(self.measured >= self.asked if self.more else self.measured <= self.asked)


@dataclass(frozen=True)
class Run:
    """How the parts are run.

    small: on few atoms, for which nothing is asked. models: that must agree with the CPU. sites, grid:
    the models that are timed.
    """

    device: str
    small: bool
    steps: int
    models: list[str]
    sites: str
    grid: str
    data: Path | None
    quiet: bool

    def asked(self, value: float) -> float | None:
        return None if self.small else value


# ---- ceilings -------------------------------------------------------------------------------------------

KERNELS = """
#define THREADS 128
#define REAL {real}
extern "C" __global__ void copy(const REAL* __restrict__ from, long long n, REAL* __restrict__ to) {{
    long long stride = (long long)gridDim.x * THREADS;
    for (long long k = (long long)blockIdx.x * THREADS + threadIdx.x; k < n; k += stride) to[k] = from[k];
}}
extern "C" __global__ void multiply_add(int n, REAL a, REAL* out) {{
    REAL x[8];
    for (int k = 0; k < 8; ++k) x[k] = k + threadIdx.x;
    for (int i = 0; i < n; ++i)
        for (int k = 0; k < 8; ++k) x[k] = x[k] * a + a;
    REAL sum = 0;
    for (int k = 0; k < 8; ++k) sum += x[k];
    out[blockIdx.x * THREADS + threadIdx.x] = sum;
}}
"""


def ceilings(run: Run) -> Iterator[Figure]:
    """Copy bandwidth and rate of multiply-adds, by simple kernels; nothing on a CPU, which runs none."""
    backend = require_device(run.device)
    if backend.compile is None:
        return
    n_bytes, blocks, n = (1 << 14, 2, 10) if run.small else (1 << 30, 1 << 14, 4096)
    for dtype, real in (("float32", "float"), ("float64", "double")):
        kernels = backend.compile(KERNELS.format(real=real))
        scalar = np.dtype(dtype).type
        values = backend.xp.zeros(n_bytes // scalar().itemsize, dtype=dtype)
        out = backend.xp.zeros(blocks * 128, dtype=dtype)

        def copy(kernels: Any = kernels, values: Any = values, target: Any = 1.0 * values) -> Any:
            kernels("copy", blocks, values, np.int64(len(values)), target)
            return target

        def multiply_add(kernels: Any = kernels, scalar: Any = scalar, out: Any = out) -> Any:
            kernels("multiply_add", blocks, np.int32(n), scalar(0.5), out)
            return out

        rate = 2 * n_bytes / _best(copy, backend)
        if dtype == "float32":
            yield Figure("copy bandwidth, read and written", rate / 1e12, "TB/s")
        rate = 8 * n * blocks * 128 / _best(multiply_add, backend)
        yield Figure(f"multiply-adds, {dtype}", rate / 1e12, "10¹²/s")
        least = Model.load("Si").transform._kernel_tables.work(NEIGHBORS, dtype).multiply_adds / rate
        yield Figure(f"those of sites at that rate, {dtype}", 1e6 * least, "µs/atom")


def _best(work: Callable[[], Any], backend: Any, calls: int = 5, launches: int = 10) -> float:
    """Fewest seconds per launch of some calls. Reading one value back waits for the device."""
    times = []
    for _ in range(calls):
        start = perf_counter()
        for _ in range(launches):
            out = work()
        backend.to_host(out[:1])
        times.append((perf_counter() - start) / launches)
    return min(times)


# ---- agreement ------------------------------------------------------------------------------------------


def agreement(run: Run) -> Iterator[Figure]:
    """Each model on a small disturbed crystal: device against CPU, and the device against itself."""
    for name in run.models:
        model = Model.load(name)
        atoms = disturbed(model, SMALL_CELL)
        host = ScatteringCalculator(model)
        for dtype in ("float64", "float32"):
            there = ScatteringCalculator(model, device=run.device, dtype=dtype)
            off = difference(atoms, host, there)
            if dtype == "float64":
                reference = host.results
                relative = max(
                    off.energy * len(atoms) / abs(reference["energy"]),
                    off.force / off.force_scale,
                    off.stress / np.abs(reference["stress"]).max(),
                )
                yield Figure(f"{name}: device against CPU, float64", relative, "relative", 1e-10)
            else:
                yield Figure(f"{name}: force error of float32", off.force, "eV/Å", 1e-4)
            bits = [_bits(there, atoms) for _ in range(2)]
            yield Figure(f"{name}: other bits the second time, {dtype}", float(bits[0] != bits[1]), "", 0.0)


def _bits(calculator: ScatteringCalculator, atoms: Any) -> tuple[bytes, ...]:
    """All that a calculator gives, as it is in memory."""
    calculator.calculate(atoms)
    return tuple(np.asarray(calculator.results[key]).tobytes() for key in ("energy", "forces", "stress"))


# ---- times ----------------------------------------------------------------------------------------------


def steps(run: Run, name: str, sizes: list[tuple[int, str, str, float | None]]) -> Iterator[Figure]:
    """Times per step of a model. sizes: atoms, dtype, unit, and what is asked in that unit."""
    model = Model.load(name)
    taken = require_device(run.device).taken
    for n_atoms, dtype, unit, asked in sizes:
        calculator = ScatteringCalculator(model, device=run.device, dtype=dtype)
        small = disturbed(model, SMALL_CELL)
        small.calc = calculator
        step(small, np.random.default_rng(0))  # compiles
        if taken:
            taken()
        atoms = disturbed(model, n_atoms)
        label = f"{name}, {len(atoms)} atoms, {dtype}"
        timing = time_steps(atoms, calculator, steps=run.steps, progress=not run.quiet, name=label)
        factor = 1e6 / len(atoms) if unit == "µs/atom" else 1e3
        extremes = factor * min(timing.times), factor * max(timing.times)
        asked = asked and run.asked(asked)
        if unit == "µs/atom":
            # ASE itself copies and compares arrays for a while: what is asked is asked of the model.
            alone = [factor * seconds for seconds in without_ase(model, atoms, run, dtype)]
            extent = min(alone), max(alone)
            yield Figure(f"{label}, the model alone", float(np.median(alone)), unit, asked, range=extent)
            asked = None
        yield Figure(label, factor * timing.median, unit, asked, range=extremes)
        yield Figure(f"{label}, first step", factor * timing.first, unit)
        yield Figure(f"{label}, neighbour lists made in {len(timing.times)} steps", timing.lists, "")
        if taken:
            yield Figure(f"{label}, memory of the device", taken() / 1e9, "GB")


def without_ase(model: Model, atoms: Atoms, run: Run, dtype: str) -> list[float]:
    """Seconds per step from positions to energy, forces and strain gradient, all on the host."""
    rng, times = np.random.default_rng(3), []
    for _ in range(run.steps + 2):
        atoms.positions += rng.normal(scale=MOVE, size=(len(atoms), 3))
        system = System.from_atoms(atoms, apart=False)
        start = perf_counter()
        model.evaluate_one(system, Target(device=run.device, dtype=dtype))
        times.append(perf_counter() - start)
    return times[2:]


def sites(run: Run) -> Iterator[Figure]:
    usual, large = (8, 64) if run.small else (1000, 10**6)
    yield from steps(run, run.sites, [(usual, dtype, "ms", 1.0) for dtype in ("float64", "float32")])
    yield from steps(
        run, run.sites, [(large, "float32", "µs/atom", 0.1), (large, "float64", "µs/atom", None)]
    )


def grid(run: Run) -> Iterator[Figure]:
    usual, large = (8, 16) if run.small else (64, 1000)
    yield from steps(run, run.grid, [(usual, "float64", "ms", 3.0), (usual, "float32", "ms", None)])
    yield from steps(run, run.grid, [(large, "float32", "ms", 15.0), (large, "float64", "ms", None)])


def batch(run: Run) -> Iterator[Figure]:
    """Displaced cells together against one by one."""
    n, n_atoms = (3, 8) if run.small else (100, 64)
    for name in (run.sites, run.grid):
        model = Model.load(name)
        cell = disturbed(model, n_atoms)
        for dtype in ("float64", "float32"):
            calculator = ScatteringCalculator(model, device=run.device, dtype=dtype)
            label = f"{name}, {n} cells of {len(cell)} atoms, {dtype}"
            found = time_batch(cell, calculator, n=n, progress=not run.quiet, name=label)
            ratios = [one / many for one, many in zip(found.apart, found.together, strict=True)]
            extremes = (min(ratios), max(ratios))
            yield Figure(f"{label}, batch over one by one", found.ratio, "×", run.asked(10.0), True, extremes)
            for what, times in (("together", found.together), ("one by one", found.apart)):
                yield Figure(f"{label}, {what}", 1e3 * float(np.median(times)) / n, "ms/cell")


def fit_silicon(run: Run) -> Iterator[Figure]:
    """A fit with committee and errors, from reading the file to the model."""
    if run.data is None:
        raise InputError("the fit needs data: --data DIR with Si_train.extxyz")
    settings = FitSettings(transform="grid")  # for silicon 1300 columns to choose from
    if run.small:
        settings = FitSettings(transform="grid", grid=SMALL_FIT, columns=20, folds=2, members=2)
    where: dict[str, Any] = {} if run.device == "cpu" else {"device": run.device}
    start = perf_counter()
    result = fit(
        run.data / "Si_train.extxyz", settings=settings, name="Si-grid", progress=not run.quiet, **where
    )
    seconds = perf_counter() - start
    about = result.model.metadata["fit"]
    yield Figure("fit of silicon on a grid", seconds, "s", run.asked(60.0))
    yield Figure("its candidate columns", about["candidates"], "")
    yield Figure("its columns", result.model.transform.n_columns, "")
    yield Figure("its force MAE, training", result.errors["train"]["all"]["force_mae"], "eV/Å")


PARTS: dict[str, Callable[[Run], Iterator[Figure]]] = {
    "ceilings": ceilings,
    "agreement": agreement,
    "sites": sites,
    "grid": grid,
    "batch": batch,
    "fit": fit_silicon,
}


# ---- all of it ------------------------------------------------------------------------------------------


def table(figures: list[Figure]) -> str:
    """Asked and measured side by side."""
    rows = []
    for f in figures:
        asked = "" if f.asked is None else f"{'≥' if f.more else '≤'} {f.asked:g}"
        spread = "" if f.range is None else f"{f.range[0]:.3g} … {f.range[1]:.3g}"
        met = {None: "", True: "yes", False: "NO"}[f.met]
        rows.append([f.what, asked, f"{f.measured:.4g}", f.unit, spread, met])
    return text_table(["figure", "asked", "measured", "unit", "range", "met"], rows)


def plot(figures: list[Figure], path: Path, title: str) -> None:
    """How many times better than asked, on a logarithmic scale."""
    asked = [f for f in figures if f.asked and f.measured > 0]
    better = [f.measured / f.asked if f.more else f.asked / f.measured for f in asked if f.asked]
    canvas = Canvas(figsize=(9.0, 1.4 + 0.24 * len(asked)), layout="constrained")
    ax = canvas.subplots()
    ax.set_xscale("log")
    for k, (f, ratio) in enumerate(zip(asked, better, strict=True)):
        ax.plot([1, ratio], [k, k], "-", color=COLOURS[0 if f.met else 1], lw=2)
        ax.plot(ratio, k, "o", color=COLOURS[0 if f.met else 1])
    ax.axvline(1.0, color="black", lw=1)
    ax.set_yticks(range(len(asked)), [f"{f.what}: {f.measured:.3g} {f.unit}" for f in asked], fontsize=8)
    ax.invert_yaxis()
    ax.set_xlabel("times better than asked (left of the line: missed)")
    tidy(ax, title)
    written(canvas, path)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write; the exit code: 1 if a part failed or a figure is missed."""
    parser = argparse.ArgumentParser(description="Figures asked of a GPU, and those of the one that is here.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (all)")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try it out (%(default)s)")
    parser.add_argument("--small", action="store_true", help="few atoms: nothing is asked of them")
    parser.add_argument("--steps", type=int, default=20, help="timed steps (%(default)s)")
    parser.add_argument("--models", help="models that must agree with the CPU (all that are shipped)")
    parser.add_argument("--sites", default="Si", metavar="MODEL", help="model that is timed (%(default)s)")
    parser.add_argument("--grid", default="Si-grid", metavar="MODEL", help="likewise (%(default)s)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of Si_train.extxyz, for the fit")
    parser.add_argument(
        "--out", type=Path, default=Path("gpu-figures"), help="for .json and .png (%(default)s)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite them")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    options = parser.parse_args(arguments)
    document_path, plot_path = (options.out.with_name(options.out.name + end) for end in (".json", ".png"))
    try:
        strange = sorted(set(options.parts) - set(PARTS))
        if strange:
            raise InputError(f"there is no part {', '.join(strange)}; choose from {', '.join(PARTS)}")
        for path in (document_path, plot_path):
            if path.exists() and not options.force:
                raise InputError(f"{path} exists; choose another --out, or overwrite it with --force")
        require_device(options.device)
    except (InputError, DeviceError) as error:
        print(error, file=sys.stderr)
        return 2
    run = Run(
        device=options.device,
        small=options.small,
        steps=options.steps,
        models=options.models.split(",") if options.models else shipped_models(),
        sites=options.sites,
        grid=options.grid,
        data=options.data,
        quiet=options.quiet,
    )
    about = machine(("cpu", run.device))
    device = about.get(run.device, {}).get("name", run.device)
    print(f"{device}; {about['processor']}, threads: {about['threads']}\n")
    document: dict[str, Any] = {"machine": about, "small": run.small, "parts": {}, "failed": {}}
    everything: list[Figure] = []
    for name in [part for part in PARTS if not options.parts or part in options.parts]:
        figures: list[Figure] = []
        try:
            for figure in PARTS[name](run):  # one by one, so that those before a failure are kept
                figures.append(figure)
        except Exception as error:
            document["failed"][name] = f"{type(error).__name__}: {error}"
        everything += figures
        document["parts"][name] = [asdict(f) | {"met": f.met} for f in figures]
        document_path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{name}\n{table(figures)}\n" if figures else f"{name}")
        if name in document["failed"]:
            print(f"{name} FAILED: {document['failed'][name]}\n")
    plot(everything, plot_path, f"{device}; {about['processor']}")
    missed = [f.what for f in everything if f.met is False]
    if missed:
        print(f"missed: {'; '.join(missed)}")
    print(f"written: {document_path}, {plot_path}")
    return 1 if missed or document["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
