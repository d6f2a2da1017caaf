"""Neighbour lists against ASE's, their order, and how long they serve."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list

from ase_scatter.compute.threads import count, limited, over_ranges
from ase_scatter.errors import InputError
from ase_scatter.structures import neighbors as module
from ase_scatter.structures.neighbors import KEPT, SKIN, NeighborCache, find_neighbors
from ase_scatter.structures.system import System

CELLS = {
    "small": np.eye(3) * 3.0,
    "skewed": np.array([[3.0, 0.5, 0.0], [1.0, 4.0, 0.0], [0.3, 2.0, 9.0]]),
}


def structure(cell: str, pbc: tuple[bool, ...], n: int = 5) -> Atoms:
    rng = np.random.default_rng(0)
    return Atoms(f"Si{n}", positions=rng.uniform(-8, 12, (n, 3)), cell=CELLS[cell], pbc=pbc)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("pbc", list(product([False, True], repeat=3)))
def test_pairs_are_those_of_ase(cell, pbc):
    atoms = structure(cell, pbc)
    system = System.from_atoms(atoms)
    found = find_neighbors(system, 5.0)
    i = np.repeat(np.arange(5), np.diff(found.first))
    rows = np.c_[i, found.second, found.shifts]
    expected = np.array(
        sorted(zip(*neighbor_list("ij", atoms, 5.0), *neighbor_list("S", atoms, 5.0).T, strict=True))
    )
    assert np.array_equal(rows, expected.reshape(-1, 5))  # sorted by i, j and shift
    vectors = system.positions[found.second] - system.positions[i] + found.shifts @ system.cell
    assert (np.linalg.norm(vectors, axis=1) < 5.0).all()
    assert np.array_equal(vectors[found.reverse], -vectors)
    assert np.array_equal(found.reverse[found.reverse], np.arange(found.n_pairs))


def test_atoms_that_have_wandered_far():
    atoms = structure("skewed", (True, True, True))
    expected = find_neighbors(System.from_atoms(atoms), 5.0)
    atoms.positions += np.random.default_rng(1).integers(-90_000, 90_000, (5, 3)) @ atoms.cell[:]
    system = System.from_atoms(atoms)
    found = find_neighbors(system, 5.0)
    assert np.array_equal(found.second, expected.second)
    i = np.repeat(np.arange(5), np.diff(found.first))
    vectors = system.positions[found.second] - system.positions[i] + found.shifts @ system.cell
    assert (np.linalg.norm(vectors, axis=1) < 5.0 + 1e-6).all()


def test_an_atom_alone():
    found = find_neighbors(System.from_atoms(Atoms("Si")), 5.0)
    assert found.n_pairs == 0
    assert found.first.tolist() == [0, 0]


def test_a_list_serves_until_an_atom_has_moved_half_the_skin():
    cache = NeighborCache()
    system = System.from_atoms(structure("small", (True, True, True)))
    first = cache.neighbors(system, 4.0)
    step = np.zeros((5, 3))
    step[2, 1] = 0.49 * SKIN
    near = replace(system, positions=system.positions + step)
    assert cache.neighbors(near, 4.0) is first
    # All pairs within the cutoff are in it.
    needed = find_neighbors(near, 4.0)
    have = set(
        zip(np.repeat(range(5), np.diff(first.first)), first.second, map(tuple, first.shifts), strict=True)
    )
    need = zip(
        np.repeat(range(5), np.diff(needed.first)), needed.second, map(tuple, needed.shifts), strict=True
    )
    assert set(need) <= have
    assert cache.neighbors(replace(system, positions=system.positions + 1.1 * step), 4.0) is not first
    assert cache.neighbors(replace(system, cell=system.cell * 1.001), 4.0) is not first
    assert cache.neighbors(replace(system, pbc=np.array([True, True, False])), 4.0) is not first
    assert cache.neighbors(system, 5.0).reach == 5.0 + SKIN
    assert cache.neighbors(system, 4.0).reach in (4.0 + SKIN, 5.0 + SKIN)


def test_several_images_are_kept_and_not_more_than_that():
    cache = NeighborCache()
    rng = np.random.default_rng(0)
    system = System.from_atoms(structure("small", (True, True, True)))
    images = [replace(system, positions=rng.uniform(0, 9, (5, 3))) for _ in range(KEPT + 3)]
    with ThreadPoolExecutor(4) as pool:
        lists = list(pool.map(lambda image: cache.neighbors(image, 4.0), images))
    assert cache.built == KEPT + 3
    assert len(cache._entries) == KEPT
    assert cache.neighbors(images[-1], 4.0) is lists[-1]
    cache.clear()
    assert len(cache._entries) == 0


def test_threads_share_the_atoms():
    seen: list[tuple[int, int, str]] = []

    def work(start, stop, label):
        seen.append((start, stop, label))

    with limited(3):
        assert count() == 3
        over_ranges(100, 20, work, "x")
        assert sorted(seen) == [(k, k + 20, "x") for k in range(0, 100, 20)]
        seen.clear()
        over_ranges(100, 60, work, "y")
        assert seen == [(0, 100, "y")]
        with limited(1):
            assert count() == 1
    with pytest.raises(InputError, match="thread"), limited(0):
        pass


def test_what_goes_wrong_in_a_thread_is_raised():
    def work(start, stop):
        if start:
            raise ValueError("no")

    with limited(2), pytest.raises(ValueError, match="no"):
        over_ranges(100, 10, work)


def as_rows(found):
    """i, j and shift of every pair."""
    i = np.repeat(np.arange(len(found.first) - 1), np.diff(found.first))
    return np.c_[i, found.second, found.shifts]


TIGHT = {
    "one atom": Atoms("Si", [[0.3, 0.4, 0.5]], cell=np.eye(3) * 1.7, pbc=True),
    "flat": Atoms("Si2", [[0, 0, 0], [3.0, 1.0, 0.2]], cell=[[9, 0, 0], [0, 8, 0], [0, 0, 1.1]], pbc=True),
    "very skewed": Atoms("Si2", [[0, 0, 0], [1, 1, 1.5]], cell=[[2, 0, 0], [7, 2, 0], [-5, 9, 3]], pbc=True),
    "left-handed": Atoms("Si2", [[0, 0, 0], [1, 1, 1.5]], cell=[[0, 3, 0], [3, 0, 0], [0, 0, 3]], pbc=True),
    "wire without other vectors": Atoms("Si2", [[5, 0, 0], [0, 1.5, 99.0]], cell=[0, 0, 1.9], pbc=(0, 0, 1)),
    "molecule without a cell": Atoms("Si3", [[50, 0, 0], [52, 0, 0], [-60, 0, 0]]),
}


@pytest.mark.parametrize("name", TIGHT)
def test_cells_far_smaller_than_the_reach(name):
    """Each pair many times; pairs of an atom with its own images among them."""
    atoms = TIGHT[name]
    found = find_neighbors(System.from_atoms(atoms), 6.0)
    expected = zip(*neighbor_list("ij", atoms, 6.0), *neighbor_list("S", atoms, 6.0).T, strict=True)
    assert np.array_equal(as_rows(found), np.array(sorted(expected)).reshape(-1, 5))
    back = np.c_[as_rows(found)[:, [1, 0]], -found.shifts]
    assert np.array_equal(as_rows(found)[found.reverse], back)
    assert found.reach == 6.0


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True), (False, False, False)])
def test_where_atoms_are_wrapped_changes_shifts_alone(pbc):
    """The vectors of the pairs are the same; of shifts only those along periodic directions."""
    atoms = structure("skewed", pbc)
    system = System.from_atoms(atoms)
    turns = np.random.default_rng(2).integers(-40, 41, (5, 3)) * system.pbc
    moved = replace(system, positions=system.positions + turns @ system.cell)
    one, two = (find_neighbors(s, 5.0) for s in (system, moved))
    i = as_rows(one)[:, 0]
    expected = as_rows(one)
    expected[:, 2:] += turns[i] - turns[one.second]
    assert np.array_equal(as_rows(two), np.array(sorted(map(tuple, expected))).reshape(-1, 5))
    assert not two.shifts[:, ~system.pbc].any()


def test_a_reach_that_makes_no_sense():
    with pytest.raises(InputError, match="within inf"):
        find_neighbors(System.from_atoms(structure("small", (True, True, True))), float("inf"))


@pytest.fixture
def served():
    """A cache that holds one list, its structure and the list."""
    cache = NeighborCache()
    system = System.from_atoms(structure("small", (True, True, True)))
    return cache, system, cache.neighbors(system, 4.0)


def test_how_far_atoms_may_move(served):
    """All of them by less than half of the skin, in any direction, from where the list was made."""
    cache, system, found = served
    rng = np.random.default_rng(0)
    step = rng.normal(size=(5, 3))
    step /= np.linalg.norm(step, axis=1)[:, None]
    assert cache.neighbors(replace(system, positions=system.positions + 0.499 * SKIN * step), 4.0) is found
    assert cache.neighbors(replace(system, positions=system.positions - 0.499 * SKIN * step), 4.0) is found
    assert cache.built == 1
    one = np.zeros((5, 1))
    one[3] = 1.0
    farther = replace(system, positions=system.positions + 0.501 * SKIN * one * step)
    assert cache.neighbors(farther, 4.0) is not found
    assert cache.built == 2


@pytest.mark.parametrize("seed", range(5))
def test_a_list_that_serves_holds_all_pairs(served, seed):
    """Two atoms that approach each other from beyond the cutoff, each by nearly half of the skin."""
    cache, system, found = served
    step = np.random.default_rng(seed).normal(size=(5, 3))
    step *= 0.499 * SKIN / np.linalg.norm(step, axis=1)[:, None]
    near = replace(system, positions=system.positions + step)
    assert cache.neighbors(near, 4.0) is found
    needed = set(map(tuple, as_rows(find_neighbors(near, 4.0)).tolist()))
    assert needed <= set(map(tuple, as_rows(found).tolist()))
    assert not needed <= set(map(tuple, as_rows(find_neighbors(system, 4.0)).tolist()))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: {"cell": s.cell + 1e-12},
        lambda s: {"pbc": np.array([True, False, True])},
        lambda s: {"positions": s.positions[:4], "numbers": s.numbers[:4]},
        lambda s: {"positions": s.positions + s.cell[0]},
    ],
    ids=["cell", "pbc", "fewer atoms", "other image"],
)
def test_what_makes_a_list_anew(served, change):
    cache, system, found = served
    other = replace(system, **change(system))
    again = cache.neighbors(other, 4.0)
    assert again is not found
    assert np.array_equal(as_rows(again), as_rows(find_neighbors(other, 4.0 + SKIN)))
    assert cache.neighbors(system, 4.0) is found  # it has been kept beside the other


def test_elements_do_not_matter_and_larger_cutoffs_do(served):
    cache, system, found = served
    assert cache.neighbors(replace(system, numbers=system.numbers + 1), 4.0) is found
    assert cache.neighbors(system, 3.0) is found
    assert cache.neighbors(system, 4.0 + SKIN + 0.01) is not found


def test_the_list_that_was_used_last_is_kept_longest(served):
    cache, system, found = served
    for k in range(KEPT + 2):
        cache.neighbors(replace(system, cell=system.cell * (1.01 + 0.001 * k)), 4.0)
        assert cache.neighbors(system, 4.0) is found
    assert len(cache._entries) == KEPT
    assert cache.built == KEPT + 3


def test_of_large_structures_one_list_is_kept(served, monkeypatch):
    cache, system, found = served
    monkeypatch.setattr(module, "LARGEST_KEPT", 4)
    larger = replace(system, cell=1.1 * system.cell)
    assert cache.neighbors(system, 4.0) is found
    last = cache.neighbors(larger, 4.0)
    assert [entry.neighbors for entry in cache._entries.values()] == [last]


def test_many_threads_ask_at_once():
    """Lists found together are those found alone, and no more are kept than allowed."""
    cache = NeighborCache()
    system = System.from_atoms(structure("small", (True, True, True)))
    images = [replace(system, cell=system.cell * (1.0 + 0.01 * k)) for k in range(KEPT // 2)]
    expected = [as_rows(find_neighbors(image, 4.0 + SKIN)) for image in images]
    order = np.random.default_rng(0).integers(0, len(images), 200).tolist()
    with ThreadPoolExecutor(8) as pool:
        lists = list(pool.map(lambda k: cache.neighbors(images[k], 4.0), order))
    assert all(np.array_equal(as_rows(found), expected[k]) for k, found in zip(order, lists, strict=True))
    assert len(cache._entries) <= KEPT
    assert len(set(order)) <= cache.built < len(order)


@pytest.mark.parametrize("pbc", [True, False, (True, False, True)])
def test_a_list_shows_that_atoms_are_apart(pbc):
    """It never says so of structures with a nearer pair, and does so of most others."""
    rng = np.random.default_rng(5)
    atoms = Atoms("Si8", scaled_positions=list(product([0.1, 0.6], repeat=3)), cell=[4.4] * 3, pbc=pbc)
    cache, distance = NeighborCache(), 1.6
    assert not cache.keeps_apart(System.from_atoms(atoms), distance)  # there is no list
    cache.neighbors(System.from_atoms(atoms), 4.0)
    said = []
    for width in np.repeat([0.05, 0.2, 0.4], 40):
        moved = atoms.copy()
        moved.positions += rng.uniform(-width, width, size=(8, 3))
        nearest = min(neighbor_list("d", moved, 6.0))
        said.append(cache.keeps_apart(System.from_atoms(moved), distance))
        assert nearest > distance or not said[-1]
    assert all(said[:40])
    assert not all(said[80:])
    assert cache.keeps_apart(System.from_atoms(atoms), 2.19)
    assert not cache.keeps_apart(System.from_atoms(atoms), 2.21)
    assert not cache.keeps_apart(System.from_atoms(atoms), 10.0)
