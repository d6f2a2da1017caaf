"""How many threads there are, and dealing atoms out to them."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ase_scatter.compute import threads
from ase_scatter.errors import InputError


@pytest.fixture
def default(monkeypatch):
    """Sets OMP_NUM_THREADS, or unsets it, and gives the count that comes of it."""

    def count(text):
        if text is None:
            monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        else:
            monkeypatch.setenv("OMP_NUM_THREADS", text)
        threads._default.cache_clear()
        return threads.count()

    yield count
    threads._default.cache_clear()


@pytest.mark.parametrize(("text", "expected"), [("3", 3), ("1", 1), ("5,2", 5)])
def test_the_environment_says_how_many(default, text, expected):
    assert default(text) == expected


@pytest.mark.parametrize("text", [None, "", "0", "-2", "many", "2.5"])
def test_otherwise_one_per_core(default, text):
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert default(text) == cores


def test_limits_nest_and_end():
    before = threads.count()
    with threads.limited(3):
        assert threads.count() == 3
        with threads.limited(1):
            assert threads.count() == 1
        with threads.limited(7):
            assert threads.count() == 7
        assert threads.count() == 3
    assert threads.count() == before
    with pytest.raises(KeyError), threads.limited(before + 1):
        raise KeyError
    assert threads.count() == before


def test_a_limit_is_of_its_own_thread():
    before = threads.count()
    with threads.limited(before + 3), ThreadPoolExecutor(1) as pool:
        assert pool.submit(threads.count).result() == before
        assert threads.count() == before + 3


@pytest.mark.parametrize("n", [0, -1])
def test_fewer_than_one(n):
    before = threads.count()
    with pytest.raises(InputError, match="at least one thread"), threads.limited(n):
        pass
    assert threads.count() == before


def dealt(n, least, n_threads):
    """The ranges, in order."""
    seen = []
    with threads.limited(n_threads):
        threads.over_ranges(n, least, lambda start, stop: seen.append((start, stop)))
    return sorted(seen)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 5])
@pytest.mark.parametrize("least", [1, 7, 32])
def test_every_atom_once(n_threads, least):
    """However many ranges there are: enough for all threads where they can be long enough."""
    for n in (1, 2, 31, 32, 63, 64, 65, 100, 257):
        ranges = dealt(n, least, n_threads)
        assert [k for start, stop in ranges for k in range(start, stop)] == list(range(n))
        assert len(ranges) == 1 or min(stop - start for start, stop in ranges) >= least
        assert len(ranges) >= min(n_threads, max(1, n // least))
        if n_threads == 1:
            assert ranges == [(0, n)]


def test_no_atoms():
    assert dealt(0, 32, 4) == [(0, 0)]


def test_ranges_run_at_the_same_time():
    """As many as there are threads, this one among them; each waits for the others, which one after the
    other would be in vain."""
    together = threading.Barrier(3, timeout=20.0)
    seen = set()

    def work(start, stop):
        seen.add(threading.current_thread())
        together.wait()

    with threads.limited(3):
        threads.over_ranges(96, 32, work)
    assert len(seen) == 3
    assert threading.current_thread() in seen


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_no_more_threads_than_allowed(n_threads):
    seen, lock = set(), threading.Lock()
    running, most = 0, 0

    def work(start, stop):
        nonlocal running, most
        with lock:
            seen.add(threading.current_thread())
            running += 1
            most = max(most, running)
        time.sleep(0.002)
        with lock:
            running -= 1

    with threads.limited(n_threads):
        threads.over_ranges(1000, 10, work)
    assert most <= n_threads
    assert len(seen) <= n_threads
    if n_threads == 1:
        assert seen == {threading.current_thread()}


def test_one_that_is_slow_holds_nobody_up():
    """The first range waits for all others."""
    done, lock, all_others = [0], threading.Lock(), threading.Event()

    def work(start, stop):
        if start == 0:
            assert all_others.wait(20.0)
            done[0] += stop
            return
        with lock:
            done[0] += stop - start
            if done[0] == 1000 - first:
                all_others.set()

    first = dealt(1000, 10, 3)[0][1]
    with threads.limited(3):
        threads.over_ranges(1000, 10, work)
    assert done == [1000]


def test_arguments_arrive_and_all_is_done_when_it_returns():
    values = np.zeros(1000)

    def work(start, stop, target, number):
        target[start:stop] += number * np.arange(start, stop)

    with threads.limited(4):
        for _ in range(20):
            values[:] = 0.0
            threads.over_ranges(len(values), 10, work, values, 2.0)
            assert np.array_equal(values, 2.0 * np.arange(1000))


@pytest.mark.parametrize("where", [0, 50, 99])
def test_errors_are_raised(where):
    """Whichever thread they come up in; afterwards all works as before."""

    def work(start, stop):
        if start <= where < stop:
            raise ZeroDivisionError("here")

    for n_threads in (1, 2, 3):
        with threads.limited(n_threads), pytest.raises(ZeroDivisionError, match="here"):
            threads.over_ranges(100, 10, work)
    assert [k for start, stop in dealt(100, 10, 2) for k in range(start, stop)] == list(range(100))


def test_several_ask_at_once():
    """Structures side by side that share the pool."""

    def one(k):
        values = np.zeros(200)

        def work(start, stop):
            values[start:stop] = k

        with threads.limited(3):
            threads.over_ranges(200, 10, work)
        return values

    with ThreadPoolExecutor(6) as pool:
        for k, values in enumerate(pool.map(one, range(50))):
            assert np.all(values == k)
