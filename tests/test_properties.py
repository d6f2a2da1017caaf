"""The workflows on potentials whose answers are known in closed form, or can be had another way."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms
from ase.eos import birchmurnaghan
from ase.neighborlist import neighbor_list

from ase_scatter import ScatteringCalculator
from ase_scatter.errors import InputError
from ase_scatter.properties import (
    elastic_constants,
    energy_volume,
    frozen_calculator,
    relax_cell,
    relax_positions,
    symmetry_of,
    vacancy_formation,
    vacancy_hop,
)
from ase_scatter.units import GPA

# Argon-like. The cutoff lies between shells of the fcc lattice, at 4.1 and 4.3 nearest-neighbour
# distances squared: truncation changes the sums, but no neighbour crosses it under a small strain.
SIGMA, EPSILON = 3.4, 0.0104
LJ = {"sigma": SIGMA, "epsilon": EPSILON, "rc": 2.3 * SIGMA}


class GridEMT(EMT):
    """EMT whose energy and stress carry a wrong term that jumps with the number of grid points."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen: Any = None

    def _grid(self, atoms: Atoms) -> np.ndarray:
        return np.ceil(atoms.cell.lengths() / 0.05)

    def freeze_grid(self, atoms: Atoms | None) -> None:
        self.frozen = None if atoms is None else self._grid(atoms)
        self.reset()

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        grid = self._grid(self.atoms) if self.frozen is None else self.frozen
        shift = 0.02 * (np.sum(grid) % 7 - 3)
        self.results["energy"] += shift
        self.results["free_energy"] += shift
        if self.frozen is None:
            self.results["stress"] = self.results["stress"] + shift


@pytest.fixture(scope="module")
def argon() -> Atoms:
    return relax_cell(bulk("Ar", "fcc", a=5.3), LennardJones(**LJ), fmax=1e-6).atoms


@pytest.fixture(scope="module")
def copper() -> Atoms:
    return relax_cell(bulk("Cu", "fcc", a=3.7, cubic=True), EMT(), fmax=1e-6).atoms


def lattice_sums(crystal: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """(R (n, 3), φ′/R and (φ″ − φ′/R)/R² (2, n)) of the Lennard-Jones neighbours of an atom."""
    length, vector = neighbor_list("dD", crystal, LJ["rc"])
    s6 = (SIGMA / length) ** 6
    first = 4 * EPSILON * (-12 * s6**2 + 6 * s6) / length
    second = 4 * EPSILON * (156 * s6**2 - 42 * s6) / length**2
    return vector, np.array([first / length, (second - first / length) / length**2])


# ---- relaxation ----------------------------------------------------------------------------------


def test_relaxed_lattice_has_no_pressure_by_lattice_sum(argon):
    vector, (per_length, _) = lattice_sums(argon)
    pressure_term = np.sum(per_length * np.sum(vector**2, axis=1)) / 6 / argon.get_volume()
    assert abs(pressure_term) / GPA < 1e-5


def test_relaxed_cell_keeps_its_shape_and_the_original():
    atoms = bulk("Cu", "fcc", a=3.7, cubic=True)
    atoms.set_cell(atoms.cell * [1.01, 1.0, 1.0], scale_atoms=True)
    before = atoms.copy()
    relaxed = relax_cell(atoms, EMT(), keep="shape", fmax=1e-5)
    assert relaxed.converged
    assert relaxed.steps > 0
    assert atoms == before
    assert atoms.calc is None
    np.testing.assert_allclose(relaxed.lengths / relaxed.lengths[1], [1.01, 1, 1], atol=1e-9)
    assert abs(relaxed.stress[:3].mean()) < 0.01
    assert abs(relaxed.stress[0] - relaxed.stress[1]) > 0.5

    free = relax_cell(atoms, EMT(), keep="nothing", fmax=1e-5)
    assert np.abs(free.stress).max() < 0.01
    np.testing.assert_allclose(free.lengths / free.lengths[1], 1.0, atol=1e-4)
    with pytest.raises(InputError, match="'symmetry', 'shape' or 'nothing'"):
        relax_cell(atoms, EMT(), keep="volume")


def test_relaxed_lattice_keeps_its_symmetry():
    # An ordered alloy, tetragonal, moved off its sites by less than what counts as its symmetry.
    rattled = bulk("Cu", "fcc", a=3.85, cubic=True)
    rattled.numbers[[0, 1]] = 79
    rattled.rattle(1e-3, seed=0)
    rattled.set_constraint(FixAtoms([0]))
    relaxed = relax_cell(rattled, EMT(), fmax=1e-6)
    assert relaxed.converged
    assert symmetry_of(relaxed.atoms, 1e-6).number == 123
    assert np.ptp(relaxed.lengths) > 0.01
    assert np.abs(relaxed.stress).max() < 1e-3
    assert [type(constraint) for constraint in relaxed.atoms.constraints] == [FixAtoms]


def test_relaxed_positions(copper):
    supercell = copper.repeat(2)
    energy = supercell.copy()
    energy.calc = EMT()
    rattled = supercell.copy()
    rattled.rattle(0.05, seed=1)
    relaxed = relax_positions(rattled, EMT(), fmax=1e-3)
    assert relaxed.converged
    assert relaxed.max_force < 1e-3
    assert relaxed.energy == pytest.approx(energy.get_potential_energy(), abs=1e-4)


def test_unfinished_relaxation_says_so(copper):
    rattled = copper.repeat(2)
    rattled.rattle(0.1, seed=1)
    relaxed = relax_positions(rattled, EMT(), fmax=1e-4, steps=2)
    assert not relaxed.converged
    assert relaxed.steps == 2
    assert relaxed.max_force > 1e-4
    assert not relax_cell(bulk("Cu", a=3.9), EMT(), fmax=1e-6, steps=1).converged


def test_energy_that_is_not_finite_is_refused(copper):
    class Broken(EMT):
        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
            super().calculate(atoms, properties, system_changes)
            self.results["energy"] = np.nan

    with pytest.raises(InputError, match="energy nan"):
        relax_positions(copper, Broken())


@pytest.mark.parametrize("workflow", [relax_cell, energy_volume, elastic_constants])
def test_strain_needs_a_crystal(workflow):
    with pytest.raises(InputError, match="crystal"):
        workflow(Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.5]]), EMT())


