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
from ase.mep import NEB
from ase.neighborlist import neighbor_list

from ase_scatter import ScatteringCalculator
from ase_scatter.conventions import GPA
from ase_scatter.errors import InputError
from ase_scatter.properties import (
    elastic_constants,
    energy_volume,
    frozen_calculator,
    hop_end_points,
    migration_barrier,
    relax_cell,
    relax_positions,
    symmetry_of,
    vacancy_formation,
    vacancy_hop,
)
from ase_scatter.properties.barriers import BatchedNEB

# Argon-like. The cutoff lies between shells of the fcc lattice, at 4.1 and 4.3 nearest-neighbour
# distances squared: truncation changes the sums, but no neighbour crosses it under a small strain.
SIGMA, EPSILON = 3.4, 0.0104
LJ = {"sigma": SIGMA, "epsilon": EPSILON, "rc": 2.3 * SIGMA}


class CurvedDoubleWell(Calculator):
    """Atom 0 in E = V(x) + k (y − c x²)² with V′ = h x (x − 1)(x + a): a curved path, known ends.

    Minima at x = 1 and x = −a, saddle at x = 0, where V = 0.
    """

    implemented_properties = ["energy", "forces"]  # noqa: RUF012
    a, h, k, c = 0.8, 3.0, 4.0, 0.5

    def height(self, x: float) -> float:
        return self.h * (x**4 / 4 + (self.a - 1) * x**3 / 3 - self.a * x**2 / 2)

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        x, y, z = self.atoms.positions[0] - self.atoms.positions[1] - 5.0
        off = y - self.c * x**2
        slope = self.h * x * (x - 1) * (x + self.a) - 4 * self.k * self.c * x * off
        forces = np.zeros((2, 3))
        forces[0] = [-slope, -2 * self.k * off, -2 * z]
        self.results = {"energy": self.height(x) + self.k * off**2 + z**2, "forces": forces}

    def structure(self, x: float) -> Atoms:
        atoms = Atoms("H2", positions=[[5 + x, 5 + self.c * x**2, 5], [0, 0, 0]])
        atoms.set_constraint(FixAtoms([1]))
        return atoms


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


def test_bands_of_a_curve_are_the_spread_of_the_members_own():
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
    assert result.bulk_modulus_band == pytest.approx(factor * spread, rel=1e-6)
    assert result.a_band == pytest.approx(factor * np.std([curve.a for curve in each], ddof=1), rel=0.01)
    assert each[0].a_band is None


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


# ---- barriers --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["improvedtangent", "aseneb"])
def test_climbing_image_finds_the_saddle_of_a_curved_valley(method):
    well = CurvedDoubleWell()
    barrier = migration_barrier(
        well.structure(-0.75), well.structure(0.9), well, images=4, method=method, fmax=0.003
    )
    assert barrier.converged
    assert barrier.max_force < 0.01
    assert barrier.forward == pytest.approx(-well.height(-well.a), abs=1e-4)
    assert barrier.backward == pytest.approx(-well.height(1.0), abs=1e-4)
    top = int(barrier.energies.argmax())
    assert abs(barrier.slopes[top]) < 0.01
    assert barrier.images[top].positions[0, 0] == pytest.approx(5.0, abs=0.01)
    assert (np.diff(barrier.path) > 0).all()
    # Uphill before the saddle, downhill after it.
    assert (barrier.slopes[1:top] > 0).all()
    assert (barrier.slopes[top + 1 : -1] < 0).all()


def test_vacancy_hop_is_symmetric_and_does_not_depend_on_the_threads(copper):
    supercell = copper.repeat(2)
    one = vacancy_hop(supercell, EMT(), images=3, method="improvedtangent")
    assert one.converged
    assert one.forward == pytest.approx(one.backward, abs=2e-3)
    np.testing.assert_allclose(one.energies, one.energies[::-1], atol=2e-3)
    assert one.energies.argmax() == 2
    assert 0.3 < one.forward < 1.5
    two = vacancy_hop(supercell, [EMT(), EMT()], images=3, method="improvedtangent")
    # EMT carries its neighbour list along, so that the last bits depend on what came before.
    np.testing.assert_allclose(one.energies, two.energies, rtol=1e-10)


def test_batched_band_has_the_forces_of_ase(copper):
    initial, final = hop_end_points(copper.repeat(2))
    bands = []
    for _ in range(2):
        band = [initial.copy() for _ in range(4)] + [final.copy()]
        for share, image in enumerate(band[1:-1], start=1):
            image.positions += share / 4 * (final.positions - initial.positions)
            image.rattle(0.02, seed=share)
        bands.append(band)
    for image in bands[0]:
        image.calc = EMT()
    settings = {"method": "improvedtangent", "climb": True}
    batched = BatchedNEB(bands[1], [EMT(), EMT()], **settings)
    np.testing.assert_allclose(batched.get_forces(), NEB(bands[0], **settings).get_forces())


def test_batched_band_evaluates_only_what_has_moved(copper):
    calls = []

    class Counted(EMT):
        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
            calls.append(1)
            super().calculate(atoms, properties, system_changes)

    initial, final = hop_end_points(copper.repeat(2))
    band = [initial.copy(), initial.copy(), initial.copy(), final.copy()]
    for seed, image in enumerate(band):
        image.rattle(0.01, seed=seed)
    neb = BatchedNEB(band, [Counted()], method="improvedtangent")
    neb.get_forces()
    assert len(calls) == 4
    neb.get_forces()
    assert len(calls) == 4
    band[1].positions[0] += 0.01
    neb.get_forces()
    assert len(calls) == 5


def test_hop_ends_are_one_vacancy_in_two_places(copper):
    supercell = copper.repeat(3)
    initial, final = hop_end_points(supercell, index=7)
    moved = np.flatnonzero(np.abs(final.positions - initial.positions).max(axis=1) > 1e-9)
    assert len(moved) == 1
    hop = np.linalg.norm(final.positions[moved] - initial.positions[moved])
    assert hop == pytest.approx(copper.cell.lengths()[0] / np.sqrt(2))
    # The hopping atom sits, up to a lattice vector, where the vacancy was.
    offset = supercell.cell.scaled_positions(final.positions[moved[0]] - supercell.positions[7])
    np.testing.assert_allclose(offset, np.round(offset), atol=1e-9)
    with pytest.raises(InputError, match="cannot hop"):
        hop_end_points(supercell, index=7, neighbour=7)


def test_paths_that_make_no_sense_are_refused(copper):
    initial, final = hop_end_points(copper.repeat(2))
    with pytest.raises(InputError, match="same structure"):
        migration_barrier(initial, initial, EMT())
    with pytest.raises(InputError, match="same atoms"):
        migration_barrier(initial, final[1:], EMT())
    other = final.copy()
    other.set_cell(other.cell * 1.01)
    with pytest.raises(InputError, match="same cell"):
        migration_barrier(initial, other, EMT())
    with pytest.raises(InputError, match="improvedtangent or aseneb"):
        migration_barrier(initial, final, EMT(), method="string")
    with pytest.raises(InputError, match="one image"):
        migration_barrier(initial, final, EMT(), images=0)


def test_unfinished_band_says_so(copper):
    barrier = vacancy_hop(copper.repeat(2), EMT(), images=3, fmax=1e-4, steps=3)
    assert not barrier.converged
    assert barrier.steps == 3


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
