"""Reference structures with their labels, read from any file that ASE reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.io import read
from numpy.typing import NDArray

from ..errors import InputError
from ..units import to_voigt
from .system import System

LARGEST_LABEL = 1e12
"""Larger labels (eV, eV/Å, eV/Å³) are mistakes: their squares would drown all others."""


@dataclass(frozen=True)
class Frame:
    """A structure with what a reference method gave for it.

    Parameters
    ----------
    system : System
        The structure.
    energy : float
        Total energy, eV.
    forces : ndarray, shape (N, 3), optional
        eV/Å.
    stress : ndarray, shape (6,), optional
        eV/Å³ in Voigt order, positive in tension.
    group : str
        Part of the data set that it belongs to.
    source : str
        What it was made from, shared by frames that are correlated; empty if unknown.
    weight : float
        How much the squares of its errors count in a fit.
    atomic_energies : ndarray, shape (N,), optional
        The energy divided among the atoms, eV.
    """

    system: System
    energy: float
    forces: NDArray[np.float64] | None = None
    stress: NDArray[np.float64] | None = None
    group: str = ""
    source: str = ""
    weight: float = 1.0
    atomic_energies: NDArray[np.float64] | None = None


def read_frames(
    path: str | Path,
    *,
    energy_key: str = "energy",
    forces_key: str = "forces",
    stress_key: str = "stress",
    atomic_energies_key: str = "atomic_energies",
) -> list[Frame]:
    """Read all labelled structures of a file, in its order.

    Parameters
    ----------
    path : str or Path
        File in any format that ASE reads.
    energy_key, forces_key, stress_key, atomic_energies_key : str
        Names of the labels, as in `frames_of`.

    Returns
    -------
    list of Frame

    Raises
    ------
    InputError
        If the file cannot be read, or a frame cannot be trained on. It names the frame, counted from 0.
    """
    return frames_of(
        read_structures(path),
        energy_key=energy_key,
        forces_key=forces_key,
        stress_key=stress_key,
        atomic_energies_key=atomic_energies_key,
        where=f" of {path}",
    )


def frames_of(
    structures: Iterable[Frame | Atoms],
    *,
    energy_key: str = "energy",
    forces_key: str = "forces",
    stress_key: str = "stress",
    atomic_energies_key: str = "atomic_energies",
    where: str = "",
) -> list[Frame]:
    """Labelled structures of ASE's Atoms.

    Labels are looked up in `atoms.info`, `atoms.arrays` and the results of the attached calculator.
    `info["group"]` becomes the group, `info["source"]` the source and `info["weight"]` the
    weight. All but the energy may be missing. The
    stress of structures that are not periodic in three dimensions is left out: their volume is arbitrary.

    Parameters
    ----------
    structures : iterable of Frame or Atoms
        The structures. Frames stay as they are.
    energy_key, forces_key, stress_key, atomic_energies_key : str
        Names of the labels. What has an empty name is left out, save the energy.
    where : str
        Where the structures come from, for messages.

    Returns
    -------
    list of Frame

    Raises
    ------
    InputError
        If a frame cannot be trained on; it names the frame, counted from 0. If no frame has forces of the
        name that is given, but there are some of another name.
    """
    _require_several(structures)
    structures = list(structures)
    keys = {"energy": energy_key, "forces": forces_key, "stress": stress_key}
    keys["atomic_energies"] = atomic_energies_key
    frames = []
    for index, atoms in enumerate(structures):
        try:
            frames.append(atoms if isinstance(atoms, Frame) else _frame(atoms, keys))
        except InputError as error:
            raise type(error)(f"frame {index}{where}: {error}") from error
    for name, key in keys.items():
        # Only a name that the user chose is missed: it is a slip of the pen.
        if key not in (name, "") and all(getattr(frame, name) is None for frame in frames):
            raise InputError(f"no frame{where} has usable {name.replace('_', ' ')} under the name {key!r}")
    if forces_key and frames and all(frame.forces is None for frame in frames):
        _refuse_other_forces(structures, forces_key, where)
    return frames


def _refuse_other_forces(structures: Iterable[Frame | Atoms], key: str, where: str) -> None:
    """Forces under another name must not be left out without a word."""
    arrays = [atoms.arrays for atoms in structures if not isinstance(atoms, Frame)]
    named = {name for found in arrays for name, values in found.items() if values.shape[1:] == (3,)}
    others = ", ".join(sorted(repr(name) for name in named if "force" in name.lower()))
    if others:
        raise InputError(
            f"no frame{where} has forces under the name {key!r}, but {others}; "
            "name the right one (forces_key, --forces-key), or give an empty name to leave forces out"
        )


def as_frames(source: str | Path | Iterable[Frame | Atoms]) -> list[Frame]:
    """Labelled structures, however they are given.

    Parameters
    ----------
    source : str, Path or iterable of Frame or Atoms
        A file that ASE reads, frames, or structures with their labels as in `frames_of`.

    Returns
    -------
    list of Frame

    Raises
    ------
    InputError
        If a frame cannot be trained on.
    """
    return read_frames(source) if isinstance(source, str | Path) else frames_of(source)


def as_systems(structures: Iterable[System | Frame | Atoms]) -> list[System]:
    """Structures without their labels, however they are given.

    Parameters
    ----------
    structures : iterable of System, Frame or Atoms
        The structures.

    Returns
    -------
    list of System

    Raises
    ------
    InputError
        If a structure cannot be computed.
    """
    _require_several(structures)
    return [_system(structure) for structure in structures]


def _require_several(structures: Iterable[object]) -> None:
    if isinstance(structures, Atoms):
        raise InputError("give a list of structures, not a single one")


def _system(structure: System | Frame | Atoms) -> System:
    if isinstance(structure, Frame):
        return structure.system
    return structure if isinstance(structure, System) else System.from_atoms(structure)


def read_structures(path: str | Path) -> list[Atoms]:
    """Read all structures of a file, labelled or not.

    Parameters
    ----------
    path : str or Path
        File in any format that ASE reads.

    Returns
    -------
    list of Atoms

    Raises
    ------
    InputError
        If there are none to be read.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no file {path}; give the path of an extended-XYZ file")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; give a file with at least one structure")
    try:
        # Not parallel: under MPI, ASE would wait for all other ranks to read the same file.
        structures = read(path, index=":", do_not_split_by_at_sign=True, parallel=False)
    except Exception as error:  # ASE's readers raise whatever their parsing trips over
        raise InputError(
            f"{path} cannot be read as a structure file ({type(error).__name__}: {error}); "
            "give a complete extended-XYZ file"
        ) from error
    if not structures:
        raise InputError(f"{path} holds no frames; give a file with at least one structure")
    return list(structures)


