"""Barriers: end points, matching of atoms, bands in one batch, error bars, files to go on from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.io import read, write
from ase.mep import NEB

from ase_scatter import Model, ScatteringCalculator, cli
from ase_scatter.errors import InputError
from ase_scatter.model.committee import Members
from ase_scatter.properties import (
    Barrier,
    hop_end_points,
    insert_end_points,
    interstitial_hop,
    map_atoms,
    migration_barrier,
    relax_cell,
    vacancy_hop,
)
from ase_scatter.properties.elastic_band import BatchedNEB
from ase_scatter.reporting.tables import measured
from ase_scatter.structures.system import System


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


class Counted(EMT):
    """EMT that counts its evaluations."""

    def __init__(self) -> None:
        super().__init__()
        self.singles = 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        self.singles += 1
        super().calculate(atoms, properties, system_changes)


class Batching(Counted):
    """The same, with a method for many structures at once, which counts how many came each time."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def evaluate_many(self, structures: Sequence[Atoms]) -> list[dict[str, Any]]:
        self.batches.append(len(structures))
        return [
            {"energy": EMT().get_potential_energy(atoms), "forces": EMT().get_forces(atoms)}
            for atoms in structures
        ]


@pytest.fixture(scope="module")
def copper() -> Atoms:
    return relax_cell(bulk("Cu", "fcc", a=3.7, cubic=True), EMT(), fmax=1e-6).atoms


@pytest.fixture(scope="module")
def hop(copper) -> Barrier:
    """A converged vacancy hop."""
    return vacancy_hop(copper.repeat(2), EMT(), images=3)


def straight(copper: Atoms, images: int) -> list[Atoms]:
    """A band with rattled inner images, no calculators."""
    initial, final = hop_end_points(copper.repeat(2))
    band = [initial.copy() for _ in range(images + 1)] + [final.copy()]
    for share, image in enumerate(band[1:-1], start=1):
        image.positions += share / (images + 1) * (final.positions - initial.positions)
        image.rattle(0.02, seed=share)
    return band


# ---- paths ---------------------------------------------------------------------------------------


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


def test_vacancy_hop_is_symmetric(hop):
    assert hop.converged
    assert hop.forward == pytest.approx(hop.backward, abs=2e-3)
    np.testing.assert_allclose(hop.energies, hop.energies[::-1], atol=2e-3)
    assert hop.energies.argmax() == 2
    assert 0.3 < hop.forward < 1.5
    assert hop.mapping is None
    assert hop.forward_half_width is None
    assert hop.energies_half_width is None


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
    with pytest.raises(InputError, match="different atoms"):
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


# ---- one batch per step --------------------------------------------------------------------------


def test_batched_band_has_the_forces_of_ase(copper):
    settings = {"method": "improvedtangent", "climb": True}
    plain = straight(copper, 3)
    for image in plain:
        image.calc = EMT()
    batched = BatchedNEB(straight(copper, 3), EMT(), **settings)
    np.testing.assert_allclose(batched.get_forces(), NEB(plain, **settings).get_forces())


def test_a_step_of_five_images_is_one_batch_where_a_shared_calculator_is_called_seven_times(copper):
    """Seven, since the one calculator has forgotten the two ends, too."""
    ours, shared = Batching(), Counted()
    batched = BatchedNEB(straight(copper, 5), ours, method="improvedtangent")
    band = straight(copper, 5)
    for image in band:
        image.calc = shared
    plain = NEB(band, method="improvedtangent", allow_shared_calculator=True)
    for neb in (batched, plain):
        neb.get_forces()
        neb.set_positions(neb.get_positions() + 0.001)
    assert ours.batches == [7]
    ours.batches.clear()
    shared.singles = 0
    np.testing.assert_allclose(batched.get_forces(), plain.get_forces())
    assert ours.batches == [5]
    assert ours.singles == 0
    assert shared.singles == 7
    batched.get_forces()
    batched.images[1].positions[0] += 0.01
    batched.get_forces()
    assert ours.batches == [5, 1]


def test_a_whole_calculation_is_one_batch_per_step(copper):
    calculator = Batching()
    barrier = vacancy_hop(copper.repeat(2), calculator, images=3)
    assert calculator.batches == [5] + [3] * barrier.steps


# ---- which atom is which -------------------------------------------------------------------------


