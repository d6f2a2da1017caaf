"""The grid transform's kernels, run on the CPU, against the array operations of the host."""

import copy
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import strict
from ase import Atoms
from ase.build import bulk, diamond100
from cuda_compiler import compile_source

from ase_scatter.compute.backend import kernel_source
from ase_scatter.compute.target import Target
from ase_scatter.errors import DeviceError, InputError
from ase_scatter.model.model import Model
from ase_scatter.scattering import GridSettings, GridTransform
from ase_scatter.scattering.channels import Channels
from ase_scatter.scattering.grid import cuda as grid_device
from ase_scatter.scattering.grid import cuda_steps
from ase_scatter.scattering.grid.tables import FILES, macros
from ase_scatter.scattering.harmonics import degree
from ase_scatter.scattering.wavelets import fourier_space, phase
from ase_scatter.structures.batch import Batch
from ase_scatter.structures.system import System

STRICT = Target("strict")

COARSE = GridSettings(
    scales=(0.8, 1.1), band=3.6, spacing=0.8, first=(2, 1), inner=(2, 0), outer=(1, 0), exponents1=(1.0, 1.5)
)
DEVICE = strict.STRICT


def slab():
    atoms = diamond100("Si", (1, 1, 2), a=5.43, vacuum=2.0)
    atoms.pbc = (True, True, False)
    atoms.rotate(25, "x", rotate_cell=True)
    return atoms


def wire():
    atoms = Atoms("SiCSi", positions=[[0, 0, 0.3], [1.2, 0.1, 1.9], [0.2, 1.5, 2.8]], cell=[0, 0, 4.0])
    atoms.pbc = (False, False, True)
    return atoms


SYSTEMS = {
    "alloy": lambda: bulk("SiC", "zincblende", a=4.36),
    "cubic": lambda: bulk("SiC", "zincblende", a=4.36, cubic=True),
    "slab": slab,
    "wire": wire,
    "molecule": lambda: Atoms("SiC", positions=[[0, 0, 0], [1.5, 0.2, 0.4]]),
}


def candidates(system, settings=COARSE):
    channels = Channels.from_table({"C": {"C": 1.0}, "Si": {"Si": 1.0}, "all": {"C": 1.0, "Si": 0.7}})
    shaken = system.positions + np.random.default_rng(8).normal(scale=0.1, size=system.positions.shape)
    return GridTransform.candidates(settings, channels).calibrated([replace(system, positions=shaken)])


def weighed(transform, system, n_rows):
    """Rows of weights that bring all columns to one size."""
    values = np.abs(transform.features(system))
    rows = np.random.default_rng(0).normal(size=(n_rows, transform.n_columns))
    return rows / np.maximum(values, 1e-3 * values.max())


def system_of(atoms):
    atoms.rattle(0.1, seed=1)
    return System.from_atoms(atoms)


@pytest.fixture(params=SYSTEMS, scope="module")
def case(request):
    system = system_of(SYSTEMS[request.param]())
    transform = candidates(system)
    if not system.pbc.all():  # vacuum costs as much as atoms
        transform = transform.subset(range(0, transform.n_columns, 4))
    return system, transform, weighed(transform, system, 2)


@pytest.fixture(scope="module")
def alloy():
    system = system_of(SYSTEMS["alloy"]())
    transform = candidates(system)
    return system, transform, weighed(transform, system, 3)


def assert_close(got, expected, close, size=None):
    for name in ("energy", "forces", "strain_gradient"):
        a, b = np.asarray(getattr(got, name)), np.asarray(getattr(expected, name))
        np.testing.assert_allclose(a, b, rtol=0, atol=close * (size or np.abs(b).max()), err_msg=name)


def same_bits(a, b):
    return (
        a.energy == b.energy
        and np.array_equal(a.forces, b.forces)
        and np.array_equal(a.strain_gradient, b.strain_gradient)
    )


# ---- as on the host ---------------------------------------------------------------------------------------


def test_energies_forces_and_strain(case):
    system, transform, weights = case
    for row in weights:
        there = transform.evaluate(system, row, STRICT)
        assert_close(there, transform.evaluate(system, row), 1e-10)


