"""The ASE protocol, as ASE's own optimisers, trajectories and workflows exercise it."""

from __future__ import annotations

import copy
import pickle
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_properties
from ase.filters import FrechetCellFilter
from ase.io import Trajectory, read, write
from ase.mep import NEB
from ase.optimize import BFGS
from pair_transform import CUTOFF, PairTransform

from ase_scatter.calculator import ScatteringCalculator
from ase_scatter.errors import DeviceError, InputError, ModelFileError, UnknownElementError
from ase_scatter.model.model import Model
from ase_scatter.model.repulsion import ZBLRepulsion
from ase_scatter.scattering import GridSettings, GridTransform
from ase_scatter.scattering.channels import Channels
from ase_scatter.structures.system import System
from ase_scatter.testing import (
    Deviation,
    check_calculator,
    check_forces,
    check_stress,
    example_structures,
)


@pytest.fixture
def calc(pair_model) -> ScatteringCalculator:
    return ScatteringCalculator(pair_model)


@pytest.fixture
def atoms(crystal, calc) -> Atoms:
    crystal.calc = calc
    return crystal


@pytest.fixture
def molecule(calc) -> Atoms:
    return Atoms("LiSi", positions=[[0, 0, 0], [0.5, 1.0, 1.0]], calculator=calc)


def test_results_are_those_of_the_model(atoms, pair_model):
    values = pair_model.evaluate_one(System.from_atoms(atoms))
    assert type(atoms.get_potential_energy()) is float
    assert atoms.get_potential_energy() == values.energy
    assert atoms.get_potential_energy(force_consistent=True) == values.energy
    assert np.array_equal(atoms.get_forces(), values.forces)
    assert atoms.get_stress(voigt=False) == pytest.approx(values.strain_gradient / atoms.get_volume())
    assert set(atoms.calc.results) <= set(all_properties)
    assert set(atoms.calc.results) == set(atoms.calc.implemented_properties)


def test_many_structures_give_what_each_gives_alone(atoms, molecule):
    structures = [atoms.copy(), molecule.copy(), atoms.repeat((2, 1, 1))]
    atoms.get_potential_energy()
    before = dict(atoms.calc.results)
    many = atoms.calc.evaluate_many(structures)
    assert atoms.calc.results == before
    assert [("stress" in results) for results in many] == [True, False, True]
    for structure, results in zip(structures, many, strict=True):
        structure.calc = ScatteringCalculator(atoms.calc.model)
        assert results["energy"] == structure.get_potential_energy()
        assert np.array_equal(results["forces"], structure.get_forces())
    assert atoms.calc.evaluate_many([]) == []


@pytest.mark.parametrize("name", ["perfect", "rattled", "slab", "molecule", "triclinic"])
def test_the_contract(pair_model, name):
    structures = example_structures(["Li", "Si"], a=2.2)
    calc = ScatteringCalculator(pair_model)
    calc.freeze_grid(structures["perfect"])
    # This transform's energy of the frozen grid is not extensive.
    skip = ["supercell", "separation"]
    report = check_calculator(calc, structures[name], cutoff=CUTOFF, skip=skip)
    assert len(report) >= 10
    assert np.abs(calc.get_forces(structures["rattled"])).max() > 0.1


def test_a_molecule_has_energy_and_forces_but_no_stress(molecule):
    for _ in range(2):
        with pytest.raises(PropertyNotImplementedError, match="three independent vectors"):
            molecule.get_stress()
        assert np.isfinite(molecule.get_potential_energy())
        assert np.abs(molecule.get_forces()).max() > 0.01


def test_stress_of_a_flat_or_open_cell(molecule):
    molecule.set_cell([[3, 0, 0], [0, 3, 0], [3, 3, 0]])
    with pytest.raises(PropertyNotImplementedError):
        molecule.get_stress()
    molecule.set_cell([3, 3, 3])
    molecule.pbc = (True, True, False)
    gradient = molecule.calc.model.evaluate_one(System.from_atoms(molecule)).strain_gradient
    assert molecule.get_stress(voigt=False) == pytest.approx(gradient / 27)


@pytest.mark.parametrize("changes", [[], ["positions"], ["initial_charges"]])
def test_system_changes_play_no_role(atoms, changes, pair_model):
    atoms.get_potential_energy()
    atoms.positions[0] += 0.3
    atoms.set_cell(atoms.cell * 1.05)
    atoms.calc.calculate(atoms, ["energy"], changes)
    expected = pair_model.evaluate_one(System.from_atoms(atoms))
    assert atoms.calc.results["energy"] == expected.energy
    assert np.array_equal(atoms.calc.results["forces"], expected.forces)


