"""Weights, parts of the data, presets, and the file that holds a whole fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from corrupted_data import clean

from ase_scatter import cli
from ase_scatter.errors import InputError
from ase_scatter.model.model import Model
from ase_scatter.structures.dataset import frames_of, read_frames
from ase_scatter.training.design_matrix import Problem
from ase_scatter.training.fit_file import FitFile, changed, to_toml
from ase_scatter.training.fitting import fit
from ase_scatter.training.settings import PRESETS, FitSettings
from ase_scatter.training.splitting import split

SITES = {
    "first": (2,), "inner": (), "outer": (), "triple": 0, "exponents2": (),
    "cutoff": 4.5, "scales": (0.9, 1.4),
}  # fmt: skip
SETTINGS = FitSettings(sites=SITES, columns=8, folds=2, members=0, ridge=1e-7)
OPTIONS = [
    "--first", "2", "--order", "1", "--cutoff", "4.5", "--scales", "0.9,1.4", "--columns", "10",
    "--members", "0", "--folds", "3", "--triple", "0", "--quiet", "--no-plot", "--workers", "1",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Copper-nickel in two files."""
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    folder = tmp_path_factory.mktemp("files")
    structures = []
    for frame in clean("CuNi"):
        system = frame.system
        atoms = Atoms(
            system.numbers, system.positions, cell=system.cell, pbc=True, info={"group": frame.group}
        )
        atoms.calc = SinglePointCalculator(atoms, energy=frame.energy, forces=frame.forces)
        structures.append(atoms)
    write(folder / "one.extxyz", structures[:16])
    write(folder / "two.extxyz", structures[16:28])
    return folder


def test_a_weight_counts_as_copies_do():
    frames = list(clean("CuNi")[:10])
    elements = ["Cu", "Ni"]

    def gram(data, **given):
        problem = Problem(replace(SETTINGS, **given), elements, data, 1, False)
        return sum(
            p.gram for p in problem.normals().weighted({"energy": 1, "force": 1, "stress": 1, "net": 1})
        )

    plain = gram(frames)
    twice = gram([replace(frames[0], weight=2.0), *frames[1:]])
    thrice = gram([replace(frames[0], weight=3.0), *frames[1:]])
    np.testing.assert_allclose(
        thrice - plain, 2 * (twice - plain), rtol=1e-5, atol=1e-5 * np.abs(plain).max()
    )
    none = gram([replace(frames[0], weight=0.0), *frames[1:]])
    np.testing.assert_allclose(none, gram(frames[1:]), rtol=1e-6)
    groups = [replace(f, weight=2.5 if f.group == "hot" else 1.0) for f in frames]
    np.testing.assert_allclose(gram(frames, weights={"hot": 2.5}), gram(groups), rtol=1e-6)
    with pytest.raises(InputError, match="no frame has that group"):
        gram(frames, weights={"surface": 2.0})
    with pytest.raises(InputError, match="at least 0"):
        FitSettings(weights={"hot": -1.0})


def test_weights_are_read(folder):
    from ase.io import read

    atoms = read(folder / "one.extxyz")
    atoms.info["weight"] = 2.5
    assert frames_of([atoms])[0].weight == 2.5
    atoms.info["weight"] = "much"
    with pytest.raises(InputError, match="frame 0: the weight 'much' is not a number"):
        frames_of([atoms])


def test_a_part_for_tests_keeps_together_what_is_alike():
    frames = [*clean("Si")[:30], *clean("Si")[:10]]
    train, test = split(frames, 0.2, seed=3)
    assert len(train) + len(test) == 40
    assert 6 <= len(test) <= 10
    assert not {id(f) for f in train} & {id(f) for f in test}  # copies are the same objects here
    assert {f.group for f in test} == {"hot", "cold"}
    assert [id(f) for f in split(frames, 0.2, seed=3)[1]] == [id(f) for f in test]
    assert [id(f) for f in split(frames, 0.2, seed=4)[1]] != [id(f) for f in test]
    sources = [replace(f, source=f"run {k // 5}", group="") for k, f in enumerate(frames[:30])]
    train, test = split(sources, 0.3)
    assert not {f.source for f in train} & {f.source for f in test}
    for fraction in (0.0, 1.0, 0.999):
        with pytest.raises(InputError, match="test fraction"):
            split(frames[:4], fraction)


