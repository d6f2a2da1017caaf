"""The two ends of a migration path: building them, and matching their atoms."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from ..errors import InputError
from .common import require_crystal
from .result import Result

LEAST_MOTION = 0.5
"""Å. Where no atom moves farther, two structures are one state, up to how well they are relaxed."""
SAFE_MARGIN = 0.05
"""Å. Two ways for an atom that differ by less in length cannot be told apart."""
LEAST_GAP = 0.5
"""Å. Nearer than this to another atom, nothing can be put in."""


@dataclass(frozen=True)
class AtomMap(Result):
    """Which atom of the last structure is which of the first.

    Parameters
    ----------
    order : ndarray of int, shape (N,)
        For each atom of the first structure, its index in the last one as it was given.
    shift : ndarray, shape (3,)
        The rigid shift that was taken off the last structure, Å.
    displacements : ndarray, shape (N, 3)
        Minimum-image displacements from the first to the last structure in the new order, Å.
    atoms : Atoms
        The last structure in that order, each atom in the periodic image next to its place in the first.
    """

    order: NDArray[np.int64]
    shift: NDArray[np.float64]
    displacements: NDArray[np.float64]
    atoms: Atoms


def hop_end_points(supercell: Atoms, *, index: int = 0, neighbour: int | None = None) -> tuple[Atoms, Atoms]:
    """Build a vacancy before and after a neighbour has hopped into it, all atoms on their sites.

    Parameters
    ----------
    supercell : Atoms
        The perfect crystal.
    index : int, default 0
        The atom that is taken out.
    neighbour : int, optional
        The atom that hops, in the perfect crystal's count; by default the nearest, the first among equals.

    Returns
    -------
    initial, final : Atoms
        The two ends, not relaxed.

    Raises
    ------
    InputError
        If the supercell is no crystal of at least three atoms, and for atoms that are not there.
    """
    require_crystal(supercell)
    if len(supercell) < 3:
        raise InputError("a hop needs a supercell of at least three atoms")
    if not -len(supercell) <= index < len(supercell):
        raise InputError(f"there is no atom {index} to take out of {len(supercell)} atoms")
    index %= len(supercell)
    distances = supercell.get_distances(index, range(len(supercell)), mic=True)
    distances[index] = np.inf
    if neighbour is None:
        # Rounded, so that the choice among equals does not hang on the last bit.
        neighbour = int(np.argmin(np.round(distances, 6)))
    if not 0 <= neighbour < len(supercell) or neighbour == index:
        raise InputError(f"atom {neighbour} cannot hop into the place of atom {index}")
    initial, final = supercell.copy(), supercell.copy()
    final.positions[neighbour] += supercell.get_distance(neighbour, index, mic=True, vector=True)
    del initial[index], final[index]
    return initial, final


def insert_end_points(
    supercell: Atoms, element: str, start: ArrayLike, end: ArrayLike
) -> tuple[Atoms, Atoms]:
    """Build a crystal with an atom put in at two places; it is the last atom.

    Parameters
    ----------
    supercell : Atoms
        The perfect crystal.
    element : str
        Chemical symbol of the atom.
    start, end : array_like, shape (3,)
        The two places, Cartesian, Å.

    Returns
    -------
    initial, final : Atoms
        The two ends, not relaxed: all other atoms are on their sites.

    Raises
    ------
    InputError
        If the supercell is no crystal, for an unknown element, and for a place that an atom has already.
    """
    require_crystal(supercell)
    ends = []
    for place in (start, end):
        position = np.asarray(place, dtype=np.float64)
        if position.shape != (3,) or not np.isfinite(position).all():
            raise InputError("a place for an atom is three Cartesian coordinates in Å")
        _, distances = find_mic(supercell.positions - position, supercell.cell, supercell.pbc)
        if distances.min() < LEAST_GAP:
            raise InputError(
                f"at {np.round(position, 3).tolist()} Å sits atom {int(distances.argmin())} already "
                f"({distances.min():.2f} Å away)"
            )
        atoms = supercell.copy()
        try:
            atoms.append(element)
        except KeyError as error:
            raise InputError(f"there is no element {element!r}") from error
        atoms.positions[-1] = position
        ends.append(atoms)
    return ends[0], ends[1]


def map_atoms(initial: Atoms, final: Atoms) -> AtomMap:
    """Match the atoms of two structures.

    The match has the least sum of squared minimum-image displacements between atoms of the same element: a
    linear assignment problem, solved by `scipy.optimize.linear_sum_assignment` [1]_. A rigid shift that most
    atoms share is taken off, unless atoms are fixed.

    Parameters
    ----------
    initial, final : Atoms
        Two structures of the same composition and cell.

    Returns
    -------
    AtomMap
        The order, the shift and the matched structure.

    Raises
    ------
    InputError
        For structures that differ in composition or cell, and if another match is as good.

    References
    ----------
    .. [1] Crouse, IEEE Trans. Aerosp. Electron. Syst. 52, 1679 (2016),
       https://doi.org/10.1109/TAES.2016.140952
    """
    require_same_cell(initial, final)
    if sorted(initial.numbers) != sorted(final.numbers):
        raise InputError(
            f"the ends hold different atoms ({initial.get_chemical_formula()} and "
            f"{final.get_chemical_formula()}); a path needs the same in both"
        )
    shift = np.zeros(3)
    order, vectors, cost = _matched(initial, final, shift)
    if not (initial.constraints or final.constraints):
        # The atoms that hop are few, and a median does not mind them.
        for _ in range(5):
            more = np.median(vectors, axis=0)
            trial = _matched(initial, final, shift + more)
            if np.linalg.norm(more) < 1e-3 or trial[2] > 0.9 * cost:
                break
            shift, (order, vectors, cost) = shift + more, trial
    _require_only_match(initial, final, order, shift)
    atoms = final[order]
    atoms.positions = initial.positions + vectors
    return AtomMap(order, shift, vectors, atoms)


def fitting_map(initial: Atoms, final: Atoms) -> AtomMap | None:
    """Match the atoms of two structures where their order as given does not fit.

    It does not fit if elements differ, or if another order takes less than half of the squared displacements
    and still leads to another place. An exchange of two atoms stays an exchange.

    Parameters
    ----------
    initial, final : Atoms
        Two structures of the same composition and cell.

    Returns
    -------
    AtomMap or None
        As in `map_atoms`; None where the order fits.

    Raises
    ------
    InputError
        As in `map_atoms`.
    """
    if len(initial) == len(final) and (initial.numbers == final.numbers).all():
        require_same_cell(initial, final)
        vectors = displacement(initial, final)
        order, _, cost = _matched(initial, final, np.zeros(3))
        in_place = (order == np.arange(len(order))).all()
        if in_place and np.linalg.norm(np.median(vectors, axis=0)) < LEAST_MOTION:
            return None
        if not in_place and cost > 0.5 * np.sum(vectors**2):
            return None
        found = map_atoms(initial, final)
        farthest = np.linalg.norm(found.displacements, axis=1).max(initial=0.0)
        return found if farthest > LEAST_MOTION else None
    return map_atoms(initial, final)


def fitting_end(
    initial: Atoms, final: Atoms, images: int, reorder: bool | None
) -> tuple[Atoms, AtomMap | None]:
    """Check the ends of a band, and bring the atoms of the last one into the order of the first.

    Parameters
    ----------
    initial, final : Atoms
        The two ends.
    images : int
        Images between them.
    reorder : bool or None
        Whether atoms are matched; None for where they do not fit as they stand.

    Returns
    -------
    final : Atoms
        The last end.
    mapping : AtomMap or None
        How atoms were reordered; None if they stayed in the order given.

    Raises
    ------
    InputError
        For no image, and for ends that do not belong together.
    """
    if images < 1:
        raise InputError("a band needs at least one image between its ends")
    mapping = None
    if reorder is not False:
        mapping = map_atoms(initial, final) if reorder else fitting_map(initial, final)
    if mapping is not None:
        final = mapping.atoms
    require_path(initial, final)
    return final, mapping


def displacement(start: Atoms, end: Atoms) -> NDArray[np.float64]:
    """Minimum-image displacements from one structure to another.

    Parameters
    ----------
    start, end : Atoms
        Two structures with the same atoms, in the same order.

    Returns
    -------
    ndarray, shape (N, 3)
        Å.
    """
    vectors, _ = find_mic(end.positions - start.positions, start.cell, start.pbc)
    return np.asarray(vectors)


def require_same_cell(initial: Atoms, final: Atoms) -> None:
    """Check that two structures have the same cell.

    Parameters
    ----------
    initial, final : Atoms
        Two structures.

    Raises
    ------
    InputError
        If cell or periodicity differ.
    """
    if (initial.pbc != final.pbc).any() or not np.allclose(initial.cell, final.cell, atol=1e-8):
        raise InputError("the two ends must have the same cell and periodicity")


def require_path(initial: Atoms, final: Atoms) -> None:
    """Check that a single shortest path leads from one structure to another.

    Parameters
    ----------
    initial, final : Atoms
        The two ends.

    Raises
    ------
    InputError
        If atoms, cell or periodicity differ, if the two are the same structure, and if an atom moves by half
        the cell.
    """
    if len(initial) != len(final) or (initial.numbers != final.numbers).any():
        raise InputError("the two ends must hold the same atoms, in the same order")
    require_same_cell(initial, final)
    vectors = displacement(initial, final)
    if np.abs(vectors).max(initial=0.0) < 1e-3:
        raise InputError("the two ends are the same structure; there is no path between them")
    for atom in np.flatnonzero(np.linalg.norm(vectors, axis=1) > LEAST_MOTION):
        if _second_way(vectors[atom], initial) < SAFE_MARGIN:
            raise InputError(
                f"atom {atom} moves by half the cell, and could go either way; take a larger supercell, or "
                "let the last structure differ less from the first"
            )


def _second_way(vector: NDArray[np.float64], atoms: Atoms) -> float:
    """By how much (Å) the second-shortest periodic image of a vector is longer than the shortest."""
    steps = np.array(list(product(*((-1, 0, 1) if periodic else (0,) for periodic in atoms.pbc))))
    lengths = np.sort(np.linalg.norm(vector + steps @ atoms.cell[:], axis=1))
    return float(lengths[1] - lengths[0]) if len(lengths) > 1 else np.inf


def _matched(
    initial: Atoms, final: Atoms, shift: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], float]:
    """The best order, its displacements (N, 3) and their squares' sum, with a shift taken off `final`."""
    order = np.empty(len(initial), dtype=np.int64)
    for number in set(initial.numbers):
        mine, theirs = (np.flatnonzero(atoms.numbers == number) for atoms in (initial, final))
        rows, columns = linear_sum_assignment(_squares(initial, final, mine, theirs, shift))
        order[mine[rows]] = theirs[columns]
    vectors, _ = find_mic(final.positions[order] - shift - initial.positions, initial.cell, initial.pbc)
    return order, np.asarray(vectors), float(np.sum(vectors**2))


