"""Error statistics against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ase_scatter.errors import InputError
from ase_scatter.structures.dataset import Frame
from ase_scatter.structures.system import Evaluation, System
from ase_scatter.training.metrics import Prediction, energy_pairs, errors
from ase_scatter.units import GPA


def frame(n_atoms: int, energy: float, group: str = "", **labels: object) -> Frame:
    system = System(
        numbers=np.full(n_atoms, 14),
        positions=2.0 * np.arange(3.0 * n_atoms).reshape(n_atoms, 3),
        cell=np.eye(3) * 20,
        pbc=np.ones(3, dtype=bool),
    )
    return Frame(system=system, energy=energy, group=group, **labels)  # type: ignore[arg-type]


@pytest.fixture
def two_groups() -> tuple[list[Prediction], list[Frame]]:
    frames = [
        frame(2, -10.0, "bulk", forces=np.zeros((2, 3)), stress=np.zeros(6)),
        frame(4, -20.0, "slab", forces=np.zeros((4, 3))),
    ]
    predictions = [
        Prediction(-10.0 + 0.002, np.full((2, 3), 0.3), np.array([1, 2, 3, 0, 0, 0]) * GPA),
        Prediction(-20.0 - 0.012, np.full((4, 3), -0.1), np.zeros(6)),
    ]
    return predictions, frames


def test_statistics_by_hand(two_groups):
    table = errors(*two_groups)
    assert list(table) == ["all", "bulk", "slab"]
    everything = table["all"]
    # Per atom: +1 and −3 meV.
    assert everything["energy_mae"] == pytest.approx(2.0)
    assert everything["energy_rmse"] == pytest.approx(np.sqrt(5.0))
    # 6 components off by 0.3 and 12 off by 0.1.
    assert everything["force_mae"] == pytest.approx((6 * 0.3 + 12 * 0.1) / 18)
    assert everything["force_rmse"] == pytest.approx(np.sqrt((6 * 0.09 + 12 * 0.01) / 18))
    # Only the first frame has a stress label.
    assert everything["stress_mae"] == pytest.approx(1.0)
    assert everything["stress_rmse"] == pytest.approx(np.sqrt(14 / 6))
    assert (everything["n_frames"], everything["n_atoms"]) == (2, 6)
    assert table["slab"]["energy_mae"] == pytest.approx(3.0)
    assert table["bulk"]["force_rmse"] == pytest.approx(0.3)


def test_statistics_without_labels_are_left_out(two_groups):
    predictions, frames = two_groups
    table = errors(predictions, frames)
    assert "stress_rmse" not in table["slab"]
    energies_only = errors(predictions[:1], [frame(2, -10.0)])
    assert set(energies_only["all"]) == {"energy_mae", "energy_rmse", "n_frames", "n_atoms"}


def test_frames_without_a_group_count_once():
    table = errors([Prediction(0.0, np.zeros((2, 3)))], [frame(2, 0.0)])
    assert list(table) == ["all"]


def test_no_frames_give_no_statistics():
    assert errors([], []) == {"all": {"n_frames": 0, "n_atoms": 0}}


def test_energies_are_compared_per_atom(two_groups):
    reference, predicted = energy_pairs(*two_groups)
    np.testing.assert_allclose(reference, [-5.0, -5.0])
    np.testing.assert_allclose(predicted - reference, [0.001, -0.003])


def test_lists_that_do_not_belong_together_are_refused(two_groups):
    predictions, frames = two_groups
    with pytest.raises(InputError, match="1 predictions for 2 frames"):
        errors(predictions[:1], frames)
    with pytest.raises(InputError, match="same order"):
        errors(predictions[::-1], frames)


def test_prediction_of_a_model_has_a_stress_only_with_a_volume():
    system = frame(2, 0.0).system
    values = Evaluation(-1.0, np.zeros((2, 3)), np.diag([8.0, 16.0, 24.0]))
    stress = Prediction.from_evaluation(values, system).stress
    assert stress is not None
    np.testing.assert_allclose(stress, [0.001, 0.002, 0.003, 0, 0, 0])
    molecule = System(system.numbers, system.positions, np.zeros((3, 3)), np.zeros(3, dtype=bool))
    assert Prediction.from_evaluation(values, molecule).stress is None
