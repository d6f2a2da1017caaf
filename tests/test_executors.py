"""Fits on executors: the sums of a fit without, bit for bit, whoever is first and whoever dies."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import shutil
import subprocess
import sys
import tracemalloc
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from ase_scatter.cli import main
from ase_scatter.compute.executors import Workers, workers_of
from ase_scatter.errors import DeviceError, InputError
from ase_scatter.scattering import GridSettings
from ase_scatter.structures.dataset import Frame
from ase_scatter.structures.system import System
from ase_scatter.training import chunks as chunks_module
from ase_scatter.training import normal_equations
from ase_scatter.training.chunks import Chunk, chunk_memory, chunks_of, sum_chunk, summed
from ase_scatter.training.design_matrix import Problem
from ase_scatter.training.fitting import fit
from ase_scatter.training.settings import FitSettings

SITES = {"cutoff": 4.5, "first": (2, 1), "inner": (1,), "outer": (1,), "triple": 2, "exponents2": (1.0,)}
GRID = GridSettings(scales=(0.8,), first=(1,), exponents2=())
SETTINGS = FitSettings(
    sites=SITES, grid=GRID, columns=20, folds=3, members=2, ridge=1e-8, sigma_energy=1e-3, sigma_stress=0.1
)
FEW_ROWS = 40
"""Rows of some frames; there are more columns, and whole chunks all the same."""


def few_rows():
    """Multiply few rows at once, in a new process."""
    normal_equations.rows_at_once = chunks_module.rows_at_once = lambda n: FEW_ROWS


@pytest.fixture(scope="module")
def in_pieces():
    with pytest.MonkeyPatch.context() as patch:
        for module in (normal_equations, chunks_module):
            patch.setattr(module, "rows_at_once", lambda n: FEW_ROWS)
        yield


def frames_of(n):
    frames = []
    for seed in range(n):
        rng = np.random.default_rng(seed)
        atoms = bulk("Cu", "fcc", 3.6, cubic=True)
        atoms.symbols[: 1 + seed % 3] = "Ni"
        atoms.set_cell(atoms.cell[:] @ (np.eye(3) + rng.normal(scale=0.02, size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.08, rng=rng)
        atoms.calc = EMT()
        labels = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        frames.append(Frame(System.from_atoms(atoms), *labels, "alloy"))
    return frames


@pytest.fixture(scope="module")
def emt():
    return frames_of(24)


@pytest.fixture(scope="module")
def some_labels(emt):
    """Frames of which some have no stress and some no forces."""
    changes = [{}, {"stress": None}, {"forces": None}, {}, {}]
    return [replace(frame, **changes[k % 5]) for k, frame in enumerate(emt)]


# ---- chunks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [10, 25, 40, 70, 1000])
def test_chunks_end_where_rows_are_multiplied(some_labels, at_once):
    rng = np.random.default_rng(0)
    part_of = rng.integers(0, 3, size=len(some_labels)).tolist()
    chunks = chunks_of(some_labels, part_of, at_once)
    for part in range(3):
        numbers = [n for chunk in chunks if chunk.part == part for n in chunk.numbers]
        assert numbers == [n for n, its in enumerate(part_of) if its == part]
    waiting, multiplied = {0: 0, 1: 0, 2: 0}, set()
    for k, chunk in enumerate(chunks):
        begins = waiting[chunk.part] == 0
        ends = []
        for number in chunk.numbers:
            waiting[chunk.part] += 12 if some_labels[number].forces is not None else 0
            ends.append(waiting[chunk.part] >= at_once)
            if ends[-1]:
                waiting[chunk.part] = 0
        assert not any(ends[:-1])
        last = chunk is chunks[-1] or chunks[k + 1].part != chunk.part
        rest = last and waiting[chunk.part] > 0 and chunk.part in multiplied
        assert chunk.whole == (begins and (ends[-1] or rest))
        if ends[-1]:
            multiplied.add(chunk.part)


def test_frames_without_forces_do_not_pile_up(emt):
    chunks = chunks_of([replace(frame, forces=None) for frame in emt], [0] * len(emt), 12)
    assert [len(chunk.numbers) for chunk in chunks] == [4] * 6
    assert not any(chunk.whole for chunk in chunks)


@pytest.mark.parametrize("transform", ["sites", "both"])
def test_sums_have_the_same_bits(some_labels, in_pieces, transform):
    problem = Problem(replace(SETTINGS, transform=transform), ["Cu", "Ni"], some_labels, 1, False)
    seen = []
    problem.progress = lambda name, done, total: seen.append((done, total))
    here = problem.normals()
    assert seen[-1] == (24, 24)
    assert any(chunk.whole for chunk in chunks_of(some_labels, problem.part_of, FEW_ROWS))
    seen.clear()
    with ThreadPoolExecutor(3) as pool:
        there = summed(problem, Workers(pool))
    assert seen == [(k + 1, 24) for k in range(24)]
    for one, two in zip(here.parts, there.parts, strict=True):
        assert list(two) == list(one)  # the order in which kinds are added up
    for one, two in zip(here.weighted(SETTINGS.sigmas), there.weighted(SETTINGS.sigmas), strict=True):
        np.testing.assert_array_equal(two.gram, one.gram)
        np.testing.assert_array_equal(two.moment, one.moment)
        assert (two.square, two.count) == (one.square, one.count)
    for one, two in zip(here.sample, there.sample, strict=True):
        assert two.part == one.part
        for kind, matrix in one.rows.matrix.items():
            np.testing.assert_array_equal(two.rows.matrix[kind], matrix)
            np.testing.assert_array_equal(two.rows.target[kind], one.rows.target[kind])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_memory_of_a_chunk_is_what_is_said(emt, in_pieces, dtype):
    settings = replace(SETTINGS, sites={"cutoff": 4.5}, dtype=dtype)
    problem = Problem(settings, ["Cu", "Ni"], emt[:6], 1, False)
    chunk = Chunk(0, [0, 1, 2, 3], True)
    recipe = chunks_module._recipe(problem)

    def peak(function):
        function()  # plans are made
        tracemalloc.start()
        function()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    frame = peak(lambda: problem.rows((0, emt[0])))
    found = peak(lambda: sum_chunk(recipe, chunk, emt[:4], {0}, 1.0))
    assert 0.1 < found / (chunk_memory(problem.width, 4, dtype) + frame) < 1.0


# ---- executors that break ------------------------------------------------------------------------------


def double(number):
    return 2 * number


class Fragile(ThreadPoolExecutor):
    """Breaks with the calls of some numbers, once for each, and takes no more work then."""

    def __init__(self, breaks):
        super().__init__(2)
        self._breaks = breaks
        self._broken = False

    def submit(self, function, number):
        if self._broken:
            raise BrokenExecutor("broken")
        if number in self._breaks:
            self._breaks.remove(number)
            self._broken = True
            future = Future()
            future.set_exception(BrokenExecutor("a worker died"))
            return future
        return super().submit(function, number)


@pytest.mark.parametrize("breaks", [{0}, {3, 4, 9}])
def test_nothing_is_counted_twice_when_executors_break(breaks):
    left = set(breaks)
    with workers_of(lambda: Fragile(left)) as workers:
        found = list(workers.in_order(double, [(k,) for k in range(10)]))
    assert not left
    assert found == [2 * k for k in range(10)]


def test_an_executor_that_cannot_be_replaced():
    with Fragile({2}) as executor, pytest.raises(DeviceError, match="give a function that makes an executor"):
        list(Workers(executor).in_order(double, [(k,) for k in range(5)]))


def test_an_executor_that_breaks_again_and_again():
    with (
        workers_of(lambda: Fragile({2})) as workers,
        pytest.raises(DeviceError, match=r"3 times in a row.*__main__"),
    ):
        list(workers.in_order(double, [(k,) for k in range(5)]))


def fails(number):
    raise ValueError(f"no {number}")


def test_errors_of_the_work_are_raised():
    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="no 0"):
        list(Workers(pool).in_order(fails, [(0,), (1,)]))


def test_not_all_is_submitted_at_once():
    """What has come back and waits for its turn takes memory."""
    submitted = []

    class Counting(ThreadPoolExecutor):
        def submit(self, function, number):
            submitted.append(number)
            return super().submit(function, number)

    with Counting(3) as pool:
        results = Workers(pool).in_order(double, [(k,) for k in range(50)])
        assert next(results) == 0
        assert len(submitted) == 6
        results.close()


# ---- whole fits ----------------------------------------------------------------------------------------


def dying(marker, *call):
    """The first one that comes here takes its process with it."""
    if not Path(marker).exists():
        Path(marker).touch()
        os._exit(1)
    return call[0](*call[1:])


class Mortal(ProcessPoolExecutor):
    """Processes, the first of which dies."""

    def __init__(self, marker):
        context = multiprocessing.get_context("spawn")
        super().__init__(2, mp_context=context, initializer=few_rows)
        self._marker = marker

    def submit(self, function, *arguments):
        return super().submit(dying, self._marker, function, *arguments)


@pytest.fixture(scope="module")
def serial(emt, in_pieces):
    return fit(emt[:12], settings=SETTINGS, progress=False, workers=1).model.hash


def test_processes_one_of_which_dies(emt, serial, tmp_path):
    marker = str(tmp_path / "died")
    made = []

    def new():
        made.append(1)
        return Mortal(marker)

    result = fit(emt[:12], settings=SETTINGS, progress=False, workers=1, executor=new)
    assert result.model.hash == serial
    assert len(made) == 2


def test_dask(emt, serial):
    distributed = pytest.importorskip("distributed")
    # Its threads are in this process, so that they see what the fixture has changed.
    with distributed.LocalCluster(
        2, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address.replace("tcp", "dask")
        result = fit(emt[:12], settings=SETTINGS, progress=False, workers=1, executor=address)
    assert result.model.hash == serial


MPI = """
import sys
import test_executors as t
from ase_scatter.structures.dataset import read_structures
from ase_scatter.training.fitting import fit
t.few_rows()
if __name__ == "__main__":
    read_structures(sys.argv[1])  # by this rank alone
    print(fit(t.frames_of(12), settings=t.SETTINGS, progress=False, workers=1, executor="mpi").model.hash)
