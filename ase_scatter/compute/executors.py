"""Work on executors: any of the `concurrent.futures` interface, opened by name, replaced where it breaks."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from typing import Any, TypeAlias, TypeVar

from ..errors import DeviceError, InputError

T = TypeVar("T")

ExecutorLike: TypeAlias = str | Executor | Callable[[], Executor]
"""A name ("processes:N", "mpi", "dask://HOST:PORT"), an executor, or a function that makes one."""

AHEAD = 2
"""For each worker so many pieces of work are under way, so that none waits for the next."""
UNKNOWN_SIZE = 8
"""Workers of an executor that does not tell their number."""
MOST_BREAKS = 3
"""An executor that breaks so many times without a result in between is given up."""


class Workers:
    """An executor, and how to get another one when it breaks.

    Parameters
    ----------
    executor : str, Executor or callable
        What is given to `workers_of`.

    Attributes
    ----------
    size : int
        Number of workers.

    Raises
    ------
    InputError
        If the name is unknown.
    DeviceError
        If a package is missing, or nobody answers.
    """

    def __init__(self, executor: ExecutorLike) -> None:
        self._make: Callable[[], Executor] | None = None
        self._executor: Executor | None = None
        if isinstance(executor, str):
            self._make = _by_name(executor)
        elif isinstance(executor, Executor):
            self._executor = executor
        elif callable(executor):
            self._make = executor
        else:
            raise InputError(
                "an executor is a name, one of the `concurrent.futures` interface, or a function that makes "
                f"one, not {executor!r}"
            )
        if self._executor is None and self._make is not None:
            self._executor = self._make()
        self.size = _size(self._executor)

    def in_order(self, function: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> Iterator[T]:
        """Call a function with each of some arguments, on all workers.

        Results come in the order of the jobs, each once. When a worker dies and the executor breaks with it,
        another executor is made, and what has not come back is submitted again.

        Parameters
        ----------
        function : callable
            What is called; it can be pickled.
        jobs : sequence of tuple
            Arguments of each call.

        Yields
        ------
        object
            The result of each job.

        Raises
        ------
        DeviceError
            If the executor breaks and cannot be replaced.
        """
        waiting = deque(jobs)
        pending: deque[tuple[tuple[Any, ...], Future[T] | None]] = deque()
        breaks = 0
        while waiting or pending:
            while waiting and len(pending) < AHEAD * self.size:
                job = waiting.popleft()
                pending.append((job, self._submit(function, job)))
            job, future = pending[0]
            try:
                if future is None:
                    raise BrokenExecutor("the executor takes no more work")
                result = future.result()
            except (BrokenExecutor, CancelledError) as error:
                breaks += 1
                self._replace(error, breaks)
                pending = deque(
                    (job, future if _succeeded(future) else self._submit(function, job))
                    for job, future in pending
                )
                continue
            breaks = 0
            pending.popleft()
            yield result

    def _submit(self, function: Callable[..., T], job: tuple[Any, ...]) -> Future[T] | None:
        """None where the executor is broken already: it is found out when the result is asked for."""
        assert self._executor is not None
        try:
            return self._executor.submit(function, *job)
        except BrokenExecutor:
            return None

    def _replace(self, error: BaseException, breaks: int) -> None:
        if self._make is None or breaks >= MOST_BREAKS:
            what = "a worker died" if self._make is None else f"workers died {breaks} times in a row"
            raise DeviceError(
                f"{what} and the executor broke ({error}); give a function that makes an executor, so that "
                "it can be replaced, and look for what ends its workers: memory, or a script without "
                "`if __name__ == '__main__':`"
            ) from error
        self.close()
        self._executor = self._make()

    def close(self) -> None:
        """Shut down what was opened here; an executor that was given stays open."""
        if self._make is not None and self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None


@contextlib.contextmanager
def workers_of(executor: ExecutorLike | None) -> Iterator[Workers | None]:
    """Open an executor for the length of a ``with`` block.

    Parameters
    ----------
    executor : str, Executor or callable, optional
        "processes:N" (N new processes here), "mpi" (the other ranks of ``mpiexec -n N python -m
        mpi4py.futures``), "dask://HOST:PORT" (the address of a scheduler of dask.distributed), an executor,
        or a function that makes one. Those that are opened here are closed, and replaced when they break.

    Yields
    ------
    Workers or None
        None without an executor.

    Raises
    ------
    InputError
        If the name is unknown.
    DeviceError
        If a package is missing, or nobody answers.
    """
    if executor is None:
        yield None
        return
    workers = Workers(executor)
    try:
        yield workers
    finally:
        workers.close()


def _succeeded(future: Future[Any] | None) -> bool:
    return future is not None and future.done() and not future.cancelled() and future.exception() is None


def _size(executor: Any) -> int:
    """Number of workers, where an executor tells it."""
    for name in ("_max_workers", "num_workers"):
        size = getattr(executor, name, None)
        if isinstance(size, int) and size > 0:
            return size
    return UNKNOWN_SIZE


def _by_name(name: str) -> Callable[[], Executor]:
    """What makes the executor of a name."""
    kind, _, rest = name.partition(":")
    if kind == "processes" and rest.isdigit() and int(rest) > 0:
        return lambda: _processes(int(rest))
    if name == "mpi":
        return _mpi
    if kind == "dask" and rest.startswith("//") and ":" in rest:
        return lambda: _dask(rest[2:])
    raise InputError(f"unknown executor {name!r}: choose processes:N, mpi or dask://HOST:PORT")


def _processes(count: int) -> Executor:
    """Processes that share nothing with this one; a fork would copy the locks of its threads."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))


def _mpi() -> Executor:
    try:
        from mpi4py import MPI
        from mpi4py.futures import MPIPoolExecutor
    except ImportError as error:
        raise DeviceError(
            "the executor 'mpi' needs mpi4py and an MPI library: pip install 'ase-scatter[distributed]'"
        ) from error
    if MPI.COMM_WORLD.size < 2:
        raise DeviceError(
            "the executor 'mpi' needs ranks to work on: mpiexec -n 3 python -m mpi4py.futures -m ase_scatter "
            "fit … --executor mpi runs a fit on two, beside the one that adds up"
        )
    executor: Executor = MPIPoolExecutor()
    return executor


def _dask(address: str) -> Executor:
    try:
        from distributed import Client
    except ImportError as error:
        raise DeviceError(
            "the executor 'dask' needs dask.distributed: pip install 'ase-scatter[distributed]'"
        ) from error
    try:
        client = Client(f"tcp://{address}", set_as_default=False)
    except (OSError, ValueError) as error:
        raise DeviceError(
            f"no scheduler of dask answers at {address}; start one with `dask scheduler`, and workers with "
            f"`dask worker tcp://{address}` ({error})"
        ) from error
    return _DaskExecutor(client)


class _DaskExecutor(Executor):
    """A client of dask with the face of `concurrent.futures`, closed with its executor.

    Each call counts: without keys of their own, equal calls would be taken for one. Dask runs what a dead
    worker had on another one by itself.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._executor = client.get_executor(pure=False)

    @property
    def num_workers(self) -> int:
        """Threads of all workers."""
        return sum(self._client.nthreads().values())

    def submit(self, function: Callable[..., T], /, *arguments: Any, **keywords: Any) -> Future[T]:
        """See `concurrent.futures.Executor`."""
        future: Future[T] = self._executor.submit(function, *arguments, **keywords)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See `concurrent.futures.Executor`."""
        self._executor.shutdown(wait=wait and not cancel_futures)  # without waiting it cancels
        self._client.close()
