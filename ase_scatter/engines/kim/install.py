"""Installs potentials on sites as portable models of the KIM API, and the driver that computes them.

The KIM API compiles both: the driver from the header that other engines share, a model from the text that
`ase_scatter.engines.export` writes. The driver's name holds a hash of its sources, so that models that are
installed keep theirs when ase_scatter changes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ...compute.files import write_whole
from ...errors import InputError
from ...model.model import Model
from ..compiler import processor_option
from ..export import exported

MANAGER = "kim-api-collections-management"

ADVICE = "install the KIM API (Debian: apt install libkim-api-dev; conda: kim-api)"

DRIVER = """cmake_minimum_required(VERSION 3.10)
list(APPEND CMAKE_PREFIX_PATH $ENV{{KIM_API_CMAKE_PREFIX_DIR}})
find_package(KIM-API-ITEMS 2.2 REQUIRED CONFIG)
kim_api_items_setup_before_project(ITEM_TYPE "modelDriver")
project({name} LANGUAGES CXX)
kim_api_items_setup_after_project(ITEM_TYPE "modelDriver")
add_kim_api_model_driver_library(
  NAME ${{PROJECT_NAME}}
  CREATE_ROUTINE_NAME "ase_scatter_driver_create"
  CREATE_ROUTINE_LANGUAGE "cpp"
)
target_sources(${{PROJECT_NAME}} PRIVATE driver.cpp)
set_target_properties(${{PROJECT_NAME}} PROPERTIES CXX_STANDARD 17 CXX_STANDARD_REQUIRED ON)
target_compile_options(${{PROJECT_NAME}} PRIVATE
  -O3 {processor} -ffp-contract=fast -fno-math-errno -fno-trapping-math -Wno-psabi)
