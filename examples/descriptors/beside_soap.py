"""Scattering coefficients beside DScribe's SOAP: time against the error of one regression, on one thread.

    OMP_NUM_THREADS=1 python examples/descriptors/beside_soap.py Si_train.extxyz Si_test.extxyz

needs DScribe (PyPI). Energies per atom are regressed by a ridge on features averaged over atoms. The ridge
is the best on folds of the training data, whose error is told as well. Times are processor times for 64 atoms
of silicon, the best of several; derivatives are those of the same atoms as a cluster, since DScribe has no
analytical ones for crystals. The table goes to beside_soap.json.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from ase.build import bulk
from ase.io import read

from ase_scatter import ScatteringDescriptor
from ase_scatter.compute.files import write_whole

RIDGES = 10.0 ** np.arange(-12, 1)
CUTOFF = 5.2


def regress(x, y, folds=6):
    """Weights of a ridge on standardised features, chosen on folds."""
    shift, scale = x.mean(0), np.where(x.std(0) > 1e-12, x.std(0), 1.0)
    z = (x - shift) / scale
    kernel = z @ z.T / z.shape[1]
    fold = np.arange(len(y)) % folds

    def dual(seen, ridge):
        mean = y[seen].mean()
        k = kernel[np.ix_(seen, seen)]
        return np.linalg.solve(k + ridge * np.eye(len(k)), y[seen] - mean), mean

    def loss(ridge):
        wrong = []
        for k in range(folds):
            seen, out = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            weights, mean = dual(seen, ridge)
            wrong.append(kernel[np.ix_(out, seen)] @ weights + mean - y[out])
        return np.square(np.concatenate(wrong)).mean()

    ridge = min(RIDGES, key=loss)
    weights, mean = dual(np.arange(len(y)), ridge)
    predict = lambda new: ((new - shift) / scale) @ (z.T @ weights) / z.shape[1] + mean  # noqa: E731
    return predict, loss(ridge) ** 0.5


def best(work, times=5):
    """µs of processor time per atom."""
    work()
    taken = []
    for _ in range(times):
        begin = time.process_time()
        work()
        taken.append(time.process_time() - begin)
    return 1e6 * min(taken) / 64


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Scattering coefficients beside SOAP.")
    parser.add_argument("train", help="training frames")
    parser.add_argument("test", help="test frames")
    options = parser.parse_args(arguments)
    compare(options.train, options.test)
    return 0


def compare(train, test):
    from dscribe.descriptors import SOAP

    sets = [read(path, ":") for path in (train, test)]
    y = [np.array([a.get_potential_energy() / len(a) for a in atoms]) for atoms in sets]
    silicon = bulk("Si", cubic=True) * (2, 2, 2)
    silicon.rattle(0.05, seed=1)
    cluster = silicon.copy()
    cluster.pbc = False
    rows = []

    def add(name, n, features, make, derive):
        predict, on_folds = regress(features(sets[0]), y[0])
        wrong = 1000 * (predict(features(sets[1])) - y[1])
        row = {
            "descriptor": name,
            "features": n,
            "energy RMSE on folds (meV/atom)": 1000 * float(on_folds),
            "energy MAE (meV/atom)": float(np.abs(wrong).mean()),
            "features (µs/atom)": best(lambda: make(silicon)),
            "derivatives (µs/atom)": best(lambda: derive(cluster), 3),
        }
        print(row, flush=True)
        rows.append(row)

    small = {"cutoff": CUTOFF, "exponents2": ()}
    ours = {
        "scattering, products, l ≤ 4": {**small, "triple": 0, "exponents1": (2.0,), "first": (4, 2)},
        "scattering, products": {**small, "triple": 0, "exponents1": (2.0,)},
        "scattering, products, l ≤ 8": {**small, "triple": 0, "exponents1": (2.0,), "first": (8, 6)},
        "scattering, order 1": small,
        "scattering, all": {"cutoff": CUTOFF},
    }
    for name, settings in ours.items():
        mean = ScatteringDescriptor(settings=settings, pooling="mean").fit(sets[0])
        atoms = ScatteringDescriptor(settings=settings).fit(sets[0])
        add(
            name, mean.n_features_out_, mean.transform, lambda a, d=atoms: d.transform([a]), atoms.derivatives
        )
    for n_max, l_max in ((4, 4), (6, 6), (8, 8)):
        soap, finite = (
            SOAP(species=["Si"], r_cut=CUTOFF, n_max=n_max, l_max=l_max, periodic=periodic)
            for periodic in (True, False)
        )
        add(
            f"SOAP n={n_max} l={l_max}",
            soap.get_number_of_features(),
            lambda many, s=soap: np.array([s.create(a).mean(0) for a in many]),
            soap.create,
            lambda a, s=finite: s.derivatives(a, method="analytical"),
        )
    import json

    document = {"machine": platform.processor() or platform.machine(), "rows": rows}
    write_whole(
        Path(__file__).with_suffix(".json"), json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    )


if __name__ == "__main__":
    sys.exit(main())
