"""What is measured, told and written; nothing is held against a clock."""

from __future__ import annotations

import json

import numpy as np
import pytest
import strict
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.io import write

from ase_scatter import Model, ScatteringCalculator, cli
from ase_scatter.errors import DeviceError, InputError
from ase_scatter.plotting import benchmark_plot
from ase_scatter.reporting import benchmark, machine, timing
from ase_scatter.reporting.samples import disturbed, repeated

TIMES = {"ms_per_step", "fastest_ms", "slowest_ms", "first_ms", "atom_steps_per_s", "lists_made", "times_s"}


@pytest.fixture(scope="module")
def si() -> Model:
    return Model.load("Si")


@pytest.mark.parametrize(("wanted", "found"), [(1, 8), (8, 8), (64, 64), (200, 216), (1000, 1000)])
def test_supercells_have_about_the_size_wanted(wanted, found):
    atoms = repeated(bulk("Si", cubic=True), wanted)
    assert len(atoms) == found
    lengths = atoms.cell.lengths()
    assert lengths.max() < 2.1 * lengths.min()


def test_open_directions_are_not_repeated():
    slab = bulk("Si", cubic=True)
    slab.pbc = (True, True, False)
    np.testing.assert_allclose(repeated(slab, 200).cell.lengths()[2], slab.cell.lengths()[2])
    assert len(repeated(Atoms("Si", pbc=False), 100)) == 1


def test_default_structures():
    silicon = disturbed(Model.load("Si"), 64)
    assert silicon.cell[0, 0] == pytest.approx(2 * 5.469)  # the reference values' lattice
    alloy = disturbed(Model.load("NbMoTaW"), 54)
    assert {symbol: alloy.symbols.search(symbol).size // 13 for symbol in set(alloy.symbols)} == {
        "Nb": 1,
        "Mo": 1,
        "Ta": 1,
        "W": 1,
    }
    again = disturbed(Model.load("NbMoTaW"), 54)
    assert (alloy.symbols == again.symbols).all()
    np.testing.assert_array_equal(alloy.positions, again.positions)


def test_steps_of_any_calculator():
    atoms = bulk("Cu", cubic=True)
    before = atoms.positions.copy()
    found = timing.time_steps(atoms, LennardJones(sigma=2.3), steps=4)
    assert len(found.times) == 4
    assert found.n_atoms == 4
    assert found.atom_steps == pytest.approx(4 / np.median(found.times))
    np.testing.assert_array_equal(atoms.positions, before)
    assert len(timing.time_steps(atoms, LennardJones(sigma=2.3), steps=9, seconds=1e-9).times) == 3


def test_atoms_move_little_so_that_lists_serve(si):
    atoms = disturbed(si, 64)
    calculator = ScatteringCalculator(si)
    assert timing.time_steps(atoms, calculator, steps=4).lists == 0
    # Larger moves would need a list at every step.
    atoms.calc = calculator
    built = timing.lists_made()
    rng = np.random.default_rng(0)
    for _ in range(3):
        assert timing.step(atoms, rng, 0.3) > 0
    assert timing.lists_made() == built + 3


def test_lists_on_a_device_are_counted_too(si):
    calculator = ScatteringCalculator(si, device="strict")
    timing.forget_lists()
    before = timing.lists_made()
    assert timing.time_steps(disturbed(si, 8), calculator, steps=3).lists == 0
    assert timing.lists_made() == before + 1


def test_difference_is_that_of_the_calculators():
    atoms = bulk("Cu", cubic=True)
    atoms.positions[0, 0] += 0.2
    one = LennardJones(sigma=2.3, epsilon=1.0)
    found = benchmark.difference(atoms, one, LennardJones(sigma=2.3, epsilon=1.1))
    atoms.calc = one
    assert found.energy == pytest.approx(0.1 * abs(atoms.get_potential_energy()) / 4)
    assert found.force == pytest.approx(0.1 * np.abs(atoms.get_forces()).max())
    assert found.stress == pytest.approx(0.1 * np.abs(atoms.get_stress()).max())
    assert found.force_scale == pytest.approx(np.abs(atoms.get_forces()).max())


