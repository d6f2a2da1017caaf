"""CUDA kernels run on the CPU, so that tests see what they compute without a device.

A kernel is compiled by the C++ compiler with `cuda_on_cpu.h` and called with the arrays of the strict
stand-in. Arguments have to be of the types that the kernel declares: what CUDA would take silently is an
error here.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

HEADER = Path(__file__).with_name("cuda_on_cpu.h")
CXX = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("c++")
SIGNATURE = re.compile(r'extern "C" __global__ void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(([^)]*)\)')
TYPES = {
    "double": np.float64,
    "float": np.float32,
    "int": np.int32,
    "long long": np.int64,
}

backward = False
"""Whether threads and blocks run in the opposite order."""


class KernelsOnCpu:
    """Compiled kernels of one source."""

    def __init__(self, source: str) -> None:
        if CXX is None:
            missing = "the kernels are tested with a C++ compiler (Debian: apt-get install g++)"
            if os.environ.get("REQUIRE_COMPILERS"):
                raise RuntimeError(missing)
            pytest.skip(missing)
        macros = dict(re.findall(r"^#define (\w+) (.+)$", source, flags=re.M))
        self.threads = int(macros["THREADS"])
        real = macros.get("REAL", "double")
        self.arguments = {
            name: [_argument(text, real) for text in arguments.split(",")]
            for name, arguments in SIGNATURE.findall(source)
        }
        source = re.sub(r"extern __shared__ (\w+) (\w+)\[\];", r"\1* \2 = (\1*)on_cpu::pool;", source)
        calls = "".join(self._call(name) for name in self.arguments)
        self.library = _compiled(source + calls)

    def _call(self, name: str) -> str:
        given = ", ".join(f"*({text}*)a[{k}]" for k, (text, _, _) in enumerate(self.arguments[name]))
        return (
            f"\nstatic void call_{name}(void** a) {{ {name}({given}); }}\n"
            f'extern "C" int launch_{name}(void** a, int blocks, int threads, size_t shared, int backward) '
            f"{{ return on_cpu::launch(call_{name}, a, blocks, threads, shared, backward); }}\n"
        )

    def __call__(self, name: str, blocks: int, *arguments, shared: int = 0) -> None:
        from strict import StrictArray

        expected = self.arguments[name]
        if len(arguments) != len(expected):
            raise TypeError(f"{name} takes {len(expected)} arguments, not {len(arguments)}")
        kept, slots = [], []
        for k, (value, (text, dtype, is_array)) in enumerate(zip(arguments, expected, strict=True)):
            where = f"argument {k} of {name} ({text})"
            if is_array:
                if not isinstance(value, StrictArray):
                    raise TypeError(f"{where} is no array of the device but {type(value)}")
                array = value._values
                if array.dtype != dtype:
                    raise TypeError(f"{where} has dtype {array.dtype}")
                if not array.flags.c_contiguous:
                    raise TypeError(f"{where} is not contiguous")
                slot = ctypes.c_void_p(array.ctypes.data)
            else:
                if np.asarray(value).dtype != dtype or not isinstance(value, np.generic):
                    raise TypeError(f"{where} must be a NumPy scalar of dtype {dtype}, not {value!r}")
                slot = np.ctypeslib.as_ctypes_type(dtype)(value.item())
            kept.append(slot)
            slots.append(ctypes.cast(ctypes.pointer(slot), ctypes.c_void_p))
        if shared > 227 * 1024:
            raise MemoryError(f"{name} asks for {shared} bytes of shared memory")
        if not blocks:
            return
        launch = getattr(self.library, f"launch_{name}")
        launch.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_int]
        status = launch(
            (ctypes.c_void_p * len(slots))(*slots), int(blocks), self.threads, int(shared), int(backward)
        )
        if status:
            raise RuntimeError(f"some threads of {name} wait at a barrier that others do not reach")


def _argument(text: str, real: str) -> tuple[str, type, bool]:
    """C type, dtype, and whether it is an array, of a parameter."""
    text = re.sub(r"\s+", " ", text).strip()
    declared, is_array = text.rsplit(" ", 1)[0].replace("__restrict__", "").strip(), "*" in text
    plain = declared.replace("const", "").replace("*", "").strip()
    plain = real if plain == "REAL" else plain
    return (f"{plain}*" if is_array else plain), np.dtype(TYPES[plain]), is_array


@lru_cache(maxsize=1)
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="cuda-on-cpu-"))


def _compiled(source: str) -> ctypes.CDLL:
    text = HEADER.read_text() + '#line 1 "kernels"\n' + source
    stem = _folder() / hashlib.sha256(text.encode()).hexdigest()[:20]
    path = stem.with_suffix(".so")
    if not path.exists():
        stem.with_suffix(".cpp").write_text(text)
        command = [CXX, "-std=c++17", "-O1", "-w", "-fPIC", "-shared", "-U_FORTIFY_SOURCE"]
        done = subprocess.run(
            [*command, "-o", str(path), str(stem.with_suffix(".cpp"))], capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"a kernel does not compile:\n{done.stderr[:4000]}")
    return ctypes.CDLL(str(path))
