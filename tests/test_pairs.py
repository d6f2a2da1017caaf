"""Neighbours and repulsion on a device, against those of the host."""

import gc
import weakref

import numpy as np
import pytest
import strict
from ase import Atoms
from ase.build import bulk, fcc111
from cuda_compiler import compile_source

from ase_scatter.compute.backend import kernel_source
from ase_scatter.errors import DeviceError, InputError
from ase_scatter.model import repulsion
from ase_scatter.model.repulsion import ZBLRepulsion
from ase_scatter.structures import neighbors_cuda as pairs
from ase_scatter.structures.batch import Batch, batches
from ase_scatter.structures.neighbors import find_neighbors
from ase_scatter.structures.system import System


def rattled(atoms, seed=0, amount=0.2):
    atoms = atoms.copy()
    atoms.rattle(amount, seed=seed)
    return atoms


def away(atoms):
    """The same crystal with its atoms in other cells."""
    atoms = rattled(atoms)
    cells = np.random.default_rng(3).integers(-40, 40, size=(len(atoms), 3))
    atoms.positions += cells @ atoms.cell
    return atoms


def sheared():
    atoms = bulk("Si", cubic=True).repeat((2, 1, 1))
    atoms.set_cell(atoms.cell @ np.array([[1, 0.7, 0.1], [0, 1, -0.9], [0, 0, 1.0]]), scale_atoms=True)
    return rattled(atoms)


def slab():
    return rattled(fcc111("Al", (2, 2, 3), vacuum=0.0, periodic=False))


STRUCTURES = {
    "crystal": lambda: rattled(bulk("Si", cubic=True).repeat(3)),
    "one atom": lambda: bulk("Al"),
    "sheared": sheared,
    "slab": slab,
    "wire": lambda: Atoms("Al4", np.arange(4)[:, None] * [2.1, 0.3, 0.2], cell=[9, 0, 0], pbc=[1, 0, 0]),
    "molecule": lambda: Atoms("CO2", [[0, 0, 0], [0.8, 0.9, 0], [-0.9, 0.8, 0.1]]),
    "two far apart": lambda: Atoms("H2", [[0, 0, 0], [900, 3, 1]]),
    "away": lambda: away(bulk("NiAl", "cesiumchloride", a=2.9).repeat(2)),
}


def batch_of(*names, cutoff=4.0):
    systems = [System.from_atoms(STRUCTURES[name]()) for name in names]
    return Batch(systems, strict.STRICT, cutoff)


def host_pairs(system, cutoff):
    """Sorted (i, j, x, y, z) of all pairs."""
    found = find_neighbors(system, cutoff)
    i = np.repeat(np.arange(len(system)), np.diff(found.first))
    vectors = system.positions[found.second] - system.positions[i] + found.shifts @ system.cell
    return in_order(np.column_stack([i, found.second, vectors]))


def in_order(rows):
    rounded = rows.round(6) + 0.0
    return rows[np.lexsort(rounded.T[::-1])]


def device_pairs(batch, cutoff, dtype="float64"):
    near = pairs.near_pairs(batch, cutoff, dtype)
    first, counts, vectors, second = (
        strict.STRICT.to_host(array) for array in (near.first, near.counts, near.vectors, near.second)
    )
    rows = [
        [i, second[p], *vectors[p]]
        for i in range(batch.n_atoms)
        for p in range(first[i], first[i] + counts[i])
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 5)


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("cutoff", [2.5, 6.0])
def test_pairs_are_those_of_the_host(name, cutoff):
    batch = batch_of(name, cutoff=cutoff)
    expected = host_pairs(batch.systems[0], cutoff)
    found = in_order(device_pairs(batch, cutoff))
    assert len(found) == len(expected) > 0 or name == "two far apart" or cutoff == 2.5
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_structures_side_by_side_do_not_see_each_other():
    batch = batch_of(*STRUCTURES, cutoff=4.0)
    expected = [
        np.add(row, [start, start, 0, 0, 0])
        for start, system in zip(batch.ends[:-1], batch.systems, strict=True)
        for row in host_pairs(system, 4.0)
    ]
    np.testing.assert_allclose(in_order(device_pairs(batch, 4.0)), expected, atol=1e-10)


def test_lists_serve_until_an_atom_has_moved_half_the_skin():
    pairs.CACHE.clear()
    atoms = STRUCTURES["crystal"]()
    seen = []
    for step in (0.0, 0.1, 0.25, 0.35):
        atoms.positions[0, 0] += step
        before = pairs.CACHE.built
        batch = Batch([System.from_atoms(atoms)], strict.STRICT, 3.0)
        np.testing.assert_allclose(
            in_order(device_pairs(batch, 3.0)), host_pairs(batch.systems[0], 3.0), atol=1e-10
        )
        seen.append(pairs.CACHE.built - before)
    assert seen == [1, 0, 1, 1]


