"""Runs the program ``lmp`` of the Python environment, and reads what it prints."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError


def command(script: str | Path, *, ranks: int = 1) -> list[str]:
    """Compose the command that runs an input of LAMMPS.

    Parameters
    ----------
    script : str or Path
        The input.
    ranks : int, optional
        Number of processes.

    Returns
    -------
    list of str
        The words of the command: ``lmp`` of the environment that Python runs in, under the ``mpirun`` beside
        it. The ``mpirun`` of another MPI would start so many processes that know nothing of each other.

    Raises
    ------
    InputError
        If one of the programs is not installed.
    """
    words = [_program("lmp", "lammps"), "-in", str(script)]
    return words if ranks == 1 else [_program("mpirun", "mpich"), "-n", str(ranks), *words]


def run(script: str | Path, *, ranks: int = 1, folder: str | Path = ".") -> str:
    """Run an input of LAMMPS.

    Parameters
    ----------
    script : str or Path
        The input.
    ranks : int, optional
        Number of processes.
    folder : str or Path, optional
        Where it runs.

    Returns
    -------
    str
        What LAMMPS prints.

    Raises
    ------
    InputError
        If a program is not installed, or LAMMPS stops with an error.
    """
    words = command(script, ranks=ranks)
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    problems = [line for line in lines if line.startswith("ERROR")]
    if done.returncode or problems:
        raise InputError(f"LAMMPS stopped: {(problems or lines[-1:] or ['it printed nothing'])[0]}")
    return done.stdout


def read_thermo(text: str) -> list[dict[str, NDArray[np.float64]]]:
    """Read the tables of thermodynamic output.

    Parameters
    ----------
    text : str
        What LAMMPS prints, or its log file.

    Returns
    -------
    list of dict of str to ndarray
        For each run the columns by their titles; of one that was cut off what there is.
    """
    tables: list[dict[str, NDArray[np.float64]]] = []
    titles: list[str] = []
    rows: list[list[float]] = []
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["Step"]:
            titles, rows = words, []
        elif titles and line.startswith("Loop time"):
            tables.append(_table(titles, rows))
            titles = []
        elif titles and len(words) == len(titles):
            try:
                rows.append([float(word) for word in words])
            except ValueError:
                continue  # a warning
    if titles:
        tables.append(_table(titles, rows))
    return tables


def _table(titles: list[str], rows: list[list[float]]) -> dict[str, NDArray[np.float64]]:
    return dict(zip(titles, np.array(rows).reshape(-1, len(titles)).T, strict=True))


def _program(name: str, package: str) -> str:
    """A program of the environment."""
    beside = Path(sys.prefix) / "bin" / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise InputError(f"{name} is not installed: pip install {package}")
    return found
