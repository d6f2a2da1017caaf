"""The compiled passes on the CPU: threads and work space."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from ...compute import threads
from ...structures.neighbors import Neighbors
from ...structures.system import Evaluation, System
from ..harmonics import prefactors
from .plan import Plan

LEAST_PER_THREAD = 32
"""Fewer atoms than this are not worth another thread."""

MOST_KEPT = 256e6
"""Bytes of work space that are kept between evaluations, at most."""

Shapes = tuple[tuple[int, int], ...]
"""Shape of each array of a work space."""


class WorkSpace:
    """
    Arrays of the last evaluation, for the next one: fresh memory costs time (page faults).

    Those who evaluate hold one each, so that the arrays are let go with them; copies start empty. Safe to
    use from several threads.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._shapes: Shapes | None = None
        self._arrays: list[NDArray[np.float64]] = []

    def __reduce__(self) -> tuple[type[WorkSpace], tuple[()]]:
        return WorkSpace, ()

    def take(self, shapes: Shapes) -> list[NDArray[np.float64]]:
        """
        Take arrays out, or make them.

        Parameters
        ----------
        shapes : tuple of (int, int)
            Shape of each array.

        Returns
        -------
        list of ndarray
            Arrays of these shapes that nobody else has; their values are left over from anything.
        """
        with self._lock:
            arrays, known = self._arrays, self._shapes
            self._arrays, self._shapes = [], None
        if known == shapes:
            return arrays
        del arrays  # before the new ones are made
        return [np.empty(shape) for shape in shapes]

    def give_back(self, shapes: Shapes, arrays: list[NDArray[np.float64]]) -> None:
        """
        Keep arrays for the next evaluation, unless they are large.

        Parameters
        ----------
        shapes : tuple of (int, int)
            Shape of each array.
        arrays : list of ndarray
            What `take` gave; not to be used any more.
        """
        if sum(array.nbytes for array in arrays) <= MOST_KEPT:
            with self._lock:
                self._shapes, self._arrays = shapes, arrays


def evaluate(
    plan: Plan,
    system: System,
    kind: NDArray[np.int64],
    near: Neighbors,
    weights: Sequence[tuple[NDArray[np.float64], ...]],
    space: WorkSpace,
) -> list[Evaluation]:
    """
    Evaluate a structure with several sets of weights; the fields are computed once.

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
    weights : sequence of tuple of ndarray
        For each evaluation and each kind of term, in the order of ``KINDS``, the weights in eV, shape
        (n_terms, n_elements).
    space : WorkSpace
        Where the passes keep their intermediate arrays.

    Returns
    -------
    list of Evaluation
        Energies (eV), forces (eV/Å) and strain gradients (eV), one for each set of weights.
    """
    from . import numba_kernels as kernels  # numba takes a second to import

    n, n_sources = len(system), len(plan.source)
    where = (kind, system.positions, system.cell, near.first, near.second, near.shifts)
    # All that each atom or pair keeps between the passes.
    shapes = (
        (n, plan.charges.shape[0] * plan.n_phi),
        (n, n_sources),
        (n, int(plan.moduli[plan.source, 1].sum())),
        (near.n_pairs, n_sources),
        (near.n_pairs, 3),
    )
    a, g, kept, back, force = buffers = space.take(shapes)
    factors, least = prefactors(plan.l_max), LEAST_PER_THREAD
    threads.over_ranges(n, least, kernels.fields, plan, factors, *where, a, g)
    fields = a.copy() if len(weights) > 1 else a  # pass 2 writes over them
    found = []
    for row in weights:
        if a is not fields:
            a[:] = fields
        energies, forces, virial = np.empty(n), np.empty((n, 3)), np.empty((n, 3, 3))
        threads.over_ranges(
            n, least, kernels.terms, plan, factors, row, *where, a, g, kept, energies, back, force
        )
        threads.over_ranges(
            n, least, kernels.adjoint, plan, factors, *where, near.reverse, a, g, kept, back, force
        )
        threads.over_ranges(n, least, kernels.collect, *where[1:], near.reverse, force, forces, virial)
        total = virial.sum(axis=0)
        strain = 0.5 * (total + total.T)
        found.append(Evaluation(float(energies.sum()), forces, strain, energies, virial))
    space.give_back(shapes, buffers)
    return found
