"""The atom-centred transform on a device, by the kernels in `sites.cu`.

All atoms of a batch go through each pass in one launch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compute.backend import Array, Backend, Kernels, load_kernels
from ...structures.batch import Batch
from ...structures.neighbors_cuda import Sums, near_pairs
from ...structures.system import Evaluation
from .columns import KINDS
from .cuda_plan import Tables
from .plan import Layout

FILES = ("compute/math.cuh", "scattering/sites/sites.cu")
"""Sources of the kernels."""

Ints = NDArray[np.int64]

KEPT = 16
_made: OrderedDict[tuple[int, str, str], SitesOnDevice] = OrderedDict()
_lock = Lock()


def on_device(layout: Layout, tables: Tables, backend: Backend, dtype: str) -> SitesOnDevice:
    """Get a plan's kernels and tables, made once.

    Parameters
    ----------
    layout : Layout
        Tables of the transform.
    tables : Tables
        The same for kernels.
    backend : Backend
        The device.
    dtype : str
        "float64" or "float32".

    Returns
    -------
    SitesOnDevice
        The `KEPT` latest are kept.
    """
    key = id(layout), backend.name, dtype  # what is kept holds its layout, so that no other has its id
    with _lock:
        made = _made.get(key) or SitesOnDevice(layout, tables, backend, dtype)
        _made[key] = made
        _made.move_to_end(key)
        while len(_made) > KEPT:
            _made.popitem(last=False)
    return made


class SitesOnDevice:
    """A plan on a device: its kernels and tables.

    Parameters
    ----------
    layout : Layout
        Tables of the transform.
    tables : Tables
        The same for kernels.
    backend : Backend
        The device.
    dtype : str
        "float64" or "float32".
    """

    def __init__(self, layout: Layout, tables: Tables, backend: Backend, dtype: str) -> None:
        self.tables = tables
        self.layout = layout
        self.backend = backend
        self.dtype = dtype
        self.kernels: Kernels = load_kernels(backend, FILES, self.tables.macros(layout, dtype))
        self.shared = self.tables.shared(dtype)
        self.ints = backend.to_device(np.concatenate(list(self.tables.ints.values())), "int32")
        self.numbers = backend.to_device(np.concatenate(list(self.tables.numbers.values())), dtype)

    def weights(self, row: NDArray[np.float64], places: Mapping[str, Ints]) -> Array:
        """Sort weights for the kernels.

        Parameters
        ----------
        row : ndarray, shape (n_columns + 1,)
            Weights in eV of the columns, and a 0.
        places : mapping of str to ndarray of int, shape (n_terms, n_elements)
            For each kind of term where the weights of each term and element stand, −1 for none.

        Returns
        -------
        array, shape (n_elements, n_terms)
            On the device.
        """
        of_kinds = [row[places[kind][self.tables.order[kind]]] for kind in KINDS]
        return self.backend.to_device(np.concatenate(of_kinds).T, self.dtype)

    def evaluate(
        self, batch: Batch, kinds: Ints, rows: NDArray[np.float64], places: Mapping[str, Ints]
    ) -> list[list[Evaluation]]:
        """Evaluate the structures of a batch with each row of weights.

        Parameters
        ----------
        batch : Batch
            The structures.
        kinds : ndarray of int, shape (N,)
            Which of the elements each atom of the batch is.
        rows : sequence of ndarray, shape (n_columns + 1,)
            Weights in eV of the columns, and a 0.
        places : mapping of str to ndarray of int, shape (n_terms, n_elements)
            For each kind of term where the weights of each term and element stand, −1 for none.

        Returns
        -------
        list of list of Evaluation
            Of each structure one for each row.
        """
        xp, n, sizes, dtype = self.backend.xp, batch.n_atoms, self.tables.sizes, self.dtype
        near = near_pairs(batch, self.tables.cutoff, dtype)
        kind = self.backend.to_device(kinds, "int32")
        held, bends = (xp.empty((len(near.vectors), k), dtype=dtype) for k in (3, 2))
        self._run("hold", n, near.first, near.counts, near.vectors, near.second, kind, held, bends)
        pairs = (near.first, near.counts, held, near.second)
        a, d_a = xp.empty((n, sizes["N_A"]), dtype=dtype), xp.empty((n, sizes["N_A"]), dtype=dtype)
        g = xp.empty((n, sizes["N_SOURCES"]), dtype=dtype)
        d_b = xp.empty((n, sizes["N_B"]), dtype=dtype)
        self._run("fields", n, *pairs, kind, a, g)
        found = []
        for row in rows:
            sums = Sums(batch)
            self._run("terms", n, self.weights(row, places), *pairs, kind, a, g, d_a, d_b, sums.energies)
            self._run("messages", n, *pairs, a, g, d_b, d_a)
            self._run("forces", n, *pairs, kind, bends, g, d_a, d_b, sums.forces, sums.virials)
            found.append(sums.evaluations())
        return [list(of_rows) for of_rows in zip(*found, strict=True)]

    def _run(self, name: str, n: int, *arguments: Any) -> None:
        self.kernels(name, n, self.ints, self.numbers, *arguments, shared=self.shared[name])
