"""Stresses of single atoms: parts of the stress, each from the pairs of its atom."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError

from ase_scatter import ScatteringCalculator
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
    whole = to_voigt(values.strain_gradient)
    np.testing.assert_allclose(values.virials[1], whole / 2, rtol=1e-12)
    np.testing.assert_allclose(values.virials[0], [whole[0] / 2, 0, 0, 0, 0, 0], rtol=1e-12, atol=1e-12)


def test_what_has_none_says_so():
    atoms = bulk("Si", cubic=True)
    atoms.calc = ScatteringCalculator("Si-grid")
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stresses()
    molecule = Atoms("Si2", positions=[[0, 0, 0], [0, 0, 2.4]], calculator=ScatteringCalculator("Si"))
    with pytest.raises(PropertyNotImplementedError):
        molecule.get_stresses()
