"""The kernels of the atom-centred transform, run on the CPU, against the compiled passes."""

from dataclasses import replace

import numpy as np
import pytest
import strict
from ase.build import bulk
from cuda_compiler import compile_source
from test_sites import SMALL, SYSTEMS, case_of, crowded, make, random_weights, sizes  # noqa: F401

from ase_scatter import ScatteringCalculator
from ase_scatter.compute.backend import THREADS, kernel_source
from ase_scatter.compute.target import Target
from ase_scatter.errors import DeviceError, InputError, UnknownElementError
from ase_scatter.model.model import Model
from ase_scatter.scattering import SitesTransform
from ase_scatter.scattering.channels import Channels
from ase_scatter.scattering.sites.cuda import FILES
from ase_scatter.scattering.sites.cuda_plan import Tables
from ase_scatter.structures import neighbors_cuda as pairs
from ase_scatter.structures.batch import Batch
from ase_scatter.structures.system import System

STRICT = Target("strict")


def close(found, expected, size, tolerance=1e-10):
    energy, forces, strain = size
    assert found.energy == pytest.approx(expected.energy, abs=tolerance * energy)
    np.testing.assert_allclose(found.energies, expected.energies, atol=tolerance * energy)
    np.testing.assert_allclose(found.forces, expected.forces, atol=tolerance * forces)
    np.testing.assert_allclose(found.strain_gradient, expected.strain_gradient, atol=tolerance * strain)


def same(one, two):
    return all(
        np.array_equal(getattr(one, name), getattr(two, name))
        for name in ("energy", "energies", "forces", "strain_gradient")
    )


@pytest.mark.parametrize("backward", [False, True])
def test_values_are_those_of_the_host(crowded, backward, monkeypatch):  # noqa: F811
    monkeypatch.setattr("cuda_on_cpu.backward", backward)
    system, transform, weights, size = crowded
    close(
        transform.evaluate(system, weights, STRICT),
        transform.evaluate(system, weights),
        size,
    )


def test_single_precision_is_near(crowded):  # noqa: F811
    """At perfect crystals fields are zero but for rounding, which weights made for them make much of."""
    system, transform, weights, size = crowded
    found = transform.evaluate(system, weights, Target(device="strict", dtype="float32"))
    perfect = np.abs(transform.evaluate(system, weights).forces).max() < 1e-6
    close(found, transform.evaluate(system, weights), size, 1e-4 if perfect else 2e-6)


@pytest.mark.parametrize("name", ["isolated", "alone"])
def test_without_neighbours(name):
    system, transform, weights = case_of(name)
    found = transform.evaluate(system, weights, STRICT)
    expected = transform.evaluate(system, weights)
    assert np.array_equal(found.forces, np.zeros((len(system), 3)))
    assert found.energy == pytest.approx(expected.energy, abs=1e-12)


@pytest.mark.parametrize(
    "changes",
    [
        {"exponents2": ()},
        {"triple": 0},
        {"triple": 0, "exponents2": (), "exponents1": (2.0,)},
        {"exponents1": (), "triple": 3},
        {"first": (8, 0, 3), "exponents2": (1.25,)},
        {"first": (11,), "inner": (0,), "outer": (4, 1), "exponents1": (1.0, 0.7)},
        {"cutoff": 7.5},
    ],
    ids=str,
)
def test_any_settings(changes):
    system = case_of("sheared")[0]
    transform = make(system, replace(SMALL, **changes))
    weights = random_weights(transform, system)
    found = transform.evaluate(system, weights, STRICT)
    close(found, transform.evaluate(system, weights), sizes(system, transform, weights))


def test_columns_chosen_here_and_there():
    system, whole, _ = case_of("alloy")
    rng = np.random.default_rng(4)
    for n in (1, 7, 40):
        transform = whole.subset(sorted(rng.choice(whole.n_columns, n, replace=False).tolist()))
        weights = random_weights(transform, system)
        found = transform.evaluate(system, weights, STRICT)
        close(found, transform.evaluate(system, weights), sizes(system, transform, weights))


