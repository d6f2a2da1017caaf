"""What the machine is, and the memory of this process."""

from __future__ import annotations

import os
import platform
import re
import resource
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..compute import threads
from ..compute.backend import require_device


def machine(devices: Iterable[str] = ("cpu",)) -> dict[str, Any]:
    """Processor, threads, versions, and what the devices are."""
    found: dict[str, Any] = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads.count(),
        "python": platform.python_version(),
    }
    for name in ("ase-scatter", "ase", "numpy", "scipy", "numba"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a source tree
            continue
    return found | {device: about for device in devices if (about := require_device(device).about())}


def _processor() -> str:
    """What the processor is called."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return name[1] if name else platform.processor() or platform.machine()


def peak_memory() -> float:
    """The most memory (bytes) that this process held so far, or since `forget_peak`.

    On Linux from /proc: there getrusage also counts what the process held before it became this program,
    which is the memory of the one that started it.
    """
    try:
        return _kilobytes("/proc/self/status", "VmHWM")
    except (OSError, ValueError):
        unit = 1.0 if sys.platform == "darwin" else 1024.0
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak() -> None:
    """Count `peak_memory` from what is held now, where the system can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def free_memory() -> float:
    """Bytes that the host still has; infinite where that is not known."""
    try:
        return _kilobytes("/proc/meminfo", "MemAvailable")
    except (OSError, ValueError):
        return float("inf")


def _kilobytes(path: str, name: str) -> float:
    """An entry of one of Linux's tables, in bytes."""
    text = Path(path).read_text(encoding="ascii", errors="replace")
    found = re.search(rf"^{name}:\s*(\d+) kB", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"{path} holds no {name}")
    return 1024.0 * float(found[1])
