"""Fixtures that several test files share."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from pair_transform import PairTransform

from ase_scatter import scattering as transforms
from ase_scatter.model.model import Model
from ase_scatter.model.repulsion import ZBLRepulsion

OLDEST = {
    "barriers": "ase.mep, ase.optimize",
    "calculator": "ASE's protocol, filters, files",
    "cli": "tqdm, argparse",
    "compiled": "numba's cache",
    "elastic": "spglib",
    "fit": "scipy.linalg, threadpoolctl",
    "frames": "ase.io",
    "neighbors": "vesin, scipy.spatial",
    "packaging": "the files of the source distribution",
    "phonons": "phonopy",
    "plotting": "matplotlib",
    "properties": "ase.filters",
    "regression": "scipy.optimize",
    "sites": "numba, scipy.integrate.lebedev_rule",
    "system": "ase.Atoms",
    "threads": "threadpoolctl",
    "wavelets": "scipy.special",
    "waves": "scipy.fft",
}
"""Files of tests that also run with the oldest versions, and what of the dependencies they call.

The other files run the package's own code a second way: devices, examples, shipped models, reports.
"""


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.stem.removeprefix("test_") in OLDEST:
            item.add_marker(pytest.mark.oldest)


@pytest.fixture
def pair_model(monkeypatch) -> Model:
    """A model for Li and Si on the pair transform, loadable from files as well."""
    monkeypatch.setitem(transforms._KINDS, PairTransform.kind, PairTransform)
    return Model(
        name="pairs",
        transform=PairTransform(),
        weights=np.array([1 / 3, -0.1]),
        e0={"Si": -0.7, "Li": -0.2},
        core=ZBLRepulsion(("Li", "Si")),
        metadata={"citation": "nobody, 2020", "errors": {"test": {"energy MAE (meV/atom)": 4.5}}},
    )


@pytest.fixture
def crystal() -> Atoms:
    """Six rattled atoms in a skewed cell, Li–Si pairs inside the core's range among them."""
    rng = np.random.default_rng(3)
    cell = [[4.1, 0.3, 0.0], [0.2, 3.9, 0.5], [-0.4, 0.1, 4.3]]
    scaled = [
        [0, 0, 0],
        [0.5, 0.5, 0],
        [0.5, 0, 0.5],
        [0, 0.5, 0.5],
        [0.27, 0.2, 0.2],
        [0.8, 0.7, 0.6],
    ]
    atoms = Atoms("Si2LiSiLi2", scaled_positions=scaled, cell=cell, pbc=True)
    atoms.positions += rng.normal(scale=0.05, size=(6, 3))
    return atoms
