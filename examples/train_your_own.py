"""Train a potential: make a small data set (or take a file), fit, save, load, evaluate.

    python examples/train_your_own.py
    python examples/train_your_own.py --train train.extxyz --test test.extxyz --output mine.json

Without a file the data are Cu-Ni alloys with the values of ASE's EMT, which takes the place of DFT. The
small settings below are for the speed of an example; leave `grid` out for the defaults.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import iread, write

from ase_scatter import FitSettings, InputError, ScatteringCalculator, fit
from ase_scatter.reporting.tables import error_table

SMALL = FitSettings(sites={"first": (4, 2), "inner": (2,), "outer": (2,), "exponents2": (1.0,)}, columns=150)


def alloys(n: int, seed: int) -> list[Atoms]:
    """Rattled, strained Cu-Ni cells of four atoms with energies, forces and stresses."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(n):
        atoms = bulk("Cu", a=rng.uniform(3.45, 3.75), cubic=True)
        atoms.symbols[:] = rng.choice(["Cu", "Ni"], size=len(atoms))
        atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(scale=0.02, size=(3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(scale=0.12, size=(len(atoms), 3))
        atoms.calc = EMT()
        atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        atoms.info["group"] = "pure" if len(set(atoms.symbols)) == 1 else "alloy"
        frames.append(atoms)
    return frames


def main(arguments: list[str] | None = None) -> int:
    """Make data, fit, save, evaluate; the exit code."""
    parser = argparse.ArgumentParser(description="Train a potential of your own.")
    parser.add_argument("--train", type=Path, help="labelled structures (default: EMT Cu-Ni alloys)")
    parser.add_argument("--test", type=Path, help="labelled structures to test on")
    parser.add_argument("--output", type=Path, help="the model file (default: a temporary one)")
    parser.add_argument("--frames", type=int, default=60, help="structures that are made (%(default)s)")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    options = parser.parse_args(arguments)
    if options.output and options.output.exists():
        print(f"{options.output} exists; choose another name", file=sys.stderr)
        return 2

    with tempfile.TemporaryDirectory() as folder:
        if options.train:
            train, test, settings = options.train, options.test, FitSettings()
        else:
            train, test, settings = Path(folder, "train.extxyz"), Path(folder, "test.extxyz"), SMALL
            write(train, alloys(options.frames, seed=1))
            write(test, alloys(15, seed=2))
        try:
            result = fit(
                train,
                test=test,
                settings=settings,
                name="example",
                metadata={"citation": "EMT of ASE" if not options.train else str(train)},
                progress=not options.quiet,
            )
        except InputError as error:
            print(error, file=sys.stderr)
            return 2
        target = options.output or Path(folder, "example.json")
        result.model.save(target)
        print(error_table(result.errors))

        # From here on it is a calculator like any other.
        atoms = next(iread(test or train))
        expected = atoms.get_potential_energy()
        atoms.calc = ScatteringCalculator(target)
        columns = atoms.calc.model.transform.columns
        print(f"\n{len(columns)} columns, the first of them {columns[0].label}")
        energy = atoms.get_potential_energy()
        print(f"first structure: {energy:.4f} eV with the model, {expected:.4f} eV in the data")
        print(f"stress {np.round(atoms.get_stress(), 4)} eV/Å³ (xx yy zz yz xz xy)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
