"""How many threads compiled code uses, and dealing atoms out to them.

The default is OMP_NUM_THREADS, or one per core. Where structures are already evaluated side by side, each
of them is limited to one (`limited`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from itertools import pairwise
from typing import Any

from ..errors import InputError

RANGES_PER_THREAD = 4

_limit: ContextVar[int | None] = ContextVar("ase_scatter_threads", default=None)


def count() -> int:
    """Count the threads that one evaluation may use here.

    Returns
    -------
    int
        The innermost limit, or the default.
    """
    limit = _limit.get()
    return _default() if limit is None else limit


@lru_cache(maxsize=1)
def _default() -> int:
    text = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if text.isdigit() and int(text) > 0:
        return int(text)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def limited(n_threads: int) -> Iterator[None]:
    """Limit the threads of evaluations inside a ``with`` block, in this thread of Python.

    Parameters
    ----------
    n_threads : int
        Number of threads, at least 1.

    Yields
    ------
    None

    Raises
    ------
    InputError
        If the number is not positive.
    """
    if n_threads < 1:
        raise InputError(f"at least one thread is needed, not {n_threads}")
    token = _limit.set(n_threads)
    try:
        yield
    finally:
        _limit.reset(token)


@lru_cache(maxsize=4)
def _pool(n_threads: int, process: int) -> ThreadPoolExecutor:
    """One pool per size and process (threads do not survive a fork)."""
    return ThreadPoolExecutor(n_threads, thread_name_prefix="ase-scatter")


def over_ranges(n: int, least: int, work: Callable[..., Any], *arguments: Any) -> None:
    """Deal out 0…n in ranges to all threads.

    There are more ranges than threads, and a thread that is done takes the next one: a core that is busy
    with something else holds nobody up.

    Parameters
    ----------
    n : int
        Number of items.
    least : int
        Least number of items in a range.
    work : callable
        Called as ``work(start, stop, *arguments)`` for each range. An exception of its own is raised here.
    *arguments : object
        Passed on to `work`.
    """
    n_threads = count()
    n_ranges = max(1, min(RANGES_PER_THREAD * n_threads, n // least)) if n_threads > 1 else 1
    bounds = [n * k // n_ranges for k in range(n_ranges + 1)]
    ranges = iter(list(pairwise(bounds)))

    def take() -> None:
        for start, stop in ranges:  # a list's iterator gives each item to one thread only
            work(start, stop, *arguments)

    n_helpers = min(n_threads, n_ranges) - 1
    jobs = [_pool(n_helpers, os.getpid()).submit(take) for _ in range(n_helpers)]
    take()
    for job in jobs:
        job.result()
