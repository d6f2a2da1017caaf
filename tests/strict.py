"""A stand-in for CuPy: arrays that hold NumPy's but are not, so that mixing host and device fails.

Like CuPy's, they refuse implicit conversion to NumPy and operations with NumPy arrays, and allow Python
numbers, `float()` of a single value, and indexing with their own kind.
"""

from __future__ import annotations

import weakref
from contextlib import contextmanager

import numpy as np
import scipy.fft
from cuda_on_cpu import KernelsOnCpu

from ase_scatter.compute.backend import Backend, register


class StrictArray:
    """A device array without a device."""

    __array_ufunc__ = None  # makes NumPy's operators defer, and ours refuse

    def __init__(self, values):
        self._values = values
        if _measured is not None and isinstance(values, np.ndarray):
            _measured.note(values)

    def __array__(self, *args, **kwargs):
        raise TypeError("implicit conversion of a device array to a host array")

    @property
    def shape(self):
        return self._values.shape

    @property
    def ndim(self):
        return self._values.ndim

    @property
    def dtype(self):
        return self._values.dtype

    @property
    def real(self):
        return StrictArray(self._values.real)

    @property
    def imag(self):
        return StrictArray(self._values.imag)

    @property
    def T(self):
        return StrictArray(self._values.T)

    def __len__(self):
        return len(self._values)

    def __iter__(self):
        return (_wrap(value) for value in self._values)

    def __float__(self):
        return float(self._values)

    def __getitem__(self, key):
        return _wrap(self._values[_key(key)])

    def __setitem__(self, key, value):
        self._values[_key(key)] = _unwrap(value)

    def __neg__(self):
        return StrictArray(-self._values)

    def conj(self):
        return StrictArray(self._values.conj())

    def transpose(self, *axes):
        return StrictArray(self._values.transpose(*axes))

    def reshape(self, *shape):
        return StrictArray(self._values.reshape(*shape))

    def sum(self, axis=None, dtype=None):
        return _wrap(self._values.sum(axis=axis, dtype=dtype))

    def max(self, axis=None):
        return _wrap(self._values.max(axis=axis))

    def min(self, axis=None):
        return _wrap(self._values.min(axis=axis))

    def astype(self, dtype):
        return StrictArray(self._values.astype(dtype))

    def view(self, dtype):
        return StrictArray(self._values.view(dtype))

    def fill(self, value):
        self._values.fill(value)

    def __int__(self):
        return int(self._values)


def _operator(name):
    def operate(self, other):
        return _wrap(getattr(self._values, name)(_unwrap(other)))

    return operate


def _in_place(name):
    def operate(self, other):
        getattr(self._values, name)(_unwrap(other))
        return self

    return operate


for _name in ("add", "sub", "mul", "truediv", "pow", "matmul"):
    for _prefix in ("__", "__r"):
        setattr(StrictArray, f"{_prefix}{_name}__", _operator(f"{_prefix}{_name}__"))
for _name in ("iadd", "isub", "imul", "itruediv"):
    setattr(StrictArray, f"__{_name}__", _in_place(f"__{_name}__"))


def _wrap(value):
    return StrictArray(np.asarray(value)) if isinstance(value, np.ndarray | np.generic) else value


def _unwrap(value):
    if isinstance(value, StrictArray):
        return value._values
    if isinstance(value, np.ndarray | np.generic) and np.ndim(value):
        raise TypeError("a host array in an operation with a device array")
    if isinstance(value, list | tuple):
        return type(value)(_unwrap(item) for item in value)
    return value


def _key(key):
    parts = key if isinstance(key, tuple) else (key,)
    for part in parts:
        if isinstance(part, np.ndarray):
            raise TypeError("a device array indexed with a host array")
    return tuple(part._values if isinstance(part, StrictArray) else part for part in parts)


class _Namespace:
    """The functions of an array module, for strict arrays alone."""

    def __init__(self, module, names):
        for name in names:
            setattr(self, name, self._strict(getattr(module, name)))

    @staticmethod
    def _strict(function):
        def call(*args, **kwargs):
            for value in args:
                if isinstance(value, np.ndarray):
                    raise TypeError(f"a host array given to a device function ({function.__name__})")
            return _wrap(function(*(_unwrap(value) for value in args), **kwargs))

        return call


class Measured:
    """Bytes of the arrays that lived at the same time, at most."""

    def __init__(self):
        self.bytes = self._now = 0

    def note(self, array):
        if array.base is None:
            self._now += array.nbytes
            self.bytes = max(self.bytes, self._now)
            weakref.finalize(array, self._gone, array.nbytes)

    def _gone(self, size):
        self._now -= size


_measured = None


@contextmanager
def measured():
    """Counts what is allocated on the device inside."""
    global _measured
    _measured = Measured()
    try:
        yield _measured
    finally:
        _measured = None


def _full_of_nonsense(shape, dtype="float64"):
    """What fresh memory holds on a device: anything."""
    array = np.empty(shape, dtype=dtype)
    array.fill(np.nan if array.dtype.kind in "fc" else -12345)
    return array


XP = _Namespace(
    np,
    [
        "arange",
        "argsort",
        "asarray",
        "ascontiguousarray",
        "concatenate",
        "cumsum",
        "einsum",
        "exp",
        "eye",
        "matmul",
        "maximum",
        "ones_like",
        "repeat",
        "searchsorted",
        "sort",
        "sqrt",
        "stack",
        "swapaxes",
        "zeros",
        "zeros_like",
    ],
)
XP.empty = XP._strict(_full_of_nonsense)
FFT = _Namespace(scipy.fft, ["fft", "ifft", "rfft", "irfft", "rfftn", "irfftn"])

memory = float("inf")
"""Bytes that the stand-in claims to have."""


def _from_host(array):
    return StrictArray(np.array(array))


def _to_host(array):
    return array._values.copy()


def strict_backend() -> Backend:
    return Backend("strict", XP, FFT, _from_host, _to_host, compile=KernelsOnCpu, memory=lambda: memory)


STRICT = strict_backend()
register("strict", lambda: STRICT)
