"""Forces on displaced supercells, and phonopy's way from them to force constants and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from numpy.typing import NDArray

from ..errors import InputError
from ..units import GPA
from .common import (
    Progress,
    Result,
    evaluate_together,
    frozen_calculator,
    largest_force,
    members_of,
    reporting,
    require_crystal,
    with_calculator,
)
from .elastic import LARGEST_STRESS

LARGEST_FORCE = 0.05
"""eV/Å: a crystal with larger forces is at no minimum, and has no phonons to speak of."""

SYMPREC = 1e-3
"""Å: what a relaxation leaves of disorder, and far less than a displacement."""

LENGTH = 15.0
"""Å: supercells are at least as long as this along each edge, unless told otherwise."""

Supercell = Sequence[int] | float


@dataclass(frozen=True)
class ForceSets(Result):
    """Forces on supercells with one displaced atom each: what phonopy's FORCE_SETS holds.

    atoms: the crystal, N atoms, its symmetry made exact, without a calculator. supercell: (3,) its
    repetitions, to S·N atoms. primitive_matrix: (3, 3), whose columns are the vectors of the primitive
    cell in units of the crystal's. displaced: (n,) the displaced atom of each supercell, in phonopy's
    count. displacements: (n, 3) Å. forces: (n, S·N, 3) eV/Å, less those of the perfect supercell.
    """

    atoms: Atoms
    supercell: NDArray[np.int64]
    primitive_matrix: NDArray[np.float64]
    displaced: NDArray[np.int64]
    displacements: NDArray[np.float64]
    forces: NDArray[np.float64]

    def to_phonopy(self) -> Any:
        """A `phonopy.Phonopy` with these forces and their force constants, drift removed.

        Raises InputError without phonopy.
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
        """Write phonopy_params.yaml and FORCE_SETS, with which phonopy's own commands go on.

        directory: made if need be; files of these names are overwritten. Raises InputError without phonopy.
        """
        model = self.to_phonopy()
        from phonopy.file_IO import write_FORCE_SETS

        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        files = [directory / "phonopy_params.yaml", directory / "FORCE_SETS"]
        model.save(files[0])
        write_FORCE_SETS(model.dataset, files[1])
        return files


class Displaced(NamedTuple):
    """What comes of displaced supercells.

    force_sets: the forces. model: a `phonopy.Phonopy` with their force constants. members: (members, n,
    S·N, 3) eV/Å, forces of the members of the committee like those of the force sets, None without one.
    factor: what turns the members' standard deviation into a half-width, nan without.
    """

    force_sets: ForceSets
    model: Any
    members: NDArray[np.float64] | None
    factor: float


def set_forces(model: Any, forces: NDArray[np.float64]) -> None:
    """Give a `phonopy.Phonopy` other forces (n, S·N, 3) in eV/Å at its displacements."""
    model.forces = forces
    # Only what belongs to the primitive cell is kept: the rest follows by translation.
    model.produce_force_constants(calculate_full_force_constants=False, show_drift=False)
    model.symmetrize_force_constants(show_drift=False)


def require_phonopy() -> None:
    """Raise InputError unless phonopy can be imported."""
    try:
        import phonopy  # noqa: F401
    except ImportError as error:
        raise InputError("phonons need phonopy: pip install 'ase-scatter[phonons]'") from error


def repetitions(atoms: Atoms, supercell: Supercell) -> NDArray[np.int64]:
    """(3,) repetitions of the cell: those given, or the fewest whose edges have at least this length (Å)."""
    if np.ndim(supercell) == 0:
        length = float(supercell)  # type: ignore[arg-type]
        if not 0 < length < np.inf:
            raise InputError(f"the supercell's length must be positive, not {length} Å")
        # An edge that is too short by a rounding error is long enough.
        return np.asarray(np.ceil(length / atoms.cell.lengths() - 1e-6), dtype=np.int64)
    found = np.array(supercell)
    if found.shape != (3,) or not np.issubdtype(found.dtype, np.integer) or (found < 1).any():
        raise InputError(f"the supercell must be three whole numbers above 0, or a length in Å: {supercell}")
    return found.astype(np.int64)


def require_relaxed(atoms: Atoms, calculator: BaseCalculator, *, stressed: bool = False) -> None:
    """Raise InputError if there are large forces, or (unless stressed is allowed) a large stress."""
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

    atoms: a crystal at rest. supercell: three repetitions, or a length in Å that every edge is to reach.
    displacement: Å. symprec: Å, by which atoms may be off the places that symmetry has for them; they
    are put there. The members take as long as a committee takes for n + 1 supercells. Raises InputError
    for what is no crystal, or forces that are not finite.
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
    structures = [_atoms(cell) for cell in (model.supercell, *model.supercells_with_displacements)]
    calculator = frozen_calculator(calculator, structures[0])
    with reporting(progress, name, len(structures)) as tick:
        evaluate_together(structures, calculator)
        for _ in structures:
            tick()
    # What forces there are on the perfect crystal are no answer to a displacement.
    forces = np.array([structure.get_forces() for structure in structures])
    if not np.isfinite(forces).all():
        raise InputError(
            "the calculator gave forces that are not finite; check that the crystal is one it is meant for"
        )
    rows = model.dataset["first_atoms"]
    sets = ForceSets(
        atoms=crystal,
        supercell=repeat,
        primitive_matrix=primitive,
        displaced=np.array([row["number"] for row in rows]),
        displacements=np.array([row["displacement"] for row in rows]),
        forces=forces[1:] - forces[0],
    )
    set_forces(model, sets.forces)
    return Displaced(sets, model, *_member_forces(structures, calculator, progress, f"{name}, members"))


def _member_forces(
    structures: Sequence[Atoms], calculator: BaseCalculator, progress: Progress, name: str
) -> tuple[NDArray[np.float64] | None, float]:
    """Forces of each member on the displaced supercells, less those on the first, and their factor."""
    first = members_of(calculator, structures[0])
    if first is None:
        return None, np.nan
    forces = np.empty((len(first), len(structures) - 1, len(structures[0]), 3))
    with reporting(progress, name, len(structures) - 1) as tick:
        for index, structure in enumerate(structures[1:]):
            members = members_of(calculator, structure)
            assert members is not None
            forces[:, index] = members.forces - first.forces
            tick()
    return forces, first.factors.get("force", np.nan)


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
    from phonopy.structure.atoms import PhonopyAtoms

    return PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell[:],
        scaled_positions=atoms.get_scaled_positions(),
        masses=atoms.get_masses(),
    )


def _atoms(cell: Any) -> Atoms:
    return Atoms(cell.symbols, cell=cell.cell, scaled_positions=cell.scaled_positions, pbc=True)