def test_shuffled_end_gives_the_same_hop(copper):
    initial, final = hop_end_points(copper.repeat(2))
    order = np.random.default_rng(0).permutation(len(final))
    shuffled = final[order]
    shuffled.wrap()
    found = map_atoms(initial, shuffled)
    assert order[found.order].tolist() == list(range(len(final)))
    lengths = np.linalg.norm(found.displacements, axis=1)
    assert np.count_nonzero(lengths > 1e-9) == 1
    assert lengths.max() == pytest.approx(copper.cell.lengths()[0] / np.sqrt(2))
    np.testing.assert_allclose(found.atoms.positions, initial.positions + found.displacements)
    np.testing.assert_allclose(found.shift, 0, atol=1e-9)

    mapped, straight = (
        migration_barrier(initial, end, EMT(), images=1, steps=2) for end in (shuffled, final)
    )
    assert mapped.mapping.order.tolist() == found.order.tolist()
    assert straight.mapping is None
    np.testing.assert_allclose(mapped.energies, straight.energies, rtol=1e-8)


def test_vacancies_made_by_taking_out_other_atoms_are_matched(copper):
    """All atoms between the two that are taken out move up by a place."""
    crystal = copper.repeat(2)
    initial, final = crystal.copy(), crystal.copy()
    neighbour = int(np.flatnonzero(crystal.get_distances(5, range(len(crystal)), mic=True) < 2.6)[-1])
    del initial[5], final[neighbour]
    barrier = migration_barrier(initial, final, EMT(), images=1, steps=0)
    moved = np.linalg.norm(barrier.mapping.displacements, axis=1)
    assert np.count_nonzero(moved > 1e-6) == 1
    assert barrier.path[-1] < 1.3 * copper.cell.lengths()[0] / np.sqrt(2)
    with pytest.raises(InputError, match="half the cell"):
        migration_barrier(initial, final, EMT(), images=1, steps=0, reorder=False)


def test_elements_are_kept_apart(copper):
    initial, final = hop_end_points(copper.repeat(2))
    for atoms in (initial, final):
        atoms.numbers[[3, 4, 11]] = 79
    found = map_atoms(initial, final[::-1])
    assert found.order.tolist() == list(range(len(final)))[::-1]
    assert (found.atoms.numbers == initial.numbers).all()
    other = final.copy()
    other.numbers[3] = 29
    with pytest.raises(InputError, match="different atoms"):
        map_atoms(initial, other)


def test_rigid_shift_is_taken_off(copper):
    initial, final = hop_end_points(copper.repeat(2))
    shifted = final[::-1]
    shifted.positions += [0.5, -0.7, 0.6]
    found = map_atoms(initial, shifted)
    np.testing.assert_allclose(found.shift, [0.5, -0.7, 0.6], atol=1e-6)
    assert np.count_nonzero(np.linalg.norm(found.displacements, axis=1) > 1e-6) == 1


def test_exchange_that_is_meant_stays_one(copper):
    crystal = copper.repeat(2)
    exchanged = crystal.copy()
    exchanged.positions[[0, 1]] = exchanged.positions[[1, 0]]
    barrier = migration_barrier(crystal, exchanged, EMT(), images=1, steps=0)
    assert barrier.mapping is None
    assert barrier.path[-1] > 3
    with pytest.raises(InputError, match="same structure"):
        migration_barrier(crystal, exchanged, EMT(), reorder=True)


def test_what_can_be_read_in_two_ways_is_refused(copper):
    # Two atoms side by side that turn by a right angle: either may go either way.
    pair = Atoms("H2", [[4, 5, 5], [6, 5, 5]], cell=[10, 10, 10], pbc=True)
    turned = Atoms("H2", [[5, 4, 5], [5, 6, 5]], cell=[10, 10, 10], pbc=True)
    with pytest.raises(InputError, match="atoms 0 and 1"):
        map_atoms(pair, turned)
    # Half a cell to the right is half a cell to the left.
    start = Atoms("H", cell=[4, 9, 9], pbc=True)
    end = Atoms("H", [[2, 0, 0]], cell=[4, 9, 9], pbc=True)
    with pytest.raises(InputError, match="half the cell"):
        migration_barrier(start, end, EMT())


# ---- interstitials -------------------------------------------------------------------------------


def test_inserted_atom_hops_between_octahedral_sites(copper):
    """From site to site of one kind: the same energy, and the saddle half way, by symmetry."""
    crystal, a = copper.repeat(2), copper.cell.lengths()[0]
    start, end = np.array([0.5, 0.5, 0.5]) * a, np.array([1.0, 1.0, 0.5]) * a
    initial, final = insert_end_points(crystal, "H", start, end)
    assert initial.get_chemical_symbols()[-1] == "H"
    np.testing.assert_allclose(final.positions[-1] - initial.positions[-1], end - start)
    np.testing.assert_allclose(final.positions[:-1], crystal.positions)
    barrier = interstitial_hop(crystal, EMT(), "H", start, end, images=3)
    assert barrier.converged
    assert barrier.forward == pytest.approx(barrier.backward, abs=5e-3)
    assert barrier.forward > 0.05


