"""What was measured of learning while running is kept, and holds what the documentation says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


def read(name):
    return json.loads((ROOT / "examples" / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def figures():
    return read("onthefly_figures")


@pytest.mark.parametrize(
    ("name", "calls", "milli_ev"),
    [("adatom", 5, 5), ("silicon_vacancy", 12, 10), ("copper", 8, 5), ("acetylacetone", 6, 10)],
)
def test_barriers(figures, name, calls, milli_ev):
    found = figures[name]
    assert found["plain"]["converged"]
    assert found["learnt"]["converged"]
    assert found["learnt"]["calls_band"] <= calls
    assert found["learnt"]["calls_band"] + found["learnt"]["calls_ends"] <= 15
    assert abs(found["difference_meV"]) <= milli_ev
    assert len(found["learnt"]["history"]) == found["learnt"]["calls_band"]


def test_ends(figures):
    assert all(figures[name]["learnt"]["calls_ends"] <= 8 for name in ("adatom", "silicon_vacancy", "copper"))


def test_crystals(figures):
    assert figures["silicon"]["learnt"]["calls"] <= 10
    assert figures["silicon"]["within_2_percent_or_bar"]
    assert figures["vibrations"]["learnt"]["calls"] <= 6
    assert figures["vibrations"]["largest_relative_error"] <= 0.02


def test_dynamics(figures):
    found = figures["dynamics"]["learnt"]
    assert found["calls"] <= 60
    assert found["checks"] == 100
    assert found["inside"] >= 0.85
    assert found["error"] <= 0.05


def test_time(figures):
    assert figures["package_time"]["update_cpu_s"] <= 2.0
    assert figures["package_time"]["md_step_over_evaluation"] <= 3.0


def test_fewer_calls_than_gpr_calc():
    for cell in read("onthefly_gpr_calc").values():
        others = [each for name, each in cell.items() if name.startswith("gpr-calc")]
        assert len(others) == 3
        for name in {"LearningCalculator", "learn_barrier"} & set(cell):
            assert cell[name]["converged"]
            assert cell[name]["calls"] < min(each["calls"] for each in others)
            off = abs(cell[name]["barrier"] - cell["plain"]["barrier"])
            assert off < min(abs(each["barrier"] - cell["plain"]["barrier"]) for each in others)


def test_the_page_shows_these_numbers(figures):
    page = (ROOT / "docs" / "howto" / "onthefly.md").read_text(encoding="utf-8")
    for name in ("adatom", "silicon_vacancy", "copper", "acetylacetone"):
        plain, learnt = figures[name]["plain"], figures[name]["learnt"]
        for calls in (plain, learnt):
            assert f"| {calls['calls_band']} + {calls['calls_ends']} |" in page
        assert f"{plain['barrier']:.4f}, {learnt['barrier']:.4f}" in page
    assert f"{figures['dynamics']['learnt']['calls']} |" in page
    assert np.isfinite(figures["dynamics"]["learnt"]["error"])
