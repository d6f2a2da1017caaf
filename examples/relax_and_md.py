"""Attach a shipped potential and run: relax a disturbed crystal with its cell, then a few steps of MD.

python examples/relax_and_md.py
python examples/relax_and_md.py --model Si --repeat 2 --steps 200 --temperature 600
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from ase import units
from ase.build import bulk
from ase.filters import FrechetCellFilter
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from ase_scatter import InputError, Model, ScatteringCalculator


def main(arguments: list[str] | None = None) -> int:
    """Relax, run, print; the exit code."""
    parser = argparse.ArgumentParser(description="Relax a crystal and run molecular dynamics on it.")
    parser.add_argument("--model", default="Si", help="a shipped name or a file (%(default)s)")
    parser.add_argument("--repeat", type=int, default=1, help="conventional cells per edge (%(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="steps of MD, 2 fs each (%(default)s)")
    parser.add_argument("--temperature", type=float, default=300.0, help="at the start, K (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        run(Model.load(options.model), options.repeat, options.steps, options.temperature)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def run(model: Model, repeat: int, steps: int, temperature: float) -> None:
    """Relax a disturbed crystal of the model's first element, run MD on it, print."""
    atoms = bulk(model.elements[0], cubic=True).repeat(repeat)
    atoms.rattle(0.05, seed=1)
    atoms.calc = ScatteringCalculator(model)

    # While a cell changes, its grid must not: an optimiser would see the energy jump.
    atoms.calc.freeze_grid(atoms)
    with BFGS(FrechetCellFilter(atoms), logfile=None) as optimizer:
        converged = optimizer.run(fmax=0.01, steps=200)
    atoms.calc.freeze_grid(None)
    lengths = " × ".join(f"{length:.3f}" for length in atoms.cell.lengths())
    pressure = -np.mean(atoms.get_stress()[:3]) / units.GPa
    print(f"relaxed ({'converged' if converged else 'NOT converged'}) in {optimizer.nsteps} steps")
    print(f"cell {lengths} Å, {atoms.get_potential_energy() / len(atoms):.4f} eV/atom, {pressure:.2f} GPa")

    # Twice the temperature in kinetic energy: half of it goes into the potential energy.
    widths = np.sqrt(2 * temperature * units.kB * atoms.get_masses())
    momenta = widths[:, None] * np.random.default_rng(1).normal(size=(len(atoms), 3))
    atoms.set_momenta(momenta - momenta.mean(axis=0))
    energies = []

    def report() -> None:
        energies.append(atoms.get_total_energy() / len(atoms))
        time, kelvin = dynamics.get_time() / units.fs, atoms.get_temperature()
        print(f"{time:6.0f} fs  {kelvin:5.0f} K  {energies[-1]:.6f} eV/atom")

    dynamics = VelocityVerlet(atoms, timestep=2 * units.fs)
    dynamics.attach(report, interval=max(1, steps // 10))
    dynamics.run(steps)
    print(f"total energy: {1000 * np.ptp(energies):.3f} meV/atom peak to peak")


if __name__ == "__main__":
    sys.exit(main())
