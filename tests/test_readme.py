"""README and documentation say what the code does: their tables, commands, links and programs."""

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

FILES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
FILES += sorted(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts)
PAGES = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in FILES}
README = PAGES["README.md"]
HOW_TOS = [name for name in PAGES if name.startswith("docs/howto/")]
NOT_RUN = {
    "docs/howto/gpu.md": "needs a GPU",
    "docs/howto/i_pi.md": "waits for a server; tests/test_outside_programs.py runs one",
    "docs/howto/works_with.md": "needs other programs; examples/outside_programs.py runs them",
    "docs/howto/kim.md": "needs the KIM API; tests/test_kim.py uses it",
    "docs/howto/several_machines.md": "needs a scheduler of dask, and fits with the full settings",
    "docs/howto/train.md": "fits with the full settings; a tutorial runs a smaller fit",
}


def blocks(text: str, language: str) -> list[str]:
    """Bodies of the blocks of code in a language, with those in lists unindented."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, body in found]


def cells(text: str) -> list[str]:
    """Cells of a tutorial."""
    found = re.findall(r"^```\{code-cell\} python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [cell for cell in found if "%matplotlib" not in cell]


def commands(text: str) -> list[list[str]]:
    lines = [line.split("#")[0].split() for body in blocks(text, "sh") for line in body.splitlines()]
    return [line[1:] for line in lines if line[:1] == ["ase-scatter"]]


@pytest.mark.parametrize("name", readme_tables.TABLES)
def test_tables_are_those_of_the_model_files_and_the_defaults(name):
    page, text = readme_tables.replaced(name)
    assert page.read_text(encoding="utf-8") == text, "run examples/readme_tables.py --write"


def test_every_shipped_model_is_in_the_tables():
    names = shipped_models()
    assert len(names) > 5
    errors, choice = readme_tables.errors_table(), PAGES["docs/howto/choose_model.md"]
    assert [name for name in names if f"**{name}**" not in errors or f"`{name}`" not in choice] == []


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 200


@pytest.mark.parametrize("name", PAGES)
def test_links_exist(name):
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", PAGES[name])
    folder = (ROOT / name).parent
    assert [link for link in links if "/generated/" not in link and not (folder / link).exists()] == []


def test_there_are_links():
    assert len(re.findall(r"\]\((?!https?:)", README)) > 10
    assert sum(len(re.findall(r"\]\((?!https?:)", text)) for text in PAGES.values()) > 50


@pytest.mark.parametrize("name", PAGES)
def test_examples_exist(name):
    paths = re.findall(r"(?:examples|tests)/[\w/]+\.py", PAGES[name])
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", PAGES)
def test_commands_are_understood(name):
    for command in commands(PAGES[name]):
        cli.build_parser().parse_args(command)


def test_there_are_commands():
    assert len(commands(README)) > 5
    assert len({command[0] for text in PAGES.values() for command in commands(text)}) > 10


def test_the_options_of_a_fit_are_those_of_the_command():
    options = re.findall(r"^\| `(--[\w-]+)` ", PAGES["docs/reference/fit_options.md"], re.MULTILINE)
    assert len(options) > 10
    words = {
        "--no-core": [], "--channels": ["species"], "--transform": ["grid"],
        "--e0": ["Li=-0.3"], "--weight": ["bulk=2"],
    }  # fmt: skip
    for option in options:
        cli.build_parser().parse_args(["fit", "a.xyz", "-o", "b.json", option, *words.get(option, ["1"])])


def test_the_first_program_of_the_readme_runs(capsys):
    exec(compile(blocks(README, "python")[0], "README.md", "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.parametrize("name", PAGES)
def test_programs_compile(name):
    for body in [*blocks(PAGES[name], "python"), *cells(PAGES[name])]:
        compile(body, name, "exec")


@pytest.mark.parametrize(
    "name", [name for name in HOW_TOS if blocks(PAGES[name], "python") and name not in NOT_RUN]
)
def test_programs_of_the_guides_run(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for body in blocks(PAGES[name], "python"):
        exec(compile(body, name, "exec"), names)
    assert len(names) > 1


def test_the_two_commands():
    lines = {tuple(line.split("#")[0].split()) for body in blocks(README, "sh") for line in body.splitlines()}
    assert {("./run", "tour"), ("./run", "check")} <= lines
    for script in ("run", ".ci/run"):
        assert os.access(ROOT / script, os.X_OK), script
        subprocess.run(["bash", "-n", str(ROOT / script)], check=True)
    done = subprocess.run([str(ROOT / "run"), "--help"], capture_output=True, text=True, check=True)
    assert all(f"./run {name}" in done.stdout for name in ("tour", "check", "docs"))
    assert subprocess.run([str(ROOT / "run"), "nonsense"], capture_output=True).returncode == 2


def test_versions_agree():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    version = setup["metadata"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {version}\n" in (ROOT / "CHANGELOG.md").read_text()
