"""Channels: how elements become densities.

A channel c gives each element Z a weight q_c(Z), and with it the pseudo-density
ρ_c(u) = Σ_k q_c(Z_k) δ(u − R_k). One channel per species keeps the species apart; a channel that sums
over species (charges, or plain counting) couples them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from ..compute.entries import entries, numbers, strings
from ..errors import InputError, UnknownElementError
from ..structures.system import kinds_of

LEAST_KIN = 4
"""So many elements share channels."""

_NOBLE_CORES = (0, 2, 10, 18, 36, 54, 86)


def valence_electrons(number: int) -> int:
    """Count electrons outside the noble-gas core, without filled d and f shells of main-group elements.

    Parameters
    ----------
    number : int
        Atomic number.

    Returns
    -------
    int
        Number of valence electrons.
    """
    core = max(n for n in _NOBLE_CORES if n < number)
    valence = number - core
    if core in (18, 36) and valence > 12:
        valence -= 10
    elif core in (54, 86) and valence > 26:
        valence -= 24
    elif core in (54, 86) and valence > 16:
        valence -= 14
    return valence


def _require_symbols(elements: Iterable[str]) -> None:
    unknown = [symbol for symbol in elements if atomic_numbers.get(symbol, 0) < 1]
    if unknown:
        raise InputError(f"not chemical symbols: {', '.join(unknown)}")


def contrasts(elements: Sequence[str]) -> list[list[float]]:
    """Signs that tell groups and periods of the periodic table apart.

    Parameters
    ----------
    elements : sequence of str
        Chemical symbols.

    Returns
    -------
    list of list of float
        For groups and for periods, where the elements are of several: −1 for those up to the middle of their
        range and 1 for the others.
    """
    z = [atomic_numbers[symbol] for symbol in elements]
    periods = [sum(n > core for core in _NOBLE_CORES) for n in z]
    groups = [valence_electrons(n) for n in z]
    found = []
    for values in (np.array(groups), np.array(periods)):
        if values.min() < values.max():
            found.append(np.where(values <= 0.5 * (values.min() + values.max()), -1.0, 1.0).tolist())
    return found


@dataclass(frozen=True)
class Channels:
    """Weights of the elements in each channel.

    Parameters
    ----------
    elements : tuple of str
        Chemical symbols.
    names : tuple of str
        Name of each channel.
    weights : tuple of tuple of float, shape (n_channels, n_elements)
        q_c(Z), without unit.

    Raises
    ------
    InputError
        If a symbol is unknown, or the weights are not finite or not shaped like that.
    """

    elements: tuple[str, ...]
    names: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        _require_symbols(self.elements)
        table = np.asarray(self.weights, dtype=float)
        if table.shape != (len(self.names), len(self.elements)) or not np.isfinite(table).all():
            raise InputError(
                f"channel weights must be finite and shaped (channels, elements) = "
                f"({len(self.names)}, {len(self.elements)}), not {table.shape}"
            )

    @classmethod
    def by_species(cls, elements: Iterable[str], *, total: bool = True) -> Channels:
        """Make one channel for each species and, for several species, one that counts all atoms alike.

        Parameters
        ----------
        elements : iterable of str
            Chemical symbols, in any order.
        total : bool, optional
            Whether there is a channel that counts all atoms.

        Returns
        -------
        Channels
            The elements in the order of their atomic numbers.
        """
        symbols = tuple(sorted(set(elements), key=lambda symbol: atomic_numbers.get(symbol, 0)))
        n = len(symbols)
        rows = [tuple(float(i == j) for j in range(n)) for i in range(n)]
        names = list(symbols)
        if total and n > 1:
            rows.append((1.0,) * n)
            names.append("all")
        return cls(symbols, tuple(names), tuple(rows))

    @classmethod
    def by_kinship(cls, elements: Iterable[str]) -> Channels:
        """Make one channel that all elements share, and one each that tells groups and periods apart.

        Weights are 1 and −1, so that an atom is as near to its like as to any other in every channel: what
        like atoms teach about short distances holds for unlike ones.

        Parameters
        ----------
        elements : iterable of str
            Chemical symbols, in any order.

        Returns
        -------
        Channels
            The elements in the order of their atomic numbers. One channel for each species, and one that
            counts all, where groups and periods do not tell all of four or more elements apart, and for
            fewer.
        """
        symbols = tuple(sorted(set(elements), key=lambda symbol: atomic_numbers.get(symbol, 0)))
        _require_symbols(symbols)
        rows = [[1.0] * len(symbols), *contrasts(symbols)]
        if len(symbols) < LEAST_KIN or len(set(zip(*rows, strict=True))) < len(symbols):
            return cls.by_species(symbols)
        names = ("all", "group", "period")
        return cls(symbols, names, tuple(map(tuple, rows)))

    @classmethod
    def by_charges(cls, elements: Iterable[str]) -> Channels:
        """Make channels of nuclear, valence and ionic charges, scaled to a mean of 1.

        Ionic charges are those of the core electrons. A channel that is zero for all elements is left out.

        Parameters
        ----------
        elements : iterable of str
            Chemical symbols, in any order.

        Returns
        -------
        Channels
            The elements in the order of their atomic numbers.

        Raises
        ------
        InputError
            If a symbol is unknown.

        References
        ----------
        Sinz et al., J. Chem. Phys. 153, 084109 (2020).
        """
        symbols = tuple(sorted(set(elements), key=lambda symbol: atomic_numbers.get(symbol, 0)))
        _require_symbols(symbols)
        nuclear = np.array([atomic_numbers[symbol] for symbol in symbols], dtype=float)
        valence = np.array([valence_electrons(int(number)) for number in nuclear], dtype=float)
        table = {"nuclear": nuclear, "valence": valence, "ionic": nuclear - valence}
        # A channel that is zero for all of them (ionic: H, He) says nothing.
        kept = {name: q / q.mean() for name, q in table.items() if q.any()}
        return cls(symbols, tuple(kept), tuple(tuple(q.tolist()) for q in kept.values()))

    @classmethod
    def from_table(cls, table: Mapping[str, Mapping[str, float]]) -> Channels:
        """Make channels from a nested dictionary.

        Parameters
        ----------
        table : mapping of str to (mapping of str to float)
            For each channel the weight of each element; elements that are not named weigh 0.

        Returns
        -------
        Channels
            The elements in the order of their atomic numbers.
        """
        found = {symbol for row in table.values() for symbol in row}
        symbols = tuple(sorted(found, key=lambda symbol: atomic_numbers.get(symbol, 0)))
        rows = tuple(tuple(float(row.get(s, 0.0)) for s in symbols) for row in table.values())
        return cls(symbols, tuple(table), rows)

    def kinds(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Find the element of each atom.

        Parameters
        ----------
        numbers : ndarray of int, shape (N,)
            Atomic numbers.

        Returns
        -------
        ndarray of int, shape (N,)
            Index into `elements`.

        Raises
        ------
        UnknownElementError
            If an atom is of another element.
        """
        found = kinds_of(numbers, self.elements)
        if (found < 0).any():
            names = ", ".join(chemical_symbols[z] for z in np.unique(numbers[found < 0]).tolist())
            raise UnknownElementError(
                f"the model does not know {names}; it was trained for {', '.join(self.elements)}"
            )
        return found

    def charges(self, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """Look up the weights q_c(Z_k) of atoms.

        Parameters
        ----------
        numbers : ndarray of int, shape (N,)
            Atomic numbers.

        Returns
        -------
        ndarray, shape (n_channels, N)
            Weights, without unit.

        Raises
        ------
        UnknownElementError
            If an atom is of another element.
        """
        return np.asarray(self.weights, dtype=float)[:, self.kinds(numbers)]

    def to_dict(self) -> dict[str, Any]:
        """Describe the channels as JSON can hold it.

        Returns
        -------
        dict
            Elements, names and weights.
        """
        return {
            "elements": list(self.elements),
            "names": list(self.names),
            "weights": [list(row) for row in self.weights],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Channels:
        """Read channels that `to_dict` described.

        Parameters
        ----------
        data : mapping
            What `to_dict` gave.

        Returns
        -------
        Channels
            The same channels.

        Raises
        ------
        InputError
            If the data describe no channels.
        """
        elements, names, weights = entries(data, ("elements", "names", "weights"), "channels")
        return cls(
            strings(elements, "elements of channels"),
            strings(names, "names of channels"),
            tuple(map(tuple, numbers(weights, 2, "weights of channels").tolist())),
        )
