"""Long runs and many callers: does anything get lost, grow, drift or differ?

    python examples/soak.py                       all shipped models on sites, into examples/soak.json
    python examples/soak.py --model NbMoTaW       one model anew; the others stay in the file
    python examples/soak.py --model Si --steps 500 --json x.json

Each model runs 20,000 steps of 1 fs at constant energy, at 300 K and just below where its crystal melts,
after 1,000 steps with a thermostat. Noted are the slope of the total energy (drift), the memory of the
process, which is read every 1,000 steps, and the smallest and largest distance of an atom to its nearest
neighbour. Then 200 structures are computed by four threads that share a calculator and four forked processes,
all at the same time; each must give the bits that one thread alone gave. The exit code is 1 if a limit is
exceeded.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from ase import Atoms
from ase.spacegroup import crystal as spacegroup_crystal
from md_stability import nearest

from ase_scatter import InputError, Model, ScatteringCalculator, shipped_models
from ase_scatter.compute.files import write_whole
from ase_scatter.properties import molecular_dynamics, relax_cell
from ase_scatter.properties.dynamics import Sample
from ase_scatter.reporting.samples import crystal, repeated

OUTPUT = Path(__file__).with_suffix(".json")
HOT = {"Li": 430.0, "Si": 1600.0, "Mo": 2750.0, "LiSi": 850.0, "NbMoTaW": 2700.0}
"""K, some 5 % below where the crystal melts; those of other models are given with --hot."""
DRIFT = 0.02
"""meV/atom/ps that the total energy may drift."""
GROWTH = 0.01
"""Part by which the memory may change once a tenth of the steps is done."""
WARMING = 1000
"""Steps with a thermostat before."""


def start(model: Model, n_atoms: int = 36) -> Atoms:
    """A relaxed crystal of about so many atoms (of lithium silicide 38) in which all elements occur."""
    if set(model.elements) == {"Li", "Si"}:
        sites = [(0.208, 0.208, 0.208), (0.375, 0.0, 0.25), (0.12, 0.16, 0.96)]
        # Li15Si4
        atoms = spacegroup_crystal(
            ["Si", "Li", "Li"], sites, spacegroup=220, cellpar=[10.7] * 3 + [90] * 3, primitive_cell=True
        )
    else:
        atoms = repeated(crystal(model), n_atoms)
        shuffled = np.random.default_rng(0).permutation(np.resize(model.elements, len(atoms)))
        atoms.symbols = list(shuffled)
    relaxed: Atoms = relax_cell(atoms, ScatteringCalculator(model), fmax=0.02).atoms
    return relaxed


def memory() -> float:
    """MiB that the process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 2**20


