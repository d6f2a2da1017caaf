"""Formation energies of point defects and surfaces, on potentials whose answers are sums over pairs."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.neighborlist import neighbor_list
from ase.units import J, m

from ase_scatter import ScatteringCalculator
from ase_scatter.errors import InputError
from ase_scatter.properties import (
    cut_crystal,
    defect_formation,
    interstitial_formation,
    relax_cell,
    surface_energy,
    vacancy_formation,
)
from ase_scatter.properties.responses import wild_members

SIGMA, EPSILON = 3.4, 0.0104
LJ = {"sigma": SIGMA, "epsilon": EPSILON, "rc": 2.3 * SIGMA}


@pytest.fixture(scope="module")
def argon() -> Atoms:
    return relax_cell(bulk("Ar", "fcc", a=5.3), LennardJones(**LJ), fmax=1e-6).atoms


def pair_energy(length: np.ndarray) -> np.ndarray:
    """As ASE's calculator has it, shifted to zero at the cutoff."""
    shift = 4 * EPSILON * (2.3**-12 - 2.3**-6)
    return 4 * EPSILON * ((SIGMA / length) ** 12 - (SIGMA / length) ** 6) - shift


def test_unrelaxed_vacancy_of_a_pair_crystal_costs_the_cohesive_energy(argon):
    # Taking an atom out breaks each of its bonds; putting it back as bulk restores half of them.
    supercell = argon.repeat(4)
    supercell.calc = LennardJones(**LJ)
    cohesive = -supercell.get_potential_energy() / len(supercell)
    result = vacancy_formation(supercell, LennardJones(**LJ), index=5, fmax=1e-3)
    assert result.unrelaxed == pytest.approx(cohesive, rel=1e-9)
    assert 0.9 * cohesive < result.energy < cohesive
    assert result.converged
    assert len(result.atoms) == result.n_atoms - 1


def test_vacancy_of_a_compound_needs_a_reservoir():
    alloy = bulk("Cu", a=3.6, cubic=True).repeat(2)
    alloy.numbers[0] = 79
    with pytest.raises(InputError, match="atom_energy"):
        vacancy_formation(alloy, EMT())
    low, high = (vacancy_formation(alloy, EMT(), atom_energy=mu, steps=0).energy for mu in (0.0, 1.0))
    assert high - low == pytest.approx(1.0)
    with pytest.raises(InputError, match="no atom 99"):
        vacancy_formation(alloy, EMT(), index=99, atom_energy=0.0)


def test_an_interstitial_costs_its_bonds_and_an_atom_of_the_bulk(argon):
    supercell = argon.repeat(4)
    place = argon.cell.sum(axis=0) / 2  # the octahedral site
    result = interstitial_formation(
        supercell, LennardJones(**LJ), element="Ar", position=place, fmax=1e-3, steps=0
    )
    images = np.array(list(np.ndindex(3, 3, 3))) - 1
    sites = supercell.positions + (images @ supercell.cell)[:, None]
    distances = np.linalg.norm(sites - place, axis=-1)
    bonds = pair_energy(distances[distances < LJ["rc"]]).sum()
    supercell.calc = LennardJones(**LJ)
    assert result.unrelaxed == pytest.approx(bonds - supercell.get_potential_energy() / len(supercell))
    with pytest.raises(InputError, match="from atom 0"):
        interstitial_formation(supercell, EMT(), element="Ar", position=np.array([0.1, 0, 0]))


def test_an_exchanged_atom_is_counted_in_both_reservoirs():
    perfect = relax_cell(bulk("Cu", cubic=True), EMT()).atoms.repeat(2)
    doped = perfect.copy()
    doped.numbers[3] = 79
    found = {
        mu: defect_formation(perfect, doped, EMT(), reservoirs={"Au": mu}, steps=0).energy
        for mu in (0.0, 1.0)
    }
    assert found[0.0] - found[1.0] == pytest.approx(1.0)
    doped.calc = perfect.calc = EMT()
    whole = perfect.get_potential_energy()
    assert found[0.0] == pytest.approx(doped.get_potential_energy() - whole + whole / len(perfect))
    with pytest.raises(InputError, match="energy of an atom of Au"):
        defect_formation(perfect, doped, EMT())
    with pytest.raises(InputError, match="no point defect"):
        defect_formation(perfect, perfect, EMT())
    with pytest.raises(InputError, match="same cell"):
        defect_formation(perfect, doped.repeat(2), EMT())


