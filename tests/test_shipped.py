"""The contract of every potential that comes with the package."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import strict  # noqa: F401
from ase import Atoms, units
from ase.build import bulk, surface
from ase.md.verlet import VelocityVerlet

from ase_scatter import Model, ScatteringCalculator, read_frames, shipped_models
from ase_scatter.compute.target import Target
from ase_scatter.model.self_check import self_check
from ase_scatter.properties import elastic_constants, relax_cell
from ase_scatter.reporting.benchmark import difference
from ase_scatter.reporting.samples import disturbed
from ase_scatter.structures.system import System
from ase_scatter.testing import (
    Deviation,
    check_calculator,
    check_forces,
    check_stress,
    check_supercell,
    check_translation,
    example_structures,
)
from ase_scatter.training.fitting import predict
from ase_scatter.training.metrics import errors
from ase_scatter.training.reliability import half_widths_and_errors

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
MODELS = shipped_models()

# Largest errors on the test files: energy MAE (meV/atom), force MAE (eV/Å), stress RMSE (GPa).
TARGETS = {
    "Li": {"energy_mae": 0.30, "force_mae": 0.0055, "stress_rmse": 0.08},
    "Si": {"energy_mae": 2.2, "force_mae": 0.060, "stress_rmse": 0.38},
    "Mo": {"energy_mae": 2.2, "force_mae": 0.085},
    # Stresses in the file are not those of the energies.
    "Cu": {"energy_mae": 0.30, "force_mae": 0.006},
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

WITH_GRID = [name for name in MODELS if name in EGG_BOX]
WITHOUT_GRID = [name for name in MODELS if name not in EGG_BOX]

pytestmark = pytest.mark.skipif(not MODELS, reason="no potentials are there yet")


@pytest.fixture(scope="module", params=MODELS)
def model(request) -> Model:
    return Model.load(request.param)


# ---- structures ----------------------------------------------------------------------------------


def lattice_parameter(model: Model) -> float | None:
    """Of the model's data, Å; None if it is not among its reference values."""
    return model.metadata.get("reference", {}).get("properties", {}).get("a")


def crystal(model: Model, repeat: int = 1, *, rattle: float = 0.0) -> Atoms:
    """The conventional cell of the first element, repeated."""
    atoms: Atoms = bulk(model.elements[0], a=lattice_parameter(model), cubic=True).repeat(repeat)
    if rattle:
        atoms.rattle(rattle, seed=1)
    return atoms


def slab(model: Model, vacuum: float, pbc: tuple[bool, bool, bool]) -> Atoms:
    """A disturbed (100) slab of about 10 Å, one cell wide, with this much vacuum (Å) in all."""
    unit = crystal(model)
    atoms: Atoms = surface(unit, (1, 0, 0), round(10.0 / unit.cell.lengths()[2]))
    atoms.rattle(0.1, seed=1)
    atoms.cell[2] = [0.0, 0.0, np.ptp(atoms.positions[:, 2]) + vacuum]
    atoms.pbc = pbc
    return atoms


def cluster(model: Model) -> Atoms:
    """The eight atoms of a crystal that are nearest to an empty place in it, disturbed."""
    atoms = crystal(model, 3)
    center = atoms.cell.sum(axis=0) * 0.5 + [0.3, 0.2, 0.1]
    near = np.argsort(np.linalg.norm(atoms.positions - center, axis=1))[:8]
    atoms = Atoms(atoms.symbols[near], atoms.positions[near] - center)
    atoms.rattle(0.1, seed=1)
    return atoms


def energy(model: Model, atoms: Atoms) -> float:
    """Energy in meV per atom."""
    return 1e3 * model.evaluate_one(System.from_atoms(atoms)).energy / len(atoms)


def energies_within(mev: float) -> Deviation:
    """Deviations that are allowed where the grid decides: meV/atom, and whatever follows for forces."""
    return Deviation(1e-3 * mev, np.inf, np.inf)


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
    assert model.transform.n_columns <= min(600 * len(model.elements), 1800)
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


# ---- what must not change the energy, and derivatives --------------------------------------------


@pytest.mark.parametrize("model", WITHOUT_GRID, indirect=True)
@pytest.mark.parametrize("name", ["perfect", "rattled", "slab", "molecule", "triclinic"])
def test_the_contract(model, name):
    """Models without a grid keep all of it to rounding."""
    assert model.transform.invariant
    atoms = example_structures(model.elements, a=lattice_parameter(model))[name]
    report = check_calculator(ScatteringCalculator(model), atoms)
    assert len(report) >= 11


