"""What is declared is what is tested, and what is needed is shipped."""

from __future__ import annotations

import configparser
import re
from importlib.resources import files
from pathlib import Path

from conftest import OLDEST

import ase_scatter

ROOT = Path(__file__).resolve().parents[1]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")


def test_the_oldest_versions_declared_are_those_tested():
    lines = (ROOT / ".ci/oldest.txt").read_text(encoding="utf-8").splitlines()
    tested = dict(line.split("==") for line in lines if not line.startswith("#"))
    extras = SETUP["options.extras_require"]["phonons"]
    requirements = (SETUP["options"]["install_requires"] + "\n" + extras).split()
    declared = dict(re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement).groups() for requirement in requirements)
    assert set(declared) == set(tested)
    for name, floor in declared.items():
        assert re.fullmatch(rf"{re.escape(floor)}(\.0)*", tested[name]), name


def test_all_packages_are_declared():
    there = {path.parent.relative_to(ROOT) for path in (ROOT / "ase_scatter").rglob("__init__.py")}
    declared = set(SETUP["options"]["packages"].split()) - {"ase_scatter.potentials"}
    assert declared == {".".join(path.parts) for path in there}


def test_what_is_installed_is_complete():
    installed = files(ase_scatter)
    assert installed.joinpath("py.typed").is_file()
    for source in [*(ROOT / "ase_scatter").rglob("*.c[up]*"), *(ROOT / "ase_scatter").rglob("*.h*")]:
        assert installed.joinpath(*source.relative_to(ROOT / "ase_scatter").parts).is_file(), source


def test_files_for_the_oldest_versions_are_there():
    there = {path.stem.removeprefix("test_") for path in (ROOT / "tests").glob("test_*.py")}
    assert set(OLDEST) - there == set()
