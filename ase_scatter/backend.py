"""The one place that knows NumPy from CuPy.

A `Backend` bundles what differs between a host and a device: the array namespace, the FFT module and
the transfers. After `backend.to_device(...)` the arrays themselves decide where code runs; no other
module imports CuPy. A strict stand-in, registered by the tests, has the same face over arrays that
are not NumPy's, so that code which mixes host and device fails on a laptop too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from .errors import DeviceError, InputError

Array = Any
"""An array of whichever backend: NumPy's, CuPy's or the stand-in's."""

COMPLEX = {"float64": "complex128", "float32": "complex64"}
"""The complex type that goes with each real one."""


@dataclass(frozen=True)
class Backend:
    """Array namespace, FFTs and transfers of one kind of device.

    points_per_fft: how many points the fields of one FFT call have about, None for no limit. On the host
    as many as fit into the cache; on a device all that there are, which wants much at once.
    """

    name: str
    xp: Any
    fft: Any
    from_host: Callable[[NDArray[Any]], Array]
    to_host: Callable[[Array], NDArray[Any]]
    points_per_fft: int | None = None

    def to_device(self, array: NDArray[Any], dtype: str | None = None) -> Array:
        """A host array on this device, cast to dtype on the way if one is given."""
        return self.from_host(np.ascontiguousarray(array, dtype=dtype))


_HOST = Backend("cpu", np, scipy.fft, lambda array: array, np.asarray, 1 << 16)


def _cuda() -> Backend:
    try:
        import cupy
        import cupyx.scipy.fft
    except ImportError as error:
        raise DeviceError(
            "device 'cuda' needs CuPy, which is not installed: pip install 'ase-scatter[cuda12]' "
            "or 'ase-scatter[cuda13]', after the CUDA version of your driver (nvidia-smi shows it)"
        ) from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:
        count = 0
    if count == 0:
        raise DeviceError(
            "device 'cuda' was asked for, but no CUDA device is visible here (check nvidia-smi and "
            "CUDA_VISIBLE_DEVICES), or the CuPy extra does not match the driver: 'ase-scatter[cuda12]' "
            "or 'ase-scatter[cuda13]'"
        )
    return Backend("cuda", cupy, cupyx.scipy.fft, cupy.asarray, cupy.asnumpy)


_FACTORIES: dict[str, Callable[[], Backend]] = {"cpu": lambda: _HOST, "cuda": _cuda}


def register(name: str, factory: Callable[[], Backend]) -> None:
    """Make a further device known by name (the tests register their stand-in so)."""
    _FACTORIES[name] = factory


def require_device(device: str) -> Backend:
    """The backend of a device name, or a DeviceError that says what to install."""
    try:
        factory = _FACTORIES[device]
    except KeyError:
        raise InputError(f"unknown device {device!r}: choose from {sorted(_FACTORIES)}") from None
    return factory()


def require_dtype(dtype: str) -> str:
    """'float64' or 'float32', as given, or an InputError."""
    if dtype not in COMPLEX:
        raise InputError(f"unknown dtype {dtype!r}: choose 'float64' or 'float32'")
    return dtype