def test_places_that_are_taken_are_refused(copper):
    crystal = copper.repeat(2)
    with pytest.raises(InputError, match="sits atom 0"):
        insert_end_points(crystal, "H", [0.1, 0, 0], [1.8, 1.8, 1.8])
    with pytest.raises(InputError, match="three Cartesian"):
        insert_end_points(crystal, "H", [1.8, 1.8], [1.8, 1.8, 1.8])
    with pytest.raises(InputError, match="no element 'Xy'"):
        insert_end_points(crystal, "Xy", [1.8, 1.8, 1.8], [0, 0, 1.8])


# ---- the fit -------------------------------------------------------------------------------------


def test_curve_goes_through_images_and_slopes_and_finds_the_top():
    """Images of a band without climbing, none of them at the saddle, on E = V(x) along a straight line."""
    well = CurvedDoubleWell()
    well.c = 0.0
    band = migration_barrier(
        well.structure(-0.8), well.structure(1.0), well, images=4, climb=False, fmax=0.002, end_fmax=1e-4
    )
    np.testing.assert_allclose(band.curve(band.path), band.energies, atol=1e-12)
    x = np.linspace(band.path[0] + 0.05, band.path[-1] - 0.05, 50)
    exact = [well.height(-well.a + distance) for distance in x]
    np.testing.assert_allclose(band.curve(x), exact, atol=0.01)
    truth = -well.height(-well.a)
    assert abs(band.fitted_forward - truth) < 0.2 * abs(band.forward - truth)
    assert band.fitted_backward - band.fitted_forward == pytest.approx(band.backward - band.forward)
    assert band.to_dict()["fitted_forward"] == band.fitted_forward


# ---- error bars ----------------------------------------------------------------------------------


class Committee(CurvedDoubleWell):
    """Wells whose saddles lie at other places and heights; their mean is the calculator."""

    tilts = np.array([-0.06, -0.02, 0.03, 0.05])

    def __init__(self, tilt: float = 0.0) -> None:
        super().__init__()
        self.tilt = tilt

    def height(self, x: float) -> float:
        return super().height(x) + self.tilt * (x + x**2 / 3)

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        x = self.atoms.positions[0, 0] - self.atoms.positions[1, 0] - 5.0
        self.results["forces"][0, 0] -= self.tilt * (1 + 2 * x / 3)

    def evaluate_with_members(self, structures: list[Atoms]) -> list[tuple[dict, Members]]:
        pairs = []
        for atoms in structures:
            results = {name: self.get_property(name, atoms) for name in ("energy", "forces")}
            energy = np.array([type(self)(tilt).get_potential_energy(atoms) for tilt in self.tilts])
            pairs.append((results, Members(energy, None, np.zeros((4, 2, 3)), None, {"energy": 2.0})))
        return pairs


def test_half_width_is_the_spread_of_the_barriers_that_members_find_themselves():
    settings = {"images": 5, "fmax": 0.002, "end_fmax": 1e-3}
    ends = CurvedDoubleWell().structure(-0.75), CurvedDoubleWell().structure(0.9)
    mean = migration_barrier(*ends, Committee(), **settings)
    own = [migration_barrier(*ends, Committee(tilt), **settings) for tilt in Committee.tilts]
    assert all(barrier.converged for barrier in own)
    forward, backward = (np.array([getattr(b, name) for b in own]) for name in ("forward", "backward"))
    assert mean.forward_half_width == pytest.approx(2.0 * forward.std(ddof=1), rel=0.03)
    assert mean.backward_half_width == pytest.approx(2.0 * backward.std(ddof=1), rel=0.03)
    top = int(mean.energies.argmax())
    assert mean.intermediate is None
    assert mean.energies_half_width[0] == 0
    assert mean.energies_half_width[top] == mean.forward_half_width
    assert mean.energies_half_width.shape == mean.energies.shape
    # Against the last image: another spread than against the first.
    assert abs(mean.forward_half_width - mean.backward_half_width) > 0.1 * mean.forward_half_width