# ---- energy against volume -----------------------------------------------------------------------


def test_birch_murnaghan_crystal_gives_its_own_parameters():
    e0, modulus, derivative, v0 = -3.0, 90 * GPA, 4.7, 47.0

    class Exact(Calculator):
        implemented_properties = ["energy"]  # noqa: RUF012

        def calculate(self, atoms=None, properties=None, system_changes=all_changes):
            super().calculate(atoms, properties, system_changes)
            energy = birchmurnaghan(self.atoms.get_volume(), e0, modulus, derivative, v0)
            self.results = {"energy": energy}

    result = energy_volume(bulk("Cu", a=3.6, cubic=True), Exact())
    assert result.v0 == pytest.approx(v0, rel=1e-6)
    assert result.a == pytest.approx(v0 ** (1 / 3), rel=1e-6)
    assert result.e0 == pytest.approx(e0, rel=1e-8)
    assert result.bulk_modulus == pytest.approx(90, rel=1e-5)
    assert result.bulk_derivative == pytest.approx(4.7, rel=1e-4)
    assert result.rmse < 1e-4
    np.testing.assert_allclose(result.curve(result.volumes), result.energies, atol=1e-8)


def test_energies_volumes_and_stresses_agree(copper):
    curve = energy_volume(copper, EMT(), strain=0.01)
    assert curve.a == pytest.approx(copper.cell.lengths()[0], rel=1e-4)
    constants = elastic_constants(copper, EMT()).cubic()
    assert curve.bulk_modulus == pytest.approx(constants.bulk_modulus, rel=0.01)


def test_half_widths_of_a_curve_are_the_spread_of_the_members_own():
    calculator = ScatteringCalculator("Si")
    crystal = bulk("Si", cubic=True)
    result = energy_volume(crystal, calculator)
    committee = calculator.model.committee
    each = [
        energy_volume(crystal, ScatteringCalculator(calculator.model.member(k)))
        for k in range(len(committee))
    ]
    factor = committee.factors["energy"]
    spread = np.std([curve.bulk_modulus for curve in each], ddof=1)
    assert result.bulk_modulus_half_width == pytest.approx(factor * spread, rel=1e-6)
    assert result.a_half_width == pytest.approx(
        factor * np.std([curve.a for curve in each], ddof=1), rel=0.01
    )
    assert each[0].a_half_width is None


def test_curve_without_a_minimum_is_refused():
    with pytest.raises(InputError, match=r"no minimum|no equation of state"):
        energy_volume(bulk("Cu", a=4.0, cubic=True), EMT(), strain=0.02)
    with pytest.raises(InputError, match="5 points"):
        energy_volume(bulk("Cu", a=3.6), EMT(), points=4)


# ---- frozen grids --------------------------------------------------------------------------------


def test_strains_keep_the_grid_and_leave_the_calculator_alone(copper):
    calculator = GridEMT()
    frozen = frozen_calculator(calculator, copper)
    assert frozen is not calculator
    assert calculator.frozen is None
    plain = EMT()
    assert frozen_calculator(plain, copper) is plain

    with_grid, without = (energy_volume(copper, calc) for calc in (calculator, plain))
    assert with_grid.bulk_modulus == pytest.approx(without.bulk_modulus, rel=1e-6)
    with_grid, without = (elastic_constants(copper, calc) for calc in (calculator, plain))
    np.testing.assert_allclose(with_grid.tensor, without.tensor, atol=1e-6)
    start = bulk("Cu", a=3.75, cubic=True)
    np.testing.assert_allclose(
        relax_cell(start, calculator, fmax=1e-6).lengths, copper.cell.lengths(), rtol=1e-6
    )
    assert calculator.frozen is None


# ---- results and progress ------------------------------------------------------------------------


def test_results_are_data_that_json_can_hold(copper):
    results = [
        relax_cell(copper, EMT()),
        energy_volume(copper, EMT(), points=5),
        elastic_constants(copper, EMT()),
        elastic_constants(copper, EMT()).cubic(),
        vacancy_formation(copper.repeat(2), EMT(), steps=1),
        vacancy_hop(copper.repeat(2), EMT(), images=1, steps=1),
    ]
    for result in results:
        written = json.loads(json.dumps(result.to_dict(), allow_nan=False))
        assert written
        with pytest.raises(AttributeError):
            result.converged = True  # type: ignore[misc]
    assert json.loads(json.dumps(results[2].to_dict()))["tensor"] == results[2].tensor.tolist()


def test_progress_is_reported(copper, capsys):
    seen = []
    elastic_constants(copper, EMT(), progress=lambda *step: seen.append(step))
    assert seen[0] == ("elastic constants, strains", 1, 24)
    assert seen[-1] == ("elastic constants, strains", 24, 24)
    assert capsys.readouterr() == ("", "")
    energy_volume(copper, EMT(), points=5, progress=True, name="curve")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "curve: 100%" in captured.err
