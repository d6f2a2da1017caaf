"""The commands that compute properties of a crystal: what they print and write, and what they refuse."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from ase.build import bulk
from ase.io import write

from ase_scatter import Model, ScatteringCalculator, cli
from ase_scatter.properties import elastic_constants, energy_volume, relax_cell
from ase_scatter.reporting.tables import measured
from ase_scatter.units import GPA


def said(capsys, *arguments: object) -> str:
    assert cli.main([*map(str, arguments), "--quiet"]) == 0
    return capsys.readouterr().out


def test_elastic(tmp_path, capsys):
    data, plot = tmp_path / "si.json", tmp_path / "si.png"
    text = said(capsys, "elastic", "Si", "Si", "--json", data, "--plot", plot)
    result = json.loads(data.read_text())["result"]
    assert re.search(rf"C11 \(GPa\) +{result['tensor'][0][0]:.0f}[\d.]* ± \d", text)
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
    assert "±" not in said(capsys, "elastic", tmp_path / "mo.json", tmp_path / "POSCAR")


def test_an_unstable_crystal_is_told_by_word_and_exit_code(tmp_path, capsys):
    write(tmp_path / "fcc.cif", bulk("Mo", "fcc", a=4.0))
    assert cli.main(["elastic", "Mo", str(tmp_path / "fcc.cif"), "--quiet"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("NOT STABLE: ")


@pytest.mark.parametrize("command", ["eos", "vacancy", "surface"])
def test_ions_that_do_not_come_to_rest_are_told_by_word_and_exit_code(command, capsys, monkeypatch):
    from ase_scatter import properties

    name = {"eos": "energy_volume", "vacancy": "vacancy_formation", "surface": "surface_energy"}[command]
    real = getattr(properties, name)
    monkeypatch.setattr(properties, name, lambda *args, **keys: replace(real(*args, **keys), converged=False))
    more = {"vacancy": ["--repeat", "1,1,2"], "surface": ["--miller", "1,0,0", "--layers", "2"]}
    assert cli.main([command, "Mo", "Mo", *more.get(command, []), "--quiet"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("NOT CONVERGED: ")


def test_eos(tmp_path, capsys):
    data, plot = tmp_path / "si.json", tmp_path / "si.svg"
    text = said(capsys, "eos", "Si", "Si", "--json", data, "--plot", plot, "--points", 7)
    result = json.loads(data.read_text())["result"]
    assert len(result["energies"]) == 7
    assert f"{result['bulk_modulus']:.1f} ± {result['bulk_modulus_band']:.1f}" in text
    assert "value ± 90 % half-width" in text
    assert plot.exists()


def test_vacancy_and_surface(tmp_path, capsys):
    data = tmp_path / "mo.json"
    text = said(capsys, "vacancy", "Mo", "Mo", "--repeat", "2,2,2", "--json", data)
    result = json.loads(data.read_text())["result"]
    assert result["n_atoms"] == 16
    assert f"{result['energy']:.2f} ± {result['energy_band']:.2f}" in text
    text = said(capsys, "surface", "Mo", "Mo", "--miller", "1,1,0", "--layers", 6)
    assert "(1 1 0) face, slab of 12 atoms" in text
    assert "\n0* " in text


def test_the_termination_of_a_surface(tmp_path, capsys):
    """Silicon (111) is cut where one bond breaks, unless told otherwise; all cuts are listed."""
    data = tmp_path / "si.json"
    face = ["surface", "Si", "Si", "--miller", "1,1,1", "--layers", 4]
    text = said(capsys, *face, "--json", data)
    result = json.loads(data.read_text())["result"]
    assert result["termination"] == 0
    assert result["energy"] == pytest.approx(1.3, abs=0.1)
    assert [cut["gap"] for cut in result["terminations"]] == pytest.approx([2.37, 0.79], abs=0.01)
    assert text.index("\n0*  ") < text.index("\n1   ")
    assert "\n1*  " in said(capsys, *face, "--termination", 1)
    assert cli.main([*map(str, face), "--termination", "2", "--quiet"]) == 2
    assert "has 2" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["Si", "Mo"])
def test_one_bulk_modulus_by_curve_pressure_and_constants(name):
    """B = −V dP/dV, by energies over volumes, by the stress of two volumes, and as (C11 + 2 C12)/3."""
    calculator = ScatteringCalculator(name)
    crystal = relax_cell(bulk(name, cubic=True), calculator, fmax=1e-4).atoms
    by_curve = energy_volume(crystal, calculator).bulk_modulus
    cubic = elastic_constants(crystal, calculator).cubic()
    pressures = []
    for scale in (0.999, 1.001):
        strained = crystal.copy()
        strained.set_cell(scale * crystal.cell, scale_atoms=True)
        strained.calc = calculator
        pressures.append(-strained.get_stress()[:3].mean() / GPA)
    by_pressure = (pressures[0] - pressures[1]) / 0.006
    assert by_curve == pytest.approx(by_pressure, rel=0.005)
    assert (cubic.c11 + 2 * cubic.c12) / 3 == pytest.approx(by_pressure, rel=0.005)


def test_phonons_refuse_a_supercell_before_anything_is_relaxed(capsys, monkeypatch):
    from ase_scatter import properties

    monkeypatch.setattr(properties, "relax_cell", lambda *_, **__: pytest.fail("relaxed"))
    assert cli.main(["phonons", "Si", "Si", "--supercell", "2", "--quiet"]) == 2
    assert "three whole numbers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "half_width", "text"),
    [
        (0.264, 0.494, "0.26 ± 0.49"),
        (88.9307, 5.82746, "88.9 ± 5.8"),
        (265.1, 16.4, "265 ± 16"),
        (265.1, 123.4, "265 ± 123"),
        (5.469012, 0.000996, "5.4690 ± 0.0010"),
        (5.469012, 0.00006, "5.4690 ± 0.0001"),
        (0.0, 3e-15, "0.000"),
        (-0.0001, 0.099, "0.000 ± 0.099"),
        (1.23456, None, "1.235"),
        (1.23456, float("nan"), "1.235"),
        (1.23456, 0.0, "1.235"),
        (None, None, "–"),
    ],
)
def test_digits_follow_from_the_error_bar(value, half_width, text):
    assert measured(value, half_width, ".3f") == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["elastic", "Si", "Mo"], "does not know Mo"),
        (["elastic", "nothing.json", "Si"], "nothing.json"),
        (["eos", "Si", "unobtainium"], "is no structure"),
        (["eos", "Si", "Si", "--plot", "eos.docx"], "no figure"),
        (["vacancy", "Si", "Si", "--index", "9999"], "no atom 9999"),
        (["vacancy", "Si", "Si", "--repeat", "2"], "three positive numbers"),
        (["vacancy", "Si", "Si", "--repeat", "2,2,0"], "three positive numbers"),
        (["phonons", "Si", "Si", "--supercell", "2"], "three whole numbers"),
        (["surface", "Si", "Si", "--miller", "1,0"], "three numbers"),
        (["surface", "Si", "Si", "--miller", "0,0,0"], "not all zero"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments, message, capsys):
    assert cli.main([*arguments, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
