"""The command line: from labelled structures to a model and its properties, and what it refuses."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read, write

from ase_scatter import cli, shipped_models
from ase_scatter.errors import InputError
from ase_scatter.model.model import Model
from ase_scatter.reporting import tour
from ase_scatter.reporting.description import list_models, speeds_of
from ase_scatter.structures.named import structure_of

OPTIONS = ["--scales", "0.9,1.3", "--first", "2", "--order", "1", "--columns", "20", "--quiet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Copper cells with their EMT values: train.extxyz and test.extxyz, and bare.xyz without values."""
    folder = tmp_path_factory.mktemp("copper")
    frames = []
    for index in range(12):
        atoms = bulk("Cu", a=3.5 + 0.015 * index, cubic=True)
        atoms.rattle(0.08, seed=index)
        atoms.calc = EMT()
        atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        atoms.info["group"] = "tight" if index < 6 else "wide"
        frames.append(atoms)
    write(folder / "train.extxyz", frames[::2] + frames[1:8:2])
    write(folder / "test.extxyz", frames[9::2])
    bare = frames[0].copy()
    bare.calc = None
    write(folder / "bare.xyz", [bare, bare])
    return folder


@pytest.fixture(scope="module")
def fitted(folder) -> Path:
    """A model fitted by the command."""
    target = folder / "cu.json"
    command = ["fit", f"{folder}/train.extxyz", "--test", f"{folder}/test.extxyz", "-o", str(target)]
    assert cli.main([*command, *OPTIONS]) == 0
    return target


def refused(capsys, *arguments: object) -> str:
    """The one line that a refused command writes."""
    assert cli.main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    return captured.err


# ---- structures ----------------------------------------------------------------------------------


def test_structures_are_files_or_names(tmp_path, monkeypatch):
    assert len(structure_of("Si")) == 8
    assert structure_of("Mg").cell.angles() == pytest.approx([90, 90, 120])
    write(tmp_path / "two.extxyz", [bulk("Cu"), bulk("Au")])
    assert structure_of(str(tmp_path / "two.extxyz")).get_chemical_formula() == "Au"
    # A file goes before a name.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Fe").write_text("not a structure")
    with pytest.raises(InputError, match="Fe cannot be read"):
        structure_of("Fe")
    for text in ("nowhere.cif", "Xx", "SiC", "F", ""):
        with pytest.raises(InputError, match=r"file that ASE reads"):
            structure_of(text)


# ---- fit, evaluate, info -------------------------------------------------------------------------


def test_fit_writes_a_model_and_a_plot_and_tells_the_errors(folder, capsys):
    target = folder / "again.json"
    command = ["fit", f"{folder}/train.extxyz", "--test", f"{folder}/test.extxyz", "-o", str(target)]
    assert cli.main([*command, *OPTIONS, "--name", "copper", "--no-core"]) == 0
    text = capsys.readouterr().out
    rows = [line.split()[:3] for line in text.splitlines()]
    for row in (
        ["train", "all", "10"],
        ["train", "tight", "6"],
        ["train", "wide", "4"],
        ["test", "all", "2"],
    ):
        assert row in rows
    assert "E MAE (meV/atom)" in text
    model = Model.load(target)
    assert model.name == "copper"
    assert model.core is None
    assert model.hash in text
    assert model.transform.n_columns <= 20
    assert model.metadata["fit"]["settings"]["sites"]["scales"] == [0.9, 1.3]
    assert model.metadata["fit"]["data"]["train"]["file"] == "train.extxyz"
    assert (folder / "again.png").read_bytes().startswith(b"\x89PNG")


def test_fit_on_a_grid_and_on_both(folder, capsys):
    for kind, columns in (("grid", 12), ("both", 20)):
        target = folder / f"on-{kind}.json"
        command = ["fit", f"{folder}/train.extxyz", "-o", str(target), "--no-plot", "--transform", kind]
        assert cli.main([*command, *OPTIONS, "--spacing", "0.6", "--columns", str(columns)]) == 0
        assert Model.load(target).transform.kind == kind
    capsys.readouterr()


