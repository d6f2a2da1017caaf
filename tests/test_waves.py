"""Plane waves, grids and structure factors against sums written out."""

from dataclasses import replace

import numpy as np
import pytest

from ase_scatter.compute.backend import require_device
from ase_scatter.scattering.grid.box import Box
from ase_scatter.scattering.grid.plane_waves import Level, Waves, tabulate
from ase_scatter.scattering.grid.structure_factor import StructureFactor
from ase_scatter.scattering.harmonics import degree
from ase_scatter.scattering.wavelets import fourier_space, phase

VECTORS = np.array([[3.1, 0.2, -0.4], [1.3, 2.9, 0.3], [-0.6, 0.9, 3.6]])
BETA, BAND = 0.8, 5.0
ORDERS = [(0, 0), (0, 3), (2, 1)]
SHAPE = (9, 10, 12)
HOST = require_device("cpu")


def every_wave(vectors, cutoff):
    """All integer triples with |k| < cutoff, from a range that is far too large."""
    n = np.stack(np.meshgrid(*[np.arange(-12, 13)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    k = 2 * np.pi * n @ np.linalg.inv(vectors).T
    inside = np.linalg.norm(k, axis=1) < cutoff
    return n[inside], k[inside]


@pytest.fixture(scope="module")
def waves():
    return Waves.within(VECTORS, BAND / BETA)


@pytest.fixture(scope="module")
def level(waves):
    return Level.build(waves, BETA, BAND, SHAPE, ORDERS, HOST, "float64")


@pytest.fixture(scope="module")
def source(waves):
    """Coefficients of a real field: c(−k) = c(k)*."""
    rng = np.random.default_rng(2)
    values = rng.normal(size=len(waves.lengths)) + 1j * rng.normal(size=len(waves.lengths))
    place = {tuple(n): i for i, n in enumerate(waves.indices.tolist())}
    for i, (x, y, z) in enumerate(waves.indices.tolist()):
        if z == 0:
            values[place[-x, -y, 0]] = values[i].conj()
    values[place[0, 0, 0]] = 1.3
    return values


def points():
    fractions = np.stack(np.meshgrid(*[np.arange(n) / n for n in SHAPE], indexing="ij"), axis=-1)
    return fractions.reshape(-1, 3) @ VECTORS


@pytest.mark.parametrize("vectors", [VECTORS, np.diag([2.0, 4.5, 3.0]), VECTORS[[1, 0, 2]]])
@pytest.mark.parametrize("cutoff", [1.0, 4.0, 6.25])
def test_half_of_the_waves_stand_for_all(vectors, cutoff):
    waves = Waves.within(vectors, cutoff)
    expected, _ = every_wave(vectors, cutoff)
    upper = waves.indices[:, 2] > 0
    whole = np.concatenate([waves.indices, -waves.indices[upper]])
    assert len({tuple(n) for n in whole.tolist()}) == len(whole)
    assert {tuple(n) for n in whole.tolist()} == {tuple(n) for n in expected.tolist()}
    np.testing.assert_array_equal(waves.multiplicity, np.where(upper, 2.0, 1.0))
    assert waves.multiplicity.sum() == len(expected)


def test_vectors_belong_to_the_indices(waves):
    # k · a = 2π n along every vector of the box.
    np.testing.assert_allclose(waves.vectors @ VECTORS.T, 2 * np.pi * waves.indices, atol=1e-12)
    np.testing.assert_allclose(waves.lengths, np.linalg.norm(waves.vectors, axis=1))


@pytest.mark.parametrize("cutoff", [0.5, 3.0, 5.5])
def test_fewer_waves_are_the_first_ones(waves, cutoff):
    assert np.all(np.diff(waves.lengths) >= 0)
    count = waves.count(cutoff)
    fewer = Waves.within(VECTORS, cutoff)
    assert count == len(fewer.lengths)
    np.testing.assert_array_equal(waves.indices[:count], fewer.indices)


def test_wavelets_are_tabulated_as_they_are(waves, level):
    for p, l in ORDERS:
        values, gradients = fourier_space(BETA, p, l, waves.vectors, BAND)
        radial, slope = level.radial[p, l]
        harmonics = level.harmonics[degree(l)]
        np.testing.assert_allclose(phase(p, l) * radial * harmonics, values, atol=1e-11)
        slopes = radial * level.gradients[degree(l)] + slope * harmonics[:, None] * level.y
        np.testing.assert_allclose(phase(p, l) * BETA * slopes, gradients, atol=1e-11)


def test_convolution_by_a_sum_over_all_waves(waves, level, source):
    upper = waves.indices[:, 2] > 0
    k = np.concatenate([waves.vectors, -waves.vectors[upper]])
    coefficients = np.concatenate([source, source[upper].conj()])
    for p, l in ORDERS:
        expected = (coefficients * fourier_space(BETA, p, l, k, BAND)[0]) @ np.exp(1j * k @ points().T)
        np.testing.assert_allclose(expected.imag, 0.0, atol=1e-10)
        fields, squares = level.convolve(p, l, source)
        np.testing.assert_allclose(np.concatenate(fields), expected.real, atol=1e-10)
        np.testing.assert_allclose(squares, (expected.real**2).sum(axis=0), rtol=1e-9)


def test_analysis_undoes_synthesis(waves, level, source):
    many = np.stack([source, 2 * source])
    fields = level.fields(many)
    ones = np.ones((1, level.n_points))
    np.testing.assert_allclose(level.coefficients(fields, ones)[0] / level.n_points, many, atol=1e-12)
    rng = np.random.default_rng(0)
    fields, factors = rng.normal(size=(2, level.n_points)), rng.normal(size=(3, level.n_points))
    phases = np.exp(-1j * points() @ waves.vectors.T)
    expected = (fields * factors[:, None]) @ phases
    np.testing.assert_allclose(level.coefficients([fields], factors), expected, atol=1e-10)
    np.testing.assert_allclose(level.spectrum(fields[1]), fields[1] @ phases, atol=1e-10)


@pytest.mark.parametrize("at_a_time", [1, 2, None])
def test_fields_in_blocks(waves, level, source, at_a_time):
    """How many fields go into one FFT is a matter of speed alone."""
    limit = None if at_a_time is None else at_a_time * level.n_points
    backend = replace(HOST, points_per_fft=limit)
    blocked = Level.build(waves, BETA, BAND, SHAPE, ORDERS, backend, "float64")
    assert len(blocked.blocks(3)) == {1: 3, 2: 2, None: 1}[at_a_time]
    fields, squares = blocked.convolve(2, 1, source)
    expected, expected_squares = level.convolve(2, 1, source)
    assert len(fields) == {1: 3, 2: 2, None: 1}[at_a_time]
    np.testing.assert_allclose(np.concatenate(fields), np.concatenate(expected), atol=1e-12)
    np.testing.assert_allclose(squares, expected_squares, rtol=1e-12)
    factors = np.random.default_rng(0).normal(size=(4, level.n_points))
    for some in (fields, fields[:1]):
        whole = [np.concatenate(some)]
        np.testing.assert_allclose(
            blocked.coefficients(some, factors), level.coefficients(whole, factors), atol=1e-9
        )


def test_correlation_is_the_adjoint_of_convolution(level, source):
    rng = np.random.default_rng(5)
    for p, l in ORDERS:
        w = rng.normal(size=(2 * l + 1, level.n_points))
        left = np.sum(w * level.convolve(p, l, source)[0][0])
        back, _ = level.adjoint(p, l, source, [w], np.ones((1, level.n_points)))
        right = np.sum(level.multiplicity * source * back[0].conj()).real
        assert left == pytest.approx(right, rel=1e-11)


def test_strain_of_the_wavelets(waves, level, source):
    """Σ_um w f under a strain of the box, with coefficients and w kept."""
    rng = np.random.default_rng(6)
    step = 1e-5
    for p, l in ORDERS:
        w = rng.normal(size=(2 * l + 1, level.n_points))
        factors = np.stack([np.ones(level.n_points), np.zeros(level.n_points)])
        images = level.coefficients([w], factors)[0]
        gradient, nothing = level.strain(l, level.adjoint(p, l, source, [w], factors)[1])
        assert not nothing.any()
        expected = np.empty((3, 3))
        for a in range(3):
            for b in range(3):
                values = []
                for sign in (1, -1):
                    strain = np.zeros((3, 3))
                    strain[a, b] = sign * step
                    k = waves.vectors @ np.linalg.inv(np.eye(3) + strain)
                    psi = fourier_space(BETA, p, l, k, BAND)[0]
                    values.append(np.sum(waves.multiplicity * (source * psi * images.conj()).real))
                expected[a, b] = (values[0] - values[1]) / (2 * step)
        np.testing.assert_allclose(gradient, expected, atol=1e-7 * np.abs(expected).max())


def atoms():
    # Some of them far outside of the box.
    return np.random.default_rng(8).uniform(-30.0, 30.0, size=(6, 3))


def structure_factor(waves):
    box = Box(VECTORS, np.zeros(3, dtype=np.int64))
    return StructureFactor.build(waves, box, atoms(), HOST, "float64")


@pytest.mark.parametrize("products", [1 << 23, 1])
def test_structure_factor_by_sums(waves, products, monkeypatch):
    """All atoms at once, and one atom at a time."""
    monkeypatch.setattr(StructureFactor, "MAX_PRODUCTS", products)
    structure = structure_factor(waves)
    assert (structure.whole is None) == (products == 1)
    charges = np.random.default_rng(9).normal(size=(2, 6))
    phases = np.exp(-1j * waves.vectors @ atoms().T)
    np.testing.assert_allclose(structure.densities(charges), charges @ phases.T, atol=1e-11)
    rng = np.random.default_rng(10)
    adjoint = rng.normal(size=(3, len(waves.lengths))) + 1j * rng.normal(size=(3, len(waves.lengths)))
    d_phases = -1j * waves.vectors[:, None, :] * phases[:, :, None]
    weighted = adjoint * waves.multiplicity
    expected = np.einsum("nk,kja->nja", weighted, d_phases).real * charges[0][:, None]
    np.testing.assert_allclose(structure.gradient(charges[0], adjoint), expected, atol=1e-9)


def test_tables_are_kept_while_the_box_stays():
    scales = ((BETA, SHAPE, frozenset(ORDERS)), (1.2, (6, 6, 8), frozenset({(0, 1)})))
    key = tuple(VECTORS.ravel().tolist())
    waves, levels = tabulate(key, scales, BAND, HOST, "float64")
    assert tabulate(key, scales, BAND, HOST, "float64")[1][0] is levels[0]
    assert levels[1].n_waves == waves.count(BAND / 1.2) < levels[0].n_waves == len(waves.lengths)
    single = tabulate(key, scales, BAND, HOST, "float32")[1][0]
    assert single.harmonics.dtype == np.float32
