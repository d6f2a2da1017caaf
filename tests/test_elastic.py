"""Elastic constants against lattice sums, energies, relaxations, and another program."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.neighborlist import neighbor_list
from scipy.spatial.transform import Rotation

from ase_scatter import Model, ScatteringCalculator
from ase_scatter.errors import InputError
from ase_scatter.properties import elastic_constants, relax_cell, relax_positions, symmetry_of
from ase_scatter.properties.tensors import cubic, moduli, rotated, stiffnesses, symmetrised
from ase_scatter.units import GPA, from_voigt

# Argon-like; the cutoff lies between shells of the fcc lattice, so that no neighbour crosses it.
SIGMA, EPSILON = 3.4, 0.0104
LJ = {"sigma": SIGMA, "epsilon": EPSILON, "rc": 2.3 * SIGMA}
# Smooth at the cutoff, for crystals whose shells cross any.
SMOOTH = {"sigma": 2.9, "epsilon": 0.1, "rc": 9.0, "ro": 6.0, "smooth": True}


def test_pair_crystal_has_the_elastic_constants_of_its_lattice_sum():
    argon = relax_cell(bulk("Ar", "fcc", a=5.3), LennardJones(**LJ), fmax=1e-6).atoms
    # At zero pressure C_ijkl = 1/(2V) Σ (φ″ − φ′/R) R_i R_j R_k R_l / R².
    length, vector = neighbor_list("dD", argon, LJ["rc"])
    s6 = (SIGMA / length) ** 6
    first = 4 * EPSILON * (-12 * s6**2 + 6 * s6) / length
    second = 4 * EPSILON * (156 * s6**2 - 42 * s6) / length**2
    curvature = (second - first / length) / length**2
    exact = np.einsum("n,ni,nj,nk,nl->ijkl", curvature, *[vector] * 4) / 2 / argon.get_volume()
    result = elastic_constants(argon, LennardJones(**LJ), strain=1e-3)
    constants = result.cubic()
    assert result.stable
    assert result.linear
    assert result.asymmetry < 1e-4
    assert constants.deviation < 1e-3
    assert constants.c11 == pytest.approx(exact[0, 0, 0, 0] / GPA, rel=1e-4)
    assert constants.c12 == pytest.approx(exact[0, 0, 1, 1] / GPA, rel=1e-4)
    assert constants.c44 == pytest.approx(exact[1, 2, 1, 2] / GPA, rel=1e-4)
    # Cauchy's relation holds for central forces.
    assert constants.c12 == pytest.approx(constants.c44, rel=1e-4)


def test_relaxed_ions_soften_the_crystal_as_energies_say():
    calculator = LennardJones(**SMOOTH)
    crystal = relax_cell(bulk("Mg", "hcp", a=3.2), calculator, keep="nothing", fmax=1e-7).atoms
    found = elastic_constants(crystal, calculator, strain=1e-3, displacement=2e-3, fmax=1e-7)
    # Only shears in the basal plane and the like move the two sublattices of hcp.
    assert found.tensor[5, 5] < 0.97 * found.clamped[5, 5]
    assert found.tensor[2, 2] == pytest.approx(found.clamped[2, 2], rel=1e-5)
    assert found.symmetry.symbol == "P6_3/mmc"
    assert len(found.symmetry.rotations) == 24
    size = 2e-3
    for tensor, relax in ((found.clamped, False), (found.tensor, True)):
        energies = []
        for sign in (-1, 0, 1):
            atoms = crystal.copy()
            shear = from_voigt(np.array([0, 0, 0, 0, 0, sign * size / 2]))
            atoms.set_cell(atoms.cell @ (np.eye(3) + shear), scale_atoms=True)
            atoms.calc = calculator
            if relax:
                energies.append(relax_positions(atoms, calculator, fmax=1e-7).energy)
            else:
                energies.append(atoms.get_potential_energy())
        curvature = (energies[0] - 2 * energies[1] + energies[2]) / size**2
        assert tensor[5, 5] == pytest.approx(curvature / crystal.get_volume() / GPA, rel=1e-3)


def test_crystal_under_stress_is_refused():
    with pytest.raises(InputError, match="relax its cell first"):
        elastic_constants(bulk("Cu", a=3.7), EMT())


def test_unrelaxed_ions_are_told():
    copper = relax_cell(bulk("Cu", cubic=True), EMT(), fmax=1e-6).atoms
    rattled = copper.copy()
    rattled.rattle(0.02, seed=0)
    with pytest.raises(InputError, match="not relaxed after 1 steps"):
        elastic_constants(rattled, EMT(), steps=1)


def test_a_crystal_of_low_symmetry_agrees_with_relaxations_at_each_strain():
    calculator = LennardJones(**SMOOTH)
    crystal = bulk("Mg", "hcp", a=3.2).repeat((2, 1, 1))
    del crystal[0]  # a vacancy: all ions move under any strain
    crystal = relax_cell(crystal, calculator, keep="nothing", fmax=1e-6, steps=1000).atoms
    found = elastic_constants(crystal, calculator, strain=1e-3, displacement=2e-3, fmax=1e-6)
    assert np.abs(found.tensor - found.clamped).max() > 1
    for column in range(6):
        stresses = []
        for sign in (1, -1):
            atoms, strain = crystal.copy(), np.zeros(6)
            strain[column] = sign * 5e-4 * (1 if column < 3 else 0.5)
            atoms.set_cell(atoms.cell @ (np.eye(3) + from_voigt(strain)), scale_atoms=True)
            atoms = relax_positions(atoms, calculator, fmax=1e-7, steps=1000).atoms
            atoms.calc = calculator
            stresses.append(atoms.get_stress())
        slope = (stresses[0] - stresses[1]) / 1e-3 / GPA
        np.testing.assert_allclose(found.tensor[:, column], slope, atol=0.02)


def test_another_program_finds_the_same_for_silicon():
    elasticity = pytest.importorskip("matscipy.elasticity")
    calculator = ScatteringCalculator("Si")
    crystal = relax_cell(bulk("Si", cubic=True), calculator, fmax=1e-5).atoms
    found = elastic_constants(crystal, calculator, fmax=1e-5)
    crystal.calc = calculator
    for clamped in (True, False):
        kwargs = {} if clamped else {"optimizer": _Quiet, "fmax": 1e-5}
        theirs, _ = elasticity.fit_elastic_constants(
            crystal, symmetry="triclinic", N_steps=5, delta=2e-3, verbose=False, **kwargs
        )
        ours = found.clamped if clamped else found.tensor
        np.testing.assert_allclose(ours, theirs / GPA, atol=0.4)
    assert found.symmetry.number == 227
    assert found.tensor[3, 3] < 0.85 * found.clamped[3, 3]
    # The grain of an isotropic solid has the moduli of the solid.
    assert found.moduli().bulk == pytest.approx(found.cubic().bulk_modulus)


def _Quiet(atoms, **settings):
    from ase.optimize import BFGS

    return BFGS(atoms, logfile=None)


def test_half_widths_are_the_spread_of_the_members_own_constants():
    calculator = ScatteringCalculator("Si")
    crystal = relax_cell(bulk("Si", cubic=True), calculator, fmax=1e-5).atoms
    found = elastic_constants(crystal, calculator, fmax=1e-5)
    model: Model = calculator.model
    assert found.tensor_members.shape == (len(model.committee), 6, 6)
    each = []
    for k in (0, 1):
        member = ScatteringCalculator(model.member(k))
        alone = elastic_constants(crystal, member, fmax=1e-5)
        # Its ions rest at the same places, by symmetry; only a stress is left in its crystal.
        np.testing.assert_allclose(found.clamped_members[k], alone.clamped, atol=1e-6)
        np.testing.assert_allclose(found.tensor_members[k], alone.tensor, atol=1e-6)
        each.append(alone)
        assert alone.tensor_half_width is None
        assert alone.cubic_half_width() is None
        assert alone.moduli_half_width() is None
    factor = model.committee.factors["stress"]
    np.testing.assert_allclose(found.tensor_half_width, factor * found.tensor_members.std(axis=0, ddof=1))
    c44 = [cubic(t).c44 for t in found.tensor_members]
    assert found.cubic_half_width().c44 == pytest.approx(factor * np.std(c44, ddof=1))
    bulks = [moduli(t).bulk for t in found.tensor_members]
    assert found.moduli_half_width().bulk == pytest.approx(factor * np.std(bulks, ddof=1))
    json.dumps(found.to_dict(), allow_nan=False)


# ---- tensors -------------------------------------------------------------------------------------


def random_tensor() -> np.ndarray:
    half = np.random.default_rng(5).normal(size=(6, 6))
    return 20 * half @ half.T + 50 * np.eye(6)


def full(tensor: np.ndarray) -> np.ndarray:
    """C_ijkl of a tensor in Voigt order."""
    index = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
    return tensor[index[:, :, None, None], index[None, None]]


def test_a_turned_tensor_is_that_of_the_four_indices():
    tensor, turn = random_tensor(), Rotation.random(rng=3).as_matrix()
    expected = np.einsum("ia,jb,kc,ld,abcd->ijkl", turn, turn, turn, turn, full(tensor))
    np.testing.assert_allclose(full(rotated(tensor, turn)), expected, atol=1e-10)
    np.testing.assert_allclose(stiffnesses(rotated(tensor, turn)), stiffnesses(tensor), rtol=1e-10)


@pytest.mark.parametrize(
    ("atoms", "number", "independent"),
    [
        (bulk("Si", cubic=True), 227, 3),
        (bulk("Mg", "hcp", a=3.2, c=5.2), 194, 5),
        (Atoms("Sn2", cell=[5.8, 5.8, 3.2], pbc=True, scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]]), 139, 6),
        (Atoms("NaCl", cell=[3, 4, 5], pbc=True, scaled_positions=[[0, 0, 0], [0.5, 0, 0.5]]), 47, 9),
    ],
)
def test_symmetry_leaves_as_many_constants_as_the_crystal_class_has(atoms, number, independent):
    # In any orientation.
    atoms.set_cell(atoms.cell @ Rotation.random(rng=2).as_matrix().T, scale_atoms=True)
    group = symmetry_of(atoms)
    assert group.number == number
    for rotation in group.rotations:
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-8)
    basis = np.eye(36).reshape(36, 6, 6)
    means = symmetrised(basis, group).reshape(36, 36)
    assert np.linalg.matrix_rank(means, tol=1e-8) == independent
    once = symmetrised(random_tensor(), group)
    np.testing.assert_allclose(symmetrised(once, group), once, atol=1e-10)
    for rotation in group.rotations:
        np.testing.assert_allclose(rotated(once, rotation), once, atol=1e-9)


def test_moduli_of_an_isotropic_and_of_a_cubic_solid():
    def solid(c11, c12, c44):
        tensor = np.diag([c11 - c12] * 3 + [c44] * 3).astype(float)
        tensor[:3, :3] += c12
        return tensor

    lame, shear = 50.0, 30.0
    isotropic = moduli(solid(lame + 2 * shear, lame, shear))
    assert isotropic.bulk == pytest.approx(lame + 2 * shear / 3)
    assert isotropic.shear == isotropic.shear_reuss == pytest.approx(shear)
    assert isotropic.anisotropy == pytest.approx(0, abs=1e-12)
    assert isotropic.poisson == pytest.approx(lame / 2 / (lame + shear))
    assert isotropic.young == pytest.approx(2 * shear * (1 + isotropic.poisson))
    # Copper; Voigt and Reuss of a cubic crystal in closed form.
    c11, c12, c44 = 168.4, 121.4, 75.4
    copper = moduli(solid(c11, c12, c44))
    assert copper.shear_voigt == pytest.approx((c11 - c12 + 3 * c44) / 5)
    assert copper.shear_reuss == pytest.approx(5 * (c11 - c12) * c44 / (4 * c44 + 3 * (c11 - c12)))
    assert copper.bulk_voigt == copper.bulk_reuss == pytest.approx((c11 + 2 * c12) / 3)
    # Born's criteria of a cubic crystal are its eigenvalues.
    np.testing.assert_allclose(
        stiffnesses(solid(c11, c12, c44)), sorted([c11 - c12] * 2 + [2 * c44] * 3 + [c11 + 2 * c12])
    )
    assert stiffnesses(solid(100, 120, 50))[0] < 0
    with pytest.raises(InputError, match="singular"):
        moduli(np.zeros((6, 6)))


def test_an_unstable_crystal_is_told_from_a_stable_one():
    # Lennard-Jones atoms do not stay in a bcc crystal.
    calculator = LennardJones(**SMOOTH)
    crystal = relax_cell(bulk("Mg", "bcc", a=3.6), calculator, fmax=1e-6).atoms
    assert not elastic_constants(crystal, calculator, fmax=1e-6).stable


def test_large_strains_are_not_linear():
    calculator = LennardJones(**LJ)
    argon = relax_cell(bulk("Ar", "fcc", a=5.3), calculator, fmax=1e-6).atoms
    assert not elastic_constants(argon, calculator, strain=0.04).linear
    with pytest.raises(InputError, match=r"0\.05"):
        elastic_constants(argon, calculator, strain=0.1)