def test_fit_on_a_device_that_is_not_there(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    for command in ("fit", "learn"):
        target = folder / f"{command}-cuda.json"
        test = ["--test", f"{folder}/test.extxyz"]
        train = [command, f"{folder}/train.extxyz", *test, "-o", target, "--quiet", "--device", "cuda"]
        assert "ase-scatter[cuda12]" in refused(capsys, *train)
        assert not target.exists()


def test_options_of_the_other_transform_are_refused(folder, capsys):
    command = ["fit", folder / "train.extxyz", "-o", folder / "no.json", "--quiet"]
    assert "--spacing does not go with --transform sites" in refused(capsys, *command, "--spacing", "0.4")
    grid = ["--transform", "grid", "--cutoff", "4", "--triple", "2"]
    assert "--cutoff, --triple does not go with" in refused(capsys, *command, *grid)
    assert "switch" in refused(capsys, *command, "--cutoff", "1")
    assert not (folder / "no.json").exists()


def test_fit_without_a_plot(folder, capsys):
    target = folder / "plain.json"
    assert cli.main(["fit", f"{folder}/train.extxyz", "-o", str(target), *OPTIONS, "--no-plot"]) == 0
    assert target.exists()
    assert not target.with_suffix(".png").exists()


def test_evaluate_tells_the_errors_that_the_model_was_saved_with(folder, fitted, capsys):
    out, plot = folder / "out.json", folder / "parity.png"
    capsys.readouterr()
    command = ["evaluate", str(fitted), f"{folder}/test.extxyz", "--json", str(out), "--plot", str(plot)]
    assert cli.main([*command, "--quiet"]) == 0
    document = json.loads(out.read_text())
    saved = Model.load(fitted).metadata["errors"]["test"]
    assert document["errors"]["test"] == saved
    assert f"{saved['all']['force_mae']:.4f}" in capsys.readouterr().out
    assert len(document["frames"]) == 2
    assert np.shape(document["frames"][0]["forces"]) == (4, 3)
    assert np.shape(document["frames"][0]["stress"]) == (6,)
    assert document["model"]["hash"] == Model.load(fitted).hash
    assert plot.exists()


def test_evaluate_without_labels_gives_values(folder, fitted, capsys):
    out = folder / "bare.json"
    capsys.readouterr()
    command = ["evaluate", str(fitted), f"{folder}/bare.xyz", "--json", str(out), "--quiet"]
    assert cli.main(command) == 0
    text = capsys.readouterr().out
    energies = [frame["energy"] for frame in json.loads(out.read_text())["frames"]]
    assert len(energies) == 2
    assert f"structure 1: {energies[1]:.6f} eV" in text


def test_labels_under_other_names(folder, fitted, capsys):
    message = refused(capsys, "evaluate", fitted, f"{folder}/test.extxyz", "--energy-key", "dft", "--quiet")
    assert "'dft'" in message


def test_info(fitted, capsys):
    capsys.readouterr()
    assert cli.main(["info", str(fitted), "--check"]) == 0
    text = capsys.readouterr().out
    assert Model.load(fitted).hash in text
    assert "as it was saved" in text
    # Errors of the test set, by group; everything else only when it is asked for.
    assert re.search(r"^test +wide ", text, re.MULTILINE)
    assert re.search(r"^cutoff +[\d.]+ Å$", text, re.MULTILINE)
    assert "fit settings" not in text
    assert max(map(len, text.split("\n\n")[0].splitlines())) <= 100
    assert cli.main(["info", str(fitted), "--all"]) == 0
    assert "fit settings columns" in capsys.readouterr().out
    assert cli.main(["info"]) == 0
    text = capsys.readouterr().out
    for name in shipped_models():
        model = Model.load(name)
        mae = model.metadata["errors"]["test"]["all"]["energy_mae"]
        elements = ", ".join(model.elements)
        assert re.search(
            rf"^{name} +{elements} +\w+ +{model.transform.n_columns} +{mae:.2f} ", text, re.MULTILINE
        )
    assert text.count("acs.jpca.9b08723") == 1


def test_info_measures_the_speed(fitted, capsys):
    models = [Model.load(fitted), Model.load("Li")]
    speeds = speeds_of(models)
    assert all(1 < speed < 1e6 for speed in speeds.values())
    text = list_models(models, speeds)
    assert re.search(rf"^Li .* {speeds['Li']:.0f}$", text, re.MULTILINE)
    assert "µs/atom" in text.splitlines()[0]
    capsys.readouterr()
    assert cli.main(["info", str(fitted), "--speed"]) == 0
    assert re.search(r"^speed +\d+ µs/atom", capsys.readouterr().out, re.MULTILINE)


def test_info_of_a_model_with_unusual_metadata(pair_model, tmp_path, capsys):
    pair_model.save(tmp_path / "pairs.json")
    assert cli.main(["info", str(tmp_path / "pairs.json")]) == 0
    text = capsys.readouterr().out
    assert "nobody, 2020" in text
    assert re.search(r"^trained on +–$", text, re.MULTILINE)


def test_info_check_finds_values_that_have_changed(fitted, folder, capsys):
    document = json.loads(fitted.read_text())
    document["metadata"]["golden"]["energy"] += 1e-3
    del document["metadata_sha256"]  # as in files of earlier releases
    changed = folder / "changed.json"
    changed.write_text(json.dumps(document))
    capsys.readouterr()
    assert cli.main(["info", str(changed), "--check"]) == 2
    assert "does not give the values" in capsys.readouterr().err


# ---- tour ----------------------------------------------------------------------------------------


def test_tour(fitted, folder, capsys, monkeypatch):
    # The workflows are tested elsewhere; EMT stands in for a model that took long to fit.
    monkeypatch.setattr(tour, "ScatteringCalculator", lambda model, **settings: EMT())
    document = json.loads(fitted.read_text())
    document["metadata"]["reference"] = {
        "properties": {"a": 3.615, "C11": 176, "vacancy_formation": None},
        "peers": {"GAP": {"C11": 180, "vacancy_migration": 0.7}},
    }
    model, out = folder / "emt.json", folder / "tour"
    model.write_text(json.dumps(document))
    capsys.readouterr()
    command = ["tour", "--model", str(model), "--out", str(out), "--images", "1", "--quiet"]
    assert cli.main(command) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["lattice", "parameter", "(Å)", "3.590", "3.615", "–"] in lines
    assert ["cu", "DFT", "GAP"] in lines
    formation = next(line for line in lines if line[:2] == ["vacancy", "formation"])
    assert formation[-2:] == ["–", "–"]
    data = json.loads((out / "tour.json").read_text())
    assert data["values"]["a"] == pytest.approx(3.590, abs=1e-3)
    assert data["values"]["C44"] == pytest.approx(data["values"]["C44_clamped"], rel=1e-3)
    assert data["unconverged"] == []
    assert data["references"]["GAP"]["C11"] == 180
    for name in ("energy-volume.png", "elastic.png", "barrier.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")

    monkeypatch.setattr(tour, "tour", lambda *a, **k: pytest.fail("work was done before the check"))
    assert "exists already" in refused(capsys, *command)


def test_tour_refuses_what_it_cannot_do(fitted, folder, capsys, pair_model):
    assert "does not know 'Au'" in refused(
        capsys, "tour", "--model", fitted, "--element", "Au", "--out", folder / "au"
    )
    both = folder / "both.json"
    pair_model.save(both)
    assert "--element" in refused(capsys, "tour", "--model", both, "--out", folder / "both")


def test_unfinished_relaxations_are_marked(fitted, monkeypatch):
    monkeypatch.setattr(tour, "ScatteringCalculator", lambda model, **settings: EMT())
    monkeypatch.setattr(
        tour,
        "vacancy_formation",
        lambda cell, calculator, *, original=tour.vacancy_formation, **settings: original(
            cell, calculator, steps=0
        ),
    )
    result = tour.tour(Model.load(fitted), images=1)
    assert result.unconverged() == {"vacancy_formation"}
    line = next(line for line in result.table().splitlines() if line.startswith("vacancy formation"))
    assert line.endswith("*")
    assert "* not converged" in result.table()

    lopsided = replace(result, barrier=replace(result.barrier, backward=result.barrier.forward + 0.05))
    assert lopsided.unconverged() == {"vacancy_formation", "vacancy_migration"}


# ---- refusals ------------------------------------------------------------------------------------


def test_existing_files_are_refused_before_any_work(folder, fitted, capsys, monkeypatch):
    def no_work(*arguments, **settings):
        pytest.fail("work was done before the check")

    # By name, since the package's own `fit` is the function.
    module = import_module("ase_scatter.training.fitting")
    monkeypatch.setattr(module, "fit", no_work)
    monkeypatch.setattr(module, "predict", no_work)
    before = fitted.read_bytes()
    train = f"{folder}/train.extxyz"
    assert "cu.json exists already" in refused(capsys, "fit", train, "-o", fitted)
    (folder / "free.png").write_text("mine")
    assert "free.png exists already" in refused(capsys, "fit", train, "-o", folder / "free.json")
    assert "train.extxyz exists" in refused(capsys, "evaluate", fitted, train, "--json", train)
    assert fitted.read_bytes() == before
    assert (folder / "free.png").read_text() == "mine"


def test_force_overwrites(folder, fitted, capsys):
    out = folder / "forced.json"
    out.write_text("old")
    command = ["evaluate", str(fitted), f"{folder}/bare.xyz", "--json", str(out), "--quiet"]
    assert "exists already" in refused(capsys, *command)
    assert cli.main([*command, "--force"]) == 0
    assert json.loads(out.read_text())["frames"]


def test_what_cannot_be_read_or_written_is_one_line(folder, fitted, capsys):
    train = f"{folder}/train.extxyz"
    assert "no shipped model 'Nope'" in refused(capsys, "info", "Nope")
    assert "no shipped model" in refused(capsys, "tour", "--model", "Nope", "--out", folder / "n")
    assert not (folder / "n").exists()
    assert "there is no file" in refused(capsys, "fit", "missing.xyz", "-o", folder / "x.json", "--quiet")
    assert "there is no file" in refused(capsys, "evaluate", fitted, "missing.xyz", "--quiet")
    assert "must end in .json" in refused(capsys, "fit", train, "-o", folder / "x.txt")
    assert "is no folder" in refused(capsys, "fit", train, "-o", folder / "nowhere" / "x.json")
    assert "is a directory" in refused(capsys, "evaluate", fitted, train, "--json", folder)
    assert ".png" in refused(capsys, "evaluate", fitted, train, "--plot", folder / "x.doc")
    bare = folder / "bare.xyz"
    assert "nothing to plot" in refused(capsys, "evaluate", fitted, bare, "--plot", folder / "b.png")
    assert "name the model" in refused(capsys, "info", "--check")
    assert "scales must be" in refused(
        capsys, "fit", train, "-o", folder / "x.json", "--scales", "2,1", "--quiet"
    )
    (folder / "broken.json").write_text('{"format": "ase_scatter-model"')
    assert "not a complete JSON file" in refused(capsys, "info", folder / "broken.json")


def test_unknown_elements_are_one_line(folder, fitted, capsys):
    write(folder / "gold.xyz", bulk("Au"))
    assert "does not know Au" in refused(capsys, "evaluate", fitted, folder / "gold.xyz", "--quiet")


# ---- choosing data, learning curves, tuning --------------------------------------------------------


@pytest.fixture(scope="module")
def chooser(folder) -> Path:
    target = folder / "small.json"
    command = ["fit", f"{folder}/train.extxyz", "-o", str(target), "--columns", "15", "--no-plot", "--quiet"]
    assert cli.main([*command, "--members", "4", "--triple", "1", "--order", "1"]) == 0
    return target


def test_select(folder, chooser, tmp_path, capsys):
    out, data, plot = (tmp_path / name for name in ("chosen.extxyz", "chosen.json", "chosen.png"))
    command = ["select", str(chooser), f"{folder}/test.extxyz", "--known", f"{folder}/train.extxyz"]
    command += ["-o", str(out), "--until", "1e-3", "--count", "1", "--json", str(data), "--plot", str(plot)]
    assert cli.main([*command, "--quiet"]) == 0
    assert "1 of 2 structures" in capsys.readouterr().out
    chosen = json.loads(data.read_text())["chosen"]
    assert len(chosen) == len(read(out, ":")) == 1
    np.testing.assert_allclose(
        read(out).positions, read(folder / "test.extxyz", chosen[0]).positions, atol=1e-7
    )
    assert plot.stat().st_size > 5000
    assert "exists already" in refused(capsys, *command, "--quiet")
    # Of what is known already nothing is chosen: that is said, and no file seems to hold the choice.
    known, empty = f"{folder}/train.extxyz", tmp_path / "empty.extxyz"
    nothing = [
        "select",
        chooser,
        known,
        "--known",
        known,
        "-o",
        empty,
        "--until",
        10,
        "--json",
        data,
        "--force",
    ]
    assert cli.main([*map(str, nothing), "--quiet"]) == 1
    assert "NOTHING CHOSEN" in capsys.readouterr().out
    assert not empty.exists()
    assert json.loads(data.read_text())["chosen"] == []
    there = refused(capsys, "select", chooser, folder / "none.xyz", "-o", tmp_path / "a.xyz")
    assert "no file" in there
    assert "extxyz" in refused(capsys, "select", chooser, folder / "bare.xyz", "-o", tmp_path / "a.txt")


def test_learn(folder, tmp_path, capsys):
    out = tmp_path / "curve.json"
    command = ["learn", f"{folder}/train.extxyz", "--test", f"{folder}/test.extxyz", "-o", str(out)]
    assert cli.main([*command, "--sizes", "4,10", "--columns", "10", "--quiet"]) == 0
    assert "F MAE" in capsys.readouterr().out
    points = json.loads(out.read_text())["points"]
    assert [p["frames"] for p in points] == [4, 10]
    assert out.with_suffix(".png").stat().st_size > 5000
    assert "exists already" in refused(capsys, *command, "--quiet")
    too_many = [*command[:-1], tmp_path / "other.json", "--sizes", "1000", "--quiet"]
    assert "between 2 and" in refused(capsys, *too_many)


def test_fit_with_tuning(folder, tmp_path, capsys):
    target = tmp_path / "tuned.json"
    command = ["fit", f"{folder}/train.extxyz", "-o", str(target), "--columns", "10", "--quiet"]
    command += ["--triple", "1", "--order", "1", "--no-plot", "--members", "0"]
    assert cli.main([*command, "--tune", "0.01"]) == 0
    said = capsys.readouterr().out
    assert "as given" in said
    assert "µs/atom" in said
    for end in ("jsonl", "csv", "png"):
        assert (tmp_path / f"tuned.tune.{end}").stat().st_size > 100
    assert "positive" in refused(capsys, *command, "--force", "--tune", "0")


def test_bands_are_judged(folder, chooser, fitted, tmp_path, capsys):
    data, plot = tmp_path / "out.json", tmp_path / "bands.png"
    command = ["evaluate", str(chooser), f"{folder}/train.extxyz", "--quiet", "--bands"]
    assert cli.main([*command, "--json", str(data), "--bands-plot", str(plot)]) == 0
    said = capsys.readouterr().out
    assert "inside their band" in said
    assert "stress (GPa)" in said
    bands = json.loads(data.read_text())["frames"][0]["bands"]
    assert len(bands["forces"]) == len(bands["grade"]) == 4
    assert plot.stat().st_size > 5000
    assert "no energies" in refused(capsys, "evaluate", chooser, folder / "bare.xyz", "--bands", "--quiet")
    alone = refused(capsys, *command[:3], "--quiet", "--bands-plot", tmp_path / "other.png")
    assert "goes with --bands" in alone
