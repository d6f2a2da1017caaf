"""The entry in ASE's registry of plugins."""

from __future__ import annotations

import configparser
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from ase_scatter import ScatteringCalculator


def test_ase_finds_the_calculator(monkeypatch):
    module = pytest.importorskip("ase._4.plugins.plugin_collection", reason="ASE is older than 3.29")
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).resolve().parents[1] / "setup.cfg")
    name, value = setup["options.entry_points"]["ase.plugins"].strip().split(" = ")
    points = [EntryPoint(name, value, "ase.plugins")]
    monkeypatch.setattr(module, "entry_points", lambda group: points if group == "ase.plugins" else [])
    (plugin,) = module.PluginCollection.from_entry_points().calculators
    assert plugin() is ScatteringCalculator
    assert "ase_scatter" in plugin.display()
    assert "10.1063/5.0016020" in plugin.citation
