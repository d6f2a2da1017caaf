"""Neighbour lists against ASE's, their order, and how long they serve."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list

from ase_scatter.errors import InputError
from ase_scatter.neighbors import KEPT, SKIN, NeighborCache, find_neighbors
from ase_scatter.system import System
from ase_scatter.threads import count, limited, over_ranges

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
        assert sorted(seen) == [(0, 33, "x"), (33, 66, "x"), (66, 100, "x")]
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