@pytest.mark.parametrize("miller", [(1, 0, 0), (1, 1, 1)])
def test_a_cut_crystal_costs_half_of_the_bonds_that_cross_the_cut(argon, miller):
    # So many pairs cross a unit of area as their vector is long across it, over the volume of an atom.
    crystal = bulk("Ar", "fcc", a=argon.cell.cellpar()[0] * np.sqrt(2), cubic=True)
    vectors = neighbor_list("D", argon, LJ["rc"])
    across = vectors @ (np.array(miller) / np.linalg.norm(miller))
    lengths = np.linalg.norm(vectors, axis=1)
    crossing = np.sum(pair_energy(lengths) * np.maximum(across, 0)) / argon.get_volume()
    found = surface_energy(crystal, LennardJones(**LJ), miller, layers=8, fmax=1e-3)
    assert found.unrelaxed == pytest.approx(-crossing / 2 / (J / m**2), rel=1e-6)
    assert 0.95 * found.unrelaxed < found.energy < found.unrelaxed
    assert found.converged


def test_silicon_is_cut_where_one_bond_of_each_atom_breaks():
    """With bonds alone, the wide gap costs one bond of each surface atom, the narrow one three."""
    crystal = bulk("Si", a=4 * 2.35 / np.sqrt(3), cubic=True)
    bonds = LennardJones(sigma=2.35 / 2 ** (1 / 6), epsilon=1.0, rc=3.0, ro=2.9, smooth=True)
    found = surface_energy(crystal, bonds, (1, 1, 1), layers=4)
    assert [round(cut.gap, 2) for cut in found.terminations] == [2.35, 0.78]
    assert found.terminations[1].energy == pytest.approx(3 * found.terminations[0].energy, rel=1e-6)
    assert found.termination == 0
    assert found.unrelaxed == pytest.approx(found.terminations[0].energy, rel=1e-9)
    area = crystal.cell[0, 0] ** 2 * np.sqrt(3) / 4 * (J / m**2)  # of an atom
    assert found.unrelaxed == pytest.approx(0.5 / area, rel=1e-3)
    assert all(cut.symmetric for cut in found.terminations)
    # Multiples of the indices are the same plane.
    same = surface_energy(crystal, bonds, (-2, -2, -2), layers=4, termination=1, steps=0)
    assert same.unrelaxed == pytest.approx(3 * found.unrelaxed, rel=1e-6)
    with pytest.raises(InputError, match="no termination 2: the face has 2"):
        surface_energy(crystal, bonds, (1, 1, 1), termination=2)


def test_slabs_of_a_compound():
    """All have its composition; the polar faces of zincblende differ, those of (110) are alike."""
    crystal = bulk("SiC", "zincblende", a=4.36, cubic=True)
    for miller, faces, symmetric in [
        ((1, 1, 1), {("C", "Si"), ("Si", "C")}, False),
        ((1, 1, 0), {("C,Si", "C,Si")}, True),
    ]:
        for cut in cut_crystal(crystal, miller, 3):
            assert cut.atoms.get_chemical_formula(empirical=True) == "CSi"
            assert cut.faces in faces
            assert cut.symmetric == symmetric


def test_slabs_that_cannot_be(argon):
    with pytest.raises(InputError, match="two layers"):
        surface_energy(argon, LennardJones(**LJ), (1, 0, 0), layers=1)
    with pytest.raises(InputError, match="not all zero"):
        surface_energy(argon, LennardJones(**LJ), (0, 0, 0))


@pytest.mark.filterwarnings("ignore:of .* members:ase_scatter.ExtrapolationWarning")
def test_half_widths_are_the_spread_of_the_members_own_defects():
    calculator = ScatteringCalculator("Si")
    crystal = relax_cell(bulk("Si", cubic=True), calculator).atoms
    supercell = crystal.repeat(2)
    vacancy = vacancy_formation(supercell, calculator, fmax=0.002)
    slab = surface_energy(crystal, calculator, (1, 1, 1), layers=4, fmax=0.005)
    members = [ScatteringCalculator(calculator.model.member(k)) for k in range(4)]
    # Geometries differ from member to member, which counts only to second order.
    own = [vacancy_formation(supercell, member, fmax=0.002).energy for member in members]
    given = calculator.get_members(vacancy.atoms).energy - 63 / 64 * calculator.get_members(supercell).energy
    np.testing.assert_allclose(own, given[:4], atol=0.05)
    factor = calculator.model.committee.factors["energy"]
    tame = given[~wild_members(given)]
    assert vacancy.energy_half_width == pytest.approx(factor * np.std(tame, ddof=1), rel=1e-6)
    assert slab.energy_half_width > 0
    plain = vacancy_formation(supercell, members[0], steps=0)
    assert plain.energy_half_width is None