@pytest.mark.parametrize("model", WITH_GRID, indirect=True)
def test_the_contract_on_a_grid(model):
    """Exact are derivatives, and all that turns or repeats the grid along with the atoms."""
    atoms = example_structures(model.elements, a=lattice_parameter(model))["rattled"]
    # The egg box has tests of its own, and so has the cluster: an atom alone takes long.
    skip = ["translation", "supercell", "isolated atom"]
    report = check_calculator(ScatteringCalculator(model), atoms, skip=skip)
    assert {"forces", "stress", "permutation", "lattice shifts", "rotation", "copies", "batch"} <= set(report)


@pytest.mark.parametrize("model", WITH_GRID, indirect=True)
def test_derivatives_on_a_grid(model):
    calculator = ScatteringCalculator(model)
    structures = example_structures(model.elements, a=lattice_parameter(model))
    check_stress(calculator, structures["perfect"], directions=1)
    check_forces(calculator, structures["perfect"], directions=1)
    # Along the forces is enough where the cell is large.
    check_forces(calculator, structures["slab"], directions=0)


@pytest.mark.parametrize("model", WITH_GRID, indirect=True)
@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("rattle", [0.0, 0.1], ids=["perfect", "disturbed"])
def test_rigid_translations_on_a_grid(model, size, rattle):
    # 64 atoms of diamond, 54 of bcc.
    large = 2 if len(crystal(model)) == 8 else 3
    atoms = crystal(model, large if size == "large" else 1, rattle=rattle)
    allowed = energies_within(EGG_BOX[model.name])
    check_translation(ScatteringCalculator(model), atoms, tolerance=allowed, shifts=4)


@pytest.mark.parametrize("model", [*WITHOUT_GRID, *EGG_BOX_CLUSTER], indirect=True)
def test_rotations_of_a_cluster(model):
    """Of the models with a grid one; all take minutes, and examples/egg_box.py measures them."""
    atoms = cluster(model)
    turned = atoms.copy()
    turned.rotate(37.0, (1, 2, 3))
    # Only what the transform gives can change; its columns take less time than their derivatives.
    one, other = (
        model.transform.features(System.from_atoms(those)) @ model.weights for those in (atoms, turned)
    )
    assert 1e3 * abs(other - one) / len(atoms) < EGG_BOX_CLUSTER.get(model.name, EXACT)


def test_the_vacuum_of_a_slab(model):
    def change(*pbc: bool) -> float:
        return abs(energy(model, slab(model, 50.0, pbc)) - energy(model, slab(model, 25.0, pbc)))

    assert change(True, True, False) < EXACT
    assert change(True, True, True) < VACUUM_PERIODIC.get(model.name, EXACT)


@pytest.mark.parametrize("model", WITH_GRID, indirect=True)
def test_supercells_on_a_grid(model):
    unit = crystal(model, rattle=0.1)
    check_supercell(ScatteringCalculator(model), unit, tolerance=energies_within(EGG_BOX[model.name]))
    # On a grid of as many cells nothing changes.
    shapes = model.transform.grid_shapes(System.from_atoms(unit))
    one, eight = (
        model.evaluate_one(System.from_atoms(atoms), Target(grids=grids))
        for atoms, grids in ((unit, shapes), (unit.repeat(2), 2 * shapes))
    )
    assert eight.energy == pytest.approx(8 * one.energy, rel=1e-8)
    size = np.abs(one.forces).max()
    np.testing.assert_allclose(eight.forces, np.tile(one.forces, (8, 1)), atol=1e-6 * size)


def test_single_precision_is_close(model):
    system = System.from_atoms(crystal(model, rattle=0.1))
    double, single = (model.evaluate_one(system, Target(dtype=dtype)) for dtype in ("float64", "float32"))
    assert abs(single.energy - double.energy) / len(system) < 1e-4
    scale = np.abs(double.forces).max()
    np.testing.assert_allclose(single.forces, double.forces, atol=2e-4 * scale)


# ---- properties ----------------------------------------------------------------------------------


@cache
def relaxed(name: str) -> Atoms:
    """The crystal of the first element at the model's own lattice."""
    calculator = ScatteringCalculator(replace(Model.load(name), committee=None))
    found = relax_cell(crystal(calculator.model), calculator)
    assert found.converged
    return found.atoms


def test_the_lattice_parameter(model):
    alloys = {"NbMoTaW": 3.32, "LiSi": 3.399}  # of bcc Nb, PBE, and of bcc Li, DFTB
    known = alloys.get(model.name) or lattice_parameter(model)
    # bcc Li is 1.3 % too large in LiSi, which saw little of it.
    close = 0.02 if model.name == "LiSi" else 0.01
    assert relaxed(model.name).cell.lengths() == pytest.approx(known, rel=close)