def test_columns_and_their_derivatives(case):
    system, transform, _ = case
    here = transform.jacobian(system)
    there = transform.jacobian(system, STRICT).on_host(STRICT)
    for a, b in zip(there, here, strict=True):
        # Column by column: none hides behind larger ones.
        sizes = np.abs(b).reshape(len(b), -1).max(axis=1)
        differences = np.abs(a - b).reshape(len(b), -1).max(axis=1)
        assert np.all(differences <= 1e-10 * np.maximum(sizes, 1e-6 * sizes.max()))
    np.testing.assert_allclose(transform.features(system, STRICT), here.values, rtol=1e-10, atol=0)


@pytest.mark.parametrize("points", [(0, 0, 0), (0, 0, 1), (1, 1, 1), (3, 0, 2)])
def test_grids_odd_and_even(alloy, points):
    """The half-spectrum ends differently; n_z from shapes that are frozen."""
    system, transform, (row, *_) = alloy
    shapes = transform.grid_shapes(system) + np.array(points)
    there = transform.evaluate(system, row, Target(device="strict", grids=shapes))
    assert_close(there, transform.evaluate(system, row, Target(grids=shapes)), 1e-10)


def test_a_channel_without_atoms(alloy):
    system, transform, (row, *_) = alloy
    silicon = replace(system, numbers=np.full(len(system), 14))
    there = transform.evaluate(silicon, row, STRICT)
    assert_close(there, transform.evaluate(silicon, row), 1e-10)
    here, there = (
        transform.jacobian(silicon),
        transform.jacobian(silicon, STRICT).on_host(STRICT),
    )
    assert not there.values[[column.path.channel == 0 for column in transform.paths]].any()
    for a, b in zip(there, here, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * np.abs(b).max())


@pytest.mark.parametrize("settings", [{"exponents2": ()}, {"first": (), "exponents2": (1.5,)}])
def test_one_order_alone(alloy, settings):
    system = alloy[0]
    transform = candidates(system, replace(COARSE, **settings))
    (row,) = weighed(transform, system, 1)
    there = transform.evaluate(system, row, STRICT)
    assert_close(there, transform.evaluate(system, row), 1e-10)


def test_single_precision(case):
    system, transform, (row, _) = case
    here = transform.evaluate(system, row)
    there = transform.evaluate(system, row, Target(device="strict", dtype="float32"))
    size = np.abs(transform.features(system) * row).sum()
    assert_close(there, here, 2e-6, size)
    assert there.forces.dtype == np.float64
    jacobian = transform.jacobian(system, Target(device="strict", dtype="float32")).on_host(
        Target(device="strict", dtype="float32")
    )
    for a, b in zip(jacobian, transform.jacobian(system), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())
    assert jacobian.d_positions.dtype == np.float32


def test_single_precision_of_a_potential():
    """Si-grid on 8 rattled atoms: float32 is off by 4e-5 eV/Å in forces and 2e-5 eV/atom in energies."""
    model = Model.load(Path(__file__).parents[1] / "potentials" / "Si-grid.json")
    system = system_of(bulk("Si", "diamond", 5.43, cubic=True))
    here = model.evaluate_one(system)
    there = model.evaluate_one(system, Target(device="strict", dtype="float32"))
    assert abs(there.energy - here.energy) < 1e-4 * len(system)
    np.testing.assert_allclose(there.forces, here.forces, rtol=0, atol=1e-4)
    there = model.evaluate_one(system, STRICT)
    assert_close(there, here, 1e-10, 100.0)


def test_tables_are_the_wavelets(alloy):
    """Every ψ̂ and ∂ψ̂/∂k of high l and p, put together as the kernels do it."""
    settings = GridSettings(scales=(0.6, 1.0), first=(6, 4, 2), exponents2=())
    transform = GridTransform.candidates(settings, Channels.by_species(["C", "Si"]))
    tables = grid_device.on_device(transform.tree, *transform.grids.of(alloy[0]), DEVICE, "float64").tables
    waves, harmonics, gradients = (
        DEVICE.to_host(array) for array in (tables.waves, tables.harmonics, tables.gradients)
    )
    for index, scale in tables.scales.items():
        which, radial, slopes = (DEVICE.to_host(array) for array in (scale.which, scale.radial, scale.slopes))
        k = waves[:3, which]
        for (p, l), a, b in zip(transform.tree.orders[index], radial, slopes, strict=True):
            h, dh = harmonics[degree(l)][:, which], gradients[degree(l)][:, :, which]
            value, slope = fourier_space(settings.scales[index], p, l, k.T, settings.band)
            size = np.abs(slope).max()
            np.testing.assert_allclose(phase(p, l) * a * h, value, rtol=0, atol=1e-12 * np.abs(value).max())
            found = phase(p, l) * (a * dh + b * h[:, None] * k)
            np.testing.assert_allclose(found, slope, rtol=0, atol=1e-12 * size)