def soak(model: Model, atoms: Atoms, temperature: float, steps: int) -> dict[str, Any]:
    """One run at constant energy: drift, memory and distances."""
    calculator = ScatteringCalculator(model)
    bond = float(nearest(atoms).min())
    begun = process_time()
    warm = molecular_dynamics(
        atoms, calculator, ensemble="nvt", temperature=temperature, damping=50.0, steps=WARMING, every=100
    ).atoms
    held, closest, farthest = [], np.inf, 0.0
    moving = warm
    energies, kelvins = [], []

    def observe(sample: Sample) -> None:
        energies.append(1000 * sample.total_energy / len(atoms))
        kelvins.append(sample.temperature)

    # In blocks, since what is noted of each would otherwise be growth itself.
    for block in range(20):
        moving = molecular_dynamics(
            moving, calculator, steps=max(1, steps // 20), every=10, temperature=temperature, observe=observe
        ).atoms
        least = nearest(moving)
        closest, farthest = min(closest, float(least.min())), max(farthest, float(least.max()))
        gc.collect()
        if block >= 1:
            held.append(memory())
    energies_k = np.array(energies)
    times = np.linspace(0.0, steps / 1000, len(energies_k))
    slope, offset = np.polyfit(times, energies_k, 1)
    return {
        "atoms": len(atoms),
        "formula": atoms.get_chemical_formula(),
        "steps": steps,
        "temperature_K": temperature,
        "mean_temperature_K": round(float(np.mean(kelvins)), 1),
        "drift_meV_per_atom_per_ps": round(float(slope), 5),
        "scatter_meV_per_atom": round(float(np.std(energies_k - offset - slope * times)), 4),
        "memory_MiB": [round(min(held), 2), round(max(held), 2)],
        "smallest_distance_A": round(closest, 3),
        "largest_nearest_distance_A": round(farthest, 3),
        "bond_A": round(bond, 3),
        "cpu_s": round(process_time() - begun, 1),
    }


def failures(run: dict[str, Any]) -> list[str]:
    """What of a run exceeds a limit."""
    low, high = run["memory_MiB"]
    bond = run["bond_A"]
    found = {
        "an atom was lost": run["largest_nearest_distance_A"] > 2 * bond,
        "atoms fell into each other": run["smallest_distance_A"] < bond / 2,
        "the energy drifts": abs(run["drift_meV_per_atom_per_ps"]) > DRIFT,
        "the memory grows": high / low - 1 > GROWTH,
    }
    return [text for text, true in found.items() if true]


def pool_of_structures(count: int) -> list[Atoms]:
    """Rattled cells of different sizes, strains and elements."""
    cells = {name: start(Model.load(name)) for name in ("Si", "LiSi")}
    rng = np.random.default_rng(7)
    found = []
    for k in range(count):
        atoms = cells["LiSi" if k % 2 else "Si"].copy()
        atoms.set_cell(atoms.cell[:] @ (np.eye(3) + rng.normal(scale=0.02, size=(3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(scale=0.1, size=(len(atoms), 3))
        found.append(atoms[rng.permutation(len(atoms))[: len(atoms) - k % 3]])
    return found


def bits(atoms: Atoms, calculator: ScatteringCalculator) -> str:
    """A digest of energy, forces and stress."""
    mine = atoms.copy()
    mine.calc = calculator
    values = [mine.get_potential_energy(), mine.get_forces(), mine.get_stress(), mine.get_stresses()]
    return hashlib.sha256(b"".join(np.asarray(value, dtype=float).tobytes() for value in values)).hexdigest()


_shared: list[ScatteringCalculator] = []


def forked(atoms: Atoms) -> str:
    """`bits` in a forked process, by the calculator that it inherited."""
    return bits(atoms, _shared[0])


def concurrency(count: int = 200, workers: int = 4) -> dict[str, int]:
    """Structures by threads and by forked processes at the same time, against one thread."""
    structures = pool_of_structures(count)
    calculator = ScatteringCalculator("LiSi")
    _shared[:] = [calculator]
    expected = [bits(atoms, calculator) for atoms in structures]
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, mp_context=context) as processes:
        processes.submit(forked, structures[0]).result()  # the processes are forked before the threads are
        with ThreadPoolExecutor(workers) as threads:
            by_process = [processes.submit(forked, atoms) for atoms in structures]
            by_thread = [threads.submit(bits, atoms, calculator) for atoms in structures]
            found = [each.result() for each in (*by_process, *by_thread)]
    different = sum(one != two for one, two in zip(found, expected * 2, strict=True))
    return {"structures": count, "threads": workers, "processes": workers, "different": different}


def main(arguments: list[str] | None = None) -> int:
    """Run and report; the exit code."""
    parser = argparse.ArgumentParser(description="Long runs of MD and many callers at once.")
    parser.add_argument("--model", action="append", help="a shipped name or a file; again for more")
    parser.add_argument("--hot", type=float, help="K, the higher temperature")
    parser.add_argument("--atoms", type=int, default=36, help="about so many (%(default)s)")
    parser.add_argument("--steps", type=int, default=20_000, help="at constant energy (%(default)s)")
    parser.add_argument("--structures", type=int, default=200, help="by threads and processes (%(default)s)")
    parser.add_argument("--json", type=Path, default=OUTPUT, help="results (%(default)s)")
    options = parser.parse_args(arguments)
    names = options.model or [name for name in shipped_models() if Model.load(name).transform.kind == "sites"]
    results: dict[str, Any] = {"models": {}}
    if options.json.exists():
        results = json.loads(options.json.read_text(encoding="utf-8"))
    bad = False
    try:
        for name in names:
            model = Model.load(name)
            hot = options.hot or HOT.get(model.name)
            if hot is None:
                raise InputError(f"where does the crystal of {name} melt? Give --hot")
            atoms = start(model, options.atoms)
            runs = []
            for temperature in (300.0, hot):
                run = soak(model, atoms, temperature, options.steps)
                runs.append(run)
                bad |= bool(failures(run))
                print(f"{name:<8} {json.dumps(run)} {', '.join(failures(run))}", flush=True)
            results["models"][model.name] = {"hash": model.hash, "runs": runs}
            write_whole(options.json, json.dumps(results, indent=1) + "\n")
        results["concurrency"] = concurrency(options.structures)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(results["concurrency"])
    write_whole(options.json, json.dumps(results, indent=1) + "\n")
    return int(bad or results["concurrency"]["different"] > 0)


if __name__ == "__main__":
    sys.exit(main())
