"""Work on several items at once, and the one way in which progress is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

from . import threads

T = TypeVar("T")

Progress: TypeAlias = bool | Callable[[str, int, int | None], None]
"""False: silence. True: a bar on stderr. Or a function of (name, steps done, all steps or None)."""


@contextmanager
def reporting(progress: Progress, name: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Show how far a piece of work is.

    Parameters
    ----------
    progress : bool or callable
        False for silence, True for a bar on stderr, or a function of the name, the number of steps done
        and the number of all steps (None if unknown).
    name : str
        What the work is called.
    total : int, optional
        Number of steps.

    Yields
    ------
    callable
        To be called after every step.
    """
    if callable(progress):
        done = 0

        def count() -> None:
            nonlocal done
            done += 1
            progress(name, done, total)

        yield count
    elif progress:
        from tqdm import tqdm

        with tqdm(desc=name, total=total) as shown:

            def advance() -> None:
                shown.update()

            yield advance
    else:
        yield lambda: None


def bar(items: Iterable[T], progress: Progress, name: str, total: int | None = None) -> Iterator[T]:
    """The items, with progress shown while they last.

    Parameters
    ----------
    items : iterable
        What is worked on.
    progress : bool or callable
        As in `reporting`.
    name : str
        What the work is called.
    total : int, optional
        Number of items.

    Yields
    ------
    object
        Each item.
    """
    if not progress:
        yield from items
        return
    with reporting(progress, name, total) as tick:
        for item in items:
            yield item
            tick()


def in_order(
    function: Callable[[Any], T],
    items: Iterable[Any],
    workers: int,
    progress: Progress = False,
    name: str = "",
) -> Iterator[T]:
    """Apply a function to all items, several at a time.

    Results come in the order of the items, and no more items are taken than workers can deal with.
    Compiled code inside uses one thread where several items run side by side, else as many as here.

    Parameters
    ----------
    function : callable
        Of one item.
    items : iterable
        What it is applied to.
    workers : int
        Items at a time.
    progress : bool or callable
        As in `reporting`.
    name : str
        What the work is called.

    Yields
    ------
    object
        The result of each item.
    """
    total = len(items) if isinstance(items, Sized) else None
    if workers <= 1:
        yield from bar(map(function, items), progress, name, total)
        return

    def alone(item: Any) -> T:
        with threads.limited(1):
            return function(item)

    def results() -> Iterator[T]:
        with ThreadPoolExecutor(workers) as pool:
            pending: list[Any] = []
            for item in items:
                pending.append(pool.submit(alone, item))
                if len(pending) > workers:
                    yield pending.pop(0).result()
            for future in pending:
                yield future.result()

    yield from bar(results(), progress, name, total)