def test_a_failed_call_leaves_nothing_stale(atoms, monkeypatch):
    expected = atoms.get_potential_energy()
    moved = atoms.copy()
    moved.positions[0] += 0.1
    moved.calc = atoms.calc
    with monkeypatch.context() as context:
        context.setattr(Model, "evaluate", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            atoms.calc.calculate(moved)
        assert atoms.calc.results == {}
        with pytest.raises(ZeroDivisionError):
            moved.get_potential_energy()
    assert moved.get_potential_energy() == ScatteringCalculator(atoms.calc.model).get_potential_energy(moved)
    assert moved.get_potential_energy() != expected
    assert atoms.get_potential_energy() == expected


def test_nothing_is_computed_twice(atoms, monkeypatch):
    calls = []
    original = Model.evaluate
    monkeypatch.setattr(Model, "evaluate", lambda *a, **k: calls.append(1) or original(*a, **k))
    atoms.get_potential_energy()
    atoms.get_forces()
    atoms.get_stress()
    atoms.set_initial_magnetic_moments(np.ones(len(atoms)))
    atoms.get_forces()
    assert len(calls) == 1
    atoms.positions[0, 0] += 1e-9
    atoms.get_forces()
    assert len(calls) == 2


def test_bad_structures_and_elements_say_what_is_wrong(calc):
    with pytest.raises(InputError, match="there are no atoms to compute"):
        calc.calculate()
    with pytest.raises(UnknownElementError, match="does not know O"):
        Atoms("SiO", positions=[[0, 0, 0], [0, 0, 1.6]], calculator=calc).get_potential_energy()
    with pytest.raises(InputError, match="not finite"):
        Atoms("Si", positions=[[0, 0, np.nan]], calculator=calc).get_potential_energy()
    with pytest.raises(InputError, match="no atoms"):
        calc.get_potential_energy(Atoms())


def test_copies_keep_their_settings(atoms):
    forces = atoms.get_forces()
    for twin in (pickle.loads(pickle.dumps(atoms.calc)), copy.deepcopy(atoms.calc)):
        assert twin.parameters == atoms.calc.parameters
        twin.get_forces(atoms.repeat(2))
        assert np.array_equal(atoms.calc.results["forces"], forces)


def test_calculators_do_not_share_state(pair_model, crystal):
    a, b = ScatteringCalculator(pair_model), ScatteringCalculator(pair_model)
    a.freeze_grid(crystal)
    a.get_forces(crystal)
    assert b.results == {}
    assert b.parameters["grid_shape"] is None
    # Lists that ASE's base class shares between all calculators must not have grown.
    assert Calculator.implemented_properties == []
    assert Calculator.ignored_changes == set()


def test_parameters_identify_the_model(atoms, pair_model):
    assert atoms.calc.todict() == {
        "model": "pairs",
        "hash": pair_model.hash,
        "device": "cpu",
        "dtype": "float64",
        "grid_shape": None,
        "warn_above": None,
    }


@pytest.mark.parametrize("name", ["run.traj", "run.extxyz", "run.json"])
@pytest.mark.parametrize("frozen", [False, True])
def test_files_keep_the_results(atoms, tmp_path, name, frozen):
    if frozen:
        atoms.calc.freeze_grid(atoms)
    atoms.get_forces()
    write(tmp_path / name, atoms)
    again = read(tmp_path / name)
    assert again.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-7)
    assert again.get_forces() == pytest.approx(atoms.get_forces(), abs=1e-7)
    assert again.get_stress() == pytest.approx(atoms.get_stress(), abs=1e-7)


def test_a_trajectory_of_a_molecule(molecule, tmp_path):
    with Trajectory(tmp_path / "run.traj", "w", molecule) as trajectory:
        BFGS(molecule, logfile=None, trajectory=trajectory).run(fmax=1e-4, steps=3)
    frames = read(tmp_path / "run.traj", ":")
    assert len(frames) >= 2
    assert frames[-1].get_potential_energy() == molecule.get_potential_energy()


def test_a_cell_is_relaxed(calc):
    atoms = Atoms("Si", cell=np.diag([2.2, 2.3, 2.4]), pbc=True)
    atoms.calc = ScatteringCalculator(
        Model("well", PairTransform(exponents=(0.5,)), np.array([-1.0]), {"Si": 0.0}, calc.model.core)
    )
    atoms.calc.freeze_grid(atoms)
    before = atoms.get_potential_energy()
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-3, steps=100)
    assert np.abs(atoms.get_stress()).max() < 1e-3
    assert atoms.get_potential_energy() < before


