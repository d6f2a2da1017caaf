"""What a transform sees of a structure, and what it gives back: plain arrays, no ASE objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from ..errors import InputError
from .pair_search import half_list

if TYPE_CHECKING:
    from ase import Atoms

SHORTEST_DISTANCE = 0.05
"""Two atoms nearer than this (Å) are taken for a mistake in the input."""

SEARCHED_DISTANCE = 2.0
"""They are searched among all pairs nearer than this (Å): few are, and a shorter cutoff takes longer."""


FARTHEST = 1e8
"""Positions and cell vectors longer than this (Å) cannot be told apart to the digits that forces need."""


@dataclass(frozen=True)
class System:
    """Atoms in a cell.

    Parameters
    ----------
    numbers : ndarray of int, shape (N,)
        Atomic numbers.
    positions : ndarray, shape (N, 3)
        Å; they need not be wrapped into the cell.
    cell : ndarray, shape (3, 3)
        Rows in Å; those of directions that are not periodic may be zero.
    pbc : ndarray of bool, shape (3,)
        Which directions are periodic.
    """

    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    pbc: NDArray[np.bool_]

    @classmethod
    def from_atoms(cls, atoms: Atoms, *, apart: bool = True) -> System:
        """Copy what matters out of ASE's Atoms.

        Parameters
        ----------
        atoms : Atoms
            The structure.
        apart : bool
            Whether to look for atoms at the same place.

        Returns
        -------
        System

        Raises
        ------
        InputError
            If the structure cannot be computed.
        """
        system = cls(
            numbers=np.array(atoms.numbers, dtype=np.int64),
            positions=np.array(atoms.positions, dtype=np.float64),
            cell=np.array(atoms.cell[:], dtype=np.float64),
            pbc=np.array(atoms.pbc, dtype=bool),
        )
        system.validate(apart=apart)
        return system

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def volume(self) -> float:
        """Volume of the cell in Å³ (0 where the three vectors do not span space)."""
        return _space(self.cell.tobytes(), self.pbc.tobytes()).volume

    @property
    def has_volume(self) -> bool:
        """Whether the cell spans space, so that a stress is defined."""
        return _space(self.cell.tobytes(), self.pbc.tobytes()).has_volume

    def validate(self, *, apart: bool = True) -> None:
        """Refuse what no model could evaluate.

        Parameters
        ----------
        apart : bool
            Whether to look for atoms at the same place.

        Raises
        ------
        InputError
            For no atoms, atomic numbers that no element has, values that are not finite or beyond
            `FARTHEST`, a cell that does not span its periodic directions, atoms at the same place.
        """
        if len(self) == 0:
            raise InputError("the structure holds no atoms")
        if not np.isfinite(self.positions).all():
            bad = np.flatnonzero(~np.isfinite(self.positions).all(axis=1))
            raise InputError(
                f"the position of atom {bad[0]} is not finite ({self.positions[bad[0]]}); "
                f"{len(bad)} of {len(self)} atoms are affected"
            )
        if not np.isfinite(self.cell).all():
            raise InputError("the cell holds values that are not finite")
        if max(np.abs(self.positions).max(), np.abs(self.cell).max()) > FARTHEST:
            raise InputError(f"positions and cell vectors must be in Å, and below {FARTHEST:.0e} Å")
        strange = self.numbers[(self.numbers < 1) | (self.numbers >= len(chemical_symbols))]
        if len(strange):
            raise InputError(
                f"{strange[0]} is no atomic number: they go from 1 to {len(chemical_symbols) - 1}"
            )
        if not _space(self.cell.tobytes(), self.pbc.tobytes()).independent:
            raise InputError(
                "the cell vectors of the periodic directions are zero or parallel; set a cell with "
                "atoms.set_cell(...) or make these directions non-periodic with atoms.pbc"
            )
        if apart:
            self._refuse_coinciding_atoms()

    def _refuse_coinciding_atoms(self) -> None:
        if (np.linalg.norm(self.cell[self.pbc], axis=1) < SHORTEST_DISTANCE).any():
            raise coincidence(0, 0)  # with its own image; such a cell holds too many images to list
        near = half_list(self.positions, self.cell, self.pbc, SEARCHED_DISTANCE)
        if len(near.i) and near.distances.min() < SHORTEST_DISTANCE:
            nearest = near.distances.argmin()
            raise coincidence(int(near.i[nearest]), int(near.j[nearest]))


class _Space(NamedTuple):
    """What a cell spans. independent: whether its periodic vectors are neither zero nor parallel."""

    volume: float
    has_volume: bool
    independent: bool


@lru_cache(maxsize=256)
def _space(cell: bytes, pbc: bytes) -> _Space:
    """Many structures share a cell, and this takes longer than all else that is checked."""
    vectors = np.frombuffer(cell).reshape(3, 3)
    periodic = vectors[np.frombuffer(pbc, dtype=bool)]
    lengths, volume = np.linalg.norm(vectors, axis=1), float(abs(np.linalg.det(vectors)))
    return _Space(
        volume,
        bool(np.all(lengths > 0) and volume > 1e-9 * np.prod(lengths)),
        not len(periodic) or bool(np.linalg.matrix_rank(periodic, tol=1e-6) == len(periodic)),
    )


def kinds_of(numbers: NDArray[np.int64], elements: Sequence[str]) -> NDArray[np.int64]:
    """Which of some elements each atom is.

    Parameters
    ----------
    numbers : ndarray of int, shape (N,)
        Atomic numbers.
    elements : sequence of str
        Chemical symbols.

    Returns
    -------
    ndarray of int, shape (N,)
        Places in the elements; −1 for others.
    """
    return _places(tuple(elements))[numbers]


@lru_cache(maxsize=64)
def _places(elements: tuple[str, ...]) -> NDArray[np.int64]:
    """Place in the elements by atomic number."""
    places = np.full(len(chemical_symbols), -1)
    places[[atomic_numbers[symbol] for symbol in elements]] = np.arange(len(elements))
    return places


def coincidence(i: int, j: int) -> InputError:
    """The error of two atoms nearer to each other than SHORTEST_DISTANCE.

    Parameters
    ----------
    i, j : int
        The atoms.

    Returns
    -------
    InputError
    """
    return InputError(
        f"atoms {min(i, j)} and {max(i, j)} are at the same place (nearer than "
        f"{SHORTEST_DISTANCE} Å, periodic images included); remove one of them"
    )


@dataclass(frozen=True)
class Evaluation:
    """Energy and its first derivatives.

    Parameters
    ----------
    energy : float
        eV.
    forces : ndarray, shape (N, 3)
        eV/Å.
    strain_gradient : ndarray, shape (3, 3)
        dE/dε in eV, symmetric; divided by the volume it is the stress.
    energies : ndarray, shape (N,), optional
        Energies of the atoms in eV, their sum the energy; None if it cannot be divided among them.
    virials : ndarray, shape (N, 3, 3), optional
        Parts of the atoms in the strain gradient, eV: ½ Σ_j r_ij ⊗ f_ij, for of what each pair of atoms gives
        half is each one's. Only their sum is symmetric. None if it cannot be divided among them.
    """

    energy: float
    forces: NDArray[np.float64]
    strain_gradient: NDArray[np.float64]
    energies: NDArray[np.float64] | None = None
    virials: NDArray[np.float64] | None = None

    def __add__(self, other: Evaluation) -> Evaluation:
        return Evaluation(
            self.energy + other.energy,
            self.forces + other.forces,
            self.strain_gradient + other.strain_gradient,
            _sum(self.energies, other.energies),
            _sum(self.virials, other.virials),
        )


def _sum(one: NDArray[np.float64] | None, other: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """The sum of what both have."""
    return None if one is None or other is None else one + other