def _squares(
    initial: Atoms,
    final: Atoms,
    mine: NDArray[np.int64],
    theirs: NDArray[np.int64],
    shift: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Squared minimum-image distances between atoms of the first and of the last structure, Å²."""
    pairs = final.positions[None, theirs] - shift - initial.positions[mine, None]
    _, lengths = find_mic(pairs.reshape(-1, 3), initial.cell, initial.pbc)
    return np.asarray(lengths.reshape(len(mine), len(theirs)) ** 2)


def _require_only_match(
    initial: Atoms, final: Atoms, order: NDArray[np.int64], shift: NDArray[np.float64]
) -> None:
    """Raise InputError if two atoms of an element could swap their targets at nearly no cost."""
    for number in set(initial.numbers):
        mine = np.flatnonzero(initial.numbers == number)
        squares = _squares(initial, final, mine, order[mine], shift)
        own = np.diag(squares)
        extra = squares + squares.T - own[:, None] - own[None, :]
        np.fill_diagonal(extra, np.inf)
        if extra.min() < SAFE_MARGIN:
            a, b = (int(mine[i]) for i in np.unravel_index(int(extra.argmin()), extra.shape))
            raise InputError(
                f"atoms {a} and {b} could as well go to each other's places, so that it is open which path "
                "is meant; list the atoms of both ends in the same order, and keep it (reorder=False)"
            )
