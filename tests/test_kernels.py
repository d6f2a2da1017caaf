"""The CUDA kernels: each compiles, and the stand-in that runs them on the CPU catches mistakes."""

import numpy as np
import pytest
import strict
from cuda_compiler import compile_source
from cuda_on_cpu import KernelsOnCpu

DEVICE = strict.STRICT
SUM = """
#define THREADS 8
#define REAL double
extern "C" __global__ void sum(const REAL* __restrict__ values, int n, REAL* total) {
    extern __shared__ double parts[];
    double mine = 0;
    for (int k = threadIdx.x; k < n; k += THREADS) mine += values[blockIdx.x * n + k];
    parts[threadIdx.x] = mine;
    BARRIER
    if (threadIdx.x != WHO) return;
    for (int t = 1; t < THREADS; ++t) parts[0] += parts[t];
    total[blockIdx.x] = parts[0];
}
"""


def test_the_compiler_compiles_and_complains():
    assert compile_source(with_()) > 100
    with pytest.raises(RuntimeError, match="BARRIER"):
        compile_source(SUM.replace("WHO", "0"))


def summed(source, monkeypatch, backward=False):
    monkeypatch.setattr("cuda_on_cpu.backward", backward)
    values = np.arange(30.0)
    total = strict.XP.empty(3)
    KernelsOnCpu(source)("sum", 3, DEVICE.to_device(values), np.int32(10), total, shared=64)
    return DEVICE.to_host(total), values.reshape(3, 10).sum(axis=1)


def with_(barrier="__syncthreads();", who="0"):
    return SUM.replace("BARRIER", barrier).replace("WHO", who)


@pytest.mark.parametrize("backward", [False, True])
def test_threads_meet_at_barriers(backward, monkeypatch):
    got, expected = summed(with_(), monkeypatch, backward)
    assert np.array_equal(got, expected)


def test_a_missing_barrier_shows_in_one_of_the_two_orders(monkeypatch):
    wrong = [not np.array_equal(*summed(with_(""), monkeypatch, back)) for back in (False, True)]
    assert any(wrong)


def test_a_barrier_that_not_all_reach_is_an_error(monkeypatch):
    with pytest.raises(RuntimeError, match="barrier"):
        summed(with_("if (threadIdx.x) __syncthreads();"), monkeypatch)


@pytest.mark.parametrize(
    "arguments",
    [
        lambda a: (a, np.int32(3)),
        lambda a: (a, 3, a),
        lambda a: (a, np.int64(3), a),
        lambda a: (a.astype("float32"), np.int32(3), a),
        lambda a: (np.ones(3), np.int32(3), a),
        lambda a: (a[::2], np.int32(3), a),
    ],
)
def test_arguments_have_to_be_what_the_kernel_declares(arguments):
    with pytest.raises(TypeError):
        KernelsOnCpu(with_())("sum", 1, *arguments(DEVICE.to_device(np.ones(6))), shared=64)
