"""Fits on a device: the same as on the host, with rows and sums that never leave it in between."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import strict
from ase.build import bulk
from ase.calculators.emt import EMT

from ase_scatter.compute.backend import require_device
from ase_scatter.compute.target import Target
from ase_scatter.errors import DeviceError, InputError
from ase_scatter.model.self_check import self_check
from ase_scatter.scattering import GridSettings
from ase_scatter.structures.dataset import Frame
from ase_scatter.structures.system import System
from ase_scatter.training import design_matrix as design
from ase_scatter.training.design_matrix import Problem
from ase_scatter.training.fitting import fit
from ase_scatter.training.normal_equations import NormalEquations, Stream
from ase_scatter.training.settings import FitSettings

STRICT = Target("strict")

GRID = GridSettings(scales=(0.55, 0.8), first=(2,), inner=(1,), outer=(1,))
SITES = {"first": (2, 1), "inner": (1,), "outer": (1,), "triple": 2, "exponents2": (1.0,)}
SETTINGS = FitSettings(
    grid=GRID, sites=SITES, columns=20, folds=4, members=2, dtype="float64", ridges=(1e-8, 1e-6)
)


@pytest.fixture(scope="module")
def emt():
    frames = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        atoms = bulk("Cu", "fcc", 3.6, cubic=True)
        atoms.symbols[: 1 + seed % 3] = "Ni"
        atoms.set_cell(atoms.cell[:] @ (np.eye(3) + rng.normal(scale=0.02, size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.08, rng=rng)
        atoms.calc = EMT()
        labels = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        frames.append(Frame(System.from_atoms(atoms), *labels, "alloy"))
    return frames


def problems(emt, **changes):
    settings = replace(SETTINGS, **changes)
    return [Problem(settings, ["Cu", "Ni"], emt, 1, False, device) for device in ("cpu", "strict")]


@pytest.mark.parametrize("transform", ["sites", "grid", "both"])
def test_a_fit_is_that_of_the_host(emt, transform):
    settings = replace(SETTINGS, transform=transform)
    here, there = (
        fit(emt[:8], test=emt[8:], settings=settings, progress=False, workers=1, device=device)
        for device in ("cpu", "strict")
    )
    assert there.model.transform.to_dict() == here.model.transform.to_dict()
    np.testing.assert_allclose(there.model.weights, here.model.weights, rtol=1e-4, atol=1e-6)
    assert there.validation.best == here.validation.best
    for part in ("train", "test"):
        for kind, error in here.errors[part]["all"].items():
            assert there.errors[part]["all"][kind] == pytest.approx(error, rel=1e-5, abs=1e-5)
    self_check(there.model)
    assert there.model.metadata["fit"]["device"] == "strict"


def test_moments_are_those_of_the_host(emt):
    here, there = (problem.normals() for problem in problems(emt, transform="both"))
    for one, two in zip(here.parts, there.parts, strict=True):
        assert set(two) == set(one)
        for kind in one:
            a, b = one[kind].moments(), two[kind].moments()
            assert isinstance(b.gram, np.ndarray)
            size = np.sqrt(np.diag(a.gram))
            np.testing.assert_allclose(b.gram, a.gram, atol=1e-12 * size.max() ** 2)
            np.testing.assert_allclose(b.moment, a.moment, atol=1e-12 * size.max() * a.square**0.5)
            assert (b.square, b.count) == (pytest.approx(a.square), a.count)
    for one, two in zip(here.sample, there.sample, strict=True):
        assert set(two.rows.matrix) == {"energy", "force", "stress"}
        for kind, matrix in one.rows.matrix.items():
            assert two.rows.matrix[kind].dtype == np.float32
            np.testing.assert_allclose(
                two.rows.matrix[kind], matrix, rtol=1e-5, atol=1e-6 * np.abs(matrix).max()
            )


def test_rows_are_on_the_device(emt):
    for transform in ("sites", "grid", "both"):
        _, there = problems(emt, transform=transform)
        rows = there.rows((0, emt[0]))
        assert all(isinstance(matrix, strict.StrictArray) for matrix in rows.matrix.values())


@pytest.mark.parametrize("transform", ["sites", "grid", "both"])
def test_calibration_and_local_features_are_those_of_the_host(emt, transform):
    here, there = (problem.transform for problem in problems(emt, transform=transform))
    np.testing.assert_allclose(there.features(emt[0].system), here.features(emt[0].system), rtol=1e-11)
    values = here.local_features(emt[0].system)
    assert len(values) == (1 if transform == "grid" else 4)
    on_device = here.local_features(emt[0].system, STRICT)
    np.testing.assert_allclose(on_device, values, rtol=1e-9, atol=1e-12 * np.abs(values).max())


def test_sums_are_kept_where_there_is_room_for_them(emt, monkeypatch):
    """Many rows for the columns: they are multiplied as they come, and summed on the device or the host."""
    monkeypatch.setattr("ase_scatter.training.normal_equations.ROWS_AT_ONCE", 1)
    kept = []

    class Watched(Stream):
        def __init__(self, n, backend, sums_there):
            super().__init__(n, backend, sums_there)
            kept.append(sums_there)

    monkeypatch.setattr(design, "Stream", Watched)
    _, problem = problems(emt)
    much = problem.normals()
    assert all(kept)
    kept.clear()
    monkeypatch.setattr(strict, "memory", 1e6)
    little = problem.normals()
    assert kept
    assert not any(kept)
    for one, two in zip(much.weighted(SETTINGS.sigmas), little.weighted(SETTINGS.sigmas), strict=True):
        np.testing.assert_allclose(two.gram, one.gram, rtol=1e-12, atol=1e-12 * one.gram.max())


@pytest.mark.parametrize("sums_there", [True, False])
@pytest.mark.parametrize("n_pieces", [1, 4, 7])
def test_rows_that_come_in_pieces(monkeypatch, sums_there, n_pieces):
    """Few rows, whole blocks, and blocks with a rest."""
    monkeypatch.setattr("ase_scatter.training.normal_equations.ROWS_AT_ONCE", 6)
    backend = require_device("strict")
    rng = np.random.default_rng(0)
    rows, targets = rng.normal(size=(3 * n_pieces, 5)).astype(np.float32), rng.normal(size=3 * n_pieces)
    stream = Stream(5, backend, sums_there)
    for k in range(n_pieces):
        piece = slice(3 * k, 3 * k + 3)
        stream.add(backend.to_device(rows[piece]), targets[piece])
    expected = NormalEquations.of(rows, targets)
    assert expected.gram.dtype == np.float64
    for found in (stream.moments(), stream.on_host().moments()):
        np.testing.assert_allclose(found.gram, expected.gram, rtol=1e-12)
        np.testing.assert_allclose(found.moment, expected.moment, rtol=1e-12)
        assert (found.square, found.count) == (pytest.approx(expected.square), expected.count)


def test_a_device_that_is_not_there(emt):
    with pytest.raises(InputError, match="tpu"):
        fit(emt, settings=SETTINGS, progress=False, device="tpu")


def test_running_out_of_memory_says_what_to_do(emt, monkeypatch):
    _, problem = problems(emt)

    def full(job):
        raise MemoryError("nothing left")

    monkeypatch.setattr(problem, "rows", full)
    with pytest.raises(DeviceError, match=r"ran out of memory.*device='cpu'"):
        problem.normals()
