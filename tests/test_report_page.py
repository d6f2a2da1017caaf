"""The page about a potential: self-contained, complete, and honest about what could not be computed."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from ase.build import bulk
from ase.io import write
from matplotlib.figure import Figure

from ase_scatter import Model, ScatteringCalculator, cli
from ase_scatter.errors import InputError
from ase_scatter.plotting.potential_page import still_falls
from ase_scatter.reporting import potential
from ase_scatter.reporting.page import Section, page


class Balanced(HTMLParser):
    """Fails at tags that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def checked(text: str) -> str:
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    # Nothing is fetched from anywhere.
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    return text


def test_sections_texts_tables_and_figures():
    section = Section("Errors & <more>")
    section.text("a < b")
    section.warning("beware")
    section.table(["", "E (meV)"], [["train", "1"], ["test", "2"]], "Errors & such.")
    section.table(["", ""], [["no", "head"]])
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    section.figure(figure, 'it "says"')
    section.figure(figure, "it", "Height (m) against time (s).")
    text = checked(page("A page", "about", [section]))
    assert "a &lt; b" in text
    assert "Errors &amp; &lt;more&gt;" in text
    assert text.count("<thead>") == 1
    assert 'alt="it &quot;says&quot;"' in text
    assert re.findall("<figcaption>(.*?)</figcaption>", text) == [
        "Errors &amp; such.",
        "It &quot;says&quot;.",
        "Height (m) against time (s).",
    ]
    picture, _ = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    assert base64.b64decode(picture).startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Crystals with the labels that the model itself gives."""
    path = tmp_path_factory.mktemp("mo") / "mo.extxyz"
    frames = []
    for seed in range(4):
        atoms = bulk("Mo", cubic=True)
        atoms.rattle(0.1, seed=seed)
        atoms.calc = ScatteringCalculator("Mo")
        atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        frames.append(atoms)
    write(path, frames)
    return path


def test_report_of_a_shipped_potential(tmp_path, capsys, labelled):
    pytest.importorskip("phonopy")
    target = tmp_path / "mo.html"
    assert cli.main(["report", "Mo", "--data", str(labelled), "-o", str(target), "--quiet"]) == 0
    text = checked(target.read_text(encoding="utf-8"))
    for heading in (
        "What it is",
        "Errors",
        "On mo.extxyz",
        "On data left out",
        "Crystal of Mo",
        "Phonons of Mo",
    ):
        assert f">{heading}" in text
    assert text.count("<img") >= 8
    # On a telephone the page is as wide as the screen; what is wider scrolls by itself.
    assert "width=device-width" in text
    assert text.count('<div class="scroll"><img') == text.count("<img")
    assert text.count('<div class="scroll"><table') == text.count("<table")
    units = ("meV/atom", "eV/Å", "GPa", "THz", "Å³/atom")
    captions = " ".join(re.findall("<figcaption>(.*?)</", text))
    assert text.count("<figcaption>") >= text.count("<img") + 2
    assert all(unit in captions for unit in units)
    assert "cutoff</td><td>" in text
    for source in ("GAP", "MTP", "vacancy migration"):
        assert source in text
    assert " ± " in text
    assert re.findall('class="warning">(.*?)<', text) == [
        "The error still falls at 600 columns, the most that were tried: a fit with more (--columns) may be "
        "better, and is slower."
    ]
    assert cli.main(["report", "Mo", "-o", str(target), "--quiet"]) == 2
    assert "--force" in capsys.readouterr().err


def test_what_cannot_be_computed_is_said(tmp_path, monkeypatch):
    model = replace(Model.load("Mo"), metadata={}, committee=None)
    model.save(tmp_path / "bare.json")

    def fails(*arguments, **settings):
        raise InputError("the crystal does not relax")

    monkeypatch.setattr(potential, "tour", fails)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", "bare.json", "--quiet"]) == 0
    text = checked((tmp_path / "bare.html").read_text(encoding="utf-8"))
    assert "Not computed: the crystal does not relax" in text
    assert "no citation" in text
    assert "Errors" not in text


@pytest.mark.parametrize(
    ("losses", "falls"),
    [
        ({500: 1.0, 250: 1.2}, True),
        ({250: 1.0, 500: 0.995}, False),
        ({250: 1.0, 500: 1.1}, False),
        ({5: 1.0}, False),
    ],
)
def test_whether_validation_still_falls(losses, falls):
    assert still_falls(losses) == falls
