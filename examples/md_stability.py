"""Does molecular dynamics conserve energy, and does a hot crystal stay in one piece?

    python examples/md_stability.py                                      Si, 216 atoms, 1000 K, 20 ps
    python examples/md_stability.py --model Mo --temperature 2000 --picoseconds 10 --step 2

Velocity Verlet without a thermostat. Printed are the slope of the total energy (drift), how far it goes up
and down, the smallest distance between two atoms and the largest force that were met. The exit code is 1 if
atoms came nearer to each other than half of a bond, or if an atom left for good (a distance to the others of
more than two bonds).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import vesin
from ase import Atoms, units
from ase.build import bulk
from ase.md.verlet import VelocityVerlet
from tqdm import tqdm

from ase_scatter import InputError, Model, ScatteringCalculator
from ase_scatter.properties import relax_cell


def crystal(model: Model, n_atoms: int) -> Atoms:
    """A supercell of the element's crystal with about so many atoms, relaxed."""
    cell = bulk(model.elements[0], cubic=True)
    atoms: Atoms = relax_cell(cell, ScatteringCalculator(model)).atoms
    repeats = max(1, round((n_atoms / len(atoms)) ** (1 / 3)))
    return atoms.repeat(repeats)


def nearest(atoms: Atoms) -> np.ndarray:
    """Distance (Å) of each atom to its nearest neighbour, inf beyond 8 Å."""
    finder = vesin.NeighborList(cutoff=8.0, full_list=True, n_threads=1)
    i, d = finder.compute(points=atoms.positions, box=atoms.cell[:], periodic=True, quantities="id")
    least = np.full(len(atoms), np.inf)
    np.minimum.at(least, i.astype(np.int64), d)
    return least


def simulate(
    model: Model,
    *,
    n_atoms: int = 216,
    temperature: float = 1000.0,
    picoseconds: float = 20.0,
    step: float = 1.0,
    seed: int = 0,
    progress: bool = True,
) -> dict[str, Any]:
    """NVE from a crystal with velocities for this temperature (K); step in fs."""
    atoms = crystal(model, n_atoms)
    bond = float(nearest(atoms).min())
    atoms.calc = ScatteringCalculator(model)
    rng = np.random.default_rng(seed)
    # Half of the kinetic energy goes into the lattice: twice as much is put in.
    momenta = (
        rng.normal(size=(len(atoms), 3)) * np.sqrt(2 * units.kB * temperature * atoms.get_masses())[:, None]
    )
    atoms.set_momenta(momenta - momenta.mean(axis=0))
    n_steps = round(1000 * picoseconds / step)
    totals, kelvins, closest, farthest, force = [], [], np.inf, 0.0, 0.0
    with VelocityVerlet(atoms, step * units.fs) as dynamics, tqdm(total=n_steps, disable=not progress) as bar:
        for k in range(n_steps):
            if k % 10 == 0:
                totals.append(atoms.get_total_energy() / len(atoms))
                kelvins.append(atoms.get_temperature())
            if k % 50 == 0:
                least = nearest(atoms)
                closest, farthest = min(closest, float(least.min())), max(farthest, float(least.max()))
                force = max(force, float(np.abs(atoms.get_forces()).max()))
            dynamics.run(1)
            bar.update()
    energies = 1000.0 * np.array(totals)
    times = 0.01 * step * np.arange(len(energies))
    slope, start = np.polyfit(times, energies, 1)
    return {
        "model": model.name,
        "atoms": len(atoms),
        "picoseconds": picoseconds,
        "step_fs": step,
        "mean_temperature_K": float(np.mean(kelvins)),
        "drift_meV_per_atom_per_ps": float(slope),
        "scatter_meV_per_atom": float(np.std(energies - start - slope * times)),
        "smallest_distance_A": closest,
        "largest_nearest_distance_A": farthest,
        "bond_A": bond,
        "largest_force_eV_per_A": force,
        "whole": bool(closest > 0.5 * bond and farthest < 2.0 * bond),
    }


def main(arguments: list[str] | None = None) -> int:
    """Simulate and report; the exit code."""
    parser = argparse.ArgumentParser(description="Energy conservation and stability of MD.")
    parser.add_argument("--model", default="Si", help="a shipped name or a file (%(default)s)")
    parser.add_argument("--atoms", type=int, default=216, help="about so many (%(default)s)")
    parser.add_argument("--temperature", type=float, default=1000.0, help="K (%(default)s)")
    parser.add_argument("--picoseconds", type=float, default=20.0, help="(%(default)s)")
    parser.add_argument("--step", type=float, default=1.0, help="fs (%(default)s)")
    parser.add_argument("--json", type=Path, help="write the results")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    options = parser.parse_args(arguments)
    try:
        model = Model.load(options.model)
        result = simulate(
            model,
            n_atoms=options.atoms,
            temperature=options.temperature,
            picoseconds=options.picoseconds,
            step=options.step,
            progress=not options.quiet,
        )
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    for key, value in result.items():
        print(f"{key:<30} {value:.5g}" if isinstance(value, float) else f"{key:<30} {value}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return 0 if result["whole"] else 1


if __name__ == "__main__":
    sys.exit(main())
