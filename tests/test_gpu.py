"""The transforms on a real GPU, against the CPU."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, diamond100
from ase.calculators.emt import EMT

from ase_scatter.compute.backend import require_device
from ase_scatter.compute.target import Target
from ase_scatter.errors import DeviceError
from ase_scatter.model.model import Model
from ase_scatter.model.self_check import self_check
from ase_scatter.scattering import GridSettings, GridTransform, SitesSettings, SitesTransform
from ase_scatter.scattering.channels import Channels
from ase_scatter.scattering.grid import cuda as grid_device
from ase_scatter.structures.batch import Batch
from ase_scatter.structures.dataset import Frame
from ase_scatter.structures.system import System
from ase_scatter.training.design_matrix import Problem
from ase_scatter.training.fitting import fit
from ase_scatter.training.settings import FitSettings

CUDA = Target("cuda")

cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
try:
    GPU = require_device("cuda")
except DeviceError as missing:
    pytest.skip(f"no GPU: {missing}", allow_module_level=True)

SETTINGS = GridSettings(scales=(0.7, 1.0), first=(3, 1), inner=(2,), outer=(1, 0))


def slab():
    atoms = diamond100("Si", (1, 1, 3), a=5.43, vacuum=2.0)
    atoms.pbc = (True, True, False)
    return atoms


SYSTEMS = {
    "alloy": lambda: bulk("SiC", "zincblende", a=4.36).repeat((2, 1, 1)),
    "slab": slab,
    "molecule": lambda: Atoms("SiC2", positions=[[0, 0, 0], [1.5, 0.2, 0.4], [-0.3, 1.6, -0.5]]),
}


@pytest.fixture(params=SYSTEMS, scope="module")
def case(request):
    atoms = SYSTEMS[request.param]()
    atoms.rattle(0.1, seed=1)
    system = System.from_atoms(atoms)
    transform = GridTransform.candidates(SETTINGS, Channels.by_species(["C", "Si"])).calibrated([system])
    return system, transform, np.random.default_rng(0).normal(size=transform.n_columns)


def test_the_work_is_done_there(case):
    """First of all: what the other tests compare has really been on the GPU."""
    system, transform, weights = case
    assert isinstance(GPU.to_device(np.ones(3)), cupy.ndarray)
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    before = pool.total_bytes()
    tables = transform._on("cuda", system, None, "float64").tables
    assert isinstance(tables.harmonics, cupy.ndarray)
    assert all(isinstance(scale.radial, cupy.ndarray) for scale in tables.scales.values())
    transform.evaluate(system, weights, CUDA)
    assert pool.total_bytes() > before
    there = transform.jacobian(system, Target(device="cuda", dtype="float32")).on_host(
        Target(device="cuda", dtype="float32")
    )
    assert all(isinstance(array, cupy.ndarray) for array in there)


def assert_close(there, here, atol):
    assert there.energy == pytest.approx(here.energy, abs=atol)
    np.testing.assert_allclose(there.forces, here.forces, rtol=0, atol=atol)
    np.testing.assert_allclose(there.strain_gradient, here.strain_gradient, rtol=0, atol=atol)


@pytest.mark.parametrize(("dtype", "close"), [("float64", 1e-10), ("float32", 1e-5)])
def test_values_are_those_of_the_cpu(case, dtype, close):
    system, transform, weights = case
    columns = transform.features(system)
    size = np.abs(columns * weights).sum()
    there = transform.evaluate(system, weights, Target(device="cuda", dtype=dtype))
    assert_close(there, transform.evaluate(system, weights), close * size)
    for a, b in zip(
        transform.jacobian(system),
        transform.jacobian(system, Target(device="cuda", dtype=dtype)).on_host(
            Target(device="cuda", dtype=dtype)
        ),
        strict=True,
    ):
        np.testing.assert_allclose(b, a, atol=close * np.abs(a).max())
    on_gpu = transform.features(system, Target(device="cuda", dtype=dtype))
    np.testing.assert_allclose(on_gpu, columns, atol=close * columns.max())


@pytest.mark.parametrize(("dtype", "close"), [("float64", 1e-12), ("float32", 1e-5)])
def test_kernels_agree_with_array_operations_on_the_gpu(case, dtype, close):
    system, transform, weights = case
    size = np.abs(transform.features(system) * weights).sum()
    expected = transform.sample(system, Target("cuda", dtype)).evaluate(weights[None])[0]
    assert_close(
        transform.evaluate(system, weights, Target(device="cuda", dtype=dtype)), expected, close * size
    )


def moved(system, seed):
    shift = np.random.default_rng(seed).normal(scale=0.05, size=system.positions.shape)
    return replace(system, positions=system.positions + shift)


def test_batches_rows_and_small_blocks(case, monkeypatch):
    system, transform, weights = case
    rows = np.array([weights, weights[::-1], 0.5 * weights])
    strained = replace(system, cell=1.02 * system.cell, positions=1.02 * system.positions)
    systems = [system, moved(system, 1), strained, moved(system, 2)]
    size = np.abs(transform.features(system) * weights).sum()
    expected = [[transform.evaluate(one, row) for row in rows] for one in systems]
    for part in (grid_device.KEPT_PART, 1e-15):
        monkeypatch.setattr(grid_device, "KEPT_PART", part)
        monkeypatch.setattr(grid_device, "BLOCK_PART", part)
        grid_device.clear()
        values = transform.evaluate_batch(Batch(systems, GPU), rows, CUDA)
        for several, others in zip(values, expected, strict=True):
            for there, here in zip(several, others, strict=True):
                assert_close(there, here, 1e-10 * size)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_same_bits_twice(case, dtype):
    system, transform, weights = case
    one, two = (transform.evaluate(system, weights, Target(device="cuda", dtype=dtype)) for _ in range(2))
    assert one.energy == two.energy
    assert np.array_equal(one.forces, two.forces)
    assert np.array_equal(one.strain_gradient, two.strain_gradient)
    first, second = (
        transform.jacobian(system, Target(device="cuda", dtype=dtype)).on_host(
            Target(device="cuda", dtype=dtype)
        )
        for _ in range(2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("n_images", [1, 5])
def test_a_potential(n_images):
    """Si-grid: as on the CPU, and 1e-4 eV/Å from there in float32."""
    model = Model.load(Path(__file__).parents[1] / "potentials" / "Si-grid.json")
    atoms = bulk("Si", "diamond", a=5.43, cubic=True)
    atoms.rattle(0.1, seed=1)
    systems = [moved(System.from_atoms(atoms), seed) for seed in range(n_images)]
    exact = [values for (values,) in model.evaluate(systems, target=CUDA)]
    rough = [values for (values,) in model.evaluate(systems, target=Target(device="cuda", dtype="float32"))]
    for system, one, other in zip(systems, exact, rough, strict=True):
        here = model.evaluate_one(system)
        assert one.energy == pytest.approx(here.energy, abs=1e-8)
        np.testing.assert_allclose(one.forces, here.forces, rtol=0, atol=1e-8)
        np.testing.assert_allclose(other.forces, here.forces, rtol=0, atol=1e-4)


# ---- sums over atoms --------------------------------------------------------------------------------------

SITES = SitesSettings(
    scales=(0.7, 1.1), cutoff=4.0, switch=1.5, first=(3, 1), inner=(2,), outer=(2,), skipped=0, triple=2
)


@pytest.fixture(params=SYSTEMS, scope="module")
def at_atoms(request):
    atoms = SYSTEMS[request.param]()
    atoms.rattle(0.1, seed=1)
    system = System.from_atoms(atoms)
    transform = SitesTransform.candidates(SITES, Channels.by_species(["C", "Si"])).calibrated([system])
    return system, transform, np.random.default_rng(0).normal(size=transform.n_columns)


def test_atoms_are_summed_over_there(at_atoms):
    system, transform, _ = at_atoms
    around = transform._around(system, CUDA)
    assert all(isinstance(array, cupy.ndarray) for array in (*around.pairs, *around.fields()))


@pytest.mark.parametrize(("dtype", "close"), [("float64", 1e-10), ("float32", 1e-4)])
def test_sums_over_atoms_are_those_of_the_cpu(at_atoms, dtype, close):
    system, transform, weights = at_atoms
    here = transform.evaluate(system, weights)
    there = transform.evaluate(system, weights, Target(device="cuda", dtype=dtype))
    columns = transform.features(system)
    size = np.abs(columns * weights).sum()
    for name in ("energies", "forces", "strain_gradient"):
        np.testing.assert_allclose(getattr(there, name), getattr(here, name), atol=close * size)
    for a, b in zip(
        transform.jacobian(system),
        transform.jacobian(system, Target(device="cuda", dtype=dtype)).on_host(
            Target(device="cuda", dtype=dtype)
        ),
        strict=True,
    ):
        np.testing.assert_allclose(b, a, atol=close * np.abs(a).max())
    again = transform.evaluate(system, weights, Target(device="cuda", dtype=dtype))
    assert np.array_equal(again.forces, there.forces)


# ---- fits -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def copper():
    frames = []
    for seed in range(12):
        atoms = bulk("Cu", "fcc", 3.55 + 0.01 * seed, cubic=True)
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        labels = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        frames.append(Frame(System.from_atoms(atoms), *labels))
    return frames


@pytest.mark.parametrize("transform", ["sites", "grid", "both"])
def test_fits(copper, transform):
    settings = FitSettings(
        transform=transform, columns=30, folds=4, members=4, dtype="float64", ridges=(1e-8, 1e-6),
        sites={"first": (3, 1), "inner": (1,), "outer": (1,), "triple": 2},
        grid=GridSettings(scales=(0.55, 0.8), first=(2,), inner=(1,), outer=(1,)),
    )  # fmt: skip
    # First of all: the rows are made on the GPU, and the sums too.
    problem = Problem(settings, ["Cu"], copper, 1, False, "cuda")
    rows = problem.rows((0, copper[0]))
    assert all(isinstance(matrix, cupy.ndarray) for matrix in rows.matrix.values())
    results = [
        fit(copper[:9], test=copper[9:], settings=settings, progress=False, device=device)
        for device in ("cpu", "cuda", "cuda")
    ]
    here, there, again = results
    assert there.model.transform.columns == here.model.transform.columns
    for part in ("train", "test"):
        for kind, error in here.errors[part]["all"].items():
            assert there.errors[part]["all"][kind] == pytest.approx(error, rel=1e-5, abs=1e-6)
    assert np.array_equal(again.model.weights, there.model.weights)
    self_check(there.model, target=CUDA, rtol=1e-8)
