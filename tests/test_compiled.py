"""Compiled code: kept on disk, made anew when its sources change, and not in the way of fork and pickle."""

import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
from ase.build import bulk

from ase_scatter import ScatteringCalculator
from ase_scatter.compute import compiled
from ase_scatter.scattering.sites import host

OUTER = """
from ase_scatter.compute.compiled import compiled
from numba_inner import inner

@compiled
def outer(x):
    return 10.0 * inner(x)
"""
INNER = """
from ase_scatter.compute.compiled import compiled

@compiled
def inner(x):
    return x + {}
"""
PACKAGE = Path(compiled.__file__).parents[2]


def run(code, folder, **environment):
    """What Python prints in a folder; warnings are errors."""
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{PACKAGE}", **environment}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
    )
    assert not done.returncode, done.stderr
    return done.stdout.strip()


def test_machine_code_is_kept_and_made_anew_when_another_file_changes(tmp_path):
    """The function that is called stays as it was; what it calls stands in another file."""
    ask = "from numba_outer import outer; print(outer(1.0), sum(outer.stats.cache_hits.values()))"
    Path(tmp_path, "numba_outer.py").write_text(OUTER)
    Path(tmp_path, "numba_inner.py").write_text(INNER.format(1.0))
    cache = str(tmp_path / "cache")
    assert run(ask, tmp_path, NUMBA_CACHE_DIR=cache) == "20.0 0"
    assert run(ask, tmp_path, NUMBA_CACHE_DIR=cache) == "20.0 1"
    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
    Path(tmp_path, "numba_inner.py").write_text(INNER.format(2.0))
    assert run(ask, tmp_path, NUMBA_CACHE_DIR=cache) == "30.0 0"
    assert run(ask, tmp_path, NUMBA_CACHE_DIR=cache) == "30.0 1"


def test_where_nothing_can_be_kept_it_warns_once(monkeypatch):
    def nowhere(function):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(compiled, "_Cache", nowhere)
    compiled._warn_once.cache_clear()
    with pytest.warns(RuntimeWarning, match="cannot be kept on disk") as caught:
        functions = [compiled.compiled(lambda x: x + 1.0), compiled.compiled_exactly(lambda x: x + 2.0)]
    assert len(caught) == 1
    assert [function(1.0) for function in functions] == [2.0, 3.0]


def test_a_folder_that_cannot_be_written_to(tmp_path):
    """Files are where folders would have to be made: that stops root as well."""
    Path(tmp_path, "numba_outer.py").write_text(OUTER)
    Path(tmp_path, "numba_inner.py").write_text(INNER.format(1.0))
    Path(tmp_path, "__pycache__").write_text("")
    ask = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from numba_outer import outer
    print(outer(1.0), [w.category.__name__ for w in caught])
"""
    nowhere = {"HOME": os.devnull, "XDG_CACHE_HOME": os.devnull, "NUMBA_CACHE_DIR": ""}
    assert run(ask, tmp_path, **nowhere) == "20.0 ['RuntimeWarning']"


# ---- work space -------------------------------------------------------------------------------------------


def silicon(n=1):
    atoms = bulk("Si", cubic=True).repeat(n)
    atoms.rattle(0.1, seed=1)
    return atoms


def test_work_space_is_used_again_and_given_out_once():
    space = host.WorkSpace()
    shapes = ((3, 2), (0, 5))
    first = space.take(shapes)
    assert [a.shape for a in first] == [(3, 2), (0, 5)]
    assert space.take(shapes)[0] is not first[0]
    space.give_back(shapes, first)
    assert space.take(((3, 3), (0, 5)))[0].shape == (3, 3)
    space.give_back(shapes, first)
    assert space.take(shapes)[0] is first[0]


def test_large_work_space_is_not_kept(monkeypatch):
    space = host.WorkSpace()
    arrays = space.take(((10, 10),))
    monkeypatch.setattr(host, "MOST_KEPT", 799)
    space.give_back(((10, 10),), arrays)
    assert space.take(((10, 10),))[0] is not arrays[0]


@pytest.mark.parametrize("copy", [deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_of_a_calculator_have_a_work_space_of_their_own(copy):
    atoms = silicon()
    atoms.calc = ScatteringCalculator("Si")
    energy = atoms.get_potential_energy()
    transform = atoms.calc.model.transform
    again = copy(transform)
    assert again._work_space is not transform._work_space
    assert not again._work_space._arrays
    assert len(pickle.dumps(transform._work_space)) < 200
    atoms.calc = copy(atoms.calc)
    atoms.rattle(0.0)
    assert atoms.get_potential_energy() == energy


# ---- processes --------------------------------------------------------------------------------------------


def evaluated(name):
    atoms = silicon(2)
    atoms.calc = ScatteringCalculator(name)
    return atoms.get_potential_energy(), atoms.get_forces()


PROCESSES = """
import multiprocessing, sys
import test_compiled
if __name__ == "__main__":
    here = test_compiled.evaluated(sys.argv[1])
    with multiprocessing.get_context(sys.argv[2]).Pool(1) as pool:
        there = pool.apply_async(test_compiled.evaluated, (sys.argv[1],)).get(timeout=120)
    assert here[0] == there[0] and (here[1] == there[1]).all()
    print("the same")
"""


@pytest.mark.parametrize(
    "method", [m for m in ("fork", "spawn") if m in multiprocessing.get_all_start_methods()]
)
@pytest.mark.parametrize("name", ["Si", "Si-grid"])
def test_processes_evaluate_after_their_parent_did(name, method, tmp_path):
    """With several threads in each: none of the parent's threads are there after a fork."""
    script = tmp_path / "processes.py"
    script.write_text(PROCESSES)
    paths = os.pathsep.join([str(Path(__file__).parent), str(PACKAGE)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "3"}
    done = subprocess.run(
        [sys.executable, str(script), name, method],
        capture_output=True,
        text=True,
        env=environment,
        timeout=200,
    )
    assert done.stdout == "the same\n", done.stderr
