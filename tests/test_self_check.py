"""Values that a model file carries along cover all that decides what the model gives."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.data import atomic_numbers

from ase_scatter.errors import ModelFileError
from ase_scatter.model.model import Model
from ase_scatter.model.model_file import checksum
from ase_scatter.model.repulsion import ZBLRepulsion
from ase_scatter.model.self_check import KEY, make_self_check, self_check
from ase_scatter.structures.system import System

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def model():
    """LiSi, whose own structure is of silicon alone."""
    known = Model.load("LiSi")
    system = known.metadata[KEY]
    assert set(system["numbers"]) == {14}
    own = System(*(np.array(system[key]) for key in ("numbers", "positions", "cell", "pbc")))
    return replace(known, metadata={KEY: make_self_check(known, own)})


def test_it_passes_and_survives_the_file(model, tmp_path):
    model.save(tmp_path / "model.json")
    deviations = self_check(Model.load(tmp_path / "model.json"))
    assert set(deviations) == {"energy", "forces", "strain_gradient", "members"}
    assert max(deviations.values()) < 1e-10


def test_weights_of_every_element_count(model):
    for k in range(len(model.elements)):
        weights = model.weights.copy()
        mine = [n for n, (_, element) in enumerate(model.transform.terms) if element == k]
        weights[mine] *= 3.0
        with pytest.raises(ModelFileError, match="does not give"):
            self_check(replace(model, weights=weights))


def test_free_atoms_count(model):
    for symbol in model.elements:
        with pytest.raises(ModelFileError, match="energy by"):
            self_check(replace(model, e0={**model.e0, symbol: model.e0[symbol] + 1e-3}))


def test_the_repulsion_counts(model):
    core = model.core
    weaker = ZBLRepulsion(core.elements, r_inner=0.99 * core.r_inner, r_outer=core.r_outer)
    with pytest.raises(ModelFileError, match="does not give"):
        self_check(replace(model, core=weaker))


def test_the_committee_counts(model):
    weights = model.committee.weights.copy()
    weights[-1] *= 1.001
    with pytest.raises(ModelFileError, match="off: members"):
        self_check(replace(model, committee=replace(model.committee, weights=weights)))


def test_files_of_earlier_releases_are_checked_as_before(model):
    old = {key: value for key, value in model.metadata[KEY].items() if key != "crystal"}
    assert set(self_check(replace(model, metadata={KEY: old}))) == {"energy", "forces", "strain_gradient"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"numbers": None}, "numbers must be"),
        ({"numbers": [14.5] * 12}, "whole"),
        ({"positions": [[0, 0]]}, "fit together"),
        ({"pbc": [True]}, "fit together"),
        ({"energy": "low"}, "energy must be"),
        ({"forces": [[0, 0, 0]]}, "forces is shaped"),
        ({"crystal": 3}, "described by names"),
        ({"crystal": {}}, "missing"),
    ],
    ids=str,
)
def test_damaged_values_are_one_sentence(model, changes, said):
    with pytest.raises(ModelFileError, match=said):
        self_check(replace(model, metadata={KEY: {**model.metadata[KEY], **changes}}))


def test_metadata_that_are_used_have_a_checksum(model, tmp_path):
    path = tmp_path / "model.json"
    model.save(path)
    document = json.loads(path.read_text())
    changed = document | {"metadata": {"fit": {"settings": {"ridge": 1.0}}}}
    path.write_text(json.dumps(changed))
    with pytest.raises(ModelFileError, match="checksum"):
        Model.load(path)
    used = {"fit": changed["metadata"]["fit"], "golden": None}
    path.write_text(json.dumps(changed | {"metadata_sha256": checksum(used)}))
    assert Model.load(path).hash == model.hash


@pytest.mark.parametrize("path", sorted((ROOT / "potentials").glob("*.json")), ids=lambda path: path.stem)
def test_shipped_files_carry_all_of_it(path):
    shipped = Model.load(path)
    assert {*shipped.metadata[KEY]["crystal"]["numbers"]} == {atomic_numbers[s] for s in shipped.elements}
    assert set(self_check(shipped)) == {"energy", "forces", "strain_gradient", "members"}