def test_path_over_a_stable_state_is_told_and_has_the_largest_half_width():
    class Dip(Committee):
        """A well at x = 0 between equal ends, of a depth that the members do not agree on."""

        def height(self, x: float) -> float:
            return (1 + 10 * self.tilt) * 0.1 * (-np.cos(2 * np.pi * x) - 5 * np.exp(-8 * x**2))

        def calculate(self, atoms=None, properties=None, system_changes=all_changes):
            Calculator.calculate(self, atoms, properties, system_changes)
            x, y, z = self.atoms.positions[0] - self.atoms.positions[1] - 5.0
            forces, step = np.zeros((2, 3)), 1e-5
            forces[0] = [-(self.height(x + step) - self.height(x - step)) / (2 * step), -2 * y, -2 * z]
            self.results = {"energy": self.height(x) + y**2 + z**2, "forces": forces}

    dip = Dip()
    dip.c = 0.0
    barrier = migration_barrier(dip.structure(-1), dip.structure(1), dip, images=5, steps=40)
    assert barrier.intermediate == 3
    assert barrier.forward_half_width == barrier.energies_half_width.max() == barrier.energies_half_width[3]
    assert barrier.to_dict()["intermediate"] == 3


def test_members_of_a_shipped_model_find_barriers_within_its_half_width():
    """Each member relaxes ends and band with its own forces, in a supercell that is small but real."""
    model = Model.load("Mo")
    crystal = bulk("Mo", a=3.17, cubic=True).repeat(2)
    settings = {"images": 1, "fmax": 0.02}
    calculator = ScatteringCalculator(model)
    barrier = vacancy_hop(crystal, calculator, **settings)
    assert barrier.converged
    top = barrier.images[1]
    members = model.members([System.from_atoms(top)])[0].energy
    members -= model.members([System.from_atoms(barrier.images[0])])[0].energy
    assert barrier.forward_half_width == pytest.approx(
        model.committee.factors["energy"] * members.std(ddof=1)
    )
    own = [vacancy_hop(crystal, ScatteringCalculator(model.member(k)), **settings).forward for k in range(3)]
    # What relaxing by themselves changes is of second order, small against the spread.
    assert np.abs(own - members[:3]).max() < 0.3 * members.std(ddof=1)


# ---- trajectories to go on from ------------------------------------------------------------------


def test_band_goes_on_from_its_file(copper, hop, tmp_path):
    path = tmp_path / "hop.traj"
    supercell = copper.repeat(2)
    first = vacancy_hop(supercell, EMT(), images=3, steps=3, trajectory=path)
    assert not first.converged
    frames = read(path, ":")
    # The guess and three steps, five images each.
    assert len(frames) == 4 * 5
    for image, frame in zip(first.images, frames[-5:], strict=True):
        np.testing.assert_allclose(frame.positions, image.positions)
    np.testing.assert_allclose([frame.get_potential_energy() for frame in frames[-5:]], first.energies)
    assert frames[-3].get_forces().shape == (31, 3)

    second = vacancy_hop(supercell, EMT(), images=3, trajectory=path)
    assert second.converged
    assert second.steps < hop.steps
    assert second.forward == pytest.approx(hop.forward, abs=2e-3)
    whole = read(path, ":")
    np.testing.assert_array_equal(whole[19].positions, frames[19].positions)
    assert len(whole) % 5 == 0
    assert len(whole) > 20

    # What is converged stays.
    third = vacancy_hop(supercell, EMT(), images=3, trajectory=path)
    assert (third.converged, third.steps) == (True, 0)
    np.testing.assert_allclose(third.energies, second.energies, rtol=1e-9)


def test_half_a_band_at_the_end_is_taken_off(copper, tmp_path):
    path, part = tmp_path / "hop.traj", tmp_path / "part.traj"
    supercell = copper.repeat(2)
    settings = {"images": 1, "end_fmax": 0.05, "fmax": 1e-4}
    vacancy_hop(supercell, EMT(), steps=2, trajectory=path, **settings)
    frames = read(path, ":")
    assert len(frames) == 9
    for kept, left in ((8, 6), (2, 0)):
        write(part, frames[:kept])
        vacancy_hop(supercell, EMT(), steps=1, trajectory=part, **settings)
        found = read(part, ":")
        assert len(found) % 3 == 0
        assert len(found) > left
        for before, after in zip(frames[:left], found, strict=False):
            np.testing.assert_array_equal(before.positions, after.positions)
    assert not list(tmp_path.glob("*.part"))