def test_neb_runs_with_a_shared_calculator(calc):
    start = Atoms("LiSi", positions=[[0, 0, 0], [2.0, 0, 0]])
    end = Atoms("LiSi", positions=[[0, 0, 0], [0, 2.0, 0]])
    images = [start, *(start.copy() for _ in range(3)), end]
    for image in images:
        image.calc = calc
    neb = NEB(images, method="improvedtangent", allow_shared_calculator=True)
    neb.interpolate()
    forces = neb.get_forces()
    alone = [ScatteringCalculator(calc.model).get_potential_energy(image) for image in images[1:-1]]
    assert neb.energies[1:-1] == pytest.approx(alone, abs=1e-12)
    assert np.isfinite(forces).all()


# ---- settings ----


def test_settings_are_fixed(calc):
    with pytest.raises(InputError, match="device cannot be set"):
        calc.set(device="cuda")
    assert calc.parameters["device"] == "cpu"


@pytest.mark.parametrize("settings", [{"device": "tpu"}, {"dtype": "float16"}], ids=str)
def test_settings_that_are_not_known(pair_model, settings):
    with pytest.raises(InputError, match="choose"):
        ScatteringCalculator(pair_model, **settings)


def test_cuda_without_cupy_names_the_extras(pair_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match=r"ase-scatter\[cuda12\].*ase-scatter\[cuda13\]"):
        ScatteringCalculator(pair_model, device="cuda")


def test_models_are_found_by_path(pair_model, crystal, tmp_path):
    pair_model.save(tmp_path / "pairs.json")
    for path in (tmp_path / "pairs.json", str(tmp_path / "pairs.json")):
        calc = ScatteringCalculator(path)
        expected = pair_model.evaluate_one(System.from_atoms(crystal)).energy
        assert calc.get_potential_energy(crystal) == expected
    with pytest.raises(ModelFileError, match="no shipped model 'Unobtainium'"):
        ScatteringCalculator("Unobtainium")


def test_a_frozen_grid_stays_while_the_cell_changes(atoms):
    calc = atoms.calc
    shapes = calc.grid_shapes(atoms)
    assert shapes.tolist() == [[9, 8, 9]]
    free = atoms.get_potential_energy()
    strained = atoms.copy()
    strained.set_cell(atoms.cell * 1.2, scale_atoms=True)
    strained_free = calc.get_potential_energy(strained)
    calc.freeze_grid(atoms)
    assert calc.results == {}
    assert calc.get_potential_energy(atoms) == free
    # Each point more in a direction costs Σ weights × 1 meV with this transform.
    points = calc.grid_shapes(strained).sum() - shapes.sum()
    assert points > 0
    jump = points * calc.model.weights.sum() * 1e-3
    assert calc.get_potential_energy(strained) == pytest.approx(strained_free - jump, abs=1e-12)
    given = ScatteringCalculator(calc.model, grid_shape=shapes)
    assert given.get_potential_energy(strained) == calc.get_potential_energy(strained)
    calc.freeze_grid(None)
    assert calc.get_potential_energy(strained) == strained_free


def test_a_model_without_grid_has_nothing_to_freeze(atoms, monkeypatch):
    monkeypatch.delattr(PairTransform, "grid_shapes")
    assert atoms.calc.grid_shapes(atoms) is None
    atoms.calc.freeze_grid(atoms)
    assert atoms.calc.parameters["grid_shape"] is None


def test_a_grid_model_through_ase():
    settings = GridSettings(scales=(0.7, 1.0), first=(2,), inner=(1,), outer=(1,))
    atoms = bulk("Si", a=5.4)
    atoms.rattle(0.1, seed=2)
    transform = GridTransform.candidates(settings, Channels.by_species(["Si"]))
    transform = transform.calibrated([System.from_atoms(atoms)])
    weights = np.random.default_rng(0).normal(size=transform.n_columns)
    calc = ScatteringCalculator(Model("grid", transform, weights, {"Si": -1.0}, ZBLRepulsion(("Si",))))
    calc.freeze_grid(atoms)
    atoms.calc = calc
    size = np.abs(atoms.get_forces()).max()
    check_forces(calc, atoms, tolerance=Deviation(forces=1e-6 * size))
    size = np.abs(atoms.get_stress()).max()
    check_stress(calc, atoms, tolerance=Deviation(stress=1e-6 * size))
    double = atoms.get_potential_energy()
    single = ScatteringCalculator(calc.model, dtype="float32").get_potential_energy(atoms)
    assert single != double
    assert single == pytest.approx(double, rel=1e-4)
    # A cell that outgrows the frozen grid is refused, not computed badly.
    with pytest.raises(InputError, match="freeze it anew"):
        calc.get_potential_energy(atoms * (3, 1, 1))
