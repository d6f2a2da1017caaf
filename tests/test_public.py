"""What users import: every public name is there, nothing hides a module, and importing is cheap."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import ase_scatter

PACKAGE = Path(ase_scatter.__file__).parent


@pytest.mark.parametrize("name", ase_scatter.__all__)
def test_public_names_are_there(name):
    assert getattr(ase_scatter, name) is not None
    assert name in dir(ase_scatter)


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="no attribute 'Fit'"):
        ase_scatter.Fit  # noqa: B018


def test_no_name_hides_a_module():
    modules = {path.stem for path in PACKAGE.iterdir()} - {"__init__", "__pycache__"}
    assert not modules & set(ase_scatter.__all__)
    assert importlib.import_module("ase_scatter.training.fitting").predict is ase_scatter.predict


def test_what_an_import_loads():
    """Nothing heavy; and a calculator loads no training."""
    code = """
import sys, ase_scatter
heavy = {"numpy", "scipy", "ase", "numba", "matplotlib", "spglib"} & set(sys.modules)
assert not heavy, heavy
from ase_scatter import ScatteringCalculator
heavy = ("ase_scatter.training", "scipy.stats", "matplotlib")
loaded = [name for name in sys.modules if name.startswith(heavy)]
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True)
