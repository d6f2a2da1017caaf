"""The README says what the code does: its tables, commands, links and programs."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ase_scatter import cli, shipped_models

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples"))

import readme_tables  # noqa: E402

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def programs(language: str) -> list[str]:
    return [body for kind, body in BLOCKS if kind == language]


def test_its_tables_are_those_of_the_model_files_and_the_defaults():
    if not shipped_models():
        pytest.skip("no potentials are there yet")
    assert readme_tables.replaced(TEXT) == TEXT, "run examples/readme_tables.py --write"


def test_every_shipped_model_is_in_its_table():
    table = readme_tables.errors_table()
    assert all(f"**{name}**" in table for name in shipped_models())


def test_its_links_exist():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)
    assert len(links) > 3
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_its_examples_exist():
    assert [name for name in re.findall(r"examples/[\w/]+\.py", TEXT) if not (ROOT / name).exists()] == []


def test_its_commands_are_understood():
    lines = [line.split("#")[0].split() for body in programs("sh") for line in body.splitlines()]
    commands = [line[1:] for line in lines if line[:1] == ["ase-scatter"]]
    assert len(commands) >= 3
    for command in commands:
        cli.build_parser().parse_args(command)


def test_its_options_are_those_of_the_command():
    options = re.findall(r"^\| `(--[\w-]+)` ", TEXT, re.MULTILINE)
    assert len(options) > 10
    words = {"--no-core": [], "--channels": ["species"], "--transform": ["grid"]}
    for option in options:
        cli.build_parser().parse_args(["fit", "a.xyz", "-o", "b.json", option, *words.get(option, ["1"])])


def test_its_first_program_runs(capsys):
    if "Si" not in shipped_models():
        pytest.skip("Si is not there yet")
    exec(compile(programs("python")[0], "README.md", "exec"), {})
    assert capsys.readouterr().out


def test_its_other_programs_compile():
    for body in programs("python"):
        compile(body, "README.md", "exec")


def test_the_two_commands():
    lines = {tuple(line.split("#")[0].split()) for body in programs("sh") for line in body.splitlines()}
    assert {("./run", "tour"), ("./run", "check")} <= lines
    for script in ("run", ".ci/run"):
        assert os.access(ROOT / script, os.X_OK), script
        subprocess.run(["bash", "-n", str(ROOT / script)], check=True)
    done = subprocess.run([str(ROOT / "run"), "--help"], capture_output=True, text=True, check=True)
    assert "./run tour" in done.stdout
    assert subprocess.run([str(ROOT / "run"), "nonsense"], capture_output=True).returncode == 2


def test_versions_agree():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    version = setup["metadata"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {version}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_no_table_is_left_open():
    assert TEXT.count("<!-- ERRORS -->") == TEXT.count("<!-- /ERRORS -->") == 1
    assert TEXT.count("<!-- OPTIONS -->") == TEXT.count("<!-- /OPTIONS -->") == 1
