"""What users import: every public name is there, nothing hides a module, and importing is cheap."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

import ase_scatter

PACKAGE = Path(ase_scatter.__file__).parent


@pytest.mark.parametrize("name", ase_scatter.__all__)
def test_public_names_are_there(name):
    assert getattr(ase_scatter, name) is not None
    assert name in dir(ase_scatter)


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="no attribute 'Fit'"):
        ase_scatter.Fit  # noqa: B018


def test_no_name_hides_a_module():
    modules = {path.stem for path in PACKAGE.iterdir()} - {"__init__", "__pycache__"}
    assert not modules & set(ase_scatter.__all__)
    assert importlib.import_module("ase_scatter.training.fitting").predict is ase_scatter.predict


def test_what_an_import_loads():
    """Nothing heavy; and a calculator loads no training."""
    code = """
import sys, ase_scatter
heavy = {"numpy", "scipy", "ase", "numba", "matplotlib", "spglib"} & set(sys.modules)
assert not heavy, heavy
from ase_scatter import ScatteringCalculator
heavy = ("ase_scatter.training", "scipy.stats", "matplotlib")
loaded = [name for name in sys.modules if name.startswith(heavy)]
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True)


SITES = {"first": (3, 1), "inner": (), "outer": (), "triple": 2, "exponents2": ()}
SETTINGS = ase_scatter.FitSettings(sites=SITES, columns=30, folds=4, ridges=(1e-9, 1e-7), members=4)


def copper(seed, calculator=None):
    """Rattled fcc Cu with the labels that EMT gives, as a user's script would have it."""
    atoms = bulk("Cu", "fcc", 3.5 + 0.02 * (seed % 8), cubic=True)
    atoms.rattle(0.1, seed=seed)
    atoms.calc = calculator or EMT()
    for label in ("energy", "forces", "stress"):
        atoms.calc.get_property(label, atoms)
    return atoms


@pytest.fixture(scope="module")
def structures():
    return [copper(seed) for seed in range(20)]


@pytest.fixture(scope="module")
def fitted(structures):
    return ase_scatter.fit(
        structures[:16], test=structures[16:], settings=SETTINGS, progress=False, workers=1
    )


def test_a_list_of_atoms_is_a_data_set(structures, fitted):
    """It is fitted as its frames are, and predictions carry energy, forces and stress."""
    frames = ase_scatter.frames_of(structures)
    same = ase_scatter.fit(frames[:16], test=frames[16:], settings=SETTINGS, progress=False, workers=1)
    np.testing.assert_array_equal(fitted.model.weights, same.model.weights)
    assert fitted.errors == same.errors
    for prediction, atoms in zip(
        ase_scatter.predict(fitted.model, structures[16:]), structures[16:], strict=True
    ):
        with_model = atoms.copy()
        with_model.calc = ase_scatter.ScatteringCalculator(fitted.model)
        assert prediction.energy == pytest.approx(with_model.get_potential_energy(), rel=1e-12)
        np.testing.assert_allclose(prediction.forces, with_model.get_forces(), rtol=0, atol=1e-10)
        np.testing.assert_allclose(prediction.stress, with_model.get_stress(), rtol=0, atol=1e-12)
        assert prediction.energy == pytest.approx(atoms.get_potential_energy(), abs=0.1)


def test_other_commands_take_atoms_too(structures, fitted):
    frames = ase_scatter.frames_of(structures)
    chosen = [
        ase_scatter.select_structures(fitted.model, pool[16:], known=pool[:16], count=2, workers=1).chosen
        for pool in (structures, frames)
    ]
    assert chosen[0] == chosen[1]
    told = []
    points = ase_scatter.learning_curve(
        structures[:16], structures[16:], settings=SETTINGS, sizes=[16], workers=1,
        progress=lambda name, done, total: told.append((name, done, total)),
    )  # fmt: skip
    assert points[0].errors == pytest.approx(fitted.errors["test"]["all"], rel=1e-6)
    # Smaller ones come first, where the cutoff is chosen.
    assert [done for name, done, total in told if name == "design matrix"][-16:] == list(range(1, 17))
    assert {total for name, _, total in told if name == "predict test"} == {4}
    trials = []
    tuning = ase_scatter.tune(
        structures, minutes=0.01, settings=SETTINGS, workers=1, progress=False,
        seen=lambda trial, better: trials.append((trial, better)),
    )  # fmt: skip
    assert tuning.trials[1:] == [trial for trial, _ in trials]


def test_labels_of_other_structures_are_refused():
    """One calculator holds the results of one structure."""
    shared = EMT()
    several = [copper(seed, shared) for seed in range(3)]
    with pytest.raises(ase_scatter.InputError, match="frame 0: the calculator holds the energy of another"):
        ase_scatter.frames_of(several)
    moved = copper(0)
    moved.rattle(0.01, seed=1)
    with pytest.raises(ase_scatter.InputError, match="of another structure"):
        ase_scatter.frames_of([moved])
    with pytest.raises(ase_scatter.InputError, match="not a single one"):
        ase_scatter.frames_of(copper(0))
