"""Models: their sum of parts, their files, and every way in which a file can be wrong."""

from __future__ import annotations

import configparser
import copy
import json
import os
import pickle
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from pair_transform import PairTransform

from ase_scatter.compute.target import Target
from ase_scatter.errors import InputError, ModelFileError, UnknownElementError
from ase_scatter.model import model_file as model_module
from ase_scatter.model.model import Model
from ase_scatter.model.model_file import shipped_models
from ase_scatter.model.repulsion import ZBLRepulsion
from ase_scatter.model.self_check import make_self_check, self_check
from ase_scatter.reporting.description import describe, everything
from ase_scatter.scattering import GridSettings, GridTransform
from ase_scatter.scattering.channels import Channels
from ase_scatter.structures.system import System

ROOT = Path(__file__).parents[1]


@pytest.fixture
def system(crystal) -> System:
    return System.from_atoms(crystal)


@pytest.fixture
def path(tmp_path, pair_model) -> Path:
    """A sound file of pair_model."""
    path = tmp_path / "pairs.json"
    pair_model.save(path)
    return path


def same(a, b) -> bool:
    """Bit for bit."""
    return (
        a.energy == b.energy
        and np.array_equal(a.forces, b.forces)
        and np.array_equal(a.strain_gradient, b.strain_gradient)
    )


def rewrite(path: Path, **changes) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | changes))


def test_energy_is_the_sum_of_its_parts(pair_model, system):
    linear = pair_model.transform.evaluate(system, pair_model.weights)
    core = pair_model.core.evaluate(system)
    values = pair_model.evaluate_one(system)
    assert core.energy > 0.01
    assert values.energy == pytest.approx(linear.energy + core.energy - 3 * 0.7 - 3 * 0.2, abs=1e-12)
    assert values.forces == pytest.approx(linear.forces + core.forces, abs=1e-12)
    gradient = linear.strain_gradient + core.strain_gradient
    assert values.strain_gradient == pytest.approx(gradient, abs=1e-12)
    without = replace(pair_model, core=None).evaluate_one(system)
    assert without.energy == pytest.approx(values.energy - core.energy, abs=1e-12)


def test_frozen_shapes_and_device_reach_the_transform(pair_model, system, monkeypatch):
    given = []

    def evaluate(self, batch, rows, target):
        given.append(target)
        return original(self, batch, rows, target)

    original = PairTransform.evaluate_batch
    monkeypatch.setattr(PairTransform, "evaluate_batch", evaluate)
    target = Target(device="cpu", dtype="float32", grids=np.array([[7, 8, 9]]))
    pair_model.evaluate_one(system, target)
    assert given == [target]
    assert target.shapes.tolist() == [[7, 8, 9]]


def test_unknown_elements_are_named(pair_model):
    system = System.from_atoms(Atoms("SiOMo", positions=np.diag([1.5, 2.5, 3.5])))
    with pytest.raises(UnknownElementError, match="does not know Mo, O; it was trained for Li, Si"):
        pair_model.evaluate_one(system)


def test_it_is_immutable_and_copies_evaluate_alike(pair_model, system):
    with pytest.raises(FrozenInstanceError):
        pair_model.name = "other"
    with pytest.raises(ValueError, match="read-only"):
        pair_model.weights[0] = 1.0
    expected = pair_model.evaluate_one(system)
    for twin in (copy.deepcopy(pair_model), pickle.loads(pickle.dumps(pair_model))):
        assert same(twin.evaluate_one(system), expected)
        assert twin.hash == pair_model.hash


def test_weights_are_a_copy(pair_model):
    weights = np.ones(2)
    model = replace(pair_model, weights=weights)
    weights[0] = 5.0
    assert model.weights.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "change",
    [
        {"weights": np.ones(3)},
        {"weights": np.array([1.0, np.nan])},
        {"e0": {}},
        {"e0": {"Li": np.inf, "Si": 0.0}},
        {"e0": {"Li": 0.0, "Q": 0.0}},
        {"e0": {"Li": 0.0, "Si": 0.0, "O": 0.0}},
        {"core": ZBLRepulsion(("Li",))},
    ],
    ids=str,
)
def test_parts_that_do_not_fit_are_refused(pair_model, change):
    with pytest.raises(InputError):
        replace(pair_model, **change)


