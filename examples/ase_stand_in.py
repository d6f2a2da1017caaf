"""A plugin of pytest: in ASE's own tests a scattering model takes the place of EMT.

    python examples/ase_stand_in.py stand_in.json                               fits the model, in seconds
    export ASE_SCATTER_STAND_IN=$PWD/stand_in.json PYTHONPATH=$PWD/examples
    python -m pytest --pyargs ase.test.test_eos ase.test.filter -p ase_stand_in   any of ASE's tests

`outside_programs.py` runs all of them that use EMT. The model is a small one, fitted to EMT energies, forces
and stresses of seven metals; what ASE's tests ask of any calculator then holds for it as well, numbers that
are EMT's own do not.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ase.calculators.emt
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from ase_scatter import FitSettings, ScatteringCalculator, fit

STAND_IN = "ASE_SCATTER_STAND_IN"
"""Variable of the environment that holds the path of the model."""
LONGEST = 60
"""Seconds after which a test is given up: some climb a saddle that EMT alone has."""
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
    fit(data, settings=SETTINGS, name="stand-in", progress=False).model.save(path, overwrite=True)


class StandIn(ScatteringCalculator):
    """Made without arguments, as EMT is."""

    def __init__(self, **ignored: Any) -> None:
        super().__init__(os.environ[STAND_IN])


def _too_long(*ignored: object) -> None:
    raise TimeoutError(f"longer than {LONGEST} s")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: Any) -> Iterator[None]:
    """Give up a test that takes too long."""
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LONGEST)
    try:
        return (yield)  # type: ignore[misc]
    finally:
        signal.alarm(0)


if STAND_IN in os.environ:
    ase.calculators.emt.EMT = StandIn


def main(arguments: list[str] | None = None) -> int:
    """Fit the model; the exit code."""
    parser = argparse.ArgumentParser(description="Fit the model that takes the place of EMT.")
    parser.add_argument("output", type=Path, help="the model; its data go beside it")
    make_stand_in(parser.parse_args(arguments).output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
