"""From the output files of one's own DFT calculations to a potential, with a page that shows how good it is.

    python examples/train_from_dft.py runs/*/OUTCAR -o mine.json
    python examples/train_from_dft.py md.pwo relax/vasprun.xml -o mine.json --page mine.html

Any format that ASE reads will do: VASP, Quantum ESPRESSO, CP2K, FHI-aims, GPAW, … Without files it makes a
few relaxations with ASE's EMT, which takes the place of DFT.

Three things matter. (1) Forces are derivatives of the *free* energy of the electrons where there is smearing,
so that is what is fitted. (2) Frames of one run are alike: each run is kept together (info["source"]) when
parts are left out to choose and to calibrate. (3) A whole run is set aside to test on.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import Trajectory, write
from ase.optimize import BFGS

from ase_scatter import FitSettings, InputError, cli, fit
from ase_scatter.reporting.tables import error_table
from ase_scatter.structures.dataset import read_structures


def gather(files: Sequence[Path], every: int = 1) -> dict[str, list[Atoms]]:
    """Run → its labelled structures, every so many of them, with the labels as they are to be fitted."""
    runs: dict[str, list[Atoms]] = {}
    for path in files:
        for atoms in read_structures(path)[::every]:
            results = atoms.calc.results if atoms.calc is not None else {}
            energy = results.get("free_energy", results.get("energy"))
            if energy is None or "forces" not in results:
                continue  # a step that was not finished
            labels = {"energy": energy, "forces": results["forces"]}
            if "stress" in results:
                labels["stress"] = results["stress"]
            clean = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
            clean.calc = SinglePointCalculator(clean, **labels)
            clean.info |= {"source": str(path), "group": path.parent.name or path.stem}
            runs.setdefault(str(path), []).append(clean)
    if len(runs) < 3:
        raise InputError(
            f"{len(runs)} of {len(files)} files hold energies and forces; at least three are needed"
        )
    return runs


def make_runs(folder: Path, n: int = 8) -> list[Path]:
    """Relaxations of disturbed copper, as a program would leave them behind."""
    files = []
    for seed in range(n):
        atoms = bulk("Cu", a=3.5 + 0.04 * seed, cubic=True)
        atoms.rattle(0.25, seed=seed)
        atoms.calc = EMT()
        path = folder / f"run{seed}.traj"
        labels = ["energy", "forces", "stress"]
        with Trajectory(path, "w", atoms, properties=labels) as trajectory, BFGS(atoms, logfile=None) as run:
            run.attach(trajectory)
            run.run(fmax=0.02, steps=15)
        files.append(path)
    return files


def main(arguments: list[str] | None = None) -> int:
    """Gather, split, fit, report; the exit code."""
    parser = argparse.ArgumentParser(description="Train from DFT output files.")
    parser.add_argument("files", nargs="*", type=Path, help="output files (default: EMT relaxations)")
    parser.add_argument("-o", "--output", type=Path, help="the model file (default: a temporary one)")
    parser.add_argument("--page", type=Path, metavar="HTML", help="write a page about the potential")
    parser.add_argument("--every", type=int, default=1, help="take every so many steps (default: all)")
    parser.add_argument("--columns", type=int, default=600, help="at most so many (default: %(default)s)")
    options = parser.parse_args(arguments)
    for path in (options.output, options.page):
        if path and path.exists():
            print(f"{path} exists; choose another name", file=sys.stderr)
            return 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            runs = list(gather(options.files or make_runs(folder), options.every).values())
            # One run in ten, drawn at random, is for testing.
            drawn = np.random.default_rng(0).permutation(len(runs))[: max(1, len(runs) // 10)]
            train = [atoms for k, run in enumerate(runs) if k not in drawn for atoms in run]
            test = [atoms for k, run in enumerate(runs) if k in drawn for atoms in run]
            for path, structures in ((folder / "train.extxyz", train), (folder / "test.extxyz", test)):
                write(path, structures)
            target = options.output or folder / "example.json"
            result = fit(
                folder / "train.extxyz",
                test=folder / "test.extxyz",
                settings=FitSettings(columns=options.columns),
                name=target.stem,
                progress=False,
            )
        except InputError as error:
            print(error, file=sys.stderr)
            return 2
        result.model.save(target)
        print(f"{len(train)} structures of {len(runs) - len(drawn)} runs to train on\n")
        print(error_table(result.errors))
        if options.page:
            page = ["report", str(target), "--data", str(folder / "test.extxyz"), "-o", str(options.page)]
            return cli.main([*page, "--quiet", "--no-crystals"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
