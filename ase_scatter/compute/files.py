"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from pathlib import Path


def write_whole(path: str | Path, content: str | bytes) -> None:
    """Write a file, which keeps its old content until the new one is complete.

    Parameters
    ----------
    path : str or Path
        Where to. A symbolic link stays, and what it points to is written; devices and pipes are written to.
    content : str or bytes
        What to write; a str in UTF-8.

    Raises
    ------
    OSError
        If the file cannot be written.

    Notes
    -----
    Where the operating system has files without a name (Linux), the content is written to one, so that a
    process that is killed leaves nothing behind.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    target = Path(os.path.realpath(path))
    mode = None
    if target.exists():
        mode = stat.S_IMODE(target.stat().st_mode)
        if not target.is_file():
            with target.open("wb") as file:
                file.write(data)
            return
    temporary = target.with_name(f".{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        _write_new(temporary, data, mode)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _write_new(path: Path, data: bytes, mode: int | None) -> None:
    """A file of this name, which it gets when it is complete where that can be done."""
    path.unlink(missing_ok=True)
    if hasattr(os, "O_TMPFILE"):
        # Neither every file system nor every container can.
        with contextlib.suppress(OSError):
            nameless = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY, 0o666)
            _fill(nameless, data, mode, f"/proc/self/fd/{nameless}", path)
            return
    _fill(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), data, mode)


def _fill(descriptor: int, data: bytes, mode: int | None, *link: str | Path) -> None:
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
        if mode is not None and hasattr(os, "fchmod"):
            os.fchmod(descriptor, mode)
        if link:
            os.link(*link, src_dir_fd=descriptor, follow_symlinks=True)
