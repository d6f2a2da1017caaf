import importlib.util
import sys

import numpy as np
import pytest
import strict
from ase.build import bulk

from ase_scatter.backend import require_device, require_dtype
from ase_scatter.channels import Channels
from ase_scatter.errors import DeviceError, InputError
from ase_scatter.system import System
from ase_scatter.transforms import GridSettings, GridTransform


@pytest.fixture(scope="module")
def alloy():
    atoms = bulk("NiAl", "cesiumchloride", a=2.9).repeat((2, 1, 1))
    atoms.rattle(0.1, seed=1)
    return System.from_atoms(atoms)


@pytest.fixture(scope="module")
def transform(alloy):
    settings = GridSettings(scales=(0.6, 0.9), first=(2, 1), inner=(1,), outer=(1,))
    return GridTransform.candidates(settings, Channels.by_species(["Ni", "Al"])).calibrated([alloy])


def test_all_of_the_transform_runs_on_arrays_that_are_not_numpys(alloy, transform):
    weights = np.random.default_rng(0).normal(size=transform.n_columns)
    here, there = (transform.evaluate(alloy, weights, device=name) for name in ("cpu", "strict"))
    assert there.energy == pytest.approx(here.energy, rel=1e-12)
    np.testing.assert_allclose(there.forces, here.forces, atol=1e-12 * np.abs(here.forces).max())
    np.testing.assert_allclose(there.strain_gradient, here.strain_gradient, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(
        transform.features(alloy, device="strict"), transform.features(alloy), rtol=1e-12
    )
    for a, b in zip(transform.jacobian(alloy), transform.jacobian(alloy, device="strict"), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-10 * np.abs(a).max())


@pytest.mark.parametrize(
    "mix",
    [
        lambda device, host: device + host,
        lambda device, host: host * device,
        lambda device, host: np.sqrt(device),
        lambda device, host: strict.XP.sqrt(host),
        lambda device, host: device[host.astype(int)],
        lambda device, host: np.asarray(device),
        lambda device, host: device.__setitem__(slice(None), host),
    ],
)
def test_the_stand_in_refuses_to_mix(mix):
    host = np.ones(3)
    with pytest.raises(TypeError):
        mix(require_device("strict").to_device(host), host)


def test_missing_gpu_names_the_extras(monkeypatch):
    if importlib.util.find_spec("cupy") is not None:
        monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match=r"ase-scatter\[cuda12\].*ase-scatter\[cuda13\]"):
        require_device("cuda")


def test_unknown_names():
    with pytest.raises(InputError, match="tpu"):
        require_device("tpu")
    with pytest.raises(InputError, match="float16"):
        require_dtype("float16")


def test_gpu_agrees_with_cpu(alloy, transform):
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    try:
        backend = require_device("cuda")
    except DeviceError as error:
        pytest.skip(str(error))
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    held = backend.to_device(np.ones(1 << 20))
    assert isinstance(held, cupy.ndarray)
    assert pool.used_bytes() >= 8 << 20
    weights = np.random.default_rng(0).normal(size=transform.n_columns)
    here, there = (transform.evaluate(alloy, weights, device=name) for name in ("cpu", "cuda"))
    assert there.energy == pytest.approx(here.energy, rel=1e-10)
    np.testing.assert_allclose(there.forces, here.forces, atol=1e-10 * np.abs(here.forces).max())
