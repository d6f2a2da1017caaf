"""Other kinds of potentials, trained on the same data for comparison, where they are installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.io import write

from ..errors import InputError
from ..structures.dataset import Frame
from ..units import from_voigt
from .learning_curve import Peer
from .metrics import Prediction

PEERS = ("gap",)
"""Names that `peer` knows."""


def peer(name: str) -> Peer:
    """Another kind of potential, to be compared with.

    Parameters
    ----------
    name : str
        "gap".

    Returns
    -------
    callable
        Trains on frames and predicts others.

    Raises
    ------
    InputError
        If the name is unknown or the program is not installed.
    """
    if name != "gap":
        raise InputError(f"there is no peer {name!r}; choose from {', '.join(PEERS)}")
    _gap_fit()
    return _gap


def _gap_fit() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "gap_fit"
    program = str(beside) if beside.exists() else shutil.which("gap_fit")
    if program is None:
        raise InputError("GAP is not installed; install it with: pip install quippy-ase")
    return program


def fit_gap(train: Sequence[Frame], folder: Path, *, sparse_points: int = 1000) -> Path:
    """Fit a GAP on SOAP descriptors, with the usual settings for one element (cutoff 5 Å, n = l = 8).

    It runs in a process of its own.

    Parameters
    ----------
    train : sequence of Frame
        Training data.
    folder : Path
        Where the files go.
    sparse_points : int
        Number of sparse points.

    Returns
    -------
    Path
        The file of the potential.

    Raises
    ------
    InputError
        If the program is not installed or fails.

    References
    ----------
    .. [1] A. P. Bartók, R. Kondor and G. Csányi, Phys. Rev. B 87, 184115 (2013),
       https://doi.org/10.1103/PhysRevB.87.184115
    """
    program = _gap_fit()
    write(folder / "train.xyz", [_labelled(frame) for frame in train], format="extxyz")
    elements = sorted({z for frame in train for z in frame.system.numbers.tolist()})
    e0 = _free_atoms(train, elements)
    settings = [
        f"at_file={folder / 'train.xyz'}",
        "gap={soap cutoff=5.0 cutoff_transition_width=1.0 n_max=8 l_max=8 atom_sigma=0.5 zeta=4 "
        "delta=1.0 covariance_type=dot_product sparse_method=cur_points "
        f"n_sparse={sparse_points} add_species=T}}",
        "default_sigma={0.002 0.1 0.05 0.0}",
        "energy_parameter_name=ref_energy",
        "force_parameter_name=ref_forces",
        "virial_parameter_name=ref_virial",
        "e0={" + ":".join(f"{_symbol(z)}:{value:.6f}" for z, value in e0.items()) + "}",
        f"gp_file={folder / 'gap.xml'}",
        "sparse_jitter=1e-8",
    ]
    _run([program, *settings], folder)
    return folder / "gap.xml"


def _gap(train: Sequence[Frame], test: Sequence[Frame]) -> list[Prediction]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fit_gap(train, folder)
        write(folder / "test.xyz", [_bare(frame) for frame in test], format="extxyz")
        # Not in this process: its libraries bring runtimes of their own.
        _run([sys.executable, "-c", _PREDICT, "gap.xml", "test.xyz", "out.npz"], folder)
        with np.load(folder / "out.npz") as found:
            energies, forces, stress = found["energies"], found["forces"], found["stress"]
    predictions, start = [], 0
    for k, frame in enumerate(test):
        stop = start + len(frame.system)
        predictions.append(Prediction(float(energies[k]), forces[start:stop], stress[k]))
        start = stop
    return predictions


_PREDICT = """
import sys
import numpy as np
from ase.io import read
from quippy.potential import Potential
potential = Potential("", param_filename=sys.argv[1])
energies, forces, stress = [], [], []
for atoms in read(sys.argv[2], ":"):
    atoms.calc = potential
    energies.append(atoms.get_potential_energy())
    forces.append(atoms.get_forces())
    stress.append(atoms.get_stress() if atoms.pbc.all() else np.zeros(6))
np.savez(sys.argv[3], energies=energies, forces=np.concatenate(forces), stress=stress)
"""


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
        raise InputError(f"{Path(command[0]).name} failed: {' '.join(last)}")


def _bare(frame: Frame) -> Atoms:
    s = frame.system
    return Atoms(numbers=s.numbers, positions=s.positions, cell=s.cell, pbc=s.pbc)


def _labelled(frame: Frame) -> Atoms:
    atoms = _bare(frame)
    atoms.info["ref_energy"] = frame.energy
    if frame.forces is not None:
        atoms.arrays["ref_forces"] = frame.forces
    if frame.stress is not None:
        atoms.info["ref_virial"] = -frame.system.volume * from_voigt(frame.stress)
    return atoms


def _free_atoms(frames: Sequence[Frame], elements: Sequence[int]) -> dict[int, float]:
    counts = np.array([[np.sum(f.system.numbers == z) for z in elements] for f in frames], dtype=float)
    energies = np.array([f.energy for f in frames])
    values = np.linalg.lstsq(counts, energies, rcond=None)[0]
    return dict(zip(elements, values.tolist(), strict=True))


def _symbol(z: int) -> str:
    return str(chemical_symbols[z])