def test_structures_of_all_sizes_in_one_batch():
    names = ["alloy", "slab", "wire", "molecule", "isolated", "alloy", "sheared"]
    systems = [System.from_atoms(SYSTEMS[name]()) for name in names]
    _, transform, weights = case_of("alloy")
    rows = np.stack([weights, 2.0 * weights[::-1], np.zeros_like(weights)])
    found = transform.evaluate_batch(Batch(systems, strict.STRICT, transform.cutoff), rows, STRICT)
    assert len(found) == len(systems)
    for system, several in zip(systems, found, strict=True):
        for row, values in zip(rows, several, strict=True):
            alone = transform.evaluate(system, row, STRICT)
            assert same(values, alone)
            expected = transform.evaluate(system, row)
            np.testing.assert_allclose(values.forces, expected.forces, atol=1e-9)


def test_same_bits_whenever_the_list_was_made(monkeypatch):
    atoms = SYSTEMS["alloy"]()
    _, transform, weights = case_of("alloy")
    pairs.CACHE.clear()
    transform.evaluate(System.from_atoms(atoms), weights, STRICT)
    atoms.rattle(0.05, seed=2)
    system = System.from_atoms(atoms)
    built = pairs.CACHE.built
    old = transform.evaluate(system, weights, STRICT)
    assert pairs.CACHE.built == built
    pairs.CACHE.clear()
    monkeypatch.setattr("cuda_on_cpu.backward", True)
    assert same(transform.evaluate(system, weights, STRICT), old)


# ---- through a model --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def silicon():
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=1)
    return atoms


@pytest.mark.parametrize("name", ["Si", "LiSi"])
def test_a_potential_with_core_and_committee(name, silicon):
    model, system = Model.load(name), System.from_atoms(silicon)
    here, there = model.evaluate_one(system), model.evaluate_one(system, STRICT)
    assert there.energy == pytest.approx(here.energy, abs=1e-9)
    np.testing.assert_allclose(there.forces, here.forces, atol=1e-10)
    np.testing.assert_allclose(there.strain_gradient, here.strain_gradient, atol=1e-9)
    unsure, there_unsure = (
        model.uncertainty([system])[0],
        model.uncertainty([system], STRICT)[0],
    )
    np.testing.assert_allclose(there_unsure.forces, unsure.forces, atol=1e-9)
    assert there_unsure.energy == pytest.approx(unsure.energy, abs=1e-9)


def test_single_precision_of_a_potential(silicon):
    """What the README states: 1e-4 eV/Å."""
    model, system = Model.load("Si"), System.from_atoms(silicon)
    here, there = (
        model.evaluate_one(system),
        model.evaluate_one(system, Target(device="strict", dtype="float32")),
    )
    assert np.abs(there.forces - here.forces).max() < 1e-4
    assert abs(there.energy - here.energy) / len(system) < 1e-4


def test_many_structures_through_the_calculator(silicon):
    calc, host = ScatteringCalculator("Si", device="strict"), ScatteringCalculator("Si")
    structures = [silicon, silicon.repeat((2, 1, 1)), bulk("Si")]
    for found, expected in zip(calc.evaluate_many(structures), host.evaluate_many(structures), strict=True):
        for key in expected:
            np.testing.assert_allclose(found[key], expected[key], atol=1e-9)


def test_atoms_at_one_place_and_unknown_elements_are_refused(silicon):
    atoms = silicon.copy()
    atoms.positions[3] = atoms.positions[5]
    atoms.calc = ScatteringCalculator("Si", device="strict")
    with pytest.raises(InputError, match="atoms 3 and 5"):
        atoms.get_forces()
    atoms = bulk("Ge")
    atoms.calc = ScatteringCalculator("Si", device="strict")
    with pytest.raises(UnknownElementError, match="Ge"):
        atoms.get_forces()