def elements_of(systems: Iterable[System]) -> list[str]:
    """Elements in some structures.

    Parameters
    ----------
    systems : iterable of System
        The structures.

    Returns
    -------
    list of str
        Chemical symbols in alphabetical order.
    """
    return sorted({chemical_symbols[z] for system in systems for z in system.numbers.tolist()})


def _frame(atoms: Atoms, keys: Mapping[str, str]) -> Frame:
    system = System.from_atoms(atoms)
    energy = _label(atoms, "energy", keys["energy"], [()])
    if energy is None:
        raise InputError(
            f"there is no energy under the name {keys['energy']!r}; name the entry that holds it "
            f"with energy_key (found: {_names(atoms)})"
        )
    stress = None
    if system.pbc.all() and system.has_volume:
        stress = _label(atoms, "stress", keys["stress"], [(6,), (3, 3), (9,)])
        if stress is not None and stress.size == 9:
            stress = to_voigt(stress.reshape(3, 3))
    return Frame(
        system=system,
        energy=float(energy),
        forces=_label(atoms, "forces", keys["forces"], [(len(atoms), 3)]),
        stress=stress,
        group=str(atoms.info.get("group", "")),
        source=str(atoms.info.get("source", "")),
        weight=_weight(atoms),
        atomic_energies=_label(atoms, "atomic energies", keys["atomic_energies"], [(len(atoms),)]),
    )


def _weight(atoms: Atoms) -> float:
    """The weight of a frame. Raises InputError if it is none."""
    value = atoms.info.get("weight", 1.0)
    try:
        weight = float(value)
    except (TypeError, ValueError):
        weight = np.nan
    if not 0.0 <= weight < np.inf:
        raise InputError(f"the weight {value!r} is not a number of at least 0")
    return weight


def _label(atoms: Atoms, name: str, key: str, shapes: list[tuple[int, ...]]) -> NDArray[np.float64] | None:
    """A label as a finite array of one of the shapes, or None where the frame has none."""
    calculated = atoms.calc.results if atoms.calc is not None else {}
    # A name of the user's own goes before what the calculator holds; ASE moves its own names there.
    sources: list[Mapping[str, Any]] = [atoms.info, atoms.arrays, calculated]
    source = next((source for source in sources if source.get(key) is not None), None)
    if source is None:
        return None
    if source is calculated and _moved(atoms):
        raise InputError(
            f"the calculator holds the {name} of another structure; give each structure a calculator of its "
            "own (such as ase.calculators.singlepoint.SinglePointCalculator) and leave its atoms in place"
        )
    value = source[key]
    try:
        label = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"the {name} {value!r} is not made of numbers") from None
    if label.shape not in shapes:
        raise InputError(f"the {name} is shaped {label.shape}, but must be {' or '.join(map(str, shapes))}")
    if not np.isfinite(label).all():
        raise InputError(f"the {name} holds values that are not finite; mend or drop this frame")
    if np.abs(label).max(initial=0.0) > LARGEST_LABEL:
        raise InputError(f"the {name} holds values above {LARGEST_LABEL:.0e}; labels are in eV and Å")
    return label


def _moved(atoms: Atoms) -> bool:
    """Whether the attached calculator holds results of other positions, elements or another cell."""
    known = getattr(atoms.calc, "atoms", None)
    return known is not None and not (
        np.array_equal(known.numbers, atoms.numbers)
        and np.allclose(known.positions, atoms.positions, rtol=0.0, atol=1e-8)
        and np.allclose(known.cell[:], atoms.cell[:], rtol=0.0, atol=1e-8)
    )


def _names(atoms: Atoms) -> str:
    calculated = atoms.calc.results if atoms.calc is not None else {}
    return ", ".join(sorted({*atoms.info, *atoms.arrays, *calculated} - {"numbers", "positions"}))
