"""Work on several items at once, and bars that show how far it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from tqdm import tqdm

from . import threads

T = TypeVar("T")


def in_order(function: Any, items: Sequence[Any], workers: int, progress: bool, label: str) -> Iterator[Any]:
    """function(item) for all items, several at a time, in order, never far ahead of the consumer.

    Compiled code inside uses one thread where several items run side by side, else as many as here.
    """
    each = 1 if workers > 1 else threads.count()

    def limited(item: Any) -> Any:
        with threads.limited(each):
            return function(item)

    with ThreadPoolExecutor(workers) as pool:
        pending: list[Any] = []
        for item in bar(items, progress, label, len(items)):
            pending.append(pool.submit(limited, item))
            if len(pending) > workers:
                yield pending.pop(0).result()
        for future in pending:
            yield future.result()


def bar(items: Iterable[T], progress: bool, label: str, total: int) -> Iterable[T]:
    """The items, with a bar while they last."""
    shown: Iterable[T] = tqdm(items, desc=label, total=total, disable=not progress)
    return shown
