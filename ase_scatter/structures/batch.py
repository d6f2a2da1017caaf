"""Several structures on a device, as one: their atoms follow each other in common arrays.

Whatever is computed for atoms and pairs goes through one launch of a kernel for all of them, whatever
their sizes and cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compute.backend import Array, Backend
from ..compute.memory import require_room, room
from .system import System

UNASKED = 64e6
"""So many bytes every device is taken to have."""


class Batch:
    """Structures whose atoms follow each other in common arrays of a device.

    Parameters
    ----------
    systems : sequence of System
        The structures.
    backend : Backend
        The device.
    cutoff : float
        Å, of the pairs that are wanted; 0 for none.

    Attributes
    ----------
    lists : object
        Its pairs, once they have been found.
    """

    lists: Any = None

    def __init__(self, systems: Sequence[System], backend: Backend, cutoff: float = 0.0) -> None:
        self.systems = tuple(systems)
        self.backend = backend
        self.cutoff = cutoff

    def __len__(self) -> int:
        return len(self.systems)

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """Where the atoms of each structure begin, and how many there are, (n + 1,)."""
        return np.cumsum([0, *map(len, self.systems)])

    @property
    def n_atoms(self) -> int:
        """Number of atoms of all structures."""
        return int(self.ends[-1])

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Atomic numbers of all atoms, on the host."""
        return _joined([system.numbers for system in self.systems])

    @cached_property
    def positions(self) -> Array:
        """Of all atoms, (N, 3) in Å, float64."""
        return self.backend.to_device(_joined([system.positions for system in self.systems]))

    @cached_property
    def first(self) -> Array:
        """`ends` on the device, int32."""
        return self.backend.to_device(self.ends, "int32")

    @cached_property
    def owner(self) -> Array:
        """Which structure each atom belongs to, (N,) int32."""
        return self.backend.to_device(np.repeat(np.arange(len(self)), np.diff(self.ends)), "int32")

    def adopt(self, other: Batch) -> None:
        """Use what an earlier batch of structures of the same sizes has on the device already.

        Parameters
        ----------
        other : Batch
            The earlier batch.
        """
        self.first, self.owner = other.first, other.owner

    def of_each(self, values: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
        """The part of each structure of an array whose rows are atoms.

        Parameters
        ----------
        values : ndarray, shape (n_atoms, ...)
            The array.

        Yields
        ------
        ndarray
            One for each structure.
        """
        for start, stop in zip(self.ends[:-1], self.ends[1:], strict=True):
            yield values[start:stop]


def _joined(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    """One after the other; a single one is not copied."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def batches(
    systems: Sequence[System], need: Callable[[System], float], backend: Backend, cutoff: float = 0.0
) -> Iterator[Batch]:
    """Structures that are computed together: one by one on the host, as many as fit on a device.

    Parameters
    ----------
    systems : sequence of System
        The structures.
    need : callable
        Bytes that a structure needs on a device.
    backend : Backend
        The host or a device.
    cutoff : float
        Å, of the pairs that are wanted; 0 for none.

    Yields
    ------
    Batch

    Raises
    ------
    DeviceError
        If a structure does not fit by itself.
    """
    if backend.compile is None:
        yield from (Batch([system], backend, cutoff) for system in systems)
        return
    needs = [need(system) for system in systems]
    held: list[System] = []
    used = 0.0
    # Asking takes longer than a small structure.
    free = room(backend) if sum(needs) > UNASKED else UNASKED
    for system, needed in zip(systems, needs, strict=True):
        if needed > free:
            require_room(backend, needed, f"a structure of {len(system)} atoms")
        if held and used + needed > free:
            yield Batch(held, backend, cutoff)
            held, used = [], 0.0
        held.append(system)
        used += needed
    if held:
        yield Batch(held, backend, cutoff)