def test_lists_that_are_let_go_are_gone_at_once():
    """Without waiting for the collector of garbage: they hold memory of the device."""
    batch = batch_of("crystal")
    pairs.CACHE.clear()
    gc.disable()
    try:
        pairs.near_pairs(batch, 4.0)
        lists, array = weakref.ref(batch.lists), weakref.ref(batch.lists.pairs)
        pairs.CACHE.clear()
        del batch
        assert lists() is None
        assert array() is None
    finally:
        gc.enable()


def test_order_does_not_depend_on_when_the_list_was_made():
    pairs.CACHE.clear()
    atoms = STRUCTURES["crystal"]()
    kept = Batch([System.from_atoms(atoms)], strict.STRICT, 3.0)
    pairs.near_pairs(kept, 3.0)
    atoms.rattle(0.02, seed=5)
    old = device_pairs(Batch([System.from_atoms(atoms)], strict.STRICT, 3.0), 3.0)
    pairs.CACHE.clear()
    assert np.array_equal(old, device_pairs(Batch([System.from_atoms(atoms)], strict.STRICT, 3.0), 3.0))


def test_vectors_in_single_precision_are_rounded_only_once():
    batch = batch_of("away", cutoff=4.0)
    single, double = device_pairs(batch, 4.0, "float32"), device_pairs(batch, 4.0)
    assert np.array_equal(single[:, 2:], double[:, 2:].astype(np.float32))


def test_a_cell_too_small_is_refused():
    atoms = Atoms("H", cell=[0.01, 5, 5], pbc=True)
    with pytest.raises(InputError, match="too small"):
        pairs.near_pairs(Batch([System.from_atoms(atoms, apart=False)], strict.STRICT, 6.0), 6.0)


@pytest.mark.parametrize("backward", [False, True])
def test_the_core_is_that_of_the_host(backward, monkeypatch):
    monkeypatch.setattr("cuda_on_cpu.backward", backward)
    pairs.CACHE.clear()
    core = ZBLRepulsion(["H", "C", "O", "Al", "Si", "Ni"], r_outer=3.2)
    batch = batch_of(*STRUCTURES, cutoff=3.2)
    for system, found in zip(batch.systems, core.evaluate_batch(batch), strict=True):
        expected = core.evaluate(system)
        assert found.energy == pytest.approx(expected.energy, rel=1e-12)
        size = max(1e-3, np.abs(expected.forces).max())
        np.testing.assert_allclose(found.forces, expected.forces, atol=1e-11 * size)
        strain = expected.strain_gradient
        np.testing.assert_allclose(found.strain_gradient, strain, atol=1e-11 * np.abs(strain).max() + 1e-12)
        np.testing.assert_allclose(found.energies, expected.energies, rtol=1e-11, atol=1e-14)


def test_nothing_comes_back_where_nothing_repels():
    batch = Batch([System.from_atoms(bulk("Si"))], strict.STRICT, 2.0)
    assert ZBLRepulsion(["Si"]).evaluate_batch(batch) is None


def test_atoms_at_one_place_are_named():
    atoms = STRUCTURES["crystal"]()
    atoms.positions[7] = atoms.positions[2] + 0.01
    batch = Batch([System.from_atoms(atoms, apart=False)], strict.STRICT, 3.0)
    with pytest.raises(InputError, match="atoms 2 and 7"):
        ZBLRepulsion(["Si"]).evaluate_batch(batch)


def test_batches_fill_the_room(monkeypatch):
    monkeypatch.setattr(strict, "memory", 4.0e9 / 0.9)
    systems = [System.from_atoms(STRUCTURES["molecule"]()) for _ in range(5)]
    needs = dict(zip(map(id, systems), [2e9, 2e9, 3e9, 1e9, 4e9], strict=True))
    sizes = [len(b) for b in batches(systems, lambda system: needs[id(system)], strict.STRICT)]
    assert sizes == [2, 2, 1]


def test_what_does_not_fit_is_an_error_that_says_how_much_it_needs(monkeypatch):
    monkeypatch.setattr(strict, "memory", 1e9)
    with pytest.raises(DeviceError, match=r"3 atoms needs about 7.0 GB .* 0.9 GB"):
        list(batches([System.from_atoms(STRUCTURES["molecule"]())], lambda system: 7e9, strict.STRICT))


@pytest.mark.parametrize("dtype", ["float", "double"])
def test_kernels_compile_for_a_gpu(dtype):
    compile_source(kernel_source(pairs.FILES, (("REAL", dtype),)))
    compile_source(
        kernel_source(
            repulsion.FILES,
            (("SCREENING_COEFFICIENTS", "1, 2, 3, 4"), ("SCREENING_DECAYS", "1, 2, 3, 4")),
        )
    )
