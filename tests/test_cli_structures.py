"""The commands `singlepoint`, `relax` and `md`: what they print, write and refuse."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read, write

from ase_scatter import Model, ScatteringCalculator, cli


def said(capsys, *arguments: object, code: int = 0) -> str:
    assert cli.main([*map(str, arguments)]) == code
    return capsys.readouterr().out


@pytest.fixture
def rattled(tmp_path):
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.05, seed=1)
    write(tmp_path / "si.extxyz", [atoms, bulk("Si", a=5.2)])
    return tmp_path / "si.extxyz"


def test_singlepoint(rattled, tmp_path, capsys):
    data, output = tmp_path / "out.json", tmp_path / "out.extxyz"
    text = said(capsys, "singlepoint", "Si", rattled, "--json", data, "-o", output)
    first, second = read(rattled, ":")
    first.calc = ScatteringCalculator("Si")
    unsure = first.calc.get_uncertainty(first)
    lines = text.splitlines()
    assert len(lines) == 4
    assert "grade" in lines[0]
    assert f"{first.get_potential_energy():.3f} ± {unsure.energy:.3f}" in lines[2]
    found = json.loads(data.read_text())["structures"]
    assert found[0]["forces"] == first.get_forces().tolist()
    assert found[0]["stress"] == first.get_stress().tolist()
    assert found[0]["grade"] == unsure.grade.tolist()
    assert found[0]["forces_band"] == unsure.forces.tolist()
    assert [len(each["forces"]) for each in found] == [8, len(second)]
    np.testing.assert_allclose(read(output, 0).get_forces(), first.get_forces(), atol=1e-7)


def test_singlepoint_without_a_committee_or_a_cell(tmp_path, capsys):
    replace(Model.load("Si"), committee=None).save(tmp_path / "mine.json")
    molecule = bulk("Si")
    molecule.cell, molecule.pbc = None, False
    write(tmp_path / "si2.xyz", molecule)
    text = said(capsys, "singlepoint", tmp_path / "mine.json", tmp_path / "si2.xyz")
    assert not any(word in text for word in ("±", "grade", "pressure"))


def test_relax(rattled, tmp_path, capsys):
    output, data = tmp_path / "relaxed.extxyz", tmp_path / "relaxed.json"
    write(tmp_path / "start.extxyz", read(rattled, 0))
    start = tmp_path / "start.extxyz"
    text = said(capsys, "relax", "Si", start, "--quiet", "-o", output, "--json", data)
    relaxed = read(output)
    assert np.linalg.norm(relaxed.get_forces(), axis=1).max() < 0.01
    assert relaxed.cell.lengths()[0] == pytest.approx(5.43)
    assert relaxed.get_stress().shape == (6,)
    shown = re.search(r"(-\d+\.\d+) ± ", text)  # with as many digits as the half-width allows
    assert shown is not None
    assert float(shown[1]) == pytest.approx(relaxed.get_potential_energy(), abs=0.005)
    assert json.loads(data.read_text())["converged"] is True
    # The cell, by another optimiser.
    options = ["--cell", "shape", "--optimizer", "fire", "--fmax", "0.001", "--force", "-o", output]
    said(capsys, "relax", "Si", start, "--quiet", *options)
    assert read(output).cell.lengths()[0] == pytest.approx(5.4695, abs=0.002)
    assert "NOT CONVERGED" in said(capsys, "relax", "Si", start, "--steps", 1, "--quiet", code=1)


def test_md(tmp_path, capsys):
    run, plot, data = tmp_path / "run.traj", tmp_path / "run.png", tmp_path / "run.json"
    settings = ["--ensemble", "npt", "--temperature", "300,600", "--watch", 20, "--trajectory", run]
    text = said(capsys, "md", "Si", "Si", *settings, "--steps", 20, "--plot", plot, "--json", data)
    assert plot.stat().st_size > 10_000
    found = json.loads(data.read_text())["run"]
    assert [sample["step"] for sample in found["samples"]] == [0, 10, 20]
    assert found["samples"][1]["grade"] is None
    assert 0 < found["samples"][2]["grade"] < 1
    assert len([line for line in text.splitlines() if "grade 0." in line]) == 2
    assert "volume (Å³/atom)" in text
    # What exists is not overwritten, but gone on with.
    assert cli.main(["md", "Si", "Si", "--trajectory", str(run)]) == 2
    assert "exists" in capsys.readouterr().err
    said(capsys, "md", "Si", "Si", *settings, "--steps", 40, "--restart", "--quiet")
    assert [frame.info["step"] for frame in read(run, ":")] == [0, 10, 20, 30, 40]


def test_md_stops_outside_the_training_data(tmp_path, capsys):
    write(tmp_path / "tight.xyz", bulk("Si", a=4.2, cubic=True))
    text = said(capsys, "md", "Si", tmp_path / "tight.xyz", "--watch", 10, "--stop-outside", code=1)
    assert text.splitlines()[-1].startswith("STOPPED after 0 of 1000 steps: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["relax", "Si", "Si", "-o", "out.cif"], "must end in .extxyz"),
        (["relax", "Si", "Mo"], "does not know Mo"),
        (["md", "Si", "Si", "--trajectory", "run.xyz"], "must end in .traj"),
        (["md", "Si", "Si", "--restart"], "--trajectory"),
        (["md", "Si", "Si", "--temperature", "1,2,3"], "one number, or two"),
        (["md", "Si", "Si", "--stop-outside"], "watched"),
        (["md", "Si", "Si", "--repeat", "2"], "three whole numbers"),
        (["md", "Si", "Si", "--watch", "15"], "multiple of every"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments, message, capsys):
    assert cli.main([*arguments, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
