"""Python compiled to machine code by numba, kept on disk between runs."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache, IndexDataCacheFile

FILES = "numba_*.py"
"""Names of the files that hold compiled functions."""

REORDERING = frozenset({"contract", "reassoc", "nsz", "arcp"})
"""Liberties that the compiler takes where sums may be reordered (names of LLVM's flags)."""


class _Cache(FunctionCache):
    """Machine code on disk, dropped when any file of compiled functions beside this one changes.

    numba itself looks at the function's own file, although the machine code holds the functions that it
    calls as well.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = IndexDataCacheFile(
            self.cache_path,
            self._impl.filename_base,
            (self._impl.locator.get_source_stamp(), _sources(Path(function.__code__.co_filename).parent)),
        )


@lru_cache(maxsize=8)
def _sources(folder: Path) -> str:
    """A fingerprint of the files of compiled functions in a folder."""
    files = sorted(folder.glob(FILES))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@lru_cache(maxsize=1)
def _warn_once() -> None:
    """Say once that compiled code cannot be kept."""
    warnings.warn(
        "compiled code cannot be kept on disk, and is compiled anew by each process (some ten seconds): "
        "neither the folder where ase_scatter is installed nor the user's cache folder can be written to; "
        "set NUMBA_CACHE_DIR to a folder that can",
        RuntimeWarning,
        stacklevel=4,
    )


def compiled(function: Callable[..., Any]) -> Any:
    """
    Compile a function when it is first called; sums may be reordered.

    The compiled function runs without Python's lock, and divisions by zero give infinities, as in NumPy.
    Its machine code is kept on disk. Functions that call each other stand in one folder, in files named
    ``numba_*.py``: when one of these changes, the machine code of all is made anew. Where nothing can be
    written to disk, a RuntimeWarning says so once.

    Parameters
    ----------
    function : callable
        What numba can compile.

    Returns
    -------
    dispatcher
        The compiled function.
    """
    return _make(function, REORDERING)


def compiled_exactly(function: Callable[..., Any]) -> Any:
    """
    Compile a function like `compiled`, with all operations in the order in which they are written.

    Parameters
    ----------
    function : callable
        What numba can compile.

    Returns
    -------
    dispatcher
        The compiled function.
    """
    return _make(function, frozenset())


def _make(function: Callable[..., Any], liberties: frozenset[str]) -> Any:
    dispatcher: Any = njit(nogil=True, fastmath=set(liberties), error_model="numpy")(function)
    try:
        dispatcher._cache = _Cache(function)
    except RuntimeError:  # there is no folder that can be written to
        _warn_once()
    return dispatcher
