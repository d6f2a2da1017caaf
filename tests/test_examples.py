"""The examples run, quickly, and refuse what they cannot do."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from types import ModuleType

import numpy as np
import pytest
import strict  # noqa: F401  (registers the stand-in for a GPU)
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from cuda_compiler import compile_source

from ase_scatter import (
    FitSettings,
    GridSettings,
    Model,
    ScatteringCalculator,
    fit,
    read_frames,
    shipped_models,
)

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
TINY = FitSettings(
    transform="grid",
    grid=GridSettings(scales=(0.8, 1.2), first=(2,), inner=(1,), outer=(1,)),
    columns=20,
    folds=2,
    ridge=1e-5,
)


def load(name: str) -> ModuleType:
    """An example as a module, which finds what stands beside it."""
    path = next(path for path in EXAMPLES if path.stem == name)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for theirs
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Si_train.extxyz and Si_test.extxyz with Lennard-Jones values, and tiny.json fitted to them."""
    folder = tmp_path_factory.mktemp("silicon")
    frames = []
    for index in range(10):
        atoms = bulk("Si", a=5.3 + 0.03 * index, cubic=True)
        atoms.rattle(0.1, seed=index)
        atoms.calc = LennardJones(sigma=2.1, epsilon=1.0, rc=5.0, smooth=True)
        atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        frames.append(atoms)
    write(folder / "Si_train.extxyz", frames[:8])
    write(folder / "Si_test.extxyz", frames[8:])
    result = fit(folder / "Si_train.extxyz", settings=TINY, name="tiny", progress=False, workers=1)
    result.model.save(folder / "tiny.json")
    return folder


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_help(path, capsys):
    with pytest.raises(SystemExit) as end:
        load(path.stem).main(["--help"])
    assert end.value.code == 0
    assert "usage:" in capsys.readouterr().out
    assert path.read_text(encoding="utf-8").endswith('if __name__ == "__main__":\n    sys.exit(main())\n')


