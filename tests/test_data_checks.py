"""Data that are wrong are told, data that are right are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from corrupted_data import BASES, cases, clean, corrupted, expected

from ase_scatter.cli import main
from ase_scatter.errors import DataWarning, InputError
from ase_scatter.structures.dataset import read_frames
from ase_scatter.training.data_checks import check_data
from ase_scatter.training.findings import serious
from ase_scatter.training.fitting import fit
from ase_scatter.training.settings import FitSettings

DATA = Path("/work/shared/data")

MISSED = {
    ("CuNi", "energies of a quarter off, no groups"),
    ("Ar", "stresses with a constant virial"),
}
"""Cases that are not found yet."""


@pytest.mark.parametrize("base", BASES)
def test_nothing_is_wrong_with_clean_data(base):
    assert check_data(clean(base), workers=1) == []


SHARED = sorted(cases(), key=lambda case: (case[1], case[0]))
"""`python tests/corrupted_data.py` tries all; here each corruption is tried on one of the sets."""


@pytest.mark.parametrize(("base", "name"), [case for k, case in enumerate(SHARED) if k % 3 == k // 3 % 3])
def test_what_is_wrong_is_found(base, name):
    found = {finding.name for finding in check_data(corrupted(base, name), workers=1)}
    assert bool(found & expected(name)) != ((base, name) in MISSED), found


def test_findings_name_the_frames():
    frames = corrupted("Si", "one energy off by 3 eV/atom")
    (finding,) = serious(check_data(frames, workers=1))
    assert finding.frames == (17,)
    assert "+3" in finding.text
    (finding,) = check_data(corrupted("CuNi", "structures twice"), workers=1)
    assert not finding.serious
    assert {0, 1, 2, 48, 49, 50} == set(finding.frames)


def test_a_fit_warns_or_refuses():
    frames = corrupted("Si", "forces flipped")
    settings = FitSettings(
        sites={"first": (2,), "inner": (), "outer": (), "triple": 0, "exponents2": (), "cutoff": 4.5},
        columns=10, folds=2, members=0, ridge=1e-7, sigma_energy=0.01, sigma_stress=0.1,
    )  # fmt: skip
    with pytest.raises(InputError, match="forces have the wrong sign; multiply them by −1"):
        fit(frames, settings=settings, progress=False, strict=True)
    with pytest.warns(DataWarning, match="forces have the wrong sign"):
        result = fit(frames, settings=settings, progress=False)
    assert result.model.metadata["fit"]["findings"][0]["name"] == "forces"


def test_the_command(tmp_path, capsys):
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    def atoms(frame):
        system = frame.system
        made = Atoms(system.numbers, system.positions, cell=system.cell, pbc=system.pbc)
        made.calc = SinglePointCalculator(made, energy=frame.energy, forces=frame.forces, stress=frame.stress)
        return made

    write(tmp_path / "right.extxyz", [atoms(f) for f in clean("Si")])
    write(tmp_path / "wrong.extxyz", [atoms(f) for f in corrupted("Si", "stresses in GPa")])
    common = ["--workers", "1", "--quiet", "--strict"]
    assert main(["check", str(tmp_path / "right.extxyz"), *common]) == 0
    assert "nothing was found" in capsys.readouterr().out
    told = tmp_path / "told.json"
    assert main(["check", str(tmp_path / "wrong.extxyz"), *common, "--json", str(told)]) == 2
    assert "stresses are in GPa" in capsys.readouterr().out
    assert json.loads(told.read_text())["findings"][0]["name"] == "stresses"


@pytest.mark.skipif(not DATA.is_dir(), reason="the reference data are not there")
@pytest.mark.parametrize("name", ["mlearn/Li_train", "mlearn/Si_train", "lisi_pbe/lisi_pbe_train"])
def test_published_data_are_right(name):
    assert serious(check_data(read_frames(DATA / f"{name}.extxyz"), workers=1)) == []


@pytest.mark.skipif(not DATA.is_dir(), reason="the reference data are not there")
def test_coppers_stresses_are_not_those_of_its_energies():
    (finding,) = serious(check_data(read_frames(DATA / "mlearn/Cu_test.extxyz"), workers=1))
    assert "pressures are not those of the energies" in finding.text
