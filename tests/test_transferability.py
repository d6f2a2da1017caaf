"""Errors of a potential on other data beside its warnings."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write

from ase_scatter import FitSettings, InputError, cli, fit, frames_of
from ase_scatter.descriptors.transferability import transferability

SITES = {"first": (3, 1), "inner": (), "outer": (), "triple": 2, "exponents2": ()}


def copper(seed, stdev, a, group):
    atoms = bulk("Cu", "fcc", a, cubic=True)
    atoms.rattle(stdev, seed=seed)
    atoms.info["group"] = group
    atoms.calc = EMT()
    for label in ("energy", "forces"):
        atoms.calc.get_property(label, atoms)
    return atoms


@pytest.fixture(scope="module")
def model():
    settings = FitSettings(sites=SITES, columns=30, folds=4, ridges=(1e-9, 1e-7), members=4)
    train = [copper(seed, 0.05, 3.6, "cold") for seed in range(16)]
    return fit(train, settings=settings, progress=False, workers=1).model


@pytest.fixture(scope="module")
def others():
    near = [copper(100 + seed, 0.05, 3.6, "cold") for seed in range(12)]
    return near + [copper(200 + seed, 0.25, 3.8, "hot") for seed in range(4)]


def test_groups_and_warnings(model, others):
    found = transferability(model, frames_of(others), name="others", workers=1)
    all_, cold, hot = found.groups
    assert [g.name for g in found.groups] == ["all", "cold", "hot"]
    assert hot.force_rmse > 5 * cold.force_rmse
    assert hot.grade > 1 > cold.grade
    assert hot.large > 0.8 > 0.2 > cold.large
    assert all_.n_atoms == cold.n_atoms + hot.n_atoms == 64
    assert min(found.roc.values()) > 0.9
    assert found.warned > 0.9 > 0.5 > found.false
    # The curve's area is the AUC where no scores are tied.
    for name, (alarms, hits) in found.curves.items():
        assert np.trapezoid(hits, alarms) == pytest.approx(found.roc[name], abs=1e-3)
    assert found.to_dict()["unit"] == "eV/Å"


def test_without_forces(model, others):
    found = transferability(model, frames_of(others, forces_key=""), workers=1)
    assert not found.of_forces
    assert len(found.errors) == 16
    assert np.isnan(found.groups[0].force_rmse)
    assert found.roc["grade"] > 0.9


def test_what_is_refused(model, others):
    from dataclasses import replace

    with pytest.raises(InputError, match="no committee"):
        transferability(replace(model, committee=None), frames_of(others))
    with pytest.raises(InputError, match="no frames"):
        transferability(model, [])


def test_the_page(model, others, tmp_path, capsys):
    model.save(tmp_path / "cu.json")
    write(tmp_path / "others.xyz", others, format="extxyz")
    words = ["report", f"{tmp_path}/cu.json", "--against", f"{tmp_path}/others.xyz", "--no-crystals"]
    assert cli.main([*words, "-o", f"{tmp_path}/cu.html", "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "Area under the curve" in said
    text = (tmp_path / "cu.html").read_text()
    assert "Transfer to others.xyz" in text
    assert "hot" in text
