"""CUDA sources compiled for real GPUs, without one: by NVRTC, as CuPy does it, or by nvcc."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ARCHITECTURE = "sm_90"
MISSING = "no CUDA compiler: pip install nvidia-cuda-nvrtc"


def compile_source(source: str) -> int:
    """Size of the machine code in bytes. Raises RuntimeError with the compiler's messages, and skips the
    test where there is no compiler (unless REQUIRE_COMPILERS is set)."""
    library = _nvrtc()
    if library is not None:
        return _with_nvrtc(library, source)
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        if os.environ.get("REQUIRE_COMPILERS"):
            raise RuntimeError(MISSING)
        pytest.skip(MISSING)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernels.cu")
        path.write_text(source)
        command = [nvcc, "-cubin", f"-arch={ARCHITECTURE}", "-std=c++17", "-o", f"{path}bin", str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or "warning" in done.stderr:
            raise RuntimeError(done.stderr)
        return Path(f"{path}bin").stat().st_size


def _nvrtc() -> ctypes.CDLL | None:
    for folder in map(Path, sys.path):
        for path in sorted(folder.glob("nvidia/*/lib/libnvrtc.so.*")):
            if "builtins" not in path.name and "alt" not in path.name:
                return ctypes.CDLL(str(path))
    return None


def _with_nvrtc(library: ctypes.CDLL, source: str) -> int:
    program = ctypes.c_void_p()
    library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None)
    options = (ctypes.c_char_p * 2)(f"--gpu-architecture={ARCHITECTURE}".encode(), b"-std=c++17")
    status = library.nvrtcCompileProgram(program, 2, options)
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    if status or b"warning" in log.value:
        raise RuntimeError(log.value.decode())
    library.nvrtcGetCUBINSize(program, ctypes.byref(size))
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return size.value
