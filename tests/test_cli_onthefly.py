"""The command `onthefly`: results, and one sentence for what cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import read, write

from ase_scatter import Model, read_store
from ase_scatter.cli import main


@pytest.fixture
def start(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=0)
    write("start.xyz", atoms)
    return atoms


def test_a_relaxation_and_what_it_leaves(start, capsys):
    command = ["onthefly", "relax", "start.xyz", "--reference", "emt", "--store", "run"]
    assert main([*command, "--json", "out.json", "--model", "cu.json", "-o", "rest.extxyz"]) == 0
    out, err = capsys.readouterr()
    assert "largest force" in out
    assert "reference calls" in err
    calls = json.loads(Path("out.json").read_text())["n_reference"]
    assert f"calls of the reference: {calls}," in out
    assert len(read_store("run")) == calls
    assert Model.load("cu.json").elements == ("Cu",)
    assert len(read("rest.extxyz")) == 4
    # Again: nothing is computed.
    assert main([*command, "--quiet"]) == 0
    assert "calls of the reference: 0," in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["relax", "start.xyz", "--reference", "nothing"], "ASE knows no calculator 'nothing'"),
        (["relax", "start.xyz", "--reference", "mine:make"], "the reference 'mine:make' cannot be found"),
        (["relax", "start.xyz", "--reference", "bare:NoForces"], "NoForces has no forces"),
        (["relax", "start.xyz", "--reference", "emt", "--store", "start.xyz"], "cannot be written"),
        (["relax", "start.xyz", "--reference", "emt", "--store", "other"], "results of another reference"),
        (["relax", "start.xyz", "--reference", "emt", "--reference-options", "no.json"], "cannot be read"),
        (["barrier", "start.xyz", "--reference", "emt"], "takes 2 structures, not 1"),
        (["barrier", "start.xyz", "other.xyz", "--reference", "emt"], "different atoms"),
        (["relax", "start.xyz", "--reference", "emt", "--plot", "a.png"], "draws the band"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(start, tmp_path, capsys, arguments, told):
    start.numbers[0] = 47
    write("other.xyz", start)
    (tmp_path / "bare.py").write_text(
        "from ase.calculators.calculator import Calculator\n"
        "class NoForces(Calculator):\n    implemented_properties = ['energy']\n"
    )
    (tmp_path / "other" / "frames").mkdir(parents=True)
    (tmp_path / "other" / "reference.json").write_text('{"name": "PBE"}')
    assert main(["onthefly", *arguments]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert told in err
    assert len(err.strip().splitlines()) == 1