def test_command(tmp_path, capsys):
    out, plot = tmp_path / "speed.json", tmp_path / "speed.png"
    command = ["benchmark", "Si", "--sizes", "8,9,64", "--steps", "3", "--batch", "3", "--quiet"]
    command += [
        "--device",
        "cpu,strict",
        "--dtype",
        "float64,float32",
        "--json",
        str(out),
        "--plot",
        str(plot),
    ]
    assert cli.main(command) == 0
    text = capsys.readouterr().out
    for heading in ("atom-steps/s", "3 × 64", "off from cpu float64", "peak memory", str(out)):
        assert heading in text
    document = json.loads(out.read_text())
    # 9 atoms are again 8: one row for both.
    assert [(r["device"], r["dtype"], r["atoms"]) for r in document["steps"]] == [
        (device, dtype, n)
        for device in ("cpu", "strict")
        for dtype in ("float64", "float32")
        for n in (8, 64)
    ]
    for row in document["steps"]:
        assert row.keys() >= TIMES
        assert row["fastest_ms"] <= row["ms_per_step"] <= row["slowest_ms"]
        assert len(row["times_s"]) == 3
    assert [b["structures"] for b in document["batches"]] == [3] * 4
    assert all(b["ratio"] > 0 for b in document["batches"])
    off = {(d["device"], d["dtype"]): d for d in document["differences_to_cpu_float64"]}
    assert set(off) == {("cpu", "float32"), ("strict", "float64"), ("strict", "float32")}
    assert off["strict", "float64"]["force_eV_per_A"] < 1e-10
    assert 1e-10 < off["strict", "float32"]["force_eV_per_A"] < 1e-3
    assert document["machine"].keys() >= {"processor", "cores", "threads", "numpy"}
    assert plot.stat().st_size > 5000

    assert cli.main(command) == 2
    assert "--force" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--device", "gpu"], "unknown device 'gpu'"),
        (["--dtype", "float16"], "unknown dtype"),
        (["--sizes", "0"], "must be positive"),
        (["--batch", "-1"], "fewer than 0"),
        (["--structure", "nowhere.cif"], "no structure"),
        (["--structure", "Cu"], "does not know Cu"),
        (["--plot", "speed.txt"], "must end in"),
    ],
)
def test_refusals(options, said, capsys):
    assert cli.main(["benchmark", "Si", *options, "--quiet"]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


def test_a_structure_without_a_stress_is_refused(si, tmp_path):
    write(tmp_path / "dimer.xyz", Atoms("Si2", positions=[[0, 0, 0], [2.3, 0, 0]]))
    with pytest.raises(InputError, match="no stress"):
        benchmark.benchmark(si, structure=Atoms("Si2", positions=[[0, 0, 0], [2.3, 0, 0]]))


def test_a_missing_gpu_is_one_clear_error(si, monkeypatch):
    def missing():
        raise DeviceError("device 'cuda' needs CuPy")

    monkeypatch.setitem(benchmark.require_device.__globals__["_FACTORIES"], "cuda", missing)
    with pytest.raises(DeviceError, match="needs CuPy"):
        benchmark.benchmark(si, devices=("cpu", "cuda"))


def test_what_does_not_fit_is_told_and_the_rest_is_kept(si, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "free_memory", lambda: 0.0)
    monkeypatch.setattr(benchmark, "peak_memory", iter(range(10)).__next__)
    found = benchmark.benchmark(si, sizes=(8, 64, 216), steps=3, batch=0)
    assert [row.timing is None for row in found.rows] == [False, True, True]
    assert "does not fit: about 0.0 GB are needed" in found.rows[1].problem
    assert "64 atoms did not" in found.rows[2].problem

    monkeypatch.setattr(strict, "memory", 1.0)
    monkeypatch.setattr(type(si.transform), "memory", lambda self, system, target: 1e11 * len(system))
    assert (
        cli.main(["benchmark", "Si", "--device", "strict", "--sizes", "8,64", "--batch", "2", "--quiet"]) == 1
    )
    text = capsys.readouterr().out
    assert text.count("does not fit") > 2
    assert "a structure of 64 atoms needs about" in text
    assert "strict float64, batch" in text


def test_the_plot_has_a_line_for_each_device_and_dtype():
    def row(device, n, measured=True):
        times = tuple(1e-4 * n * (1 + 0.1 * k) for k in range(3))
        return benchmark.Row(device, "float64", n, timing.Timing(n, 1.0, times, 0) if measured else None)

    rows = [row("cpu", 64), row("cpu", 1000), row("cuda", 64), row("cuda", 1000, False)]
    figure = benchmark_plot(benchmark.Benchmark("Si", "0", {}, rows), title="silicon")
    speed = figure.axes[1]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "cpu float64",
        "cuda float64",
    ]
    assert [len(line.get_xdata()) for line in speed.lines] == [2, 1]
    assert speed.lines[0].get_ydata() == pytest.approx([1e4 / 1.1, 1e4 / 1.1])
    benchmark_plot(benchmark.Benchmark("Si", "0", {}))


def test_memory_is_known():
    assert machine.peak_memory() > 1e7
    assert machine.free_memory() > 0
    machine.forget_peak()
    assert machine.peak_memory() > 1e7
