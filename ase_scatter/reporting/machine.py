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
    """Describe the machine.

    Parameters
    ----------
    devices : iterable of str
        Devices that are described too.

    Returns
    -------
    dict
        Processor, cores, threads in use, versions of Python and of packages, and by the name of a device
        what is known of it.

    Raises
    ------
    DeviceError
        If a device is not there.
    InputError
        If its name is unknown.
    """
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
    """Measure the most memory that this process has held so far, or since `forget_peak`.

    Returns
    -------
    float
        Bytes.

    Notes
    -----
    On Linux this is read from /proc: getrusage there also counts the memory of the process that started
    this one.
    """
    try:
        return _kilobytes("/proc/self/status", "VmHWM")
    except (OSError, ValueError):
        unit = 1.0 if sys.platform == "darwin" else 1024.0
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak() -> None:
    """Count `peak_memory` from the memory that is held now, where the system can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def free_memory() -> float:
    """Measure the memory that the host still has.

    Returns
    -------
    float
        Bytes; infinite where that is not known.
    """
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
