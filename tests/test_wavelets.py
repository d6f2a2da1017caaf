import numpy as np
import pytest
from scipy.special import eval_genlaguerre, gamma, sph_harm_y

from ase_scatter.errors import InputError
from ase_scatter.scattering.harmonics import degree, solid_harmonics
from ase_scatter.scattering.wavelets import Wavelet, fourier_space, phase, real_space, window

ORDERS = [(0, 0), (1, 0), (0, 1), (2, 1), (0, 3), (1, 4), (2, 6)]
VECTORS = np.random.default_rng(4).normal(size=(7, 3))


def spherical(vectors):
    r = np.linalg.norm(vectors, axis=1)
    return r, np.arccos(vectors[:, 2] / r), np.arctan2(vectors[:, 1], vectors[:, 0])


def real_harmonic(l, m, vectors):
    """Real Y_lm out of scipy's complex ones, without the Condon–Shortley phase."""
    _, theta, phi = spherical(vectors)
    y = sph_harm_y(l, abs(m), theta, phi) * (-1.0) ** abs(m)
    if m == 0:
        return y.real
    return np.sqrt(2.0) * (y.real if m > 0 else y.imag)


def test_harmonics_are_scipys():
    values, _ = solid_harmonics(VECTORS, 6)
    r = np.linalg.norm(VECTORS, axis=1)
    for l in range(7):
        expected = [r**l * real_harmonic(l, m, VECTORS) for m in range(-l, l + 1)]
        np.testing.assert_allclose(values[degree(l)], expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("p", "l"), ORDERS)
def test_values_follow_the_formula(p, l):
    beta = 0.8
    r, _, _ = spherical(VECTORS)
    x = r / beta
    constant = np.sqrt(2 * gamma(p + 1) / gamma(p + l + 1.5))
    radial = beta**-1.5 * constant * x**l * eval_genlaguerre(p, l + 0.5, x**2) * np.exp(-(x**2) / 2)
    expected = [radial * real_harmonic(l, m, VECTORS) for m in range(-l, l + 1)]
    np.testing.assert_allclose(real_space(beta, p, l, VECTORS)[0], expected, rtol=1e-10, atol=1e-13)


def grid(points=54, length=17.0):
    x = (np.arange(points) - points / 2) * length / points
    return np.stack(np.meshgrid(x, x, x, indexing="ij"), axis=-1).reshape(-1, 3), (length / points) ** 3


def test_orthonormal():
    points, volume = grid()
    values = np.concatenate([real_space(0.9, p, l, points)[0] for p in range(3) for l in (0, 1, 2, 4)])
    np.testing.assert_allclose(values @ values.T * volume, np.eye(len(values)), atol=1e-9)


@pytest.mark.parametrize(("p", "l"), ORDERS)
def test_fourier_transform_by_quadrature(p, l):
    points, volume = grid()
    k = np.array([[0.4, -0.9, 1.3], [1.1, 0.2, 0.0]])
    by_sum = real_space(0.9, p, l, points)[0] @ np.exp(-1j * points @ k.T) * volume
    np.testing.assert_allclose(fourier_space(0.9, p, l, k)[0], by_sum, atol=1e-8)


@pytest.mark.parametrize(("p", "l"), ORDERS)
@pytest.mark.parametrize("band", [None, 5.0])
def test_gradients(p, l, band):
    functions = [lambda v: fourier_space(0.7, p, l, v, band)]
    if band is None:
        functions.append(lambda v: real_space(0.7, p, l, v))
    for function in functions:
        _, gradient = function(VECTORS)
        for axis in range(3):
            step = np.zeros(3)
            step[axis] = 1e-5
            slope = (function(VECTORS + step)[0] - function(VECTORS - step)[0]) / 2e-5
            np.testing.assert_allclose(gradient[:, axis], slope, atol=2e-8 * np.abs(gradient).max())


def test_no_singularity_at_the_origin():
    for p, l in ORDERS:
        for part in (
            *real_space(0.7, p, l, np.zeros((1, 3))),
            *fourier_space(0.7, p, l, np.zeros((1, 3)), 5),
        ):
            assert np.isfinite(part).all()


def test_window_ends_smoothly():
    band = 5.0
    s = np.linspace(0.0, 27.0, 2701)
    value, slope = window(s, band)
    assert value[0] == 1.0
    assert np.all(value[s >= 25.0] == 0.0)
    assert np.all(np.diff(value) <= 0.0)
    np.testing.assert_allclose(np.gradient(value, s)[1:-1], slope[1:-1], atol=1e-5)
    # The second derivative goes to zero as well: two continuous derivatives.
    below = window(np.array([25.0 - 1e-4]), band)[1]
    assert abs(below[0]) / 1e-4 < 1e-5


def test_phase_is_that_of_the_transform():
    assert [phase(0, l) for l in range(4)] == [1, -1j, -1, 1j]
    assert phase(1, 2) == 1


def test_negative_orders_are_refused():
    with pytest.raises(InputError):
        Wavelet(0, -1, 0)
