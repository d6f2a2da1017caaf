import importlib.util
import sys
from dataclasses import replace

import numpy as np
import pytest
import strict
from ase.build import bulk

from ase_scatter.compute.backend import require_device, require_dtype
from ase_scatter.compute.target import Target
from ase_scatter.errors import DeviceError, InputError
from ase_scatter.scattering import GridSettings, GridTransform
from ase_scatter.scattering.channels import Channels
from ase_scatter.structures.system import System


@pytest.fixture(scope="module")
def alloy():
    atoms = bulk("NiAl", "cesiumchloride", a=2.9).repeat((2, 1, 1))
    atoms.rattle(0.1, seed=1)
    return System.from_atoms(atoms)


@pytest.fixture(scope="module")
def transform(alloy):
    settings = GridSettings(scales=(0.6, 0.9), first=(2, 1), inner=(1,), outer=(1,))
    return GridTransform.candidates(settings, Channels.by_species(["Ni", "Al"])).calibrated([alloy])


@pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False), (False, False, False)])
@pytest.mark.parametrize(("dtype", "close"), [("float64", 1e-12), ("float32", 1e-5)])
def test_all_of_the_transform_runs_on_arrays_that_are_not_numpys(alloy, transform, pbc, dtype, close):
    """The reference in array operations alone: both are as near as blocks of FFTs allow. What a device runs
    instead is compared in test_grid_device."""
    system = replace(alloy, pbc=np.array(pbc))
    weights = np.random.default_rng(0).normal(size=transform.n_columns)
    here, there = (transform.sample(system, Target(name, dtype)) for name in ("cpu", "strict"))
    columns = here.features()
    size = np.abs(columns * weights).sum()
    np.testing.assert_allclose(there.features(), columns, rtol=close)
    (expected,), (values,) = here.evaluate(weights[None]), there.evaluate(weights[None])
    assert values.energy == pytest.approx(expected.energy, abs=close * size)
    np.testing.assert_allclose(values.forces, expected.forces, atol=close * size)
    np.testing.assert_allclose(values.strain_gradient, expected.strain_gradient, atol=close * size)
    for a, b in zip(here.jacobian(), there.jacobian(), strict=True):
        np.testing.assert_allclose(b, a, atol=close * np.abs(a).max())


def test_strict_arrays_are_really_used(alloy, transform):
    sampled = transform.sample(alloy, Target("strict", "float64"))
    assert isinstance(sampled.densities, strict.StrictArray)
    assert all(isinstance(level.harmonics, strict.StrictArray) for level in sampled.levels.values())
    host = transform.sample(alloy, Target("cpu", "float64"))
    assert isinstance(host.densities, np.ndarray)


def test_a_mix_inside_the_transform_is_caught(alloy, transform, monkeypatch):
    """Were charges left on the host, the strict device would say so."""
    backend = strict.strict_backend()
    sampled = transform.sample(alloy, Target("strict", "float64"))
    sampled.charges = np.ones(sampled.charges.shape)
    with pytest.raises(TypeError, match="host"):
        sampled.evaluate(np.ones((1, transform.n_columns)))
    tables = sampled.levels[0]
    with pytest.raises(TypeError, match="host"):
        tables.convolve(0, 0, backend.to_host(sampled.densities[0]))


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
        lambda device, host: device.__iadd__(host),
        lambda device, host: host.__iadd__(device),
        lambda device, host: device @ host,
        lambda device, host: host @ device,
        lambda device, host: host[device],
        lambda device, host: strict.XP.stack([device, host]),
        lambda device, host: strict.XP.einsum("a,a->", device, host),
        lambda device, host: strict.FFT.fft(host),
        lambda device, host: float(device),
    ],
)
def test_the_stand_in_refuses_to_mix(mix):
    host = np.ones(3)
    with pytest.raises(TypeError):
        mix(require_device("strict").to_device(host), host)


def test_the_stand_in_allows_what_cupy_does():
    device = require_device("strict").to_device(np.arange(3.0))
    assert float(device[2]) == 2.0
    assert float((2.0 * device + np.float64(1.0)).sum()) == 9.0
    host = require_device("strict").to_host(device)
    assert type(host) is np.ndarray
    host += 1.0
    assert float(device[0]) == 0.0


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
