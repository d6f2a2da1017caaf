"""The one place that knows NumPy from CuPy.

A `Backend` bundles what differs between a host and a device: the array namespace, the FFT module, the
transfers and the compilation of kernels. After `backend.to_device(...)` the arrays themselves decide
where code runs; no other module imports CuPy. A strict stand-in, registered by the tests, has the same
face over arrays that are not NumPy's, so that code which mixes host and device fails on a laptop too;
it runs the kernels as well, on the CPU.

Kernels are CUDA files beside the modules that use them, compiled with their sizes as macros.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Protocol

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from ..errors import DeviceError, InputError

Array = Any
"""An array of whichever backend: NumPy's, CuPy's or the stand-in's."""

COMPLEX = {"float64": "complex128", "float32": "complex64"}
"""The complex type that goes with each real one."""


THREADS = 128
"""Threads of a block, in every kernel."""

FFT_PLANS = 64
"""CuPy keeps so many plans of FFTs; an evaluation on grids of four scales uses 24, its default is 16."""


USUAL_SHARED = 48 * 1024
"""A kernel that takes more shared memory (bytes) has to ask for it."""


def blocks(n: int) -> int:
    """Blocks for so many threads."""
    return -(-n // THREADS)


class Kernels(Protocol):
    """Compiled kernels of one source."""

    def __call__(self, name: str, blocks: int, *arguments: Any, shared: int = 0) -> None:
        """Run a kernel on so many blocks of THREADS threads with so many bytes of shared memory.

        arguments: arrays of the device, and NumPy scalars of the types that the kernel declares.
        """


@dataclass(frozen=True)
class Backend:
    """Array namespace, FFTs, transfers and kernels of one kind of device.

    points_per_fft: how many points the fields of one FFT call have about, None for no limit. On the host
    as many as fit into the cache; on a device all that there are, which wants much at once.
    compile: makes kernels from a CUDA source; None on the host, which has none. memory: bytes that can
    still be allocated. out_of_memory: what an allocation raises that does not fit. taken: the most bytes
    that were held since it was last asked, which are given back. about: what the device is, for reports.
    """

    name: str
    xp: Any
    fft: Any
    from_host: Callable[[NDArray[Any]], Array]
    to_host: Callable[[Array], NDArray[Any]]
    points_per_fft: int | None = None
    compile: Callable[[str], Kernels] | None = None
    memory: Callable[[], int] | None = None
    out_of_memory: type[Exception] = MemoryError
    taken: Callable[[], int] | None = None
    about: Callable[[], dict[str, str]] = dict

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
    plans = cupy.fft.config.get_plan_cache()
    if plans.get_size() < FFT_PLANS:
        plans.set_size(FFT_PLANS)
    return Backend(
        "cuda", cupy, cupyx.scipy.fft, cupy.asarray, cupy.asnumpy,
        compile=_CudaKernels, memory=_free_cuda_memory, out_of_memory=cupy.cuda.memory.OutOfMemoryError,
        taken=_taken_cuda_memory, about=_about_cuda,
    )  # fmt: skip


class _CudaKernels:
    """Kernels compiled by NVRTC for the current device (CuPy keeps what it has compiled on disk)."""

    def __init__(self, source: str) -> None:
        import cupy

        self._module = cupy.RawModule(code=source, options=("-std=c++17",))
        self._functions: dict[str, Any] = {}
        self._shared: dict[str, int] = {}

    def __call__(self, name: str, blocks: int, *arguments: Any, shared: int = 0) -> None:
        function = self._functions.get(name)
        if function is None:
            function = self._functions[name] = self._module.get_function(name)
        if shared > self._shared.get(name, USUAL_SHARED):
            function.max_dynamic_shared_size_bytes = self._shared[name] = shared
        if blocks:
            function((blocks,), (THREADS,), arguments, shared_mem=shared)


def _free_cuda_memory() -> int:
    import cupy

    return int(cupy.cuda.runtime.memGetInfo()[0] + cupy.get_default_memory_pool().free_bytes())


def _taken_cuda_memory() -> int:
    import cupy

    pool = cupy.get_default_memory_pool()  # it keeps what was freed, so that its size is the peak
    taken = int(pool.total_bytes())
    pool.free_all_blocks()
    return taken


def _about_cuda() -> dict[str, str]:
    import cupy

    runtime = cupy.cuda.runtime
    found = runtime.getDeviceProperties(cupy.cuda.Device().id)
    return {
        "name": found["name"].decode(),
        "memory": f"{found['totalGlobalMem'] / 1e9:.1f} GB",
        "cupy": cupy.__version__,
        "cuda": str(runtime.runtimeGetVersion()),
        "driver": str(runtime.driverGetVersion()),
    }


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


# ---- kernels --------------------------------------------------------------------------------------------


def load_kernels(backend: Backend, files: tuple[str, ...], macros: Mapping[str, object]) -> Kernels:
    """The kernels of CUDA files (paths inside this package), with these macros; compiled once.

    REAL, the type that is computed in, is best given as a macro by `real(dtype)`.
    """
    return _loaded(backend, files, tuple(macros.items()))


def real(dtype: str) -> str:
    """C's name of a dtype."""
    return {"float64": "double", "float32": "float"}[dtype]


@lru_cache(maxsize=64)
def _loaded(backend: Backend, files: tuple[str, ...], macros: tuple[tuple[str, object], ...]) -> Kernels:
    if backend.compile is None:
        raise DeviceError(f"device {backend.name!r} runs no kernels")
    return backend.compile(kernel_source(files, macros))


def kernel_source(files: tuple[str, ...], macros: tuple[tuple[str, object], ...]) -> str:
    """One source of several files; messages of the compiler point to the files."""
    lines = [f"#define {name} {value}" for name, value in (("THREADS", THREADS), *macros)]
    for name in files:
        text = resources.files("ase_scatter").joinpath(name).read_text(encoding="utf-8")
        lines += [f'#line 1 "{name}"', text]
    return "\n".join(lines)


# ---- memory ---------------------------------------------------------------------------------------------
