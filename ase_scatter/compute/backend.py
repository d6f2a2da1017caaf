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
    """Number of blocks of THREADS threads that hold n threads.

    Parameters
    ----------
    n : int
        Threads.

    Returns
    -------
    int
    """
    return -(-n // THREADS)


class Kernels(Protocol):
    """Compiled kernels of one source; called with a name, a number of blocks and arguments."""

    def __call__(self, name: str, blocks: int, *arguments: Any, shared: int = 0) -> None:
        """Run a kernel.

        Parameters
        ----------
        name : str
            Name of the kernel.
        blocks : int
            Number of blocks, of THREADS threads each.
        *arguments
            Arrays of the device, and NumPy scalars of the types that the kernel declares.
        shared : int
            Bytes of shared memory.
        """


@dataclass(frozen=True)
class Backend:
    """Array namespace, FFTs, transfers and kernels of one device.

    Parameters
    ----------
    name : str
        Name of the device.
    xp : module
        Array namespace.
    fft : module
        FFTs on its arrays.
    from_host, to_host : callable
        Transfers of an array.
    points_per_fft : int, optional
        About how many points the fields of one FFT call have together. On the host they fit into the
        cache; a device has no limit and is faster the more it gets.
    compile : callable, optional
        Makes kernels from a CUDA source; the host has none.
    memory : callable, optional
        Bytes that can still be allocated.
    out_of_memory : type
        Exception of an allocation that does not fit.
    taken : callable, optional
        Most bytes that were held since the last call; it gives them back.
    about : callable
        What the device is, for reports.
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
        """Copy a host array to this device.

        Parameters
        ----------
        array : ndarray
            Array of the host.
        dtype : str, optional
            Type that it is cast to on the way.

        Returns
        -------
        array
        """
        return self.from_host(np.ascontiguousarray(array, dtype=dtype))


_HOST = Backend("cpu", np, scipy.fft, lambda array: array, np.asarray, 1 << 16)


def _cuda() -> Backend:
    try:
        import cupy
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
    return _of_gpu(cupy.cuda.Device().id)


@lru_cache(maxsize=16)
def _of_gpu(index: int) -> Backend:
    """One backend per GPU, since compiled kernels and tables on a device are kept by backend."""
    import cupy
    import cupyx.scipy.fft

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
    """Make a further device known by name, as the tests do with their stand-in.

    Parameters
    ----------
    name : str
        Name of the device.
    factory : callable
        Makes the backend.
    """
    _FACTORIES[name] = factory


def require_device(device: str) -> Backend:
    """The backend of a device.

    Parameters
    ----------
    device : str
        Name of the device.

    Returns
    -------
    Backend

    Raises
    ------
    DeviceError
        If the device is not there; it says what to install.
    InputError
        If the name is unknown.
    """
    try:
        factory = _FACTORIES[device]
    except KeyError:
        raise InputError(f"unknown device {device!r}: choose from {sorted(_FACTORIES)}") from None
    return factory()


def require_dtype(dtype: str) -> str:
    """Refuse any other type than the two that there are.

    Parameters
    ----------
    dtype : str
        "float64" or "float32".

    Returns
    -------
    str
        As given.

    Raises
    ------
    InputError
        If it is another one.
    """
    if dtype not in COMPLEX:
        raise InputError(f"unknown dtype {dtype!r}: choose 'float64' or 'float32'")
    return dtype


# ---- kernels --------------------------------------------------------------------------------------------


def load_kernels(backend: Backend, files: tuple[str, ...], macros: Mapping[str, object]) -> Kernels:
    """Kernels of CUDA files, compiled once per device and set of macros.

    Parameters
    ----------
    backend : Backend
        The device.
    files : tuple of str
        Paths inside this package.
    macros : mapping of str to object
        Macros; `real(dtype)` gives REAL, the type that is computed in.

    Returns
    -------
    Kernels

    Raises
    ------
    DeviceError
        If the device runs no kernels.
    """
    return _loaded(backend, files, tuple(macros.items()))


def real(dtype: str) -> str:
    """The name of a dtype in C.

    Parameters
    ----------
    dtype : str
        "float64" or "float32".

    Returns
    -------
    str
    """
    return {"float64": "double", "float32": "float"}[dtype]


@lru_cache(maxsize=64)
def _loaded(backend: Backend, files: tuple[str, ...], macros: tuple[tuple[str, object], ...]) -> Kernels:
    if backend.compile is None:
        raise DeviceError(f"device {backend.name!r} runs no kernels")
    return backend.compile(kernel_source(files, macros))


def kernel_source(files: tuple[str, ...], macros: tuple[tuple[str, object], ...]) -> str:
    """One source of several files; messages of the compiler point to the files.

    Parameters
    ----------
    files : tuple of str
        Paths inside this package.
    macros : tuple of (str, object)
        Macros and their values.

    Returns
    -------
    str
    """
    lines = [f"#define {name} {value}" for name, value in (("THREADS", THREADS), *macros)]
    for name in files:
        text = resources.files("ase_scatter").joinpath(name).read_text(encoding="utf-8")
        lines += [f'#line 1 "{name}"', text]
    return "\n".join(lines)


# ---- memory ---------------------------------------------------------------------------------------------