# ---- memory -----------------------------------------------------------------------------------------------


def test_a_batch_is_split_when_it_does_not_fit(silicon, monkeypatch):
    model = Model.load("Si")
    systems = [System.from_atoms(silicon) for _ in range(5)]
    whole = [values for (values,) in model.evaluate(systems, target=STRICT)]
    need = model.transform.memory(systems[0], STRICT)
    launched = []
    original = SitesTransform.evaluate_batch

    def counted(self, batch, *args, **kwargs):
        launched.append(len(batch))
        return original(self, batch, *args, **kwargs)

    monkeypatch.setattr(SitesTransform, "evaluate_batch", counted)
    monkeypatch.setattr(strict, "memory", 2.5 * need / 0.9)
    monkeypatch.setattr("ase_scatter.structures.batch.UNASKED", 0.0)
    split = [values for (values,) in model.evaluate(systems, target=STRICT)]
    assert launched == [2, 2, 1]
    assert all(same(one, two) for one, two in zip(whole, split, strict=True))


def test_too_large_a_structure_is_refused_before_anything_is_allocated(silicon, monkeypatch):
    monkeypatch.setattr(strict, "memory", 1e5)
    monkeypatch.setattr("ase_scatter.structures.batch.UNASKED", 0.0)
    atoms = silicon.copy()
    atoms.calc = ScatteringCalculator("Si", device="strict")
    with pytest.raises(DeviceError, match="8 atoms needs about"):
        atoms.get_forces()


def test_running_out_of_memory_says_what_to_do(silicon, monkeypatch):
    def full(*args, **kwargs):
        raise MemoryError("full")

    monkeypatch.setattr(strict.XP, "empty", full)
    pairs.CACHE.clear()
    atoms = silicon.copy()
    atoms.calc = ScatteringCalculator("Si", device="strict")
    with pytest.raises(DeviceError, match=r"ran out of memory .*float32"):
        atoms.get_forces()


def test_predicted_memory_is_what_is_allocated(silicon, monkeypatch):
    """Within a factor of two, and not less than what the largest arrays take."""
    taken = []
    empty = strict.XP.empty

    def counted(shape, dtype="float64"):
        array = empty(shape, dtype=dtype)
        taken.append(array._values.nbytes)
        return array

    monkeypatch.setattr(strict.XP, "empty", counted)
    pairs.CACHE.clear()
    model = Model.load("Si")
    system = System.from_atoms(silicon.repeat(2))
    model.evaluate_one(system, STRICT)
    predicted = model.transform.memory(system, STRICT)
    assert 0.6 * predicted < sum(taken) < 1.3 * predicted


# ---- compiled for a GPU -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["Si", "LiSi", "NbMoTaW"])
def test_kernels_compile_for_a_gpu(name, dtype):
    transform = Model.load(name).transform
    tables = Tables.of(transform._layout)
    compile_source(kernel_source(FILES, tuple(tables.macros(transform._layout, dtype).items())))
    assert max(tables.shared(dtype).values()) <= 96 * 1024


def test_kernels_compile_without_order_2_and_triples():
    system = case_of("sheared")[0]
    transform = make(system, replace(SMALL, exponents2=(), triple=0), Channels.by_charges)
    tables = Tables.of(transform._layout)
    compile_source(kernel_source(FILES, tuple(tables.macros(transform._layout, "float32").items())))
    assert THREADS >= 32


def test_work_is_counted():
    tables = Model.load("Si").transform._kernel_tables
    one, two = tables.work(28, "float32"), tables.work(28, "float64")
    assert two.gathered == 2 * one.gathered > 28 * 4 * tables.sizes["N_A"]
    assert 2e5 < one.multiply_adds == two.multiply_adds < 5e5
    assert tables.work(0, "float32").gathered == 0
