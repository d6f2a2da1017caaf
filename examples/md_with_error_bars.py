"""Molecular dynamics of lithium that says how sure the model is, step by step.

    python examples/md_with_error_bars.py
    python examples/md_with_error_bars.py --temperature 700 --picoseconds 5 --out md.csv --plot md.png

Every so many steps the committee's 90 % bands are written beside energy and temperature. Where a force may
be off by more than a limit, or an atom is unlike those of the training data, the structure is kept: these
are the ones to compute next by DFT (`ase-scatter select` chooses among them).
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
from ase import units
from ase.build import bulk
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import Stationary
from matplotlib.figure import Figure

from ase_scatter import InputError, ScatteringCalculator

HEADER = ("ps", "K", "eV/atom", "± eV/atom", "± eV/Å", "grade")
"""Time, temperature, energy and its band, largest band of a force, largest distance to the training data."""


def main(arguments: list[str] | None = None) -> int:
    """Run, print, write; the exit code."""
    parser = argparse.ArgumentParser(description="MD with error bars.")
    parser.add_argument("--model", default="Li", help="a shipped name or a file (default: %(default)s)")
    parser.add_argument(
        "--temperature", type=float, default=500.0, metavar="K", help="(default: %(default)s)"
    )
    parser.add_argument("--picoseconds", type=float, default=1.0, help="(default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=4, help="conventional cells along each edge")
    parser.add_argument("--every", type=int, default=25, help="steps between error bars (%(default)s)")
    parser.add_argument("--limit", type=float, default=0.1, metavar="EV/Å", help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="CSV", help="write what is printed")
    parser.add_argument("--keep", type=Path, metavar="EXTXYZ", help="write structures beyond the limit")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw it")
    options = parser.parse_args(arguments)
    for path in (options.out, options.keep, options.plot):
        if path is not None and path.exists():
            print(f"{path} exists; choose another name", file=sys.stderr)
            return 2
    try:
        calculator = ScatteringCalculator(options.model)
        rows, kept = run(calculator, options)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"\n{len(kept)} of {len(rows)} structures are beyond the limit")
    if options.out:
        with options.out.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([HEADER, *rows])
    if options.keep and kept:
        write(options.keep, kept, format="extxyz")
    if options.plot:
        draw(np.array(rows), options.limit, options.plot)
    return 0


def run(calculator: ScatteringCalculator, options: argparse.Namespace) -> tuple[list, list]:
    """Rows of the table, and the structures beyond the limit."""
    rng = np.random.default_rng(0)
    atoms = bulk(calculator.model.elements[0], cubic=True).repeat(options.repeat)
    atoms.calc = calculator
    # Twice the temperature: half of it goes into the potential energy of the perfect crystal.
    widths = np.sqrt(2 * units.kB * options.temperature * atoms.get_masses())
    atoms.set_momenta(widths[:, None] * rng.normal(size=(len(atoms), 3)))
    Stationary(atoms)
    steps = round(1000 * options.picoseconds)
    rows, kept = [], []
    print("".join(f"{head:>11}" for head in HEADER))

    def look() -> None:
        unsure = calculator.get_uncertainty(atoms)
        force, grade, n = unsure.forces.max(), unsure.grade.max(), len(atoms)
        energy, band = atoms.get_potential_energy() / n, unsure.energy / n
        row = (md.nsteps / 1000, atoms.get_temperature(), energy, band, force, grade)
        rows.append(row)
        beyond = force > options.limit or grade > 1
        print("".join(f"{value:11.4f}" for value in row), "*" if beyond else "")
        if beyond:
            kept.append(atoms.copy())

    with Langevin(
        atoms,
        1 * units.fs,
        temperature_K=options.temperature,
        friction=0.01 / units.fs,
        fixcm=False,
        rng=rng,
    ) as md:
        md.attach(look, interval=options.every)
        md.run(steps)
    return rows, kept


def draw(rows: np.ndarray, limit: float, path: Path) -> None:
    figure = Figure(figsize=(6.4, 5.0), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    time, _, energy, band, force, grade = rows.T
    above.fill_between(time, energy - band, energy + band, alpha=0.25, lw=0, label="90 % band")
    above.plot(time, energy)
    above.set_ylabel("energy (eV/atom)")
    above.legend(frameon=False)
    below.plot(time, force / limit, label="largest band of a force, over the limit")
    below.plot(time, grade, label="distance to the training data (grade)")
    below.axhline(1, color="0.3", lw=0.8)
    below.set(xlabel="time (ps)", ylim=(0, None))
    below.legend(frameon=False)
    figure.savefig(path, dpi=160)


if __name__ == "__main__":
    sys.exit(main())
