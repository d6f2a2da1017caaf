"""The box of a structure, and how it follows a strain."""

from dataclasses import replace

import numpy as np
import pytest

from ase_scatter.scattering.grid.box import padded_box
from ase_scatter.structures.system import System

CELL = np.array([[4.1, 0.3, -0.2], [0.7, 3.8, 0.5], [-0.4, 0.6, 4.4]])
PADDING, STEP = 5.0, 1.6
MIXED = [
    (True, True, False),
    (True, False, True),
    (False, True, True),
    (True, False, False),
    (False, True, False),
    (False, False, True),
    (False, False, False),
]


def structure(pbc):
    positions = np.random.default_rng(7).uniform((2.0, -9.0, 0.0), (7.0, -4.0, 5.0), size=(5, 3))
    return System(np.full(5, 14), positions, CELL.copy(), np.array(pbc))


def box_of(system):
    return padded_box(system, PADDING, STEP)


def strained(system, strain):
    """R → (1 + ε) R, of atoms and cell."""
    move = np.eye(3) + strain
    return replace(system, positions=system.positions @ move.T, cell=system.cell @ move.T)


def test_box_of_a_crystal_is_its_cell():
    system = structure((True, True, True))
    box = box_of(system)
    np.testing.assert_array_equal(box.vectors, CELL)
    assert len(box.open_axes) == 0
    np.testing.assert_array_equal(box.place(system.positions), system.positions)
    assert box.volume == pytest.approx(system.volume)


@pytest.mark.parametrize("pbc", MIXED)
def test_open_directions_are_normal_and_just_long_enough(pbc):
    system = structure(pbc)
    box = box_of(system)
    periodic = np.array(pbc)
    np.testing.assert_array_equal(box.vectors[periodic], CELL[periodic])
    np.testing.assert_array_equal(box.open_axes, np.flatnonzero(~periodic))
    np.testing.assert_allclose(box.normals @ box.normals.T, np.eye(len(box.open_axes)), atol=1e-14)
    np.testing.assert_allclose(box.normals @ CELL[periodic].T, 0.0, atol=1e-14)
    lengths = np.linalg.norm(box.vectors[box.open_axes], axis=1)
    np.testing.assert_allclose(lengths, box.steps[box.open_axes] * STEP)
    needed = np.ptp(system.positions @ box.normals.T, axis=0) + PADDING
    assert np.all(lengths >= needed)
    assert np.all(lengths < needed + STEP)


@pytest.mark.parametrize("pbc", MIXED)
def test_cell_given_along_open_directions_does_not_matter(pbc):
    system = structure(pbc)
    without = replace(system, cell=CELL * np.array(pbc)[:, None])
    np.testing.assert_array_equal(box_of(without).vectors, box_of(system).vectors)


@pytest.mark.parametrize("pbc", MIXED)
def test_atoms_are_placed_around_the_origin_of_open_directions(pbc):
    system = structure(pbc)
    box = box_of(system)
    placed = box.place(system.positions)
    np.testing.assert_allclose(placed.mean(axis=0) @ box.normals.T, 0.0, atol=1e-13)
    moves = placed - system.positions
    np.testing.assert_allclose(moves, moves[:1].repeat(5, axis=0), atol=1e-13)
    np.testing.assert_allclose(moves @ CELL[np.array(pbc)].T, 0.0, atol=1e-12)


@pytest.mark.parametrize("pbc", MIXED)
def test_response_of_the_box_to_strain(pbc):
    system = structure(pbc)
    box = box_of(system)
    strain = np.random.default_rng(1).normal(size=(3, 3))
    step = 1e-5
    plus, minus = (box_of(strained(system, sign * step * strain)) for sign in (1, -1))
    np.testing.assert_array_equal(plus.steps, box.steps)
    expected = (plus.vectors - minus.vectors) / (2 * step)
    np.testing.assert_allclose(box._response(strain), expected, atol=1e-8)


class Oracle:
    """A smooth energy of placed atoms and box vectors, with its gradients, that has no symmetry."""

    def __init__(self):
        rng = np.random.default_rng(3)
        self.g = rng.normal(scale=0.3, size=3)
        self.h = rng.normal(scale=0.1, size=(3, 3))

    def energy(self, system):
        box = box_of(system)
        placed = box.place(system.positions)
        return np.sin(placed @ self.g).sum() + np.sin(np.sum(self.h * box.vectors))

    def gradients(self, system):
        box = box_of(system)
        placed = box.place(system.positions)
        d_placed = np.cos(placed @ self.g)[:, None] * self.g
        d_box = np.cos(np.sum(self.h * box.vectors)) * self.h
        return box, d_placed, d_placed.T @ placed + d_box.T @ box.vectors


@pytest.mark.parametrize("pbc", [(True, True, True), *MIXED])
def test_strain_gradient(pbc):
    system, oracle = structure(pbc), Oracle()
    box, d_placed, with_box = oracle.gradients(system)
    gradient = box.strain_gradient(with_box, d_placed, system.positions)
    step = 1e-5
    for a in range(3):
        for b in range(3):
            strain = np.zeros((3, 3))
            strain[a, b] = step
            plus, minus = (oracle.energy(strained(system, sign * strain)) for sign in (1, -1))
            assert gradient[a, b] == pytest.approx((plus - minus) / (2 * step), abs=2e-8)
    # Many at once, as the Jacobian has them.
    both = box.strain_gradient(
        np.stack([with_box, 2 * with_box]), np.stack([d_placed, 2 * d_placed]), system.positions
    )
    np.testing.assert_allclose(both, [gradient, 2 * gradient], rtol=1e-12)


@pytest.mark.parametrize("pbc", [(True, True, True), *MIXED])
def test_gradient_of_the_positions_as_given(pbc):
    system, oracle = structure(pbc), Oracle()
    box, d_placed, _ = oracle.gradients(system)
    gradient = box.d_original(d_placed)
    step = 1e-5
    for atom in (0, 4):
        for axis in range(3):
            move = np.zeros((5, 3))
            move[atom, axis] = step
            plus, minus = (
                oracle.energy(replace(system, positions=system.positions + sign * move)) for sign in (1, -1)
            )
            assert gradient[atom, axis] == pytest.approx((plus - minus) / (2 * step), abs=1e-8)
    np.testing.assert_allclose(gradient.sum(axis=0) @ box.normals.T, 0.0, atol=1e-13)
