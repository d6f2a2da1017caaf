"""What each kind of term buys: accuracy on folds and test files, against microseconds per atom.

    python examples/what_terms_buy.py Si --data DIR

One design matrix of all candidates is made; then models are chosen from some kinds of terms only. The loss on
the folds (per row: 1 where errors are as large as the sigmas) is what decides; test errors are shown beside.
DIR and the settings are those of fit_potentials.py.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import threadpoolctl
from ase.build import bulk
from fit_potentials import SETTINGS

from ase_scatter import InputError, Model, SitesTransform, read_frames
from ase_scatter.compute import threads
from ase_scatter.reporting.tables import text_table
from ase_scatter.structures.system import System
from ase_scatter.training.design_matrix import Problem
from ase_scatter.training.fitting import predict, solve
from ase_scatter.training.metrics import errors

CHOICES = {
    "moduli of order 1": {"modulus"},
    "+ products of two": {"modulus", "cross"},
    "+ products of three": {"modulus", "cross", "triple"},
    "moduli of orders 1 and 2": {"modulus", "modulus2"},
    "+ all products of two": {"modulus", "modulus2", "cross", "cross2"},
    "everything": {"modulus", "modulus2", "cross", "cross2", "triple"},
}


def microseconds(model: Model, n_atoms: int = 256) -> float:
    """Per atom, for energy, forces and stress on one thread, median of five."""
    crystal = bulk(model.elements[0], cubic=True)
    repeats = max(1, round((n_atoms / len(crystal)) ** (1 / 3)))
    atoms = crystal.repeat(repeats)
    rng = np.random.default_rng(0)
    times = []
    with threads.limited(1):
        for _ in range(6):
            atoms.positions += rng.normal(scale=0.01, size=atoms.positions.shape)
            system = System.from_atoms(atoms)
            start = perf_counter()
            model.evaluate_one(system)
            times.append(perf_counter() - start)
    return 1e6 * float(np.median(times[1:])) / len(atoms)


def main(arguments: list[str] | None = None) -> int:
    """Fit with some kinds of terms, print the table; the exit code."""
    parser = argparse.ArgumentParser(description="What each kind of term buys.")
    parser.add_argument("potential", choices=sorted(k for k, s in SETTINGS.items() if s.transform == "sites"))
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the extended-XYZ files")
    parser.add_argument("--workers", type=int, default=2, help="threads (%(default)s)")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    options = parser.parse_args(arguments)
    name = options.potential
    try:
        train, test = (read_frames(options.data / f"{name}_{part}.extxyz") for part in ("train", "test"))
        problem = Problem(SETTINGS[name], [name], train, options.workers, not options.quiet)
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    with threadpoolctl.threadpool_limits(1):
        normals = problem.normals()
    everything = problem.transform
    assert isinstance(everything, SitesTransform)
    rows = []
    for label, kinds in CHOICES.items():
        kept = [k for k, column in enumerate(everything.terms) if column.term.kind in kinds]
        settings = replace(problem.settings, members=0)
        model, validation, _ = solve(problem, normals, settings, name, among=kept)
        table = errors(predict(model, [f.system for f in test], workers=options.workers), test)["all"]
        rows.append(
            [
                label,
                str(len(kept)),
                str(len(model.weights)),
                f"{min(validation.by_size.values()):.3f}",
                f"{table['energy_mae']:.2f}",
                f"{table['force_mae']:.4f}",
                f"{microseconds(model):.0f}",
            ]
        )
        print(*rows[-1], flush=True) if not options.quiet else None
    heads = ["terms", "candidates", "columns", "loss on folds", "E MAE (meV/atom)", "F MAE (eV/Å)", "µs/atom"]
    print(text_table(heads, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