def test_hash_follows_what_decides_the_energy(pair_model):
    changed = [
        {"weights": np.nextafter(pair_model.weights, 1.0)},
        {"e0": {"Li": -0.2, "Si": -0.70001}},
        {"core": None},
        {"core": ZBLRepulsion(("Li", "Si"), r_outer=2.0)},
        {"transform": PairTransform(exponents=(1.0, 1.6))},
    ]
    hashes = {replace(pair_model, **change).hash for change in changed}
    assert len(hashes | {pair_model.hash}) == len(changed) + 1
    assert replace(pair_model, name="other", metadata={}).hash == pair_model.hash


# ---- files ----


def test_round_trip_is_bit_exact(tmp_path, pair_model, system):
    awkward = replace(pair_model, weights=np.array([1 / 3, -5e-324]), e0={"Li": 0.1, "Si": 1e300 / 3})
    awkward.save(tmp_path / "model.json")
    again = Model.load(tmp_path / "model.json")
    assert again.weights.tolist() == awkward.weights.tolist()
    assert again.e0 == awkward.e0
    assert again.metadata == awkward.metadata
    assert (again.name, again.hash, again.elements) == ("pairs", awkward.hash, ("Li", "Si"))
    pair_model.save(tmp_path / "pairs.json")
    assert same(Model.load(tmp_path / "pairs.json").evaluate_one(system), pair_model.evaluate_one(system))


def test_grid_model_round_trip(tmp_path):
    settings = GridSettings(scales=(0.7, 1.0), first=(2,), inner=(1,), outer=(1,))
    system = System.from_atoms(bulk("Si", a=5.4))
    transform = GridTransform.candidates(settings, Channels.by_species(["Si"])).calibrated([system])
    weights = np.random.default_rng(0).normal(size=transform.n_columns)
    model = Model("grid", transform, weights, {"Si": -1.0}, ZBLRepulsion(("Si",)))
    model.save(tmp_path / "grid.json")
    again = Model.load(tmp_path / "grid.json")
    assert again.hash == model.hash
    assert same(again.evaluate_one(system), model.evaluate_one(system))
    shapes = transform.grid_shapes(system)
    assert same(again.evaluate_one(system, Target(grids=shapes)), model.evaluate_one(system))


def test_an_existing_file_is_not_replaced_by_accident(path, pair_model):
    other = replace(pair_model, name="other")
    with pytest.raises(InputError, match="--force"):
        other.save(path)
    assert Model.load(path).name == "pairs"
    other.save(path, overwrite=True)
    assert Model.load(path).name == "other"


def test_an_interrupted_save_leaves_the_old_file(path, pair_model, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace(pair_model, name="other").save(path, overwrite=True)
    assert Model.load(path).name == "pairs"
    assert [entry.name for entry in path.parent.iterdir()] == ["pairs.json"]


def test_what_cannot_be_saved_is_refused(tmp_path, pair_model):
    with pytest.raises(InputError, match="cannot be written"):
        pair_model.save(tmp_path / "nowhere" / "model.json")
    for value in (float("nan"), np.ones(2)):
        with pytest.raises(InputError, match="cannot be written as JSON"):
            replace(pair_model, metadata={"error": value}).save(tmp_path / "model.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.99])
def test_a_truncated_file(path, fraction):
    text = path.read_text()
    path.write_text(text[: int(len(text) * fraction)])
    with pytest.raises(ModelFileError, match="not a complete JSON file"):
        Model.load(path)


@pytest.mark.parametrize(
    "content", [b"[1, 2]", b'{"weights": []}', b'{"format": "other", "version": 1}', b"3"]
)
def test_a_foreign_json_file(path, content):
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="not a model file of ase_scatter"):
        Model.load(path)


def test_a_binary_file(path):
    path.write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(ModelFileError, match="not a complete JSON file"):
        Model.load(path)


def test_a_file_of_a_newer_version(path):
    rewrite(path, version=2)
    with pytest.raises(ModelFileError, match=r"format version 2.*reads version 1"):
        Model.load(path)


@pytest.mark.parametrize("key", ["weights", "transform", "e0", "core", "sha256", "metadata"])
def test_a_file_that_lacks_a_part(path, key):
    document = json.loads(path.read_text())
    del document[key]
    path.write_text(json.dumps(document))
    with pytest.raises(ModelFileError, match=f"damaged: it lacks {key}"):
        Model.load(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": [1 / 3, -0.1000000001]},
        {"e0": {"Li": -0.2, "Si": -0.71}},
        {"core": None},
        {"sha256": "0" * 64},
    ],
    ids=str,
)
def test_a_damaged_file(path, changes):
    rewrite(path, **changes)
    with pytest.raises(ModelFileError, match=r"damaged.*checksum"):
        Model.load(path)


