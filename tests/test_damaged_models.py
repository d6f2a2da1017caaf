"""Model files whose checksums are right and whose parts are not: refused in a sentence when they are read."""

from __future__ import annotations

import json
from functools import reduce
from pathlib import Path

import pytest

from ase_scatter.calculator import ScatteringCalculator
from ase_scatter.errors import InputError, ModelFileError
from ase_scatter.model.model import Model
from ase_scatter.model.model_file import checksum

DAMAGES = {
    "sites": [
        (("weights", 0), "0.5", "weights must be finite numbers"),
        (("weights", 0), None, "weights must be"),
        (("weights",), [[1.0]], "weights must be finite numbers in 1 dimension"),
        (("e0",), [1, 2], "e0 must be described by names"),
        (("e0", "Si"), "low", "e0 must be a finite number"),
        (("e0",), {"Li": -1.0}, "e0: Si missing"),
        (("core", "r_inner", 0), [1.0], "r_inner must be"),
        (("core", "elements"), ["Si", "Si"], "distinct"),
        (("core",), {"kind": "zbl"}, "core: elements, r_inner, r_outer missing"),
        (("transform",), 3, "transform must be described"),
        (("transform", "kind"), [], "kind"),
        (("transform", "settings", "cutoff"), "far", "cutoff must be a finite number"),
        (("transform", "settings", "cutoff"), float("inf"), "cutoff must be a finite number"),
        (("transform", "settings", "first"), [1.5], "must be whole"),
        (("transform", "settings", "angle"), 1.0, "angle not known"),
        (("transform", "settings", "scales"), 2.0, "scales must be"),
        (("transform", "channels", "elements"), "LiSi", "list of names"),
        (("transform", "channels", "weights", 0), 1.0, "weights of channels must be"),
        (("transform", "columns", 0, 0), "quadruple", "unknown kind"),
        (("transform", "columns", 0, 1, 0, 0), 9, "channel"),
        (("transform", "columns", 0, 1, 0, 1), 9, "no Wavelet"),
        (("transform", "columns", 0, 1, 0, 3), 500, "too high an order"),
        (("transform", "columns", 0, 1, 0, 3), -1, "must not be negative"),
        (("transform", "columns", 0, 2), [0, 0, 0], "other fields"),
        (("transform", "columns", 0, 3), None, "other fields"),
        (("transform", "columns", 0, 3), -1.0, "exponents must be positive"),
        (("transform", "columns", 0, 4), 7, "of element 7"),
        (("transform", "norms", 0, 1), 0.0, "norms must be positive"),
        (("transform", "norms", 0, 1), float("nan"), "a norm must be"),
        (("committee", "weights", 0, 0), "a", "weights of the committee must be"),
        (("committee", "e0"), 4, "free atoms of the committee must be described"),
        (("committee", "factors", "force"), -1.0, "factors of a committee must be positive"),
        (("committee", "domain", "Si", "columns", 0), 10**6, "columns that are not among"),
        (("committee", "domain", "Si", "lengths", 0), 0.0, "lengths of the domain must be positive"),
        (("committee", "domain", "Si", "mean"), [1.0], "different lengths"),
        (("committee", "domain", "Si"), None, "domain must be described"),
        (("metadata",), [], "metadata must be described"),
        (("metadata", "golden"), [1], "metadata 'golden' must be described"),
        (("metadata", "fit"), {"a": reduce(lambda inner, _: [inner], range(60), 1)}, "nested deeper"),
        (("units",), {"energy": "kcal/mol"}, "other units"),
    ],
    "grid": [
        (("transform", "settings", "band"), None, "band must be a finite number"),
        (("transform", "columns", 0, 0), 4, "of channel 4"),
        (("transform", "columns", 0, 1), 9, "no Wavelet"),
        (("transform", "columns", 0), [0, 0, 2.0], "four numbers, or seven"),
        (("transform", "columns", 1), [0, 0, 0, 0, 2.0], "given twice"),
        (("transform", "columns", 0, 4), 0.0, "exponents must be positive"),
        (("transform", "norms", 0, 4), -1.0, "norms must be positive"),
    ],
    "both": [
        (("transform", "parts"), [], "a stacked transform is made of"),
        (("transform", "parts", 0, "kind"), "both", "a stacked transform is made of"),
        (("transform", "parts", 0), 3, "part of a transform must be described"),
    ],
}
MODELS = {"sites": "LiSi", "grid": "Si-grid", "both": "Si-both"}


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    found = {}
    for kind, name in MODELS.items():
        Model.load(name).save(folder / "model.json", overwrite=True)
        found[kind] = (folder / "model.json").read_text()
    return found


@pytest.mark.parametrize(
    ("kind", "where", "value", "said"),
    [(kind, *row) for kind, rows in DAMAGES.items() for row in rows],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_parts_that_are_wrong(texts, tmp_path, kind, where, value, said):
    document = json.loads(texts[kind])
    *way, last = where
    reduce(lambda at, key: at[key], way, document)[last] = value
    document["sha256"] = checksum({key: document[key] for key in ("transform", "weights", "e0", "core")})
    document["committee_sha256"] = checksum(document["committee"])
    document.pop("metadata_sha256")
    path = tmp_path / "model.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ModelFileError, match=said) as error:
        Model.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("depth", [990, 100_000])
@pytest.mark.parametrize("place", ["whole", "weights", "metadata"])
def test_brackets_without_end(texts, tmp_path, depth, place):
    nested = "[" * depth + "]" * depth
    document = json.loads(texts["sites"])
    text = nested
    if place != "whole":
        document[place] = "nested"
        text = json.dumps(document).replace('"nested"', nested)
    path = tmp_path / "model.json"
    path.write_text(text)
    with pytest.raises(ModelFileError):
        Model.load(path)


@pytest.mark.parametrize("name", [None, 3, b"Si", ["Si"]])
def test_what_is_no_name(name):
    with pytest.raises(InputError, match="give the name of a shipped model"):
        ScatteringCalculator(name)


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 5000, "x" * 5000 + ".json", ".", Path("/")])
def test_names_that_no_file_has(name):
    with pytest.raises(ModelFileError):
        Model.load(name)


@pytest.mark.parametrize("part", ["weights", "e0"])
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_energies_that_are_not_finite(texts, tmp_path, crystal, part):
    document = json.loads(texts["sites"])
    large = {"weights": [1e308] * len(document["weights"]), "e0": {"Li": 1e308, "Si": 1e308}}
    document[part] = large[part]
    document["metadata"] = {}
    document.pop("metadata_sha256")
    document["sha256"] = checksum({key: document[key] for key in ("transform", "weights", "e0", "core")})
    path = tmp_path / "model.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="no finite energy"):
        ScatteringCalculator(path).get_potential_energy(crystal)