@pytest.mark.parametrize("name", sorted({"Si", "Si-grid", "Mo"} & set(MODELS)))
def test_elastic_constants_with_clamped_ions(name):
    """In bcc nothing relaxes: there clamped and relaxed constants are the same."""
    model = replace(Model.load(name), committee=None)
    found = elastic_constants(relaxed(name), ScatteringCalculator(model), strain=0.005).cubic(clamped=True)
    known = model.metadata["reference"]["properties"]
    assert found.c11 == pytest.approx(known["C11"], rel=0.08)
    assert found.c12 == pytest.approx(known["C12"], rel=0.08)
    assert found.c44 == pytest.approx(known["C44_clamped" if "Si" in name else "C44"], rel=0.08)


def test_its_error_bars(model):
    """The committee's bands hold nine errors of ten of what it was calibrated on."""
    committee = model.committee
    about = model.metadata["fit"]["calibration"]
    assert len(committee) in (12, 32)
    np.testing.assert_allclose(committee.weights.mean(axis=0), model.weights, rtol=1e-6, atol=1e-9)
    for kind, factor in committee.factors.items():
        assert factor == about[kind]["factor"] > 1
        inside = [row["inside"] for row in about[kind]["bins"]]
        assert np.mean(inside) == pytest.approx(0.9, abs=0.02)
    atoms = crystal(model, rattle=0.1)
    unsure = model.uncertainty([System.from_atoms(atoms)])[0]
    # Of the size of its errors: a crystal like this is among what it was fitted to.
    known = model.metadata["errors"]["test"]["all"]
    # Most test frames of some are perfect crystals without errors, so that the root mean square says more.
    assert 0.5 < 1e3 * unsure.energy / len(atoms) / known["energy_rmse"] < 12
    assert 0.3 < unsure.forces.mean() / known["force_rmse"] < 6
    assert (unsure.forces > 0).all()
    assert (unsure.grade > 0).all()


@pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the data in {DATA}")
@pytest.mark.parametrize("name", sorted({"Li", "Si", "Mo"} & set(MODELS)))
def test_errors_on_the_test_file_lie_in_the_bands(name):
    frames = read_frames(DATA / f"mlearn/{name}_test.extxyz")
    model = Model.load(name)
    _, held = half_widths_and_errors(model, frames, predict(model, [frame.system for frame in frames]))
    assert 0.85 <= held["force"].inside(1.0) <= 0.95


def test_energies_of_atoms(model):
    values = model.evaluate_one(System.from_atoms(crystal(model, rattle=0.1)))
    if not model.transform.per_atom:
        assert values.energies is None
    else:
        assert values.energies.sum() == pytest.approx(values.energy, rel=1e-12)


@pytest.mark.parametrize("name", sorted({"Li", "Si", "Mo"} & set(MODELS)))
def test_hot_crystals_stay_in_one_piece(name):
    """A short run of what examples/md_stability.py does at length: 0.3 ps from 1000 K."""
    atoms = relaxed(name).repeat(3 if len(relaxed(name)) == 2 else 2)
    bond = nearest(atoms).min()
    atoms.calc = ScatteringCalculator(Model.load(name))
    rng = np.random.default_rng(0)
    # Half of the kinetic energy goes into the lattice: twice as much is put in.
    momenta = rng.normal(size=(len(atoms), 3)) * np.sqrt(2 * units.kB * 1000.0 * atoms.get_masses())[:, None]
    atoms.set_momenta(momenta - momenta.mean(axis=0))
    totals, bonds = [], []
    with VelocityVerlet(atoms, units.fs) as dynamics:
        for _ in range(30):
            totals.append(1e3 * atoms.get_total_energy() / len(atoms))
            bonds.append(nearest(atoms))
            dynamics.run(10)
    times = 0.01 * np.arange(30)
    drift, start = np.polyfit(times, totals, 1)
    assert np.std(totals - start - drift * times) < 0.5
    assert abs(drift) < 2.0  # of so short a run; 20 ps: < 0.02
    assert np.min(bonds) > 0.5 * bond
    assert np.max(bonds) < 2.0 * bond
    assert atoms.get_temperature() > 500.0


def nearest(atoms: Atoms) -> np.ndarray:
    """Distance (Å) of each atom to its nearest neighbour."""
    distances = atoms.get_all_distances(mic=True)
    np.fill_diagonal(distances, np.inf)
    return distances.min(axis=1)


def test_atoms_do_not_collapse(model):
    # Far inside any bond there are no data; the core takes over.
    energies = []
    for distance in (0.4, 0.7, 1.0):
        atoms = crystal(model, 1 if len(crystal(model)) == 8 else 2)
        nearest = int(np.argsort(atoms.get_distances(0, range(len(atoms)), mic=True))[1])
        atoms.set_distance(nearest, 0, distance, fix=0, mic=True)
        energies.append(energy(model, atoms))
    assert energies[0] > energies[1] > energies[2]
