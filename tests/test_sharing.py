"""One calculator for several threads and for forked processes."""

from __future__ import annotations

import copy
import os
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ase.build import bulk

from ase_scatter.calculator import ScatteringCalculator
from ase_scatter.compute.lock import Lock


@pytest.fixture
def often():
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def structures(n):
    rng = np.random.default_rng(5)
    found = []
    for _ in range(n):
        atoms = bulk("Si")
        atoms.positions += rng.normal(0, 0.1, (2, 3))
        found.append(atoms)
    return found


@pytest.mark.usefixtures("often")
def test_threads_share_a_calculator():
    calc = ScatteringCalculator("Si")
    alone = [(r["energy"], r["forces"]) for r in calc.evaluate_many(structures(90))]

    def one(atoms):
        atoms.calc = calc
        return atoms.get_potential_energy(), atoms.get_forces()

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(one, structures(90)))
    wrong = [k for k, (a, b) in enumerate(zip(alone, found, strict=True)) if a[0] != b[0]]
    assert wrong == []
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(alone, found, strict=True))


@pytest.mark.usefixtures("often")
def test_properties_of_one_structure_belong_together():
    calc = ScatteringCalculator("Si")
    alone = [r["energy"] for r in calc.evaluate_many(structures(30))]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda a: calc.calculate_properties(a, ["energy"])["energy"], structures(30)))
    assert found == alone


def test_copies_of_a_lock_are_locks_of_their_own():
    lock = Lock()
    with lock, lock:  # re-entrant
        for twin in (copy.deepcopy(lock), pickle.loads(pickle.dumps(lock))):
            entered = []

            def enter(twin=twin, entered=entered):
                with twin:
                    entered.append(True)

            thread = threading.Thread(target=enter)
            thread.start()
            thread.join(10)
            assert entered == [True]


def test_a_forked_process_finds_the_lock_open(monkeypatch):
    lock = Lock()
    inner, held, done = lock._lock, threading.Event(), threading.Event()

    def hold():
        with inner:
            held.set()
            done.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(20)
    # As in the child of a fork, where the thread that holds the lock does not exist.
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with lock:
        assert lock._lock is not inner
    done.set()
    thread.join(20)