"""

MODEL = """cmake_minimum_required(VERSION 3.10)
list(APPEND CMAKE_PREFIX_PATH $ENV{{KIM_API_CMAKE_PREFIX_DIR}})
find_package(KIM-API-ITEMS 2.2 REQUIRED CONFIG)
kim_api_items_setup_before_project(ITEM_TYPE "portableModel")
project({name} LANGUAGES CXX)
kim_api_items_setup_after_project(ITEM_TYPE "portableModel")
add_kim_api_model_library(NAME ${{PROJECT_NAME}} DRIVER_NAME "{driver}" PARAMETER_FILES "potential.sites")
"""


class Installed(NamedTuple):
    """A model that the KIM API knows.

    Parameters
    ----------
    name : str
        Its name there.
    driver : str
        Name of its driver.
    driver_was_there : bool
        Whether the driver was installed already.
    """

    name: str
    driver: str
    driver_was_there: bool


def install(
    model: Model,
    name: str | None = None,
    *,
    collection: str = "user",
    march: str = "native",
    force: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> Installed:
    """Install a potential, and its driver where that is missing.

    Parameters
    ----------
    model : Model
        A potential on sites.
    name : str, optional
        Its name for the KIM API: letters, digits and underscores. By default that of the model.
    collection : str, optional
        Where it is installed: "user", "environment" or "system".
    march : str, optional
        Processor that the driver is compiled for, as the compiler's ``-march``; a driver that is installed
        stays as it is.
    force : bool, optional
        Whether a model of that name is replaced.
    note : callable, optional
        Takes lines that say what is done.

    Returns
    -------
    Installed
        Names of model and driver.

    Raises
    ------
    InputError
        If the potential is not on sites, the name is not usable or taken, or the KIM API, CMake or a compiler
        are missing or fail.
    """
    needed_programs()
    there = items()
    driver = driver_name()
    name = model_name(model) if name is None else name
    if name in there and not force:
        raise InputError(
            f"the KIM API has a model {name} already; name another one, or replace it: --force (force=True)"
        )
    with tempfile.TemporaryDirectory() as folder:
        written = write_sources(model, folder, name, march=march)
        if driver not in there:
            note(f"compiling the driver {driver}")
            _manage("install", collection, str(written[0]))
        if name in there:
            _manage("remove", "--force", name)
        _manage("install", collection, str(written[1]))
    return Installed(name, driver, driver in there)


def write_sources(
    model: Model, folder: str | Path, name: str | None = None, *, march: str = "native"
) -> list[Path]:
    """Write what the KIM API compiles.

    Parameters
    ----------
    model : Model
        A potential on sites.
    folder : str or Path
        Takes a folder of the driver and one of the model.
    name : str, optional
        Name of the model for the KIM API; by default that of the model.
    march : str, optional
        Processor that the driver is compiled for, as the compiler's ``-march``.

    Returns
    -------
    list of Path
        Folders of the driver and of the model, which ``kim-api-collections-management install`` takes in this
        order.

    Raises
    ------
    InputError
        If the potential is not on sites, the name is not usable, or the folder cannot be written to.
    """
    text = exported(model)
    name = model_name(model) if name is None else name
    if not re.fullmatch(r"[A-Za-z]\w*", name, flags=re.ASCII):
        raise InputError(
            f"{name!r} is no name for the KIM API: use a letter, then letters, digits, underscores"
        )
    driver, target = Path(folder) / driver_name(), Path(folder) / name
    try:
        for made in (driver, target):
            made.mkdir(parents=True, exist_ok=True)
        for source in sources():
            write_whole(driver / source.name, source.read_bytes())
        write_whole(
            driver / "CMakeLists.txt", DRIVER.format(name=driver.name, processor=processor_option(march))
        )
        write_whole(target / "potential.sites", text)
        write_whole(target / "CMakeLists.txt", MODEL.format(name=name, driver=driver.name))
    except OSError as error:
        raise InputError(f"{folder} cannot be written to: {error.strerror}") from error
    return [driver, target]


def model_name(model: Model) -> str:
    """Name a model for the KIM API.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    str
        ``ase_scatter_`` and its name, with underscores for what is no letter or digit.
    """
    return "ase_scatter_" + re.sub(r"\W", "_", model.name, flags=re.ASCII)


def driver_name() -> str:
    """Name the driver.

    Returns
    -------
    str
        ``ase_scatter_driver_`` and a hash of its sources.
    """
    text = b"\0".join([DRIVER.encode(), *(source.read_bytes() for source in sources())])
    return "ase_scatter_driver_" + hashlib.sha256(text).hexdigest()[:8]


def sources() -> list[Path]:
    """List the files that the driver is compiled from.

    Returns
    -------
    list of Path
        Headers and source.
    """
    engines = Path(__file__).resolve().parents[1]
    return sorted([*engines.glob("cxx/*.hpp"), *engines.glob("kim/source/*.cpp")])


def items() -> set[str]:
    """List what is installed.

    Returns
    -------
    set of str
        Names of models and drivers that the KIM API finds.

    Raises
    ------
    InputError
        If the KIM API is missing or fails.
    """
    return set(_manage("list").split())


def needed_programs() -> None:
    """Look for the programs that compile a model.

    Raises
    ------
    InputError
        If the KIM API, CMake or a C++ compiler is not installed.
    """
    if shutil.which(MANAGER) is None:
        raise InputError(f"{MANAGER} was not found: {ADVICE}")
    if shutil.which("cmake") is None:
        raise InputError("cmake, with which the KIM API compiles, was not found: install cmake")
    compiler = os.environ.get("CXX", "").split()[:1] or ["c++", "g++", "clang++"]
    if not any(shutil.which(program) for program in compiler):
        raise InputError("no C++ compiler was found: install g++ (Debian: apt install g++; conda: gxx)")


def _manage(*words: str) -> str:
    """What the KIM API's manager prints."""
    try:
        done = subprocess.run([MANAGER, *words], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise InputError(f"{MANAGER} was not found: {ADVICE}") from error
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()
        problem = next(
            (line for line in lines if "error" in line.lower()), lines[-1] if lines else "no reason"
        )
        raise InputError(f"{MANAGER} {words[0]} failed: {problem.strip()}")
    return done.stdout