"""


def test_mpi(serial, tmp_path):
    mpiexec = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if mpiexec is None or importlib.util.find_spec("mpi4py") is None:
        pytest.skip("mpi4py is not installed")
    script = tmp_path / "script.py"
    script.write_text(MPI)
    some = tmp_path / "some.extxyz"
    write(some, bulk("Cu"))
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [mpiexec, "-n", "3", sys.executable, "-m", "mpi4py.futures", str(script), str(some)],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [serial]


# ---- names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["processes", "processes:0", "processes:two", "dask://", "dask:x", "slurm"])
def test_unknown_names(name):
    with pytest.raises(InputError, match="choose processes:N, mpi or dask://HOST:PORT"):
        Workers(name)


def test_what_is_no_executor():
    with pytest.raises(InputError, match="not 3"):
        Workers(3)


@pytest.mark.parametrize(("name", "module"), [("mpi", "mpi4py"), ("dask://localhost:1", "distributed")])
def test_missing_packages_are_named(monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DeviceError, match=r"pip install 'ase-scatter\[distributed\]'"):
        Workers(name)


def test_the_command_line_refuses_in_one_sentence(tmp_path, emt, capsys):
    structures = []
    for frame in emt[:2]:
        atoms = Atoms(frame.system.numbers, frame.system.positions, cell=frame.system.cell, pbc=True)
        atoms.calc = SinglePointCalculator(atoms, energy=frame.energy, forces=frame.forces)
        structures.append(atoms)
    write(tmp_path / "train.extxyz", structures)
    words = ["fit", str(tmp_path / "train.extxyz"), "-o", str(tmp_path / "m.json"), "--executor", "slurm"]
    assert main(words) == 2
    assert "unknown executor 'slurm'" in capsys.readouterr().err
