"""Structures evaluated together: by committees, in batches, and with nothing but the protocol of ASE."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.emt import EMT

from ase_scatter import ExtrapolationWarning, Model, ScatteringCalculator
from ase_scatter.model.committee import Members
from ase_scatter.properties.responses import evaluate, half_width, wild_members


@pytest.fixture
def coppers() -> list[Atoms]:
    crystals = [bulk("Cu", a=a, cubic=True) for a in (3.5, 3.6, 3.7)]
    for seed, crystal in enumerate(crystals):
        crystal.rattle(0.05, seed=seed)
    return crystals


class Batched(EMT):
    """Evaluates many structures in one call, and counts them."""

    calls: list[int]

    def evaluate_many(self, structures: list[Atoms]) -> list[dict]:
        self.calls.append(len(structures))
        names = ("energy", "forces", "stress")
        return [{name: self.get_property(name, atoms) for name in names} for atoms in structures]


def test_a_calculator_of_ase_needs_nothing_but_the_protocol(coppers):
    found = evaluate(coppers, EMT())
    assert found.members is None
    assert found.energy.shape == (1, 3)
    for k, crystal in enumerate(coppers):
        alone = crystal.copy()
        alone.calc = EMT()
        assert found.energy[0, k] == alone.get_potential_energy()
        np.testing.assert_array_equal(found.forces[0, k], alone.get_forces())
        np.testing.assert_array_equal(found.stress[0, k], alone.get_stress())
        # The results stay with the structures.
        assert crystal.get_potential_energy() == found.energy[0, k]
    assert found.half_width(found.energy, "energy") is None
    assert np.isnan(found.factor("energy"))


def test_structures_of_any_size_have_energies_and_molecules_no_stress(coppers):
    water = molecule("H2O")
    found = evaluate([coppers[0], water], EMT())
    assert found.energy.shape == (1, 2)
    with pytest.raises(PropertyNotImplementedError):
        _ = found.stress


def test_only_what_has_moved_is_evaluated_anew(coppers):
    calculator = Batched()
    calculator.calls = []
    evaluate(coppers, calculator)
    evaluate(coppers, calculator)
    coppers[1].positions[0, 0] += 0.01
    moved = evaluate(coppers, calculator)
    assert calculator.calls == [3, 1]
    coppers[1].calc = EMT()
    assert moved.energy[0, 1] == coppers[1].get_potential_energy()


def test_the_committee_answers_in_the_same_call(coppers):
    class WithMembers(Batched):
        def evaluate_with_members(self, structures: list[Atoms]) -> list[tuple[dict, Members]]:
            members = [
                Members(np.array([1.0, 3.0]), None, np.ones((2, len(atoms), 3)), None, {"energy": 2.0})
                for atoms in structures
            ]
            return list(zip(self.evaluate_many(structures), members, strict=True))

    calculator = WithMembers()
    calculator.calls = []
    found = evaluate(coppers, calculator)
    assert calculator.calls == [3]
    np.testing.assert_array_equal(found.energy[1:], [[1, 1, 1], [3, 3, 3]])
    assert found.forces.shape == (3, 3, 4, 3)
    np.testing.assert_allclose(found.half_width(found.energy, "energy"), 2 * np.sqrt(2))
    # Without labels of a kind nothing is known of its errors.
    assert np.isnan(found.half_width(found.energy, "stress")).all()
    assert evaluate(coppers, calculator, members=False).members is None


def test_members_are_the_potentials_of_the_committee():
    model = Model.load("Si")
    crystals = [bulk("Si", cubic=True) for _ in range(2)]
    for seed, crystal in enumerate(crystals):
        crystal.rattle(0.05, seed=seed)
    found = evaluate(crystals, ScatteringCalculator(model))
    assert found.energy.shape == (1 + len(model.committee), 2)
    for k in range(3):
        own = evaluate(crystals, ScatteringCalculator(model if k == 0 else model.member(k - 1)))
        assert (own.members is None) == (k > 0)
        for name in ("energy", "forces", "stress"):
            expected = getattr(own, name)[0]
            np.testing.assert_allclose(getattr(found, name)[k], expected, rtol=1e-9, atol=1e-9)


def test_progress_counts_the_structures(coppers):
    seen: list[tuple] = []
    evaluate(coppers, EMT(), progress=lambda *step: seen.append(step), name="crystals")
    assert seen == [("crystals", 1, 3), ("crystals", 2, 3), ("crystals", 3, 3)]


def test_a_wild_member_is_left_out_and_named():
    rng = np.random.default_rng(0)
    values = 90.0 + rng.normal(size=(12, 3))
    assert not wild_members(values).any()
    assert half_width(values, 2.0) == pytest.approx(2.0 * values.std(axis=0, ddof=1))
    spoilt = values.copy()
    spoilt[7, 1], spoilt[4, 2] = 262.0, np.nan
    with pytest.warns(ExtrapolationWarning, match=r"of 12 members .* 4, 7 "):
        found = half_width(spoilt, 2.0)
    assert found[0] == pytest.approx(2.0 * values[:, 0].std(ddof=1))
    assert found[1] == pytest.approx(2.0 * np.delete(values[:, 1], 7).std(ddof=1))
    assert found[2] == pytest.approx(2.0 * np.delete(values[:, 2], 4).std(ddof=1))


def test_what_half_of_the_members_say_is_not_wild():
    values = np.r_[np.zeros(5), np.full(7, 100.0)] + np.arange(12)
    assert not wild_members(values).any()
    assert not wild_members(np.array([1.0, 1.1, 0.9, 50.0])).any()  # too few to tell
    # Rounding errors of what symmetry makes zero.
    tensor = np.c_[100.0 + np.arange(12.0), 1e-15 * np.eye(12)[0]]
    assert not wild_members(tensor).any()
