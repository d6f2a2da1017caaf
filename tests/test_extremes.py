"""Structures and cells of extreme shape: they are computed right, or refused before the work begins."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_scatter.calculator import ScatteringCalculator
from ase_scatter.errors import InputError
from ase_scatter.structures import pair_search
from ase_scatter.structures.neighbors import find_neighbors
from ase_scatter.structures.pair_search import full_list, half_list, require_searchable
from ase_scatter.structures.system import System


@pytest.fixture(scope="module")
def si():
    return ScatteringCalculator("Si")


def energy(atoms, calculator):
    atoms.calc = calculator
    return atoms.get_potential_energy()


def cluster():
    return Atoms("Si5", np.random.default_rng(3).uniform(0, 5, (5, 3)))


@pytest.mark.parametrize("pbc", list(product([False, True], repeat=3)))
@pytest.mark.parametrize("full", [False, True])
def test_the_tree_finds_what_vesin_finds(pbc, full, monkeypatch):
    cell = np.array([[3.0, 0.5, 0.0], [1.0, 4.0, 0.0], [0.3, 2.0, 9.0]])
    positions = np.random.default_rng(0).uniform(-8, 12, (12, 3))
    search = full_list if full else half_list
    expected = search(positions, cell, np.array(pbc), 5.0)
    monkeypatch.setattr(pair_search, "MOST_BINS", 0.0)
    found = search(positions, cell, np.array(pbc), 5.0)
    if full:
        pairs = [set(zip(x.i, x.j, *x.shifts.T, strict=True)) for x in (expected, found)]
        assert pairs[0] == pairs[1]
    assert len(found.i) == len(expected.i) > 0
    if not full:
        assert np.sort(found.distances) == pytest.approx(np.sort(expected.distances), abs=1e-12)
        assert np.linalg.norm(found.vectors, axis=1) == pytest.approx(found.distances)


@pytest.mark.parametrize("move", [(1e6, 0, 0), (1e6, 1e6, 1e6), (0, -1e5, 1e7)])
def test_an_atom_far_away_is_an_atom_alone(si, move):
    atoms = cluster()
    apart = atoms.copy()
    apart.positions[0] += move
    alone = energy(Atoms("Si"), si)
    assert energy(apart, si) == pytest.approx(energy(atoms[1:], si) + alone, abs=1e-6)
    assert si.get_forces(apart)[0] == pytest.approx(0.0, abs=1e-12)


def test_few_atoms_in_much_space(si):
    apart = np.array([[0, 0, 0], [0, 0, 0.7], [600.0, 600, 0.4], [-4e5, 3, 0.1]])
    wires = Atoms("Si4", apart, cell=[0, 0, 1.5], pbc=(False, False, True))
    alone = [energy(wires[k], si) for k in ([0, 1], [2], [3])]
    assert energy(wires, si) == pytest.approx(sum(alone), rel=1e-9)


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True)])
def test_an_atom_that_has_left_the_cell_long_ago(si, pbc):
    atoms = bulk("Si", cubic=True)
    atoms.pbc = pbc
    gone = atoms.copy()
    gone.positions[3] += np.array([10_000_000, 0, -3]) @ atoms.cell[:]
    assert energy(gone, si) == pytest.approx(energy(atoms, si), abs=1e-5)
    system = System.from_atoms(gone)
    found = full_list(system.positions, system.cell, system.pbc, 4.0)
    vectors = system.positions[found.j] - system.positions[found.i] + found.shifts @ system.cell
    assert len(vectors) > 16
    assert (np.linalg.norm(vectors, axis=1) < 4.0 + 1e-6).all()


def test_long_cells_and_wide_slabs(si):
    wire = Atoms("Si2", [[0, 0, 0], [2.35, 0, 0]], cell=[1e6, 5.4, 5.4], pbc=True)
    wide = wire.copy()
    wide.set_cell([60.0, 5.4, 5.4])  # no atom sees its image in x in either
    assert energy(wire, si) == pytest.approx(energy(wide, si), abs=1e-9)
    slab = bulk("Si", cubic=True) * (2, 2, 1)
    slab.set_cell([3000.0, 3000.0, 5.43])
    near = slab.copy()
    near.set_cell([40.0, 40.0, 5.43])
    assert energy(slab, si) == pytest.approx(energy(near, si), abs=1e-9)


def test_a_grid_refuses_very_skew_cells():
    """Before any work is done; less skew ones are computed, and nearly as the lattice that they span."""
    atoms = bulk("Li", a=3.44)
    grid = ScatteringCalculator("Li-grid")
    found = []
    for turns in (0, 3, 40, 10**4):
        skew = atoms.copy()
        cell = skew.cell[:].copy()
        cell[1] += turns * cell[0]
        skew.set_cell(cell)
        if turns < 10:
            found.append(energy(skew, grid))
        else:
            with pytest.raises(InputError, match="minkowski_reduce"):
                energy(skew, grid)
    assert found[1] == pytest.approx(found[0], abs=1e-3)


def test_a_skew_cell_is_the_lattice_that_it_spans(si):
    atoms = bulk("Si", cubic=True)
    a = atoms.cell[0, 0]
    skew = atoms.copy()
    skew.set_cell([[a, 0, 0], [1000 * a, a, 0], [0, 0, a]])
    assert energy(skew, si) == pytest.approx(energy(atoms, si), abs=1e-8)


@pytest.mark.parametrize(
    "cell",
    [
        [[5.43, 0, 0], [5.43, 1e-4, 0], [0, 0, 5.43]],
        [[5.43, 0, 0], [5.43, 1e-2, 0], [0, 0, 5.43]],
        np.eye(3) * 0.06,
        bulk("Si", cubic=True).cell[:] * 0.1,
    ],
    ids=["parallel", "nearly parallel", "tiny", "nanometres"],
)
def test_too_many_neighbours_are_refused(si, cell):
    atoms = bulk("Si", cubic=True)
    atoms.set_cell(cell, scale_atoms=True)
    with pytest.raises(InputError, match=r"within .* Å .* Å|same place"):
        energy(atoms, si)


def test_a_cutoff_that_is_too_long_is_refused():
    system = System.from_atoms(bulk("Si", cubic=True))
    with pytest.raises(InputError, match="neighbours"):
        find_neighbors(system, 1000.0)
    with pytest.raises(InputError, match="neighbours"):
        require_searchable(system.positions, system.cell, system.pbc, 1000.0)
    require_searchable(system.positions, system.cell, system.pbc, 20.0)


@pytest.mark.parametrize("number", [-105, -1, 0, 119, 10_000])
def test_numbers_that_no_element_has(si, number):
    atoms = bulk("Si")
    atoms.numbers[0] = number
    with pytest.raises(InputError, match=f"{number} is no atomic number"):
        energy(atoms, si)


def test_places_that_digits_cannot_tell_apart(si):
    atoms = cluster()
    atoms.positions[0] = 1e9
    with pytest.raises(InputError, match="1e"):
        energy(atoms, si)
    atoms = bulk("Si")
    atoms.set_cell(np.eye(3) * 1e200)
    with pytest.raises(InputError, match="1e"):
        energy(atoms, si)


def test_grids_that_no_memory_holds():
    grid = ScatteringCalculator("Si-grid")
    apart = cluster()
    apart.positions[0] += 1e6
    for atoms in (apart, Atoms("Si", cell=[1e6, 5.0, 5.0], pbc=True)):
        with pytest.raises(InputError, match="GB"):
            energy(atoms, grid)
