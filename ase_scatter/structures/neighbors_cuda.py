"""Neighbours on a device: pairs of atoms within a cutoff, of all structures of a batch at once.

Lists reach farther than the cutoff by a skin and are kept until an atom has moved half of it, as on the
host (`neighbors`). They are found and kept on the device; only their length comes to the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compute.backend import THREADS, Array, Backend, Kernels, blocks, load_kernels, real
from ..compute.cache import Latest
from ..errors import InputError
from .batch import Batch
from .neighbors import SKIN
from .pair_search import completed_cell, require_searchable
from .system import Evaluation, System

KEPT = 4
"""So many lists are kept."""

LARGEST_KEPT = 200_000
"""Of batches with more atoms only the last list is kept."""

FILES = ("compute/math.cuh", "structures/neighbors.cu")
"""Sources of the kernels."""

TURNS = 511
"""Cells that a neighbour may be away, at most."""


def _kernels(backend: Backend, dtype: str = "float64") -> Kernels:
    return load_kernels(backend, FILES, {"REAL": real(dtype)})


@dataclass(frozen=True, eq=False)
class _Lists:
    """Pairs of the atoms of a batch, sorted; and the batch that they were made for.

    first: (N + 1,) where the pairs of each atom begin. pairs: (P,) as in `pairs.cu`. turns: (N, 3).
    """

    batch: Batch
    reach: float
    cells: Array
    first: Array
    pairs: Array
    turns: Array
    n_pairs: int

    def serves(self, batch: Batch, cutoff: float) -> bool:
        """Whether all pairs within the cutoff must be in the lists."""
        mine = self.batch
        slack = self.reach - cutoff
        if slack < 0 or mine.backend != batch.backend or not np.array_equal(mine.ends, batch.ends):
            return False
        for old, new in zip(mine.systems, batch.systems, strict=True):
            if not (np.array_equal(old.cell, new.cell) and np.array_equal(old.pbc, new.pbc)):
                return False
        moved = batch.positions - mine.positions
        return float((moved * moved).sum(axis=1).max()) < (0.5 * slack) ** 2


@dataclass(frozen=True, eq=False)
class Near:
    """Pairs of each atom within a cutoff, on a device.

    Parameters
    ----------
    first : array of int64, shape (N + 1,)
        Where the pairs of each atom begin.
    counts : array of int32, shape (N,)
        How many there are; the room up to the next atom's is not filled.
    vectors : array, shape (n_pairs, 3)
        From the atom to its neighbour, Å.
    second : array of int32, shape (n_pairs,)
        The neighbour.
    """

    first: Array
    counts: Array
    vectors: Array
    second: Array


class PairCache(Latest[_Lists]):
    """The latest lists, found again by structures."""

    def __init__(self) -> None:
        super().__init__(KEPT)

    def lists(self, batch: Batch, cutoff: float) -> _Lists:
        """Lists that hold all pairs within a cutoff, and some beyond it.

        Parameters
        ----------
        batch : Batch
            The structures.
        cutoff : float
            Å.

        Returns
        -------
        object
            What `near_pairs` goes by.
        """
        known = self.find(lambda lists: lists.serves(batch, cutoff))
        if known is not None:
            batch.adopt(known.batch)
            return known
        if batch.n_atoms > LARGEST_KEPT:
            self.clear()  # the old ones go before the new ones are made
        return self.keep(_search(batch, cutoff + SKIN))


CACHE = PairCache()


def near_pairs(batch: Batch, cutoff: float, dtype: str = "float64") -> Near:
    """Pairs of a batch within a cutoff.

    Parameters
    ----------
    batch : Batch
        The structures.
    cutoff : float
        Å, at most that of the batch.
    dtype : str
        "float64" or "float32", of the vectors.

    Returns
    -------
    Near
    """
    if batch.lists is None:
        batch.lists = CACHE.lists(batch, max(cutoff, batch.cutoff))
    lists = batch.lists
    backend, xp, n = batch.backend, batch.backend.xp, batch.n_atoms
    counts = xp.empty(n, dtype="int32")
    vectors, second = xp.empty((lists.n_pairs, 3), dtype=dtype), xp.empty(lists.n_pairs, dtype="int32")
    _kernels(backend, dtype)(
        "near", blocks(n), np.int32(n), np.float64(cutoff), batch.positions, batch.owner, lists.cells,
        lists.turns, lists.first, lists.pairs, counts, vectors, second,
    )  # fmt: skip
    return Near(lists.first, counts, vectors, second)


def _search(batch: Batch, reach: float) -> _Lists:
    backend, xp, n = batch.backend, batch.backend.xp, batch.n_atoms
    kernels = _kernels(backend)
    # Structures that share a cell share their bins.
    known: dict[tuple[bytes, bytes, int], _Bins] = {}
    bins = []
    for system in batch.systems:
        require_searchable(system.positions, system.cell, system.pbc, reach)
        key = system.cell.tobytes(), system.pbc.tobytes(), len(system)
        if key not in known or not system.pbc.all():
            known[key] = _Bins.of(system, reach)
        bins.append(known[key])
    sizes = np.array([np.prod(b.number) for b in bins])
    first_bin = np.cumsum([0, *sizes])
    if first_bin[-1] * n >= 2**62 or first_bin[-1] >= 2**31:
        raise InputError("the structures are too far apart to be searched for neighbours on this device")

    def table(rows: Sequence[NDArray[Any]], dtype: str) -> Array:
        return backend.to_device(np.array(rows).reshape(len(batch), -1), dtype)

    cells = table([b.cell for b in bins], "float64")
    periodic = table([system.pbc.astype(np.int64) for system in batch.systems], "int32")
    number = table([b.number for b in bins], "int32")
    start_of = backend.to_device(first_bin, "int32")
    turns, keys = xp.empty((n, 3), dtype="int32"), xp.empty(n, dtype="int64")
    kernels(
        "wrap", blocks(n), np.int32(n), batch.positions, batch.owner, cells,
        table([b.inverse for b in bins], "float64"), periodic, number, start_of,
        table([b.low for b in bins], "float64"), table([b.scale for b in bins], "float64"), turns, keys,
    )  # fmt: skip
    # By (bin, atom): the order is the same whatever the device does at once.
    ordered = xp.sort(keys)
    starts = xp.searchsorted(ordered, xp.arange(int(first_bin[-1]) + 1, dtype="int64") * n)
    counts = xp.zeros(n + 1, dtype="int64")
    nothing = xp.zeros(1, dtype="int64")
    where = (
        np.float64(reach), batch.positions, batch.owner, cells, periodic, number, start_of,
        table([b.range for b in bins], "int32"), turns, keys, ordered, starts.astype("int64"),
    )  # fmt: skip
    kernels("search", blocks(n), np.int32(n), np.int32(0), *where, nothing, counts, nothing)
    ends = xp.cumsum(counts)
    first = xp.concatenate([nothing, ends[:n]])
    n_pairs = int(ends[n])
    found, pairs = xp.empty(n_pairs, dtype="int64"), xp.empty(n_pairs, dtype="int64")
    kernels("search", blocks(n), np.int32(n), np.int32(1), *where, first, counts, found)
    kernels("order", n, first, found, pairs)
    # A twin that knows no lists: batch and lists would hold each other, and memory of the device with them.
    return _Lists(copy(batch), reach, cells, first, pairs, turns, n_pairs)


@dataclass(frozen=True)
class _Bins:
    """How a structure is divided into bins at least as wide as the reach, where it is wide enough.

    cell: (3, 3), completed, and its inverse. number: (3,) bins per direction. low, scale:
    bin = (fraction − low)·scale. range: (3,) so many bins to either side are searched.
    """

    cell: NDArray[np.float64]
    inverse: NDArray[np.float64]
    number: NDArray[np.int64]
    low: NDArray[np.float64]
    scale: NDArray[np.float64]
    range: NDArray[np.int64]

    @classmethod
    def of(cls, system: System, reach: float) -> _Bins:
        cell = completed_cell(system.cell, system.pbc)
        inverse = np.asarray(np.linalg.inv(cell), dtype=np.float64)
        low, width = np.zeros(3), np.ones(3)
        if not system.pbc.all():
            # Along open directions fractions are lengths in Å.
            fractions = system.positions @ inverse[:, ~system.pbc]
            low[~system.pbc] = fractions.min(axis=0)
            width[~system.pbc] = np.ptp(fractions, axis=0) + 1e-6
        heights = width / np.linalg.norm(inverse, axis=0)
        number = np.maximum(1, (heights / reach).astype(np.int64))
        while np.prod(number) > max(64, 8 * len(system)):
            number = np.maximum(1, number // 2)
        far = np.ceil(reach * number / heights).astype(np.int64)
        far[~system.pbc] = np.minimum(far, number)[~system.pbc]
        if (far > TURNS * number).any():
            raise InputError(f"the cell is too small for a cutoff of {reach:.3g} Å; repeat the structure")
        return cls(cell, inverse, number, low, number / width, far)


# ---- what comes back ----------------------------------------------------------------------------------


class Sums:
    """Energies, forces and virials of the atoms of a batch as kernels write them, in float64.

    Parameters
    ----------
    batch : Batch
        The structures.

    Attributes
    ----------
    energies, forces, virials : array
        On the device.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        xp, n = batch.backend.xp, batch.n_atoms
        self.energies = xp.empty(n, dtype="float64")
        self.forces = xp.empty((n, 3), dtype="float64")
        self.virials = xp.empty((n, 3, 3), dtype="float64")

    def evaluations(self) -> list[Evaluation]:
        """The sums of each structure, on the host.

        Returns
        -------
        list of Evaluation
        """
        batch, backend = self.batch, self.batch.backend
        sums = backend.xp.empty((len(batch), 10), dtype="float64")
        _kernels(backend)(
            "totals", len(batch), batch.first, self.energies, self.virials, sums, shared=8 * 10 * THREADS
        )
        parts = (batch.of_each(backend.to_host(part)) for part in (self.energies, self.forces, self.virials))
        found = []
        for row, mine, theirs, virials in zip(backend.to_host(sums), *parts, strict=True):
            total = row[1:].reshape(3, 3)
            found.append(Evaluation(float(row[0]), theirs, 0.5 * (total + total.T), mine, virials))
        return found
