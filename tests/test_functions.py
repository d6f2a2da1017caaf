"""Formulas that stand once in array code, once in compiled code and once in kernels: closed forms, slopes."""

import numpy as np
import pytest
import strict
from cuda_on_cpu import KernelsOnCpu

from ase_scatter.compute.backend import kernel_source
from ase_scatter.compute.functions import modulus, switched
from ase_scatter.scattering.sites import numba_pairs, numba_terms

T = np.linspace(-0.3, 1.0, 53)
U2 = np.array([0.0, 1e-6, 0.3, 1.0, 7.0])
CUDA = """
extern "C" __global__ void evaluate(
    int n, double q, double epsilon, const double* t, const double* u, double* out
) {
    double slope;
    for (int k = threadIdx.x; k < n; k += THREADS) {
        out[4 * k] = switched(t[k], &slope);
        out[4 * k + 1] = slope;
        out[4 * k + 2] = modulus(u[k], q, epsilon, &slope);
        out[4 * k + 3] = slope;
    }
}
"""


def on_a_device(t, u2, q, epsilon2):
    device = strict.STRICT
    out = strict.XP.empty((len(t), 4))
    kernels = KernelsOnCpu(kernel_source(("compute/math.cuh",), ()) + CUDA)
    arrays = (device.to_device(t), device.to_device(u2))
    kernels("evaluate", 1, np.int32(len(t)), np.float64(q), np.float64(epsilon2**0.5), *arrays, out)
    return device.to_host(out).T


def test_the_switch():
    value, slope = switched(np.append(T, [1.2, 5.0]))
    t = np.clip(np.append(T, [1.2, 5.0]), 0.0, 1.0)
    np.testing.assert_allclose(value, 1 - 10 * t**3 + 15 * t**4 - 6 * t**5, atol=1e-14)
    np.testing.assert_allclose(slope, -30 * t**2 + 60 * t**3 - 30 * t**4, atol=1e-13)
    h = 1e-5
    np.testing.assert_allclose(
        slope[1:-3], (switched(T + h)[0] - switched(T - h)[0])[1:-1] / (2 * h), atol=1e-8
    )


@pytest.mark.parametrize("q", [1.0, 1.5, 2.0, 2.7])
@pytest.mark.parametrize("epsilon2", [0.04, 1.0])
def test_the_modulus(q, epsilon2):
    value, slope = modulus(U2 + epsilon2, q, epsilon2)
    np.testing.assert_allclose(
        value, (U2 + epsilon2) ** (q / 2) - epsilon2 ** (q / 2), rtol=1e-10, atol=1e-15
    )
    h = 1e-6
    up, down = (modulus(U2 + epsilon2 + x, q, epsilon2)[0] for x in (h, -h))
    np.testing.assert_allclose(slope, (up - down) / (2 * h), rtol=1e-7)


@pytest.mark.parametrize("q", [1.0, 1.5, 2.0, 2.7])
def test_compiled_code_and_kernels_have_the_same(q):
    u2 = np.resize(U2, len(T))
    expected = [*switched(T), *modulus(u2 + 0.3, q, 0.3)]
    compiled = [
        [*numba_pairs.switched(t), *numba_terms.modulus(u + 0.3, q, 0.3)] for t, u in zip(T, u2, strict=True)
    ]
    np.testing.assert_allclose(np.transpose(compiled), expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(on_a_device(T, u2, q, 0.3), expected, rtol=1e-12, atol=1e-14)