def test_an_example_as_a_program():
    command = [sys.executable, "examples/egg_box.py"]
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "usage: egg_box.py" in done.stdout
    done = subprocess.run([*command, "--model", "nothing.json"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert "nothing.json" in done.stderr


@pytest.fixture(scope="module")
def alloy(folder) -> Path:
    """mine.json, as train_your_own writes it."""
    example, target = load("train_your_own"), folder / "mine.json"
    example.SMALL = TINY
    assert example.main(["--quiet", "--frames", "24", "--output", str(target)]) == 0
    return target


def test_train_your_own(alloy, capsys):
    assert ScatteringCalculator(alloy).model.elements == ("Ni", "Cu")
    assert load("train_your_own").main(["--quiet", "--output", str(alloy)]) == 2
    assert "exists" in capsys.readouterr().err


def test_relax_and_md(alloy, capsys):
    assert load("relax_and_md").main(["--model", str(alloy), "--steps", "4"]) == 0
    text = capsys.readouterr().out
    assert "relaxed (converged)" in text
    assert "8 fs" in text
    assert "peak to peak" in text
    assert load("relax_and_md").main(["--model", "nothing.json"]) == 2


@pytest.mark.skipif("Si" not in shipped_models(), reason="Si is not there yet")
def test_phonons_si(tmp_path, capsys):
    pytest.importorskip("phonopy")
    plot, out = tmp_path / "si.png", tmp_path / "files"
    command = ["--length", "5", "--plot", str(plot), "--out", str(out)]
    assert load("phonons_si").main(command) == 0
    text = capsys.readouterr().out
    assert "8 atoms in the supercell" in text
    # At Γ even the smallest supercell is exact; the fit is within 10 % of the experiment's 15.5 THz.
    assert 13.9 < float(re.search(r"optical mode at Γ: ([0-9.]+) ± ", text)[1]) < 15.6
    assert plot.exists()
    assert (out / "FORCE_SETS").exists()
    assert load("phonons_si").main(["--model", "nothing.json"]) == 2


@pytest.mark.skipif("Si" not in shipped_models(), reason="Si is not there yet")
def test_relax_and_md_of_silicon(capsys):
    assert load("relax_and_md").main([]) == 0
    assert "cell 5.4" in capsys.readouterr().out


@pytest.mark.skipif("Mo" not in shipped_models(), reason="Mo is not there yet")
def test_vacancy_hop_mo(tmp_path, capsys):
    out = tmp_path / "hop.png"
    assert load("vacancy_hop_mo").main(["--images", "3", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "converged in" in said
    assert "GAP 1.644 eV, inside the error bar" in said
    assert out.stat().st_size > 5000
    assert load("vacancy_hop_mo").main(["--model", "nothing.json"]) == 2


def test_fit_potentials(folder, capsys):
    example = load("fit_potentials")
    example.SETTINGS["Si-grid"] = TINY
    command = ["Si-grid", "--data", str(folder), "--out", str(folder / "out"), "--quiet", "--workers", "1"]
    assert example.main(command) == 0
    model = Model.load(folder / "out" / "Si-grid.json")
    assert model.name == "Si-grid"
    assert model.metadata["reference"]["properties"]["C44_clamped"] == 99
    assert model.metadata["reference"]["peers"]["MTP"]["vacancy_migration"] == 0.205
    assert model.metadata["reference"]["test_errors"]["GAP"]["force_rmse"] == 0.1184
    assert "Zuo" in model.metadata["citation"]
    assert model.metadata["errors"]["test"]["all"]["n_frames"] == len(read_frames(folder / "Si_test.extxyz"))
    capsys.readouterr()
    assert example.main(command) == 2
    assert "--force" in capsys.readouterr().err


def test_elastic_clamped(alloy, capsys):
    assert load("elastic_clamped").main(["--model", str(alloy)]) == 0
    assert "C11 (GPa)" in capsys.readouterr().out
    assert load("elastic_clamped").main(["--model", "nothing.json"]) == 2


def test_egg_box(folder, capsys):
    command = ["--model", str(folder / "tiny.json"), "--shifts", "1", "--turns", "1"]
    assert load("egg_box").main(command) == 0
    assert "cluster of 8 atoms turned" in capsys.readouterr().out


def test_sites_speed(capsys):
    example = load("sites_speed")
    start = perf_counter()
    assert example.main(["steps", "--sizes", "64", "--calls", "2"]) == 0
    elapsed = 1e6 * (perf_counter() - start)
    found = json.loads(capsys.readouterr().out)
    assert found["atoms"] == 64
    # µs per atom, of three calls in all: the median of the last two is their mean.
    assert found["first"] > 0
    assert found["median"] > 0
    assert 64 * (found["first"] + 2 * found["median"]) < elapsed
    # The moment tensors of the peer: M_1 · M_1 and M_2 : M_2 by components, with their multiplicities.
    vector, tensor = [0, 1, 1], [0, 2, 2]
    contractions = [[vector, vector, 0, [[0], [0]]], [tensor, tensor, 0, [[0, 1], [0, 1]]]]
    tables = load("peers_speed").mtp_tables(contractions)
    assert tables["alpha_index_basic_count"] == 3 + 6
    assert tables["alpha_scalar_moments"] == 2
    assert sorted(tables["alpha_index_times"][:, 2].tolist()) == [1, 1, 1, 1, 1, 1, 2, 2, 2]


def test_md_stability(capsys, tmp_path):
    example, out = load("md_stability"), tmp_path / "md.json"
    command = ["--model", "Si", "--atoms", "8", "--picoseconds", "0.02", "--quiet", "--json", str(out)]
    assert example.main(command) == 0
    assert json.loads(out.read_text())["whole"]
    assert example.main(["--model", "nothing.json"]) == 2


def test_grid_speed(folder, capsys):
    out = folder / "speed.json"
    command = ["--model", str(folder / "tiny.json"), "--atoms", "8", "--calls", "1", "--json", str(out)]
    beside = ["--beside", "ase.calculators.lj:LennardJones", '{"sigma": 2.1}']
    assert load("grid_speed").main([*command, *beside]) == 0
    assert "structure factor" in capsys.readouterr().out
    records = json.loads(out.read_text())["records"]
    assert [record["dtype"] for record in records] == ["float64", "float32", ""]
    assert sum(records[0]["shares"].values()) == pytest.approx(1.0)
    assert all(share >= -0.01 for share in records[0]["shares"].values())
    assert records[0]["shares"]["FFT"] > 0.0
    assert records[0]["fields"] > 10
    assert load("grid_speed").main([*command, *beside]) == 2
    missing = ["--beside", "no_such_package:Thing", "{}"]
    assert load("grid_speed").main([*command[:-2], *missing]) == 2
    assert "pip install" in capsys.readouterr().err


def test_compare(tmp_path, capsys):
    example, out = load("compare"), tmp_path / "compare.json"
    command = ["--models", "Si", "--sizes", "8,64", "--steps", "3", "--quiet", "--json", str(out)]
    command += ["--beside", "ase.calculators.lj:LennardJones", '{"sigma": 2.1}']
    command += ["--plot", str(tmp_path / "compare.png")]
    example.MTP, example.SNAP, example.GAP = (  # these take long, or are not there
        load("peers_speed").Peer(name, "no_such_package", "a_package", None)
        for name in ("MTP", "SNAP", "GAP")
    )
    assert example.main(command) == 0
    said = capsys.readouterr()
    assert "over Si, cpu float64" in said.out
    assert said.err.count("left out") == 3 + ("the GPU is left out" in said.err)
    found = json.loads(out.read_text())
    assert [t["atoms"] for t in found["timings"]["LennardJones"]] == [8, 64]
    assert found["ratios"]["Si, cpu float64"] == [1.0, 1.0]
    assert (tmp_path / "compare.png").exists()
    assert example.main(command) == 2
    assert "exists" in capsys.readouterr().err
    assert example.main(["--models", "nothing", "--quiet"]) == 2


def test_gpu_figures(folder, capsys):
    """Each part where it is quick: with the stand-in for a GPU, or on a CPU."""
    example, out = load("gpu_figures"), folder / "figures"
    tiny = str(folder / "tiny.json")
    command = ["--small", "--quiet", "--steps", "3", "--models", f"Si,{tiny}", "--grid", tiny]
    command += ["--out", str(out), "--force"]
    assert example.main([*command, "ceilings", "agreement", "sites", "grid", "--device", "strict"]) == 0
    said = capsys.readouterr().out
    assert "copy bandwidth" in said
    assert "Si: force error of float32" in said
    found = json.loads(out.with_suffix(".json").read_text())
    assert not found["failed"]
    assert {key: len(figures) for key, figures in found["parts"].items()} == {
        "ceilings": 5,
        "agreement": 8,
        "sites": 14,
        "grid": 12,
    }
    assert all(figure["met"] for figure in found["parts"]["agreement"])
    off = {figure["what"]: figure["measured"] for figure in found["parts"]["agreement"]}
    assert off["Si: force error of float32"] > 0
    assert out.with_suffix(".png").exists()

    # A part that fails leaves the others alone.
    command += ["batch", "fit", "ceilings", "--device", "cpu"]
    assert example.main(command) == 1
    assert "fit FAILED: InputError: the fit needs data" in capsys.readouterr().out
    assert example.main([*command, "--data", str(folder)]) == 0
    found = json.loads(out.with_suffix(".json").read_text())
    assert [len(found["parts"][key]) for key in ("ceilings", "batch", "fit")] == [0, 12, 4]
    capsys.readouterr()
    command.remove("--force")
    assert example.main(command) == 2
    assert "--force" in capsys.readouterr().err
    assert example.main(["everything"]) == 2
    assert "there is no part everything" in capsys.readouterr().err


def test_what_is_asked_of_a_gpu():
    example = load("gpu_figures")
    assert example.Figure("slow", 2.0, "ms", 1.0).met is False
    assert example.Figure("faster", 20.0, "×", 10.0, more=True).met is True
    assert example.Figure("whatever", 1.0, "").met is None
    for real in ("float", "double"):
        assert compile_source(example.KERNELS.format(real=real)) > 100


def test_active_learning(folder, capsys):
    example, out = load("active_learning"), folder / "active"
    example.SETTINGS = FitSettings(
        sites={"first": (2,), "triple": 0, "exponents2": ()}, columns=8, members=0, folds=2
    )
    command = ["--data", str(folder), "--out", str(out), "--start", "3", "--add", "2", "--repeats", "1"]
    assert example.main([*command, "--workers", "1", "--quiet"]) == 0
    assert "chosen, 5 structures" in capsys.readouterr().out
    points = json.loads(out.with_suffix(".json").read_text())["points"]
    assert [(p["name"], p["frames"]) for p in points] == [
        ("chosen", 3),
        ("random", 3),
        ("chosen", 5),
        ("random", 5),
    ]
    assert out.with_suffix(".png").exists()
    assert example.main(["--data", "nowhere", "--out", str(out)]) == 2


def test_li_si_study(folder, capsys):
    """Its parts, with a calculator that is known; the whole needs data that do not come along."""
    study = load("study")
    reference = {"Si, B (GPa)": 90.0, study.BARRIER: 0.17}
    errors = {"energy_mae": 1.0, "force_mae": 0.1}
    result = {
        "columns": 3,
        "errors": {"small, unseen": errors, "large": errors},
        "properties": {"Si, B (GPa)": 100.0, study.BARRIER: 0.2},
        "bands": {"Si, B (GPa)": 12.0, study.BARRIER: 0.01},
    }
    study.report(reference, {"bagged": result})
    said = capsys.readouterr().out
    assert "100.0 ± 12.0" in said
    assert "1 of 1 within 15 %" in said
    assert "1 of 2 references within the error bars" in said
    study.figure(reference, {"bagged": result}, folder / "study.png")
    assert (folder / "study.png").exists()
    assert study.main(["--data", str(folder)]) == 2


def test_elastic_constants_of_silicon(tmp_path, capsys):
    example = load("elastic_si")
    assert example.main(["--out", str(tmp_path / "si.png")]) == 0
    said = capsys.readouterr().out
    assert "C44, clamped ions" in said
    assert said.count("±") == 9
    assert (tmp_path / "si.png").exists()
    assert example.main(["--model", "nothing.json"]) == 2


def test_md_with_error_bars(tmp_path, capsys):
    example = load("md_with_error_bars")
    out, keep, plot = tmp_path / "md.csv", tmp_path / "md.extxyz", tmp_path / "md.png"
    command = ["--picoseconds", "0.02", "--every", "10", "--repeat", "2", "--limit", "1e-6"]
    assert example.main([*command, "--out", str(out), "--keep", str(keep), "--plot", str(plot)]) == 0
    assert "2 of 3 structures are beyond the limit" in capsys.readouterr().out
    assert len(out.read_text().splitlines()) == 4
    assert len(read(keep, ":")) == 2  # but for the perfect crystal, whose forces are zero
    assert plot.exists()
    assert example.main(["--out", str(out)]) == 2


def test_training_from_output_files(tmp_path, capsys):
    example = load("train_from_dft")
    runs = example.gather(example.make_runs(tmp_path, 3))
    assert len(runs) == 3
    # What is fitted is the free energy, where a program gives one that differs.
    smeared = bulk("Cu")
    smeared.calc = SinglePointCalculator(smeared, energy=-1.0, free_energy=-1.5, forces=np.zeros((1, 3)))
    write(tmp_path / "smeared.traj", smeared)
    found = example.gather([*tmp_path.glob("run*.traj"), tmp_path / "smeared.traj"])
    assert found[str(tmp_path / "smeared.traj")][0].get_potential_energy() == -1.5
    page = tmp_path / "page.html"
    assert example.main(["--columns", "20", "--page", str(page)]) == 0
    assert "structures of 7 runs" in capsys.readouterr().out
    assert page.exists()
    assert example.main([str(tmp_path / "smeared.traj")]) == 2
    assert "at least three" in capsys.readouterr().err


def test_planes_that_slide(capsys, tmp_path):
    """Over half a Burgers vector it costs most; whole ones lead back."""
    pytest.importorskip("matscipy")
    out = tmp_path / "gamma.json"
    arguments = ["--images", "3", "--layers", "2", "--json", str(out)]
    assert load("with_matscipy").main(arguments) == 0
    energies = json.loads(out.read_text())["energies (J/m²)"]
    assert energies[0] == 0
    assert energies[2] == pytest.approx(0, abs=0.02)
    assert 0.5 < energies[1] < 3
    assert "unstable stacking fault" in capsys.readouterr().out


def test_a_short_soak(tmp_path, capsys):
    out = tmp_path / "soak.json"
    module = load("soak")
    module.WARMING, module.HOT = 20, {"Mo": 600.0}
    module.DRIFT = 10.0  # of 40 steps there is no telling
    module.concurrency = lambda count: {"structures": count, "different": 0}
    assert module.main(["--model", "Mo", "--steps", "40", "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert [run["temperature_K"] for run in found["models"]["Mo"]["runs"]] == [300.0, 600.0]
    lost = {**found["models"]["Mo"]["runs"][0], "largest_nearest_distance_A": 20.0, "memory_MiB": [100, 102]}
    assert module.failures(lost) == ["an atom was lost", "the memory grows"]
    assert '"formula": "Mo36"' in capsys.readouterr().out


def test_tungsten_extrapolation(folder, capsys):
    study = load("tungsten_extrapolation")
    out = folder / "tungsten.json"
    test = str(folder / "Si_test.extxyz")
    assert study.main([f"tiny={folder / 'tiny.json'}", "--test", test, "--out", str(out)]) == 0
    assert "tiny, 20 columns" in capsys.readouterr().out
    told = json.loads(out.read_text())["models"]["tiny"]["announced"]["all"]
    assert told["atoms"] == 16
    assert 0 <= told["force components inside"] <= 1
    assert study.main(["nowhere.json", "--test", test]) == 2


def test_holes(folder, capsys):
    study = load("holes")
    study.STEPS = 3
    out = folder / "holes.json"
    model, data = str(folder / "tiny.json"), str(folder / "Si_test.extxyz")
    code = study.main([model, "--data", data, "--cells", "2", "--out", str(out)])
    found = json.loads(out.read_text())[model]
    assert found["cells"] == 2
    assert code == int(study.bad(found))
    assert "2 random cells" in capsys.readouterr().out
    assert not study.bad({"holes": [], "attractive pairs": [], "soft solids": []})
    assert study.bad({"holes": [], "attractive pairs": ["Si-Si"], "soft solids": []})
    assert study.main(["nowhere.json", "--data", data]) == 2


def test_committed_tables_are_whole():
    """The properties with error bars and tungsten's groups: what is stated follows from the rows."""
    study = load("properties_with_error_bars")
    table = json.loads((ROOT / "examples" / "properties.json").read_text())
    rows = [study.Row(**{k: v for k, v in row.items() if k != "inside"}) for row in table["rows"]]
    assert {row.element for row in rows} == set(study.DFT)
    assert table["summary"] == {key: study.summarised(chosen) for key, chosen in study.parts(rows).items()}
    assert "outside" in study.table(rows)
    tungsten = json.loads((ROOT / "examples" / "tungsten.json").read_text())["models"]
    assert len(tungsten["defaults"]["errors"]) == 6
