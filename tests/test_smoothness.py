"""Penalties of columns by how much they vary near the data, and what they give where no data are."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from ase_scatter.structures.system import System
from ase_scatter.training.least_squares import Regression
from ase_scatter.training.normal_equations import NormalEquations
from ase_scatter.training.smoothness import STEEPEST, penalty_sizes


def crystals(*symbols: str) -> list[System]:
    found = []
    for k, symbol in enumerate(symbols * 6):
        atoms = bulk(symbol, "fcc", 4.0, cubic=True)
        atoms.rattle(0.02, seed=k)
        found.append(System.from_atoms(atoms))
    return found


def test_a_column_that_varies_alike_has_its_own_size():
    sizes = penalty_sizes(crystals("Cu"), lambda system: np.array([4.0, 0.0]))
    np.testing.assert_allclose(sizes, [4.0, 0.0])


def test_a_column_that_grows_off_the_data_is_held_back():
    # The first sees how far the atoms are from an ideal crystal, which are those of the data by little.
    ideal = bulk("Cu", "fcc", 4.0, cubic=True).positions

    def mean_squares(system: System) -> np.ndarray:
        return np.array([np.mean((system.positions - ideal) ** 2), 1.0])

    steep, flat = penalty_sizes(crystals("Cu"), mean_squares)
    on = 0.02**2
    # R over D is that of the variances: (0.1 · bond)² + on over on.
    off = (0.1 * 4.0 / np.sqrt(2)) ** 2 + on
    assert flat == pytest.approx(1.0)
    assert steep == pytest.approx(off**2 / on, rel=0.4)


def test_what_only_mixtures_move_is_penalised():
    def mixed(system: System) -> np.ndarray:
        return np.array([float(len(set(system.numbers)) > 1), 1.0])

    # In the data copper and gold never meet: the column would be free.
    sizes = penalty_sizes(crystals("Cu", "Au"), mixed)
    assert sizes[0] > 0.5 * STEEPEST
    assert sizes[1] == pytest.approx(1.0)
    # Of one element nothing can be exchanged.
    assert penalty_sizes(crystals("Cu"), mixed)[0] == 0.0


def test_sizes_are_the_penalties_of_a_regression():
    rng = np.random.default_rng(3)
    rows, targets = rng.normal(size=(30, 3)), rng.normal(size=30)
    sizes = np.array([1.0, 50.0, 0.0])
    moments = NormalEquations.of(rows, targets)
    weights = Regression(np.ones(3), np.array([], dtype=int), sizes=sizes).weights(moments, 0.2, np.arange(3))
    stacked = np.vstack([rows, np.diag(np.sqrt(0.2 * sizes))])
    expected = np.linalg.lstsq(stacked, np.append(targets, np.zeros(3)), rcond=None)[0]
    np.testing.assert_allclose(weights, expected, rtol=1e-8)
