"""A plugin of pytest: in ASE's own tests a scattering model takes the place of EMT.

    python -m pytest --pyargs ase.test -p ase_stand_in         (the environment names the model, see STAND_IN)

The model (`make_stand_in`) is a small one, fitted to EMT energies, forces and stresses of seven metals; what
ASE's tests ask of any calculator then holds for it as well, numbers that are EMT's own do not.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import ase.calculators.emt
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from ase_scatter import FitSettings, ScatteringCalculator, fit

STAND_IN = "ASE_SCATTER_STAND_IN"
"""Variable of the environment that holds the path of the model."""
METALS = ("Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au")
SETTINGS = FitSettings(
    sites={
        "cutoff": 5.0, "n_scales": 3, "first": (3, 1), "inner": (), "outer": (), "triple": 0,
        "exponents1": (1.0, 2.0),
    },
    channels="charges", columns=300, members=0, folds=3, ridge=1e-9,
)  # fmt: skip


def structures(seed: int = 0) -> list[Atoms]:
    """Strained and rattled crystals, slabs, clusters and alloys of the metals, with EMT's values."""
    rng = np.random.default_rng(seed)
    found = []
    for k in range(20 * len(METALS)):
        unit = bulk(METALS[k % len(METALS)], cubic=True)
        atoms = unit.repeat((2, 1, 1))
        if k % 4 == 3:
            atoms.symbols[:] = rng.choice(METALS, len(atoms))
        kind = k // len(METALS) % 5
        atoms.set_cell(atoms.cell[:] @ (np.eye(3) + rng.normal(scale=0.03, size=(3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(scale=0.05 + 0.1 * (kind == 1), size=(len(atoms), 3))
        if kind == 2:
            atoms.cell[2] *= 3
        elif kind == 3:
            del atoms[rng.integers(len(atoms))]
        elif kind == 4:
            atoms = atoms[rng.permutation(len(atoms))[: rng.integers(3, 8)]]
            atoms.center(vacuum=6.0)
        calc = EMT()
        values = {name: calc.get_property(name, atoms) for name in ("energy", "forces", "stress")}
        atoms.calc = SinglePointCalculator(atoms, **values)
        found.append(atoms)
    return found


def make_stand_in(path: Path) -> None:
    """Fit the model and save it."""
    data = path.with_suffix(".extxyz")
    write(data, structures())
    fit(data, settings=SETTINGS, name="stand-in").model.save(path, overwrite=True)


class StandIn(ScatteringCalculator):
    """Made without arguments, as EMT is."""

    def __init__(self, **ignored: Any) -> None:
        super().__init__(os.environ[STAND_IN])


if STAND_IN in os.environ:
    ase.calculators.emt.EMT = StandIn
