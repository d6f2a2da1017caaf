"""Structures to measure a model on: supercells of about a given size, not at rest."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from ..model.model import Model
from ..structures.named import conventional_cell

RATTLE = 0.1
"""Å. Standard deviation of the displacements along each direction."""


def crystal(model: Model) -> Atoms:
    """Build the conventional cell of a model's first element.

    Parameters
    ----------
    model : Model
        The model. The lattice parameter is that of its reference values if it has one, else ASE's.

    Returns
    -------
    Atoms
        The cell.

    Raises
    ------
    InputError
        If ASE knows no crystal of the element.
    """
    known = model.metadata.get("reference", {}).get("properties", {})
    return conventional_cell(model.elements[0], a=known.get("a"))


def repeated(unit: Atoms, n_atoms: int) -> Atoms:
    """Repeat a structure to a supercell of about a given size, with edges of about equal length.

    Parameters
    ----------
    unit : Atoms
        What is repeated, along its periodic directions only.
    n_atoms : int
        Number of atoms wanted.

    Returns
    -------
    Atoms
        Of the two supercells around that size the one that is relatively nearer to it.
    """
    lengths = np.where(unit.pbc, unit.cell.lengths(), np.inf)
    repeats = np.ones(3, dtype=int)
    smaller = repeats
    while len(unit) * repeats.prod() < n_atoms and unit.pbc.any():
        smaller = repeats.copy()
        repeats[np.argmin(lengths * repeats)] += 1
    ratio = n_atoms / (len(unit) * smaller.prod()), len(unit) * repeats.prod() / n_atoms
    chosen: Atoms = unit.repeat(smaller if ratio[0] < ratio[1] else repeats)
    return chosen


def disturbed(model: Model, n_atoms: int, structure: Atoms | None = None, seed: int = 0) -> Atoms:
    """Build a supercell with displaced atoms, the same one for the same seed.

    Parameters
    ----------
    model : Model
        The model that it is for.
    n_atoms : int
        About the number of atoms.
    structure : Atoms, optional
        What is repeated. By default the model's own crystal, with its elements dealt out at random.
    seed : int
        Of the random numbers.

    Returns
    -------
    Atoms
        The supercell.

    Raises
    ------
    InputError
        If ASE knows no crystal of the model's first element and there is no structure.
    """
    atoms = repeated(crystal(model) if structure is None else structure, n_atoms)
    rng = np.random.default_rng(seed)
    if structure is None and len(model.elements) > 1:
        atoms.symbols = rng.permutation(np.resize(model.elements, len(atoms)))
    atoms.positions += rng.normal(scale=RATTLE, size=(len(atoms), 3))
    return atoms