def test_a_transform_that_is_not_known(path, monkeypatch):
    from ase_scatter import scattering as transforms

    monkeypatch.delitem(transforms._KINDS, "pairs")
    with pytest.raises(ModelFileError, match=r"cannot be used: .*'pairs'"):
        Model.load(path)


def test_a_transform_with_settings_that_are_not_known(path, monkeypatch):
    def from_dict(data):
        raise KeyError("angle")

    monkeypatch.setattr(PairTransform, "from_dict", from_dict)
    with pytest.raises(ModelFileError, match="KeyError: 'angle'"):
        Model.load(path)


def test_paths_that_are_not_there(tmp_path):
    for missing in (tmp_path / "model.json", "model.json", tmp_path / "model"):
        with pytest.raises(ModelFileError, match="there is no model file"):
            Model.load(missing)


def test_shipped_names(tmp_path, path, monkeypatch):
    monkeypatch.setattr(model_module, "_shipped_directory", lambda: path.parent)
    (tmp_path / "notes.txt").touch()
    assert shipped_models() == ["pairs"]
    assert Model.load("pairs").name == "pairs"
    with pytest.raises(ModelFileError, match="no shipped model 'Xy'; choose from pairs"):
        Model.load("Xy")


def test_a_directory_does_not_hide_a_shipped_name(tmp_path, path, monkeypatch):
    monkeypatch.setattr(model_module, "_shipped_directory", lambda: path.parent)
    (tmp_path / "elsewhere" / "pairs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert Model.load("pairs").name == "pairs"


def test_every_shipped_file_is_found_and_gives_its_golden_values():
    in_tree = sorted(file.stem for file in (ROOT / "potentials").glob("*.json"))
    assert shipped_models() == in_tree
    for name in in_tree:
        self_check(Model.load(name), 1e-7)


def test_every_package_is_installed():
    """setup.cfg lists the packages by name, as the shipped models map to a directory outside."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    packages = {
        ".".join(file.parent.relative_to(ROOT).parts) for file in (ROOT / "ase_scatter").rglob("__init__.py")
    }
    listed = set(config["options"]["packages"].split())
    assert packages | {"ase_scatter", "ase_scatter.potentials"} == listed


# ---- golden values and description ----


def test_golden_values_survive_the_file(tmp_path, pair_model, system):
    golden = make_self_check(pair_model, system)
    replace(pair_model, metadata={"golden": golden}).save(tmp_path / "model.json")
    deviations = self_check(Model.load(tmp_path / "model.json"), rtol=0.0)
    assert deviations == {"energy": 0.0, "forces": 0.0, "strain_gradient": 0.0}


@pytest.mark.parametrize("key", ["energy", "forces", "strain_gradient"])
def test_golden_values_that_are_off(pair_model, system, key):
    golden = make_self_check(pair_model, system)
    values = np.array(golden[key])
    largest = max(1.0, np.abs(values).max())
    values.flat[0] += 1e-6 * largest
    wrong = replace(pair_model, metadata={"golden": golden | {key: values.tolist()}})
    with pytest.raises(ModelFileError, match=f"off: {key} by 1.0e-06;"):
        self_check(wrong, rtol=1e-7)
    assert self_check(wrong, rtol=2e-6)[key] == pytest.approx(1e-6, rel=1e-3)


def test_golden_values_are_asked_for(pair_model):
    with pytest.raises(ModelFileError, match="holds no golden values"):
        self_check(pair_model)


def test_description_tells_what_there_is(pair_model):
    text = everything(pair_model)
    for part in ("pairs", pair_model.hash, "Li, Si", "1, 1.5", "nobody, 2020", "4.5", "ZBL"):
        assert part in text
    assert "errors test energy MAE (meV/atom)" in text
    page = describe(pair_model)
    for part in ("pairs", pair_model.hash, "Li, Si", "nobody, 2020", "ZBL", "eV/Å", "no committee"):
        assert part in page