def test_files_of_something_else_are_refused_and_stay(copper, tmp_path):
    supercell, path = copper.repeat(2), tmp_path / "hop.traj"
    settings = {"images": 1, "steps": 1}
    vacancy_hop(supercell, EMT(), trajectory=path, **settings)

    def refuses(file: Path, text: str, cell: Atoms = supercell, **others: Any) -> None:
        before = file.read_bytes()
        with pytest.raises(InputError, match=text) as error:
            vacancy_hop(cell, EMT(), trajectory=file, **{**settings, **others})
        assert "another file" in str(error.value)
        assert file.read_bytes() == before

    refuses(path, "1 images between", images=2)
    refuses(path, "another path: its final", neighbour=5)
    refuses(path, "another path: its initial", index=3)
    refuses(path, "Cu31", copper.repeat((2, 2, 3)))
    wider = supercell.copy()
    wider.set_cell(wider.cell * 1.01, scale_atoms=True)
    refuses(path, "cell", wider)

    foreign = tmp_path / "md.traj"
    write(foreign, [supercell] * 3)
    refuses(foreign, "not written by")
    notes = tmp_path / "notes.txt"
    notes.write_text("not a trajectory")
    refuses(notes, "cannot be read")
    cut = tmp_path / "cut.traj"
    cut.write_bytes(path.read_bytes()[:-200])
    refuses(cut, "cannot be read")
    with pytest.raises(InputError, match="no folder"):
        vacancy_hop(supercell, EMT(), trajectory=tmp_path / "nowhere" / "x.traj", **settings)


# ---- the command ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crystal_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("mo") / "mo.xyz"
    write(path, bulk("Mo", a=3.1, cubic=True), format="extxyz")
    return path


def command(*arguments: object) -> int:
    return cli.main(["barrier", "Mo", *map(str, arguments), "--quiet"])


def test_command_gives_table_json_and_figure(crystal_file, tmp_path, capsys):
    data, plot, file = (tmp_path / f"hop.{end}" for end in ("json", "png", "traj"))
    options = ["--repeat", "2,2,2", "--images", "1", "--hop", "3"]
    options += ["--json", data, "--plot", plot, "--trajectory", file]
    assert command(crystal_file, *options, "--steps", "1", "--fmax", "0.0001") == 1
    said = capsys.readouterr().out
    assert "NOT CONVERGED after 1 steps" in said
    found = json.loads(data.read_text())
    assert not found["converged"]
    assert plot.read_bytes().startswith(b"\x89PNG")

    assert command(crystal_file, *options) == 2
    assert "exists already" in capsys.readouterr().err
    assert command(crystal_file, *options, "--force") == 0
    said = capsys.readouterr().out
    found = json.loads(data.read_text())
    assert found["converged"]
    assert measured(found["forward"], found["forward_band"], ".4f") in said
    assert "NOT CONVERGED" not in said
    assert "Vacancy in Mo, model Mo" in said
    assert len(found["images"]) == 3
    assert len(found["images"][0]["symbols"]) == 15
    assert len(read(file, ":")) % 3 == 0

    # Of a cell that was relaxed: as from the name, where another lattice parameter is the start.
    assert command("Mo", *options[:-6], "--json", tmp_path / "name.json") == 0
    other = json.loads((tmp_path / "name.json").read_text())
    assert other["forward"] == pytest.approx(found["forward"], abs=5e-3)


def test_command_takes_two_ends_and_interstitials(tmp_path, capsys):
    initial, final = hop_end_points(bulk("Mo", a=3.17, cubic=True).repeat(2))
    write(tmp_path / "a.traj", initial)
    write(tmp_path / "b.traj", final[::-1])
    ends = [tmp_path / "a.traj", "--final", tmp_path / "b.traj", "--images", "1"]
    assert command(*ends) == 0
    assert "were matched" in capsys.readouterr().out
    places = ["--from", "0.5,0,0.25", "--to", "0.5,0.25,0"]
    way = ["--interstitial", "Mo", *places, "--images", "1", "--repeat", "2,2,2", "--steps", "1"]
    assert command("Mo", *way) in (0, 1)
    assert "Mo in Mo, model Mo" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["nothing"], "'nothing' is no structure"),
        (["Mo", "--hop", "0,1", "--final", "x"], "different paths"),
        (["Mo", "--interstitial", "Mo"], "goes with --from and --to"),
        (["Mo", "--from", "0,0,0", "--to", "0,0,1"], "goes with --from"),
        (["Mo", "--interstitial", "Mo", "--from", "0,0", "--to", "0,0,1"], "three fractional"),
        (["Mo", "--repeat", "2,2"], "three positive"),
        (["Mo", "--hop", "0,0", "--repeat", "2,2,2"], "cannot hop"),
        (["Mo", "--hop", "0,1,2"], "--hop takes"),
        (["Mo", "--final", "x", "--repeat", "2,2,2"], "--repeat does not go"),
        (["Mo", "--plot", "x.doc"], ".png"),
    ],
)
def test_command_refuses_in_one_line(options, text, capsys):
    assert command(*options) == 2
    captured = capsys.readouterr()
    assert text in captured.err
    assert captured.err.count("\n") == 1
