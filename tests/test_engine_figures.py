"""What measurements of the engines gave is kept, and holds what the documentation says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(scope="module")
def figures():
    return json.loads((EXAMPLES / "benchmarks/lammps_figures.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("engine", ["lammps", "kim"])
def test_engines_agree_with_the_calculator(engine):
    found = json.loads((EXAMPLES / "benchmarks/lammps_agreement.json").read_text(encoding="utf-8"))[engine]
    for name in ("Si", "Mo", "LiSi", "NbMoTaW", "void"):
        rows = {key: row for key, row in found[name].items() if isinstance(row, dict)}
        assert len(rows) == (3 if engine == "lammps" else 1)
        for row in rows.values():
            assert row.pop("virial (relative to its largest component)") < 1e-7
            assert max(row.values()) < 1e-10


def test_compiling_is_short_and_what_is_missing_is_said():
    found = json.loads((EXAMPLES / "benchmarks/lammps_agreement.json").read_text(encoding="utf-8"))["build"]
    assert found["clock (s)"] < 30
    assert len(found["what is said"]) == 5
    assert not any("\n" in sentence for sentence in found["what is said"].values())


def test_energy_is_conserved_and_ranks_agree(figures):
    found = figures["nve"]
    assert found["atoms"] == 4096
    assert found["steps"] == 5000
    assert abs(found["drift (meV/atom/ps)"]) <= 0.02
    assert found["first lines that are the same on 1 and 2 ranks"] == found["lines that were compared"] > 10


def test_it_is_faster_than_the_calculator_and_snap(figures):
    found = figures["speed"]
    assert found["atoms"] == 4096
    assert found["over the ASE calculator"] <= 0.75
    assert found["over SNAP"] < 1


def test_two_ranks_share_the_work(figures):
    assert figures["ranks"]["times sooner on as many free cores, from CPU time"]["2"] >= 1.85


def test_thermal_conductivity():
    found = json.loads((EXAMPLES / "thermal_conductivity.json").read_text(encoding="utf-8"))
    direct = found["boltzmann"]["κ (W/mK), solved directly"]
    assert 90 < direct["300 K"] < 130
    assert direct["500 K"] < 0.7 * direct["300 K"]
    for temperature in ("300 K", "500 K"):
        run = found[f"green-kubo {temperature}"]
        assert abs(run["mean temperature (K)"] - float(temperature.split()[0])) < 60
        # Short runs: the integral ends early, and three axes of two starts are few.
        assert run["standard error (W/mK)"] > 0
        assert 0 < run["κ (W/mK)"] < direct[temperature] + 3 * run["standard error (W/mK)"]
