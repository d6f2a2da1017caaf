"""The contract for potentials finds what it says, and passes what is sound."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ase.calculators.calculator import all_changes
from ase.calculators.lj import LennardJones

from ase_scatter import testing
from ase_scatter.testing import BITS, Deviation, check_calculator, example_structures

ATOMS = example_structures(["Cu", "Ni"])
CUTOFF = 4.0


class Sound(LennardJones):
    """Lennard-Jones with two continuous derivatives, and a batch."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012
    scale = 1.0

    def __init__(self, **kwargs):
        super().__init__(**{"sigma": 2.2, "epsilon": 0.2, "rc": CUTOFF, "ro": 2.5, "smooth": True} | kwargs)

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, ["energy", "forces", "stress"], system_changes)
        self.results = {
            name: self.results[name] for name in self.implemented_properties if name in self.results
        }
        self.change(self.results, self.atoms)

    def change(self, results, atoms):
        """What a broken one does."""

    def evaluate_many(self, structures):
        found = []
        for atoms in structures:
            self.calculate(atoms)
            found.append(dict(self.results))
        return found


class Forces(Sound):
    def change(self, results, atoms):
        results["forces"][0, 1] += 1e-4


class Stress(Sound):
    def change(self, results, atoms):
        if "stress" in results:
            results["stress"][4] *= 1.001


class Order(Sound):
    def change(self, results, atoms):
        results["energy"] += 1e-6 * (atoms.numbers @ np.arange(len(atoms)))


class Place(Sound):
    def change(self, results, atoms):
        results["energy"] += 1e-4 * math.sin(atoms.positions[:, 0].mean())


class Images(Sound):
    def change(self, results, atoms):
        results["energy"] += 1e-6 * np.ptp(atoms.positions)


class Orientation(Sound):
    def change(self, results, atoms):
        results["forces"] += 1e-6 * results["forces"] * [0, 0, 1]


class Extent(Sound):
    def change(self, results, atoms):
        results["energy"] += 1e-5


class Alone(Sound):
    def change(self, results, atoms):
        if len(atoms) == 1:
            results["forces"] += 1e-5


class Reach(Sound):
    def change(self, results, atoms):
        results["energy"] += 1e-6 * len(atoms) ** 2


class EnergyJump(Sound):
    def change(self, results, atoms):
        results["energy"] += 1e-5 * (atoms.get_distance(0, -1) < CUTOFF - 0.123)


class ForceJump(Sound):
    def change(self, results, atoms):
        results["forces"][-1] += 1e-4 * (atoms.get_distance(0, -1) < CUTOFF + 0.3)


class Wraps(Sound):
    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        atoms.positions[0] += 1e-12


class GivesItsArrays(Sound):
    def get_property(self, name, atoms=None, allow_calculation=True):
        super().get_property(name, atoms, allow_calculation)
        return self.results[name]


class Remembers(Sound):
    calls = 0

    def change(self, results, atoms):
        self.calls += 1
        results["energy"] += 1e-14 * self.calls


class CannotBePickled(Sound):
    def __init__(self):
        super().__init__()
        self.hook = lambda: None


class ForgetsItsSettings(Sound):
    def __init__(self):
        super().__init__()
        self.scale = 1.1

    def change(self, results, atoms):
        results["energy"] *= self.scale

    def __deepcopy__(self, memo):
        twin = type(self)()
        twin.scale = 1.0
        return twin


class Batch(Sound):
    def evaluate_many(self, structures):
        found = super().evaluate_many(structures)
        found[-1]["forces"] = found[0]["forces"] + 1e-6
        return found


class NotANumber(Sound):
    def change(self, results, atoms):
        results["forces"][0] = np.nan


EVERYWHERE = {"forces", "permutation", "translation", "rotation", "isolated atom", "input", "determinism"}
EVERYWHERE |= {"copies", "batch"}


