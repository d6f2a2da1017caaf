"""How much of a device may be planned with, and what is said when it is full."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import DeviceError, InputError
from .backend import Backend

RESERVED = 0.1
"""This part of the free memory is left alone: FFT plans and temporary arrays come out of it."""


def room(backend: Backend) -> float:
    """Memory of a device that may be planned with.

    Parameters
    ----------
    backend : Backend
        The device.

    Returns
    -------
    float
        Bytes; infinity on the host.
    """
    return float("inf") if backend.memory is None else (1.0 - RESERVED) * backend.memory()


def require_room(backend: Backend, needed: float, what: str) -> None:
    """Refuse what needs more memory than there is.

    Parameters
    ----------
    backend : Backend
        The device.
    needed : float
        Bytes.
    what : str
        What needs them.

    Raises
    ------
    DeviceError
        If they are not there.
    """
    free = room(backend)
    if needed > free:
        raise DeviceError(
            f"{what} needs about {needed / 1e9:.1f} GB on device {backend.name!r}, where {free / 1e9:.1f} GB "
            "are free; take dtype='float32', a smaller structure or device='cpu'"
        )


def require_host_room(needed: float, what: str) -> None:
    """Refuse what needs more memory than the machine has, before the operating system kills the process.

    Parameters
    ----------
    needed : float
        Bytes.
    what : str
        What needs them.

    Raises
    ------
    InputError
        If the machine has less.
    """
    try:
        installed = float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return  # not every operating system tells
    if needed > installed:
        raise InputError(
            f"{what} needs about {needed / 1e9:.3g} GB, and this machine has {installed / 1e9:.3g} GB; "
            "take a smaller one, or a model on sites"
        )


@contextmanager
def clear_when_full(backend: Backend) -> Iterator[None]:
    """Turn a device's running out of memory into an error that says what to do.

    Parameters
    ----------
    backend : Backend
        The device.

    Yields
    ------
    None

    Raises
    ------
    DeviceError
        If the device runs out of memory inside.
    """
    try:
        yield
    except backend.out_of_memory as error:
        if backend.memory is None:
            raise  # the host's
        raise DeviceError(
            f"device {backend.name!r} ran out of memory ({error}); take dtype='float32', smaller structures, "
            "or device='cpu', or free memory that other programs hold there (nvidia-smi shows them)"
        ) from error