def test_several_files_are_one_set(folder):
    files = [folder / "one.extxyz", folder / "two.extxyz"]
    several = fit(files, settings=SETTINGS, progress=False, workers=1)
    joined = [frame for file in files for frame in read_frames(file)]
    assert several.model.hash == fit(joined, settings=SETTINGS, progress=False, workers=1).model.hash
    assert several.model.metadata["fit"]["data"]["train"]["file"] == "one.extxyz, two.extxyz"


def test_a_fit_is_repeated_from_its_file(folder, capsys):
    command = ["fit", f"{folder}/one.extxyz", f"{folder}/two.extxyz", "-o", f"{folder}/mine.json"]
    extra = ["--test-fraction", "0.2", "--seed", "5", "--weight", "hot=2", "--e0", "Cu=0.1,Ni=-0.2"]
    assert cli.main([*command, *OPTIONS, *extra]) == 0
    record = folder / "mine.fit.toml"
    plan = FitFile.read(record)
    assert plan.test_fraction == 0.2
    assert plan.workers == 1
    settings = plan.fit_settings()
    assert (settings.weights, settings.e0) == ({"hot": 2.0}, {"Cu": 0.1, "Ni": -0.2})
    first = Model.load(folder / "mine.json")
    assert dict(first.e0) == {"Cu": 0.1, "Ni": -0.2}
    text = record.read_text()
    assert cli.main(["fit", str(record), "-o", f"{folder}/again.json", "--quiet", "--no-plot"]) == 0
    assert Model.load(folder / "again.json").hash == first.hash
    assert cli.main(["fit", str(record), "--quiet", "--no-plot", "--force"]) == 0
    assert record.read_text() == text
    capsys.readouterr()
    for wrong, told in (
        ("colums = 3\n" + text, "has colums, which there is not"),
        (text.replace("columns =", "colums ="), "settings has colums"),
        (text.replace("train =", "test ="), "does not say train"),
        ("[", "cannot be read as TOML"),
    ):
        (folder / "wrong.toml").write_text(wrong)
        assert cli.main(["fit", f"{folder}/wrong.toml", "-o", f"{folder}/no.json"]) == 2
        assert told in capsys.readouterr().err
    assert cli.main(["fit", str(record), "--columns", "5", "-o", f"{folder}/no.json"]) == 2
    assert "change it there" in capsys.readouterr().err
    assert cli.main(["fit", f"{folder}/one.extxyz"]) == 2
    assert "with -o" in capsys.readouterr().err


def test_what_is_written_is_read():
    import tomllib

    data = {
        "a": 1, "b": -1e-11, "c": "„é\"\\\n", "d": [1.5, 2.0], "e": True, "f": {"x y": {"Li": -1.0}, "g": ()},
        "inf": float("inf"), "none": None,
    }  # fmt: skip
    expected = {**data, "f": {"x y": {"Li": -1.0}, "g": []}}
    del expected["none"]
    assert tomllib.loads(to_toml(data)) == expected


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name):
    settings = FitSettings.preset(name, sites={"cutoff": 4.0}, members=4)
    assert settings.sites["cutoff"] == 4.0
    assert settings.members == 4
    assert FitFile(train=(), output="", name="", settings=changed(settings)).fit_settings() == settings
    assert FitSettings.preset("balanced") == FitSettings()
    with pytest.raises(InputError, match="fast, balanced, accurate"):
        FitSettings.preset("best")
