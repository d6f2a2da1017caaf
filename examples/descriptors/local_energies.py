"""Do energies of single atoms, fitted along, help with functional groups that were not trained on?

    OMP_NUM_THREADS=1 python examples/descriptors/local_energies.py molecules.extxyz

with the molecules of `local_energy_labels.py` (molecules.extxyz beside this file). A ridge on all columns
of a transform, with a constant for each element, is fitted to total energies per atom alone, or also to the
atomic energies of one of three partitions, with several sigmas. Its strength is the best for totals on five
folds of molecules. Then each functional group is left out in turn, and its errors are told: the model is
fitted to all other groups. Errors of the folds, whose molecules are of groups that are known, stand beside
them. The table goes to local_energies.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from ase.io import read
from scipy.linalg import cho_factor, cho_solve

from ase_scatter import ScatteringDescriptor
from ase_scatter.compute.files import write_whole

LABELS = ("totals", "mulliken", "lowdin", "iao")
SIGMA_ENERGY, SIGMAS, RIDGES = 0.01, (0.1, 0.5, 2.0, 8.0), 10.0 ** np.arange(-5, 1)
COLUMNS = {
    "products": {"exponents2": (), "triple": 0, "exponents1": (2.0,)},
    "order 1": {"exponents2": ()},
    "order 2": {},
}
CONSTANT = 30.0
"""Columns of the elements are so much larger than others that the ridge does not feel them."""


def kernel_of(molecules, settings):
    """Products of the rows of all structures, energies per atom first, then of all atoms."""
    descriptor = ScatteringDescriptor(settings={"cutoff": 4.0, **settings}, n_jobs=1)
    features = descriptor.fit_transform(molecules)
    scale = np.sqrt(np.mean(features**2, axis=0))
    features = features / np.where(scale > 0, scale, 1.0) / np.sqrt(features.shape[1])
    numbers = np.concatenate([atoms.numbers for atoms in molecules])
    features = np.hstack([features, CONSTANT * (numbers[:, None] == np.unique(numbers))])
    of_atom = np.repeat(np.arange(len(molecules)), [len(atoms) for atoms in molecules])
    means = np.array([features[of_atom == k].mean(axis=0) for k in range(len(molecules))])
    rows = np.vstack([means, features])
    return rows @ rows.T, np.concatenate([np.arange(len(molecules)), of_atom]), features.shape[1]


class Regression:
    """Totals and atomic energies of some kind, and what a ridge on rows of seen molecules predicts."""

    def __init__(self, kernel, owner, molecules, labels):
        self.kernel, self.owner, self.n = kernel, owner, len(molecules)
        energies = [atoms.get_potential_energy() / len(atoms) for atoms in molecules]
        atomic = [atoms.arrays["iao" if labels == "totals" else labels] for atoms in molecules]
        self.target = np.concatenate([energies, *atomic])
        self.used = np.arange(len(owner)) < (self.n if labels == "totals" else len(owner))

    def predict(self, seen, sigma, ridge):
        """All rows, from those of the molecules that are seen."""
        rows = np.flatnonzero(seen[self.owner] & self.used)
        weight = np.where(rows < self.n, 1.0 / SIGMA_ENERGY, 1.0 / (sigma or np.inf))
        gram = weight[:, None] * self.kernel[np.ix_(rows, rows)] * weight
        gram[np.diag_indices(len(rows))] += ridge / SIGMA_ENERGY**2
        dual = cho_solve(cho_factor(gram, overwrite_a=True), weight * self.target[rows])
        return self.kernel[:, rows] @ (weight * dual)

    def wrong(self, folds, sigma, ridge):
        """Errors of all rows, each predicted by the other folds."""
        found = np.empty(len(self.owner))
        for fold in np.unique(folds):
            out = folds == fold
            mine = out[self.owner]
            found[mine] = (self.predict(~out, sigma, ridge) - self.target)[mine]
        return found


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Do energies of single atoms carry over to other groups?")
    parser.add_argument("path", help="the molecules that local_energy_labels.py wrote")
    path = parser.parse_args(arguments).path
    molecules = read(path, ":")
    groups = np.array([atoms.info["group"] for atoms in molecules])
    sources = np.array([atoms.info["source"] for atoms in molecules])
    names = np.random.default_rng(0).permutation(np.unique(sources))
    five = np.array([np.flatnonzero(names == source)[0] % 5 for source in sources])
    rows = []
    for columns, settings in COLUMNS.items():
        kernel, owner, n_columns = kernel_of(molecules, settings)
        for labels in LABELS:
            regression = Regression(kernel, owner, molecules, labels)
            n = regression.n
            for sigma in SIGMAS if labels != "totals" else (None,):
                tried = {r: np.abs(regression.wrong(five, sigma, r)[:n]).mean() for r in RIDGES}
                ridge = min(tried, key=tried.get)
                wrong = np.abs(regression.wrong(groups, sigma, ridge))
                row = {
                    "columns": columns, "n_columns": n_columns, "labels": labels, "sigma_atomic": sigma,
                    "ridge": ridge, "molecules_left_out": 1000 * tried[ridge],
                    "groups_left_out": 1000 * wrong[:n].mean(),
                    "atomic_mae": None if sigma is None else wrong[n:].mean(),
                    "atomic_spread": None if sigma is None else regression.target[n:].std(),
                    "by_group": {g: 1000 * wrong[:n][groups == g].mean() for g in sorted(set(groups))},
                }  # fmt: skip
                rows.append(row)
                print({key: value for key, value in row.items() if key != "by_group"}, flush=True)
    document = {"structures": len(molecules), "molecules": len(names), "rows": rows}
    write_whole(Path(__file__).with_suffix(".json"), json.dumps(document, indent=1, default=float) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
