"""The contract of every potential that comes with the package."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import strict  # noqa: F401
from ase import Atoms

from ase_scatter import Model, ScatteringCalculator, read_frames, shipped_models
from ase_scatter.compute.target import Target
from ase_scatter.model.self_check import self_check
from ase_scatter.reporting.benchmark import difference
from ase_scatter.reporting.samples import disturbed
from ase_scatter.structures.system import System
from ase_scatter.training.fitting import predict
from ase_scatter.training.metrics import errors
from ase_scatter.training.reliability import bands_and_errors

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples"))

import egg_box  # noqa: E402
import elastic_clamped  # noqa: E402
import md_stability  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
MODELS = shipped_models()

# Largest errors on the test files: energy MAE (meV/atom), force MAE (eV/Å), stress RMSE (GPa).
TARGETS = {
    "Li": {"energy_mae": 0.42, "force_mae": 0.0058, "stress_rmse": 0.08},
    "Si": {"energy_mae": 1.8, "force_mae": 0.062, "stress_rmse": 0.38},
    "Mo": {"energy_mae": 2.1, "force_mae": 0.089},
    "NbMoTaW": {"energy_mae": 6.0, "force_mae": 0.12},
    "Li-both": {"energy_mae": 0.42, "force_mae": 0.0058, "stress_rmse": 0.08},
    "Si-both": {"energy_mae": 3.0, "force_mae": 0.0530, "stress_rmse": 0.45},  # aimed at 2.3 for energies
    "Mo-both": {"energy_mae": 2.8, "force_mae": 0.089},
    "LiSi": {"energy_mae": 12.0, "force_mae": 0.1},
    "Li-grid": {"energy_mae": 0.50, "force_mae": 0.0065, "stress_rmse": 0.08},
    "Si-grid": {"energy_mae": 3.0, "force_mae": 0.058, "stress_rmse": 0.45},
    "Mo-grid": {"energy_mae": 3.2, "force_mae": 0.098},
}
# On sites nothing depends on where atoms are in the cell, how they are turned, or on vacuum: rounding.
EXACT = 1e-6
# On grids, in meV/atom, aimed at 0.1 for the egg box and 0.01 for the vacuum; what a model misses has the
# bound it keeps.
EGG_BOX = {
    "Li-grid": 0.1, "Si-grid": 0.1, "Mo-grid": 0.3,
    "Li-both": 0.1, "Si-both": 0.2, "Mo-both": 0.6,
}  # fmt: skip
"""Peak to peak when a crystal is moved rigidly; Mo-grid is worst in cells of two atoms."""
EGG_BOX_CLUSTER = {"Li-grid": 0.1}
"""When a cluster, which is far from the training data, is turned."""
VACUUM_PERIODIC = {
    "Li-grid": 0.06, "Si-grid": 0.1, "Mo-grid": 0.5,
    "Li-both": 0.02, "Si-both": 0.1, "Mo-both": 1.0,
}  # fmt: skip
"""When the vacuum of a slab doubles that is periodic in three directions: the grid changes with the cell,
and with it the egg-box error. With an open direction nothing changes at all."""

pytestmark = pytest.mark.skipif(not MODELS, reason="no potentials are there yet")


@pytest.fixture(scope="module", params=MODELS)
def model(request) -> Model:
    return Model.load(request.param)


@pytest.fixture(scope="module")
def large(model) -> int:
    """Cells per edge that make 64 atoms of diamond, 54 of bcc."""
    return 2 if len(egg_box.crystal(model)) == 8 else 3


def derivative(function, step: float = 2e-3) -> float:
    """Slope at 0, with an error of fourth order in the step."""
    near, far = (function(h) - function(-h) for h in (step, 2 * step))
    return (8 * near - far) / (12 * step)


# ---- on a device ---------------------------------------------------------------------------------


def test_kernels_give_what_the_cpu_gives(model):
    """Run on the CPU; in single precision forces are off by 1e-4 eV/Å at most, as the README says."""
    atoms = disturbed(model, 8)
    host = ScatteringCalculator(model)
    exact, rough = (
        difference(atoms, host, ScatteringCalculator(model, device="strict", dtype=dtype))
        for dtype in ("float64", "float32")
    )
    assert exact.force < 1e-10 * exact.force_scale
    assert exact.energy * len(atoms) < 1e-10 * abs(host.results["energy"])
    assert exact.stress < 1e-10 * np.abs(host.results["stress"]).max()
    assert rough.force < 1e-4
    assert rough.energy < 1e-4


# ---- what the files say --------------------------------------------------------------------------


def test_it_gives_the_values_it_was_saved_with(model):
    assert max(self_check(model).values()) < 1e-8


def test_it_says_where_it_comes_from(model):
    assert {"NbMoTaW": "npj", "LiSi": "DFTB"}.get(model.name, "731") in model.metadata["citation"]
    assert model.metadata["fit"]["data"]["train"]["sha256"]
    assert model.metadata["fit"]["data"]["test"]["sha256"]
    if len(model.elements) == 1:
        assert model.metadata["reference"]["test_errors"]["MTP"]["energy_mae"] > 0
        assert model.metadata["reference"]["properties"]["a"] > 0
    assert model.core is not None


def test_its_size_and_errors(model):
    assert model.transform.n_columns <= (600 if len(model.elements) == 1 else 1000)
    table = model.metadata["errors"]["test"]["all"]
    for name, largest in TARGETS[model.name].items():
        assert table[name] <= largest, name


@pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the data in {DATA}")
def test_the_errors_are_those_of_the_data(model):
    element = model.elements[0]
    files = {"NbMoTaW": "nbmotaw/test.extxyz", "LiSi": "lisi/lisi_test.extxyz"}
    frames = read_frames(DATA / files.get(model.name, f"mlearn/{element}_test.extxyz"))
    committed = model.metadata["errors"]["test"]
    assert committed["all"]["n_frames"] == len(frames)
    # The group that takes least time stands for all.
    group = min(set(committed) - {"all"}, key=lambda name: committed[name]["n_atoms"])
    chosen = [frame for frame in frames if frame.group == group]
    found = errors(predict(model, [frame.system for frame in chosen]), chosen)[group]
    assert found == pytest.approx(committed[group], rel=1e-6)


# ---- what must not change the energy -------------------------------------------------------------


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("rattle", [0.0, 0.1], ids=["perfect", "disturbed"])
def test_rigid_translations(model, large, size, rattle):
    atoms = egg_box.crystal(model, large if size == "large" else 1, rattle=rattle)
    assert egg_box.translation(model, atoms, shifts=4) < EGG_BOX.get(model.name, EXACT)


def test_rotations_of_a_cluster(model):
    if not model.transform.per_atom and model.name not in EGG_BOX_CLUSTER:
        pytest.skip("takes minutes; examples/egg_box.py measures it")
    assert egg_box.rotation(model, egg_box.cluster(model), turns=1) < EGG_BOX_CLUSTER.get(model.name, EXACT)


def test_rotations_of_a_crystal(model):
    atoms = egg_box.crystal(model, rattle=0.1)
    before = egg_box.energy(model, atoms)
    atoms.rotate(37.0, (1, 2, 3), rotate_cell=True)
    assert egg_box.energy(model, atoms) == pytest.approx(before, rel=1e-10)


def test_the_vacuum_of_a_slab(model):
    assert abs(egg_box.vacuum(model, (True, True, False))) < 1e-6
    assert abs(egg_box.vacuum(model, (True, True, True))) < VACUUM_PERIODIC.get(model.name, EXACT)


def test_supercells(model):
    assert abs(egg_box.supercell(model, same_grid=True)) < 1e-8
    assert abs(egg_box.supercell(model, same_grid=False)) < EGG_BOX.get(model.name, EXACT)


def test_permutations_and_lattice_shifts(model):
    atoms = egg_box.crystal(model, rattle=0.1)
    values = model.evaluate_one(System.from_atoms(atoms))
    order = np.random.default_rng(0).permutation(len(atoms))
    moved = atoms[order]
    moved.positions += np.random.default_rng(1).integers(-2, 3, size=(len(atoms), 3)) @ atoms.cell[:]
    again = model.evaluate_one(System.from_atoms(moved))
    assert again.energy == pytest.approx(values.energy, rel=1e-10)
    np.testing.assert_allclose(again.forces, values.forces[order], atol=1e-9)
    np.testing.assert_allclose(again.strain_gradient, values.strain_gradient, atol=1e-8)


# ---- derivatives ---------------------------------------------------------------------------------


def systems(model: Model) -> dict[str, Atoms]:
    return {
        "perfect": egg_box.crystal(model),
        "disturbed": egg_box.crystal(model, rattle=0.1),
        "slab": egg_box.slab(model, 5.0, pbc=(True, True, False)),
    }


@pytest.mark.parametrize("kind", ["perfect", "disturbed", "slab"])
def test_forces_are_the_slope_of_the_energy(model, kind):
    atoms = systems(model)[kind]
    forces = model.evaluate_one(System.from_atoms(atoms)).forces
    # Along the forces, so that there is something to compare, and at random.
    along = np.random.default_rng(0).normal(size=forces.shape) / len(atoms) ** 0.5
    along += forces / max(1e-3, float(np.linalg.norm(forces)))

    def energy(step: float) -> float:
        moved = atoms.copy()
        moved.positions += step * along
        return model.evaluate_one(System.from_atoms(moved)).energy

    slope = -float((forces * along).sum())
    assert derivative(energy) == pytest.approx(slope, rel=1e-6, abs=2e-7)


@pytest.mark.parametrize("kind", ["perfect", "disturbed"])
def test_the_stress_is_the_slope_under_strain(model, kind):
    atoms = systems(model)[kind]
    system = System.from_atoms(atoms)
    # A grid for the largest cell serves all of them.
    stretched = atoms.copy()
    stretched.set_cell(atoms.cell[:] * 1.02, scale_atoms=True)
    shapes = model.transform.grid_shapes(System.from_atoms(stretched))
    gradient = model.evaluate_one(system, Target(grids=shapes)).strain_gradient
    strain = np.random.default_rng(0).normal(size=(3, 3))
    strain = (strain + strain.T) / np.linalg.norm(strain + strain.T)

    def energy(step: float) -> float:
        strained = atoms.copy()
        strained.set_cell(atoms.cell[:] @ (np.eye(3) + step * strain), scale_atoms=True)
        return model.evaluate_one(System.from_atoms(strained), Target(grids=shapes)).energy

    slope = float((gradient * strain).sum())
    assert derivative(energy, 1e-3) == pytest.approx(slope, rel=1e-6, abs=1e-6)


def test_single_precision_is_close(model):
    system = System.from_atoms(egg_box.crystal(model, rattle=0.1))
    double, single = (model.evaluate_one(system, Target(dtype=dtype)) for dtype in ("float64", "float32"))
    assert abs(single.energy - double.energy) / len(system) < 1e-4
    scale = np.abs(double.forces).max()
    np.testing.assert_allclose(single.forces, double.forces, atol=2e-4 * scale)


# ---- properties ----------------------------------------------------------------------------------


def test_the_lattice_parameter(model):
    alloys = {"NbMoTaW": 3.32, "LiSi": 3.399}  # of bcc Nb, PBE, and of bcc Li, DFTB
    known = alloys.get(model.name) or model.metadata["reference"]["properties"]["a"]
    # bcc Li is 1.3 % too large in LiSi, which saw little of it.
    close = 0.02 if model.name == "LiSi" else 0.01
    assert elastic_clamped.clamped_constants(model)["a"] == pytest.approx(known, rel=close)


@pytest.mark.parametrize("name", sorted({"Si", "Si-grid", "Mo"} & set(MODELS)))
def test_elastic_constants_with_clamped_ions(name):
    model = Model.load(name)
    found, known = elastic_clamped.clamped_constants(model), elastic_clamped.reference_constants(model)
    for constant in ("C11", "C12", "C44_clamped"):
        assert found[constant] == pytest.approx(known[constant], rel=0.08), constant


def test_its_error_bars(model):
    """The committee's bands hold nine errors of ten of what it was calibrated on."""
    committee = model.committee
    about = model.metadata["fit"]["calibration"]
    assert len(committee) == 12
    np.testing.assert_allclose(committee.weights.mean(axis=0), model.weights, rtol=1e-6, atol=1e-9)
    for kind, factor in committee.factors.items():
        assert factor == about[kind]["factor"] > 1
        inside = [row["inside"] for row in about[kind]["bins"]]
        assert np.mean(inside) == pytest.approx(0.9, abs=0.02)
    unsure = model.uncertainty([System.from_atoms(egg_box.crystal(model, rattle=0.1))])[0]
    assert 0 < unsure.energy < 10
    assert (unsure.forces > 0).all()
    assert (unsure.grade > 0).all()


@pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the data in {DATA}")
@pytest.mark.parametrize("name", sorted({"Li", "Si", "Mo"} & set(MODELS)))
def test_errors_on_the_test_file_lie_in_the_bands(name):
    frames = read_frames(DATA / f"mlearn/{name}_test.extxyz")
    model = Model.load(name)
    _, held = bands_and_errors(model, frames, predict(model, [frame.system for frame in frames]))
    assert 0.85 <= held["force"].inside(1.0) <= 0.95


def test_energies_of_atoms(model):
    values = model.evaluate_one(System.from_atoms(egg_box.crystal(model, rattle=0.1)))
    if not model.transform.per_atom:
        assert values.energies is None
    else:
        assert values.energies.sum() == pytest.approx(values.energy, rel=1e-12)


@pytest.mark.parametrize("name", sorted({"Li", "Si", "Mo"} & set(MODELS)))
def test_hot_crystals_stay_in_one_piece(name):
    """A short run of what examples/md_stability.py does at length."""
    found = md_stability.simulate(
        Model.load(name), n_atoms=54, temperature=1000.0, picoseconds=0.3, step=1.0, progress=False
    )
    assert found["whole"]
    assert found["scatter_meV_per_atom"] < 0.5
    assert abs(found["drift_meV_per_atom_per_ps"]) < 2.0  # of so short a run; 20 ps: < 0.02


def test_atoms_do_not_collapse(model):
    # Far inside any bond there are no data; the core takes over.
    energies = []
    for distance in (0.4, 0.7, 1.0):
        atoms = egg_box.crystal(model, 1 if len(egg_box.crystal(model)) == 8 else 2)
        nearest = int(np.argsort(atoms.get_distances(0, range(len(atoms)), mic=True))[1])
        atoms.set_distance(nearest, 0, distance, fix=0, mic=True)
        energies.append(egg_box.energy(model, atoms))
    assert energies[0] > energies[1] > energies[2]
