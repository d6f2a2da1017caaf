"""Potentials that differ in their weights and free atoms alone, to be evaluated together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from ..structures.system import Evaluation


class Rows(NamedTuple):
    """Potentials that have their columns and repulsion in common.

    Parameters
    ----------
    weights : ndarray, shape (n_rows, n_columns)
        Weights in eV.
    e0 : ndarray, shape (n_rows, n_numbers)
        Free-atom energies in eV by atomic number, nan for unknown elements.
    """

    weights: NDArray[np.float64]
    e0: NDArray[np.float64]


def by_number(e0: Mapping[str, float]) -> NDArray[np.float64]:
    """Free-atom energies by atomic number.

    Parameters
    ----------
    e0 : mapping of str to float
        By chemical symbol, eV.

    Returns
    -------
    ndarray, shape (n_numbers,)
        nan for other elements.
    """
    table = np.full(len(chemical_symbols), np.nan)
    table[[atomic_numbers[symbol] for symbol in e0]] = list(e0.values())
    return table


def with_free_atoms(values: Evaluation, atomic: NDArray[np.float64]) -> Evaluation:
    """An evaluation with the energies of the free atoms added.

    Parameters
    ----------
    values : Evaluation
        Without them.
    atomic : ndarray, shape (N,)
        Their energies, eV.

    Returns
    -------
    Evaluation
    """
    energies = None if values.energies is None else values.energies + atomic
    return replace(values, energy=float(values.energy + atomic.sum()), energies=energies)