# ---- several at once --------------------------------------------------------------------------------------


def test_members_of_a_committee():
    model = Model.load(Path(__file__).parents[1] / "potentials" / "Si-grid.json")
    system = system_of(bulk("Si", "diamond", 5.43))
    here, there = (model.members([system], Target(device=device))[0] for device in ("cpu", "strict"))
    assert len(there.energy) > 5
    for name in ("energy", "forces", "stress"):
        np.testing.assert_allclose(getattr(there, name), getattr(here, name), rtol=0, atol=1e-10)


def test_transforms_that_were_on_a_device_travel(alloy):
    system, transform, (row, *_) = alloy
    expected = transform.evaluate(system, row, STRICT)
    for other in (copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        assert other == transform
        assert same_bits(other.evaluate(system, row, STRICT), expected)


def moved(system, seed):
    shift = np.random.default_rng(seed).normal(scale=0.05, size=system.positions.shape)
    return replace(system, positions=system.positions + shift)


def test_batches_of_equal_and_of_other_boxes(alloy):
    system, transform, weights = alloy
    larger = system_of(bulk("SiC", "zincblende", a=4.5))
    fewer = replace(system, numbers=system.numbers[1:], positions=system.positions[1:])
    systems = [system, larger, moved(system, 1), fewer, moved(system, 2), moved(larger, 3)]
    values = transform.evaluate_batch(Batch(systems, DEVICE), weights, STRICT)
    assert [len(several) for several in values] == [len(weights)] * len(systems)
    for one, several in zip(systems, values, strict=True):
        for row, value in zip(weights, several, strict=True):
            assert_close(value, transform.evaluate(one, row), 1e-10)


def test_a_batch_has_the_bits_of_each(alloy):
    system, transform, weights = alloy
    systems = [system, moved(system, 1)]
    together = transform.evaluate_batch(Batch(systems, DEVICE), weights[:1], STRICT)
    for one, (value,) in zip(systems, together, strict=True):
        assert same_bits(value, transform.evaluate(one, weights[0], STRICT))


def test_shapes_are_shared(alloy):
    system, transform, weights = alloy
    shapes = transform.grid_shapes(system) + 1
    systems = [system, moved(system, 1)]
    values = transform.evaluate_batch(Batch(systems, DEVICE), weights[:1], Target("strict", grids=shapes))
    for one, (value,) in zip(systems, values, strict=True):
        assert_close(value, transform.evaluate(one, weights[0], Target(grids=shapes)), 1e-10)
    with pytest.raises(InputError, match="grid_shape"):
        transform.evaluate_batch(Batch(systems, DEVICE), weights, Target("strict", grids=shapes[0]))
    with pytest.raises(InputError, match="weights"):
        transform.evaluate_batch(Batch(systems, DEVICE), weights[:, 1:], STRICT)


# ---- memory -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kept", "fields"), [(2.0**60, 8), (4e4, 8), (1.0, 1)])
def test_blocks_of_any_size_give_the_same(alloy, monkeypatch, kept, fields):
    system, transform, weights = alloy
    transform, weights = transform.subset(range(0, transform.n_columns, 3)), weights[:, ::3]
    systems = [system, moved(system, 1), moved(system, 2)]
    expected = transform.evaluate_batch(Batch(systems, DEVICE), weights, STRICT)
    columns, derivatives = (
        transform.features(system),
        transform.jacobian(system, STRICT).on_host(STRICT),
    )
    grid_device.clear()
    made = grid_device.Device.__init__

    def small(self, *arguments):
        made(self, *arguments)
        self.kept = kept
        self.resolutions = tuple((i, r._replace(most_fields=fields)) for i, r in self.resolutions)

    monkeypatch.setattr(grid_device.Device, "__init__", small)
    device = grid_device.Device(transform.tree, *transform.grids.of(system), DEVICE, "float64")
    together, pieces = device._pieces(3)
    assert (pieces == [None]) == (kept > 1e6)
    assert together > 3 or pieces != [None]
    values = transform.evaluate_batch(Batch(systems, DEVICE), weights, STRICT)
    for several, others in zip(values, expected, strict=True):
        for a, b in zip(several, others, strict=True):
            assert_close(a, b, 1e-12)
    np.testing.assert_allclose(transform.features(system, STRICT), columns, rtol=1e-10)
    for a, b in zip(
        transform.jacobian(system, STRICT).on_host(STRICT),
        derivatives,
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * np.abs(b).max())


def test_what_cannot_fit_is_refused(alloy, monkeypatch):
    system, transform, weights = alloy
    needed = transform.memory(system, STRICT)
    assert needed > transform.memory(system, Target("strict", "float32")) > 1e4
    large = replace(system, cell=10 * system.cell)
    assert transform.memory(large, STRICT) > 500 * needed
    monkeypatch.setattr(strict, "memory", 0.5 * needed)
    with pytest.raises(DeviceError, match="needs about"):
        transform.jacobian(system, STRICT).on_host(STRICT)
    with pytest.raises(DeviceError, match="needs about"):
        transform.evaluate(system, weights[0], STRICT)


def test_what_is_predicted_is_enough(alloy, monkeypatch):
    """Allocated at once, at most, with the smallest blocks; with a factor of two to spare."""
    system, transform, weights = alloy
    system = replace(system, cell=2 * system.cell)
    monkeypatch.setattr(grid_device, "_power_of_two", lambda limit: 1.0)
    grid_device.clear()
    with strict.measured() as most:
        transform.evaluate(system, weights[0], STRICT)
    assert 0.2 * transform.memory(system, STRICT) < most.bytes < transform.memory(system, STRICT)


# ---- order ------------------------------------------------------------------------------------------------


def test_the_order_of_threads_does_not_matter(alloy, monkeypatch):
    system, transform, weights = alloy
    one, two = (transform.evaluate(system, weights[0], STRICT) for _ in range(2))
    assert same_bits(one, two)
    derivatives = transform.jacobian(system, STRICT).on_host(STRICT)
    monkeypatch.setattr("cuda_on_cpu.backward", True)
    assert same_bits(one, transform.evaluate(system, weights[0], STRICT))
    for a, b in zip(
        transform.jacobian(system, STRICT).on_host(STRICT),
        derivatives,
        strict=True,
    ):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_kernels_compile_for_a_gpu(dtype):
    assert compile_source(kernel_source(FILES, tuple(macros(dtype).items()))) > 1000


# ---- how much is done -------------------------------------------------------------------------------------


def test_few_launches_and_few_bytes(alloy, monkeypatch):
    """What the design is for: 52 kernels and 24 FFTs per evaluation with four scales, one copy each way."""
    system, transform, weights = alloy
    transform.evaluate(system, weights[0], STRICT)
    calls = []

    def counted(function, name):
        def call(*arguments, **keywords):
            calls.append(name)
            return function(*arguments, **keywords)

        return call

    grid_device.clear()
    kernels = cuda_steps.load_kernels
    monkeypatch.setattr(cuda_steps, "load_kernels", lambda *a: counted(kernels(*a), "kernel"))
    for name in ("rfftn", "irfftn"):
        monkeypatch.setattr(strict.FFT, name, counted(getattr(strict.FFT, name), "fft"))
    backend = replace(
        DEVICE, from_host=counted(DEVICE.from_host, "up"), to_host=counted(DEVICE.to_host, "down")
    )
    monkeypatch.setattr(strict, "STRICT", backend)

    def count(run):
        calls.clear()
        run()
        return [calls.count(name) for name in ("kernel", "fft", "up", "down")]

    def evaluate(n):
        return lambda: transform.evaluate_batch(
            Batch([moved(system, k) for k in range(n)], backend), weights[:1], STRICT
        )

    evaluate(1)()
    evaluate(5)()
    assert count(evaluate(1)) == [30, 12, 1, 1]
    assert count(evaluate(5)) == [30, 12, 1, 1]
