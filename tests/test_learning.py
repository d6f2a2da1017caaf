"""Learning curves and tuning, on copper cells with EMT."""

import json
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from ase_scatter import InputError
from ase_scatter.reporting.tables import TRIAL_COLUMNS, trial_rows
from ase_scatter.structures.dataset import Frame
from ase_scatter.structures.system import System
from ase_scatter.training import baselines as peers
from ase_scatter.training.hyperparameters import changed, search_space, tune
from ase_scatter.training.learning_curve import _covering, default_sizes, learning_curve
from ase_scatter.training.metrics import Prediction
from ase_scatter.training.settings import FitSettings

SITES = {"first": (3, 1), "inner": (), "outer": (), "triple": 2, "exponents2": ()}
SETTINGS = FitSettings(sites=SITES, columns=30, folds=4, ridges=(1e-9, 1e-7))


def copper(seed, symbols="Cu"):
    atoms = bulk("Cu", "fcc", 3.5 + 0.02 * (seed % 8), cubic=True)
    atoms.symbols[:] = symbols
    atoms.rattle(0.15, seed=seed)
    atoms.calc = EMT()
    return Frame(
        System.from_atoms(atoms), atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    )


@pytest.fixture(scope="module")
def frames():
    return [copper(k) for k in range(40)]


def test_errors_fall_with_more_data(frames):
    told = []
    settings = replace(SETTINGS, columns=100)
    points = learning_curve(
        frames[:32],
        frames[32:],
        settings=settings,
        sizes=[32, 4, 12],
        workers=1,
        progress=False,
        seen=told.append,
    )
    assert points == told
    assert [p.n_frames for p in points] == [4, 12, 32]
    assert [p.n_atoms for p in points] == [16, 48, 128]
    forces = [p.errors["force_mae"] for p in points]
    assert forces[0] > 1.3 * forces[2]
    assert points[0].to_dict()["force_mae"] == forces[0]


def test_a_peer_is_trained_on_the_same_frames(frames):
    seen = []

    def mean(train, test):
        seen.append(len(train))
        energy = np.mean([f.energy for f in train])
        return [Prediction(energy, np.zeros((4, 3)), np.zeros(6)) for _ in test]

    points = learning_curve(
        frames[:12], frames[32:], settings=SETTINGS, sizes=[6, 12], peers={"mean": mean}, progress=False
    )
    assert [(p.name, p.n_frames) for p in points] == [
        ("ase-scatter", 6),
        ("mean", 6),
        ("ase-scatter", 12),
        ("mean", 12),
    ]
    assert seen == [6, 12]
    assert points[1].errors["force_mae"] > points[0].errors["force_mae"]


def test_sizes(frames):
    assert default_sizes(200) == [12, 25, 50, 100, 200]
    assert default_sizes(5) == [5]
    for wrong in ([1], [50], []):
        with pytest.raises(InputError, match="sizes"):
            learning_curve(frames[:12], frames[32:], sizes=wrong, progress=False)
    with pytest.raises(InputError, match="test"):
        learning_curve(frames[:12], [], progress=False)


def test_the_smallest_subset_has_all_elements():
    mixed = [copper(k) for k in range(10)] + [copper(10, ["Ni"] * 4)]
    order = _covering(mixed, list(range(11)))
    assert 10 in order[:2]
    assert sorted(order) == list(range(11))


def test_peers_that_are_not_there(monkeypatch):
    with pytest.raises(InputError, match="no peer"):
        peers.peer("mace")
    monkeypatch.setattr(peers.shutil, "which", lambda name: None)
    monkeypatch.setattr(peers.sysconfig, "get_path", lambda name: "/nowhere")
    with pytest.raises(InputError, match="pip install quippy-ase"):
        peers.peer("gap")


# ---- tuning ----------------------------------------------------------------------------------------


def test_a_search_gets_better_and_goes_on(frames, tmp_path):
    bad = replace(SETTINGS, sites={**SITES, "cutoff": 3.2})
    record = tmp_path / "tune.jsonl"
    found = tune(frames, minutes=0.25, settings=bad, record=record, workers=1, progress=False)
    assert found.trials[0].changes == {}
    assert found.trials[0].score == 1.0
    assert found.best.score < 0.9
    assert found.best.score == min(t.score for t in found.trials if t.score <= found.best.score)
    assert found.settings == changed(bad, found.best.changes)
    assert found.best.changes
    assert all(t.microseconds > 0 and 0 < t.columns <= 30 for t in found.trials)
    # Broken off in the middle of a line; what is there is not done again.
    lines = record.read_text().splitlines()
    assert len(lines) == 1 + len(found.trials)
    record.write_text("\n".join(lines[:4]) + "\n" + lines[4][:30])
    again = tune(frames, minutes=1e-9, settings=bad, record=record, workers=1, progress=False)
    assert [t.changes for t in again.trials] == [{}]
    assert again.trials[0] == found.trials[0]
    assert [row[0] for row in trial_rows(again)] == ["as given*"]
    assert len(TRIAL_COLUMNS) == len(trial_rows(again)[0])
    with pytest.raises(InputError, match="other data or settings"):
        tune(frames[:20], minutes=1, settings=bad, record=record, progress=False)


def test_changes_reach_the_settings():
    both = FitSettings(transform="both", sites={"cutoff": 4.0})
    moved = changed(both, {"sites.cutoff": 5.0, "grid.epsilon2": 2.0, "thrift": 0.1})
    assert moved.sites == {"cutoff": 5.0}
    assert moved.grid.epsilon2 == 2.0
    assert moved.thrift == 0.1
    assert both.sites == {"cutoff": 4.0}
    for kind in ("sites", "grid", "both"):
        settings = replace(both, transform=kind)
        for name, values in search_space(settings, 2.5).items():
            assert len(values) > 1
            for value in values:
                changed(settings, json.loads(json.dumps({name: value})))


def test_no_time_is_no_search(frames):
    with pytest.raises(InputError, match="positive"):
        tune(frames, minutes=0, progress=False)
