"""A lock that objects may hold which are copied, pickled and forked."""

from __future__ import annotations

import os
import threading


class Lock:
    """A re-entrant lock. Its copies are locks of their own, and a forked process finds it open."""

    def __init__(self) -> None:
        self._renew()

    def _renew(self) -> None:
        self._process, self._lock = os.getpid(), threading.RLock()

    def __enter__(self) -> None:
        if self._process != os.getpid():
            self._renew()  # the thread that holds it is not in this process
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[Lock], tuple[()]]:
        return Lock, ()
