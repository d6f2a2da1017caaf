"""Telling data sets apart: the classifier, its folds, what lies outside, and the command."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from ase_scatter import InputError, ScatteringDescriptor, cli
from ase_scatter.descriptors.classifier import auc, column_aucs, held_out_scores
from ase_scatter.descriptors.comparison import compare_data

SETTINGS = {"scales": (0.8, 1.4), "cutoff": 4.0, "first": (3, 1), "triple": 0, "exponents2": ()}


def copper(seed, stdev=0.05, a=3.6, group="hot"):
    atoms = bulk("Cu", "fcc", a, cubic=True)
    atoms.rattle(stdev, seed=seed)
    atoms.info["group"] = group
    return atoms


@pytest.fixture(scope="module")
def descriptor():
    return ScatteringDescriptor(settings=SETTINGS).fit([copper(seed, 0.1) for seed in range(10)])


def test_area_under_the_curve():
    scores = np.array([1.0, 2.0, 2.0, 3.0])
    positive = np.array([False, True, False, True])
    assert auc(scores, positive) == pytest.approx((2 * 0.75 + 2) / 4)  # one pair tied of four
    assert np.isnan(auc(scores, np.ones(4, bool)))
    np.testing.assert_allclose(column_aucs(np.array([scores, -scores]).T, positive), [0.875, 0.125])


def test_the_classifier_does_not_see_its_fold():
    """Labels by chance are not learnt; those of a shifted mean are."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 20))
    folds = np.arange(600) % 5
    labels = rng.random(600) < 0.3
    assert abs(auc(held_out_scores(x, labels, folds), labels) - 0.5) < 0.06
    x[labels, 3] += 2.0
    found = auc(held_out_scores(x, labels, folds), labels)
    assert found == pytest.approx(0.92, abs=0.03)  # Φ(2/√2)


def test_halves_of_one_set_cannot_be_told_apart(descriptor):
    pool = [copper(seed) for seed in range(240)]
    found = compare_data(pool[::2], pool[1::2], descriptor=descriptor)
    assert abs(found.auc - 0.5) < 0.08
    assert found.outside < 0.1
    assert "cannot be told apart" in found.in_words()[0]


def test_what_is_new_is_found(descriptor):
    """Hot, expanded frames among others like those of the first set."""
    first = [copper(seed) for seed in range(30)]
    second = [copper(100 + seed) for seed in range(10)]
    second += [copper(200 + seed, 0.2, 3.9, "expanded") for seed in range(10)]
    found = compare_data(first, second, descriptor=descriptor)
    by_name = {part.name: part for part in found.groups}
    assert by_name["expanded"].auc > 0.9
    assert by_name["expanded"].outside > 0.9
    assert by_name["hot"].outside < 0.3
    assert {frame for frame, _, _ in found.frames[:10]} == set(range(10, 20))
    assert found.added
    assert set(found.added) <= set(range(10, 20))
    assert abs(found.columns[0][1] - 0.5) > 0.2
    assert found.atoms[0][0] >= 10
    with pytest.raises(InputError, match="as many structures as there are folds"):
        compare_data(first, second[:3], descriptor=descriptor)
    pooled = ScatteringDescriptor(settings=SETTINGS, pooling="mean").fit(first)
    with pytest.raises(InputError, match="pooling='atom'"):
        compare_data(first, second, descriptor=pooled)


def test_an_element_that_the_first_set_does_not_have():
    second = [copper(seed) for seed in range(8)]
    for atoms in second:
        atoms.symbols[0] = "Au"
    alloy = ScatteringDescriptor(settings=SETTINGS).fit(second)
    found = compare_data([copper(20 + seed) for seed in range(8)], second, descriptor=alloy)
    assert found.new_elements == ["Au"]
    assert found.outside == 1.0  # gold is near all copper atoms, too
    assert json.dumps(found.to_dict(), allow_nan=False)


def test_the_command(tmp_path, capsys):
    write(tmp_path / "a.xyz", [copper(seed) for seed in range(12)], format="extxyz")
    write(tmp_path / "b.xyz", [copper(50 + seed, 0.2, 3.9) for seed in range(6)], format="extxyz")
    words = ["compare-data", f"{tmp_path}/a.xyz", f"{tmp_path}/b.xyz", "--quiet"]
    outputs = {"--json": "out.json", "--plot": "out.png", "--add": "add.extxyz"}
    extra = [word for option, name in outputs.items() for word in (option, f"{tmp_path}/{name}")]
    assert cli.main([*words, *extra]) == 0
    said = capsys.readouterr().out
    assert "AUC" in said
    assert "outside" in said
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["auc"] > 0.9
    assert (tmp_path / "out.png").stat().st_size > 10_000
    assert (tmp_path / "add.extxyz").read_text().count("Lattice") == len(document["added"]) > 0
    assert cli.main([*words, "--folds", "30"]) == 2
    assert "as there are folds" in capsys.readouterr().err
