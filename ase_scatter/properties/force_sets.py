"""Forces on displaced supercells, and phonopy's way from them to force constants and files."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from numpy.typing import NDArray

from ..compute.files import write_whole
from ..compute.parallel import Progress
from ..errors import InputError
from ..units import GPA
from .common import LARGEST_STRESS, frozen_calculator, largest_force, require_crystal, with_calculator
from .responses import Responses, evaluate
from .result import Result
from .supercells import LENGTH, Supercell, repetitions

LARGEST_FORCE = 0.05
"""eV/Å. A crystal with larger forces is at no minimum, and has no phonons to speak of."""

SYMPREC = 1e-3
"""Å. A relaxation leaves less disorder than this, and displacements are far larger."""


@dataclass(frozen=True)
class ForceSets(Result):
    """Forces on supercells with one displaced atom each: the content of phonopy's FORCE_SETS.

    Parameters
    ----------
    atoms : Atoms
        The crystal, N atoms, its symmetry made exact, without a calculator.
    supercell : ndarray of int, shape (3,)
        Its repetitions, to S·N atoms.
    primitive_matrix : ndarray, shape (3, 3)
        Its columns are the vectors of the primitive cell in units of the crystal's.
    displaced : ndarray of int, shape (n,)
        The displaced atom of each supercell, in phonopy's count.
    displacements : ndarray, shape (n, 3)
        Å.
    forces : ndarray, shape (n, S * N, 3)
        Forces less those of the perfect supercell, eV/Å.
    """

    atoms: Atoms
    supercell: NDArray[np.int64]
    primitive_matrix: NDArray[np.float64]
    displaced: NDArray[np.int64]
    displacements: NDArray[np.float64]
    forces: NDArray[np.float64]

    def to_phonopy(self) -> Any:
        """Hand the forces to phonopy.

        Returns
        -------
        phonopy.Phonopy
            With these forces and their force constants, drift removed.

        Raises
        ------
        InputError
            If phonopy is not installed.
        """
        model = _phonopy(self.atoms, self.supercell, self.primitive_matrix)
        rows = zip(self.displaced, self.displacements, strict=True)
        model.dataset = {
            "natom": len(model.supercell),
            "first_atoms": [{"number": int(atom), "displacement": step} for atom, step in rows],
        }
        set_forces(model, self.forces)
        return model

    def write(self, directory: str | Path) -> list[Path]:
        """Write phonopy_params.yaml and FORCE_SETS, which phonopy's own commands read.

        Parameters
        ----------
        directory : str or Path
            Made if need be; files of these names are overwritten.

        Returns
        -------
        list of Path
            The two files.

        Raises
        ------
        InputError
            If phonopy is not installed.
        """
        model = self.to_phonopy()
        from phonopy.file_IO import write_FORCE_SETS

        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        names = ["phonopy_params.yaml", "FORCE_SETS"]
        with tempfile.TemporaryDirectory() as temporary:
            model.save(Path(temporary, names[0]))
            write_FORCE_SETS(model.dataset, Path(temporary, names[1]))
            for name in names:
                write_whole(directory / name, Path(temporary, name).read_bytes())
        return [directory / name for name in names]


class Displaced(NamedTuple):
    """Displaced supercells and the forces on them.

    Parameters
    ----------
    force_sets : ForceSets
        The forces that the potential gives.
    model : phonopy.Phonopy
        With the displacements, without forces.
    forces : ndarray, shape (models, n, S * N, 3)
        Forces less those of the perfect supercell, eV/Å, of the potential and of the members of its
        committee.
    responses : Responses
        From which half-widths follow.
    """

    force_sets: ForceSets
    model: Any
    forces: NDArray[np.float64]
    responses: Responses


def set_forces(model: Any, forces: NDArray[np.float64]) -> None:
    """Give forces to a `phonopy.Phonopy`, and let it find the force constants.

    Parameters
    ----------
    model : phonopy.Phonopy
        With displacements; changed in place.
    forces : ndarray, shape (n, S * N, 3)
        Forces at these displacements, eV/Å.
    """
    model.forces = forces
    # Only what belongs to the primitive cell is kept: the rest follows by translation.
    model.produce_force_constants(calculate_full_force_constants=False, show_drift=False)
    model.symmetrize_force_constants(show_drift=False)


def require_phonopy() -> None:
    """Check that phonopy can be imported.

    Raises
    ------
    InputError
        If it cannot.
    """
    try:
        import phonopy  # noqa: F401
    except ImportError as error:
        raise InputError("phonons need phonopy: pip install 'ase-scatter[phonons]'") from error


def require_relaxed(atoms: Atoms, calculator: BaseCalculator, *, stressed: bool = False) -> None:
    """Check that a crystal is at rest.

    Parameters
    ----------
    atoms : Atoms
        The crystal; its constraints do not count.
    calculator : BaseCalculator
        Any calculator of ASE; without stresses only the forces are checked.
    stressed : bool, default False
        Whether the cell may be under stress.

    Raises
    ------
    InputError
        If there are forces above 0.05 eV/Å, or a stress above 0.5 GPa where none is allowed.
    """
    crystal = with_calculator(atoms, calculator)
    crystal.set_constraint()
    force = largest_force(crystal)
    if not force < LARGEST_FORCE:
        raise InputError(
            f"there are forces of up to {force:.3g} eV/Å on the atoms, where phonons are not defined; "
            "relax the crystal first (relax_cell)"
        )
    if stressed or "stress" not in calculator.implemented_properties:
        return
    stress = np.abs(crystal.get_stress() / GPA).max()
    if not stress < LARGEST_STRESS:
        raise InputError(
            f"the crystal is under a stress of up to {stress:.2f} GPa; relax its cell first (relax_cell), "
            "or say that this is meant (stressed=True)"
        )


def force_sets(
    atoms: Atoms,
    calculator: BaseCalculator,
    *,
    supercell: Supercell = LENGTH,
    displacement: float = 0.01,
    symprec: float = SYMPREC,
    progress: Progress = False,
    name: str = "displacements",
) -> Displaced:
    """Forces on the supercells that phonopy displaces, evaluated as one batch.

    Parameters
    ----------
    atoms : Atoms
        A crystal at rest.
    calculator : BaseCalculator
        Any calculator of ASE; the members of its committee, if it has one, evaluate the same supercells.
    supercell : three int or float, default 15.0
        As in `repetitions`.
    displacement : float, default 0.01
        Å.
    symprec : float, default 1e-3
        Distance by which atoms may be off their symmetric places, Å; they are put there.
    progress : bool or callable, default False
        As in `compute.parallel.Progress`.
    name : str, default "displacements"
        What the progress is called.

    Returns
    -------
    Displaced
        The forces of the potential and of all members.

    Raises
    ------
    InputError
        If phonopy is not installed, the atoms are no crystal, the displacement is not between 0 and 0.5 Å,
        or forces are not finite.
    """
    require_phonopy()
    require_crystal(atoms)
    if not 0 < displacement < 0.5:
        raise InputError(f"the displacement is {displacement} Å, but must be between 0 and 0.5")
    crystal = _symmetrised(atoms, symprec)
    repeat = repetitions(crystal, supercell)
    primitive = _primitive_matrix(crystal)
    model = _phonopy(crystal, repeat, primitive)
    model.generate_displacements(distance=displacement)
    structures = [bare_atoms(cell) for cell in (model.supercell, *model.supercells_with_displacements)]
    calculator = frozen_calculator(calculator, structures[0])
    found = evaluate(structures, calculator, progress=progress, name=name)
    forces = found.forces
    if not np.isfinite(forces).all():
        raise InputError(
            "the calculator gave forces that are not finite; check that the crystal is one it is meant for"
        )
    # The forces on the perfect crystal are no answer to a displacement.
    forces = forces[:, 1:] - forces[:, :1]
    rows = model.dataset["first_atoms"]
    sets = ForceSets(
        atoms=crystal,
        supercell=repeat,
        primitive_matrix=primitive,
        displaced=np.array([row["number"] for row in rows]),
        displacements=np.array([row["displacement"] for row in rows]),
        forces=forces[0],
    )
    return Displaced(sets, model, forces, found)


def _phonopy(atoms: Atoms, supercell: NDArray[np.int64], primitive_matrix: NDArray[np.float64]) -> Any:
    """A `phonopy.Phonopy` of this crystal, without forces."""
    require_phonopy()
    from phonopy import Phonopy

    return Phonopy(_cell(atoms), np.diag(supercell), primitive_matrix, log_level=0)


def _symmetrised(atoms: Atoms, symprec: float) -> Atoms:
    """The bare crystal, its cell and positions as its symmetry has them."""
    from ase.spacegroup.symmetrize import refine_symmetry

    if atoms.cell.handedness != 1:
        raise InputError("the cell's vectors are left-handed; change the sign of all three, or swap two")
    masses = atoms.get_masses()
    for symbol in set(atoms.symbols):
        same = masses[atoms.symbols == symbol]
        if np.ptp(same) > 1e-6 * same[0]:
            raise InputError(f"the {symbol} atoms differ in mass, which phonopy's primitive cell cannot have")
    crystal = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, masses=masses, pbc=True)
    try:
        refine_symmetry(crystal, symprec=symprec)
    except Exception as error:  # whatever spglib or ASE make of it
        raise InputError(
            f"no symmetry can be found in this crystal ({error}); check that no two atoms share a place"
        ) from error
    return crystal


def _primitive_matrix(atoms: Atoms) -> NDArray[np.float64]:
    """Vectors of a primitive cell, as columns, in units of the atoms' cell."""
    from phonopy.structure.cells import guess_primitive_matrix

    # Named, not left to phonopy: it warns of what it finds by itself.
    found = np.asarray(guess_primitive_matrix(_cell(atoms)), dtype=np.float64)
    # Multiples of a twelfth: 1/2, 1/3 and their like, without their rounding errors.
    exact = np.round(12 * found) / 12
    return exact if np.abs(exact - found).max() < 1e-6 else found


def _cell(atoms: Atoms) -> Any:
    """As phonopy's atoms."""
    from phonopy.structure.atoms import PhonopyAtoms

    return PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell[:],
        scaled_positions=atoms.get_scaled_positions(),
        masses=atoms.get_masses(),
    )


def bare_atoms(cell: Any) -> Atoms:
    """Convert phonopy's atoms to ASE's.

    Parameters
    ----------
    cell : phonopy.structure.atoms.PhonopyAtoms
        A crystal.

    Returns
    -------
    Atoms
        Without a calculator.
    """
    return Atoms(cell.symbols, cell=cell.cell, scaled_positions=cell.scaled_positions, pbc=True)
