"""Small structures of all kinds of boundaries, to check potentials on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.data import atomic_numbers, covalent_radii


def example_structures(
    elements: Sequence[str], *, a: float | None = None, rattle: float = 0.1, seed: int = 0
) -> dict[str, Atoms]:
    """Make small structures of all kinds of boundaries from the first element's crystal.

    Parameters
    ----------
    elements : sequence of str
        Chemical symbols. The atoms get them in turn.
    a : float, optional
        Lattice parameter in Å. By default ASE's; twice the covalent radius sets the distance between
        neighbours of elements that ASE knows no crystal of.
    rattle : float
        Standard deviation of the random displacements in Å.
    seed : int
        Seed of the random displacements.

    Returns
    -------
    dict of str to Atoms
        "perfect": the conventional cell. "rattled": the same with displaced atoms. "slab": displaced atoms,
        open along z. "molecule": five displaced atoms, open in all directions. "triclinic": displaced atoms
        in a skewed supercell.
    """
    rng = np.random.default_rng(seed)
    unit = _crystal(elements[0], a)
    slab = unit.copy()
    slab.center(vacuum=6.0, axis=2)
    slab.pbc = (True, True, False)
    large = unit.repeat(3)
    place = large.cell.sum(axis=0) * 0.5 + [0.3, 0.2, 0.1]
    nearest = np.argsort(np.linalg.norm(large.positions - place, axis=1))[:5]
    molecule = Atoms(large.symbols[nearest], large.positions[nearest] - place)
    triclinic = make_supercell(unit, [[1, 0, 0], [1, 1, 0], [0, 1, 2]])
    triclinic.set_cell(
        triclinic.cell[:] @ (np.eye(3) + rng.normal(scale=0.01, size=(3, 3))), scale_atoms=True
    )
    found = {
        "perfect": unit,
        "rattled": unit.copy(),
        "slab": slab,
        "molecule": molecule,
        "triclinic": triclinic,
    }
    for name, atoms in found.items():
        atoms.symbols = np.resize(list(elements), len(atoms))
        if name != "perfect":
            atoms.positions += rng.normal(scale=rattle, size=(len(atoms), 3))
    return found


def _crystal(element: str, a: float | None) -> Atoms:
    for cubic in (True, False):
        try:
            found: Atoms = bulk(element, a=a, cubic=cubic)
            return found
        except (ValueError, RuntimeError, KeyError, NotImplementedError):
            continue
    bond = 2 * float(covalent_radii[atomic_numbers[element]])
    return bulk(element, "fcc", a=a or 2**0.5 * bond, cubic=True)
