"""The latest of what is made, found again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """The latest of what is made, found again; safe to use from several threads.

    Parameters
    ----------
    most : int
        Number of entries that are kept.

    Attributes
    ----------
    built : int
        Number of entries so far.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[int, T] = OrderedDict()
        self._lock = Lock()
        self.built = 0

    def find(self, serves: Callable[[T], bool]) -> T | None:
        """The latest entry that serves.

        Parameters
        ----------
        serves : callable
            Whether an entry does.

        Returns
        -------
        object or None
            None if no entry does.
        """
        with self._lock:
            entries = list(self._entries.items())
        for key, entry in reversed(entries):
            if serves(entry):
                with self._lock:
                    if key in self._entries:
                        self._entries.move_to_end(key)
                return entry
        return None

    def keep(self, entry: T) -> T:
        """Keep an entry, and let the one go that was not asked for the longest.

        Parameters
        ----------
        entry : object
            What is kept.

        Returns
        -------
        object
            The entry.
        """
        with self._lock:
            self.built += 1
            self._entries[self.built] = entry
            while len(self._entries) > self._most:
                self._entries.popitem(last=False)
        return entry

    def clear(self) -> None:
        """Let all entries go."""
        with self._lock:
            self._entries.clear()