@pytest.mark.parametrize("name", ATOMS)
def test_a_sound_calculator_passes(name):
    report = check_calculator(Sound(), ATOMS[name], cutoff=CUTOFF)
    expected = set(EVERYWHERE)
    expected |= {"separation", "cutoff"} if name == "molecule" else {"stress", "lattice shifts", "supercell"}
    assert set(report) == expected
    assert report["copies"] == report["determinism"] == BITS
    assert 0 < report["forces"].forces < 1e-5
    lines = str(report).splitlines()
    assert len(lines) == len(report) + 1
    assert "eV/Å³" in lines[0]


@pytest.mark.parametrize(
    ("broken", "name", "check"),
    [
        (Forces, "rattled", "forces"),
        (Forces, "perfect", "forces"),
        (Forces, "molecule", "forces"),
        (Stress, "triclinic", "stress"),
        (Order, "slab", "permutation"),
        (Place, "rattled", "translation"),
        (Images, "rattled", "lattice shifts"),
        (Orientation, "slab", "rotation"),
        (Extent, "perfect", "supercell"),
        (Alone, "perfect", "isolated atom"),
        (Reach, "molecule", "separation"),
        (EnergyJump, "molecule", "cutoff"),
        (ForceJump, "molecule", "cutoff"),
        (Wraps, "perfect", "input"),
        (GivesItsArrays, "rattled", "input"),
        (Remembers, "rattled", "determinism"),
        (CannotBePickled, "rattled", "copies"),
        (ForgetsItsSettings, "rattled", "copies"),
        (Batch, "rattled", "batch"),
        (NotANumber, "rattled", "permutation"),
    ],
)
def test_a_broken_calculator_is_found(broken, name, check):
    with pytest.raises(AssertionError, match=rf"(?m)^{check}: ") as failure:
        check_calculator(broken(), ATOMS[name], cutoff=CUTOFF)
    # What is not broken is measured all the same.
    assert len(str(failure.value).splitlines()) > 10


def test_numbers_are_in_the_message():
    with pytest.raises(AssertionError, match=r"energy by 2\.19e-06 eV/atom \(allowed: 1e-09\)"):
        testing.check_supercell(Extent(), ATOMS["perfect"])


def test_tolerances_and_what_is_left_out():
    loose = {"supercell": Deviation(1e-4, 1.0, 1.0)}
    report = check_calculator(Extent(), ATOMS["perfect"], tolerances=loose)
    assert report["supercell"].energy > 1e-6
    assert "supercell" not in check_calculator(Extent(), ATOMS["perfect"], skip=["supercell"])
    for unknown in ({"skip": ["everything"]}, {"tolerances": {"everything": BITS}}):
        with pytest.raises(ValueError, match="no check everything; there are forces, stress"):
            check_calculator(Sound(), ATOMS["perfect"], **unknown)


def test_energies_of_free_atoms():
    testing.check_isolated_atom(Sound(), ["Cu", "Ni"], energies={"Cu": 0.0})
    with pytest.raises(AssertionError, match=r"energy by 1\.00e\+00"):
        testing.check_isolated_atom(Sound(), ["Cu", "Ni"], energies={"Ni": 1.0})


def test_a_stress_that_is_not_there():
    with pytest.raises(AssertionError, match="no stress"):
        testing.check_stress(Sound(), ATOMS["molecule"])


def test_structures():
    assert {name: list(atoms.pbc) for name, atoms in ATOMS.items()} == {
        "perfect": [True] * 3,
        "rattled": [True] * 3,
        "slab": [True, True, False],
        "molecule": [False] * 3,
        "triclinic": [True] * 3,
    }
    assert all(set(atoms.symbols) == {"Cu", "Ni"} for atoms in ATOMS.values())
    assert np.abs(Sound().get_forces(ATOMS["rattled"])).max() > 0.01
    assert np.abs(ATOMS["triclinic"].cell.angles() - 90).min() > 0.1
    again = example_structures(["Cu", "Ni"])
    assert all(np.array_equal(again[name].positions, atoms.positions) for name, atoms in ATOMS.items())
    assert example_structures(["Si"], a=5.0)["perfect"].cell.lengths() == pytest.approx(5.0)
    # Elements that ASE knows no crystal of have one all the same.
    assert example_structures(["H"])["perfect"].get_all_distances(mic=True)[0, 1] == pytest.approx(0.62)
