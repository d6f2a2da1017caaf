"""The commands that compute properties of a crystal: what they print and write, and what they refuse."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from ase.build import bulk
from ase.io import write

from ase_scatter import Model, cli


def said(capsys, *arguments: object) -> str:
    assert cli.main([*map(str, arguments), "--quiet"]) == 0
    return capsys.readouterr().out


def test_elastic(tmp_path, capsys):
    data, plot = tmp_path / "si.json", tmp_path / "si.png"
    text = said(capsys, "elastic", "Si", "Si", "--json", data, "--plot", plot)
    result = json.loads(data.read_text())["result"]
    assert re.search(rf"C11 \(GPa\) +{result['tensor'][0][0]:.1f} ± \d", text)
    assert "Fd-3m" in text
    assert "\nstable against" in text
    assert "0" in text.splitlines()[6].split()[-3:]
    assert result["stable"] is True
    assert result["moduli"]["bulk"] == pytest.approx(88, abs=5)
    assert plot.stat().st_size > 10_000
    # Nothing is overwritten, and that is said before any work.
    assert cli.main(["elastic", "Si", "Si", "--json", str(data), "--quiet"]) == 2
    assert "--force" in capsys.readouterr().err


def test_elastic_from_a_file_of_a_model_without_a_committee(tmp_path, capsys):
    silent = replace(Model.load("Mo"), committee=None)
    silent.save(tmp_path / "mo.json")
    write(tmp_path / "POSCAR", bulk("Mo", a=3.2))
    assert "±" not in said(capsys, "elastic", tmp_path / "mo.json", tmp_path / "POSCAR").split("\n\n")[2]


def test_eos(tmp_path, capsys):
    data, plot = tmp_path / "si.json", tmp_path / "si.svg"
    text = said(capsys, "eos", "Si", "Si", "--json", data, "--plot", plot, "--points", 7)
    result = json.loads(data.read_text())["result"]
    assert len(result["energies"]) == 7
    assert f"{result['bulk_modulus']:.1f} ± {result['bulk_modulus_band']:.1f}" in text
    assert plot.exists()


def test_vacancy_and_surface(tmp_path, capsys):
    data = tmp_path / "mo.json"
    text = said(capsys, "vacancy", "Mo", "Mo", "--repeat", "2,2,2", "--json", data)
    result = json.loads(data.read_text())["result"]
    assert result["n_atoms"] == 16
    assert f"{result['energy']:.3f} ± {result['energy_band']:.3f}" in text
    text = said(capsys, "surface", "Mo", "Mo", "--miller", "1,1,0", "--layers", 6)
    assert "(1 1 0) face, slab of 12 atoms" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["elastic", "Si", "Mo"], "does not know Mo"),
        (["elastic", "nothing.json", "Si"], "nothing.json"),
        (["eos", "Si", "unobtainium"], "is no structure"),
        (["eos", "Si", "Si", "--plot", "eos.docx"], "no figure"),
        (["vacancy", "Si", "Si", "--index", "9999"], "no atom 9999"),
        (["surface", "Si", "Si", "--miller", "1,0"], "three numbers"),
        (["surface", "Si", "Si", "--miller", "0,0,0"], "not all zero"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments, message, capsys):
    assert cli.main([*arguments, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
