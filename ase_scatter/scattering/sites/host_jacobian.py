"""All columns at each atom, and their derivatives, by the compiled passes on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from ...compute import threads
from ...structures.neighbors import Neighbors
from ...structures.system import System
from ..harmonics import prefactors
from .host import LEAST_PER_THREAD
from .plan import Plan

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Places = tuple[Ints, ...]
"""By kind of term the column of each term and element, −1 for none."""


class LocalJacobian(NamedTuple):
    """Columns at some atoms, and their derivatives.

    Parameters
    ----------
    values : ndarray, shape (n_centres, n_columns)
        The columns.
    first : ndarray of int, shape (n_centres + 1,)
        Where in `atoms` the atoms in reach of each centre begin.
    atoms : ndarray of int, shape (n,)
        The atoms that the columns of each centre depend on, ascending for each.
    d_positions : ndarray, shape (3·n_columns·n,)
        For each centre the derivatives with respect to the positions of these, (n_columns, atoms, 3), per Å.
    strain : ndarray, shape (n_centres, n_columns, 6)
        Derivatives with respect to a symmetric strain, as xx, yy, zz, yz, xz, xy; of the last three half is
        that of each of the two components.
    """

    values: Floats
    first: Ints
    atoms: Ints
    d_positions: Floats
    strain: Floats


class _Structure:
    """A structure with the pairs within the cutoff, its fields A and the moduli g."""

    def __init__(self, plan: Plan, system: System, kind: Ints, near: Neighbors) -> None:
        from . import numba_kernels as kernels  # numba takes a second to import

        self.plan, self.n = plan, len(system)
        i = np.repeat(np.arange(self.n), np.diff(near.first))
        vectors = system.positions[near.second] - system.positions[i] + near.shifts @ system.cell
        inside = np.einsum("pa,pa->p", vectors, vectors) < plan.cutoff**2
        counts = np.bincount(i[inside], minlength=self.n)
        self.first = np.concatenate([[0], np.cumsum(counts)])
        self.second = np.ascontiguousarray(near.second[inside])
        self.where = (
            kind, system.positions, system.cell, self.first, self.second,
            np.ascontiguousarray(near.shifts[inside]),
        )  # fmt: skip
        self.factors = prefactors(plan.l_max)
        self.a = np.empty((self.n, plan.charges.shape[0] * plan.n_phi))
        self.g = np.empty((self.n, len(plan.source)))
        threads.over_ranges(
            self.n, LEAST_PER_THREAD, kernels.fields, plan, self.factors, *self.where, self.a, self.g
        )

    def columns(self, places: Places, n_columns: int) -> Floats:
        """All columns at the atoms, (N, n_columns)."""
        from .numba_columns import columns

        x = np.zeros((self.n, n_columns))
        threads.over_ranges(
            self.n, LEAST_PER_THREAD, columns, self.plan, self.factors, places, *self.where, self.a, self.g, x
        )
        return x

    def messages(self) -> tuple[Floats, Floats]:
        """Derivatives of g, as `numba_jacobian.messages` gives them."""
        from .numba_jacobian import messages

        n_sources = len(self.plan.source)
        d_g, own_g = np.zeros((n_sources, len(self.second), 3)), np.zeros((n_sources, self.n, 9))
        if n_sources:
            threads.over_ranges(
                self.n, LEAST_PER_THREAD, messages, self.plan, self.factors, *self.where, self.a, self.g, d_g,
                own_g,
            )  # fmt: skip
        return d_g, own_g

    def reach(self, centres: Ints) -> tuple[Ints, Ints]:
        """Where those of each centre begin, and the atoms that its columns depend on."""
        links = scipy.sparse.csr_array(
            (np.ones(len(self.second), np.int64), self.second, self.first), shape=(self.n, self.n)
        )
        links = links + scipy.sparse.eye_array(self.n, dtype=np.int64, format="csr")
        found = links[centres]
        if len(self.plan.source):
            found = found @ links
        found.sum_duplicates()
        return found.indptr.astype(np.int64), found.indices.astype(np.int64)


def local_columns(
    plan: Plan, system: System, kind: Ints, near: Neighbors, places: Places, n_columns: int
) -> Floats:
    """Evaluate all columns at each atom.

    Parameters
    ----------
    plan : Plan
        Tables of the transform.
    system : System
        The structure.
    kind : ndarray of int, shape (N,)
        Which of the elements each atom is.
    near : Neighbors
        Pairs of atoms within the cutoff, or farther.
    places : tuple of ndarray of int, each of shape (n_terms, n_elements)
        By kind of term the column of each term and element, −1 for none.
    n_columns : int
        Number of columns.

    Returns
    -------
    ndarray, shape (N, n_columns)
        0 in the columns of other elements.
    """
    return _Structure(plan, system, kind, near).columns(places, n_columns)


def local_jacobian(
    centres: Sequence[int] | None,
    plan: Plan,
    system: System,
    kind: Ints,
    near: Neighbors,
    places: Places,
    n_columns: int,
) -> LocalJacobian:
    """Evaluate all columns at some atoms, with their derivatives.

    Parameters
    ----------
    centres : sequence of int or None
        The atoms; None for all.
    plan : Plan
        Tables of the transform.
    system : System
        The structure.
    kind : ndarray of int, shape (N,)
        Which of the elements each atom is.
    near : Neighbors
        Pairs of atoms within the cutoff, or farther.
    places : tuple of ndarray of int, each of shape (n_terms, n_elements)
        By kind of term the column of each term and element, −1 for none.
    n_columns : int
        Number of columns.

    Returns
    -------
    LocalJacobian
    """
    found = _Structure(plan, system, kind, near)
    chosen = np.arange(found.n) if centres is None else np.asarray(centres, dtype=np.int64)
    first, atoms = found.reach(chosen)
    table, strain = np.zeros(3 * n_columns * len(atoms)), np.zeros((len(chosen), n_columns, 6))
    _differentiate(
        found, places, chosen, (first[:-1], first[1:], atoms), False, table, strain, np.empty((0, 0))
    )
    return LocalJacobian(found.columns(places, n_columns)[chosen], first, atoms, table, strain)


def total_jacobian(
    plan: Plan, system: System, kind: Ints, near: Neighbors, places: Places, n_columns: int
) -> tuple[Floats, Floats, Floats]:
    """Sum all columns over the atoms, with their derivatives.

    Parameters
    ----------
    plan : Plan
        Tables of the transform.
    system : System
        The structure.
    kind : ndarray of int, shape (N,)
        Which of the elements each atom is.
    near : Neighbors
        Pairs of atoms within the cutoff, or farther.
    places : tuple of ndarray of int, each of shape (n_terms, n_elements)
        By kind of term the column of each term and element, −1 for none.
    n_columns : int
        Number of columns.

    Returns
    -------
    values : ndarray, shape (n_columns,)
        The sums.
    d_positions : ndarray, shape (n_columns, N, 3)
        Derivatives with respect to the positions, per Å.
    d_strain : ndarray, shape (n_columns, 6)
        Derivatives with respect to a symmetric strain, as in `LocalJacobian`.
    """
    from .numba_jacobian import add_messages

    found = _Structure(plan, system, kind, near)
    n = found.n
    table, strain, d_message = (
        np.zeros((n_columns, n, 3)),
        np.zeros((1, n_columns, 6)),
        np.zeros((n, n_columns)),
    )
    everywhere = np.zeros(n, np.int64), np.full(n, n), np.arange(n)
    d_g, own_g = _differentiate(
        found, places, np.arange(n), everywhere, True, table.reshape(-1), strain, d_message
    )
    order2 = _order2(plan)
    pairs = [(places[4 if row[1] else 3][row[2]], row[0]) for row in order2]
    paired = np.array([c for columns, _ in pairs for c in columns if c >= 0], dtype=np.int64)
    source = np.array([s for columns, s in pairs for c in columns if c >= 0], dtype=np.int64)
    if len(paired):
        add_messages(found.first, found.second, paired, source, d_g, own_g, d_message, table, strain)
    return found.columns(places, n_columns).sum(axis=0), table, strain[0]


def _differentiate(
    found: _Structure,
    places: Places,
    centres: Ints,
    reach: tuple[Ints, Ints, Ints],
    summed: bool,
    table: Floats,
    strain: Floats,
    d_message: Floats,
) -> tuple[Floats, Floats]:
    """Run the passes; sums are made on one thread. Returns the derivatives of g."""
    from .numba_jacobian import derivatives

    d_g, own_g = found.messages()
    arguments = (
        found.plan, found.factors, places, _order2(found.plan), centres, *found.where, found.a, found.g, d_g,
        own_g, *reach, summed, table, strain, d_message,
    )  # fmt: skip
    if summed:
        derivatives(0, len(centres), *arguments)
    else:
        threads.over_ranges(len(centres), LEAST_PER_THREAD // 4, derivatives, *arguments)
    return d_g, own_g


def _order2(plan: Plan) -> Ints:
    """Of each term of order 2 its source, whether it is a product, and its number in its kind."""
    width = max(1, plan.n_outer)
    rows = [(int(plan.moduli2[k, 0]) // width, 0, t) for t, k in enumerate(plan.modulus2.tolist())]
    rows += [(at // width, 1, t) for t, at in enumerate(plan.cross2[:, 0].tolist())]
    return np.array(sorted(rows), dtype=np.int64).reshape(-1, 3)
