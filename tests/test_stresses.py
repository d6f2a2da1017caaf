"""Stresses of single atoms: parts of the stress, each from the pairs of its atom."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError

from ase_scatter import InputError, Model, ScatteringCalculator
from ase_scatter.model.repulsion import ZBLRepulsion
from ase_scatter.structures.system import System
from ase_scatter.units import to_voigt


@pytest.mark.parametrize("name", ["Si", "LiSi"])
def test_they_sum_to_the_stress(name):
    atoms = bulk("Si", cubic=True).repeat((2, 1, 1))
    if name == "LiSi":
        atoms.symbols[::3] = "Li"
    atoms.rattle(0.2, seed=1)
    atoms.calc = ScatteringCalculator(name)
    stresses = atoms.get_stresses()
    assert stresses.shape == (16, 6)
    scale = np.abs(stresses).max()
    np.testing.assert_allclose(stresses.sum(axis=0), atoms.get_stress(), rtol=0, atol=1e-12 * scale)
    assert np.std(stresses[:, 0]) > 0.05 * scale


def test_equal_atoms_have_equal_parts():
    atoms = bulk("Si", a=5.3, cubic=True)
    atoms.calc = ScatteringCalculator("Si")
    expected = np.tile(atoms.get_stress() / 8, (8, 1))
    np.testing.assert_allclose(atoms.get_stresses(), expected, rtol=0, atol=1e-12)


def test_parts_are_local_and_follow_rotations():
    """Two clusters that do not see each other have the parts that each has alone, turned as they are."""
    rng = np.random.default_rng(4)
    cluster = Atoms("Si5", positions=2.6 * rng.random((5, 3)) + 1.6 * np.eye(5, 3), cell=[40] * 3, pbc=True)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turned = cluster.copy()
    turned.positions = cluster.positions @ rotation.T + 15
    both = cluster + turned
    calculator = ScatteringCalculator("Si")
    cluster.calc = both.calc = calculator
    alone = cluster.get_stresses()
    found = both.get_stresses()
    full = np.zeros((5, 3, 3))
    full[:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] = alone
    full[:, [2, 2, 1], [1, 0, 0]] = alone[:, 3:]
    scale = np.abs(alone).max()
    np.testing.assert_allclose(found[:5], alone, rtol=0, atol=1e-9 * scale)
    expected = to_voigt(rotation @ full @ rotation.T)
    np.testing.assert_allclose(found[5:], expected, rtol=0, atol=1e-9 * scale)


def test_half_of_each_pair_is_each_atoms():
    """Three atoms of which the middle one sees both others: its part is half of the strain gradient."""
    system = System.from_atoms(Atoms("Si3", positions=[[-1.3, 0, 0], [0, 0, 0], [0, 1.3, 0]]))
    values = ZBLRepulsion(("Si",)).evaluate(system)
    whole = values.strain_gradient
    np.testing.assert_allclose(values.virials[1], whole / 2, rtol=1e-12)
    np.testing.assert_allclose(values.virials[0], np.diag([whole[0, 0] / 2, 0, 0]), rtol=1e-12, atol=1e-12)


def test_nine_components_are_vectors_times_forces():
    """Without messages, f_ij = ∂E_i/∂R_j − ∂E_j/∂R_i, here from differences of the atoms' energies."""
    shipped = Model.load("Si")
    columns = [k for k, column in enumerate(shipped.transform.terms) if column.term.second is None]
    model = Model("first", shipped.transform.subset(columns), shipped.weights[columns], shipped.e0)
    calculator = ScatteringCalculator(model)
    rng = np.random.default_rng(2)
    atoms = Atoms("Si4", positions=2.5 * np.eye(4, 3) + rng.normal(scale=0.2, size=(4, 3)))
    slopes, step = np.empty((4, 4, 3)), 1e-4  # ∂E_i/∂R_j
    moved = [atoms.copy() for _ in range(24)]
    for k, each in enumerate(moved):
        each.positions[k // 6, k // 2 % 3] += step if k % 2 else -step
    energies = [found["energies"] for found in calculator.evaluate_many(moved)]
    for j in range(4):
        for axis in range(3):
            low, high = energies[6 * j + 2 * axis : 6 * j + 2 * axis + 2]
            slopes[:, j, axis] = (high - low) / (2 * step)
    pulls = slopes - slopes.transpose(1, 0, 2)
    vectors = atoms.positions[None] - atoms.positions[:, None]
    expected = 0.5 * np.einsum("ija,ijb->iab", vectors, pulls)
    found = calculator.get_virials(atoms)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * scale)
    assert np.abs(found - found.transpose(0, 2, 1)).max() > 1e-3 * scale
    total = found.sum(axis=0)
    np.testing.assert_allclose(total, total.T, rtol=0, atol=1e-9 * scale)


def test_nine_components_are_the_stresses():
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.2, seed=1)
    atoms.calc = ScatteringCalculator("Si")
    expected = atoms.get_stresses() * atoms.get_volume()
    np.testing.assert_allclose(to_voigt(atoms.calc.get_virials()), expected, rtol=0, atol=1e-12)
    with pytest.raises(InputError, match="no atoms"):
        ScatteringCalculator("Si").get_virials()


def test_what_has_none_says_so():
    atoms = bulk("Si", cubic=True)
    atoms.calc = ScatteringCalculator("Si-grid")
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stresses()
    with pytest.raises(PropertyNotImplementedError, match="no sum over atoms"):
        atoms.calc.get_virials(atoms)
    molecule = Atoms("Si2", positions=[[0, 0, 0], [0, 0, 2.4]], calculator=ScatteringCalculator("Si"))
    with pytest.raises(PropertyNotImplementedError):
        molecule.get_stresses()
