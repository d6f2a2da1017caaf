"""Channels: how elements become densities.

A channel c gives each element Z a weight q_c(Z), and with it the pseudo-density
ρ_c(u) = Σ_k q_c(Z_k) δ(u − R_k). One channel per species keeps the species apart; a channel that sums
over species (charges, or plain counting) couples them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from ..errors import InputError, UnknownElementError
from ..structures.system import kinds_of

_NOBLE_CORES = (0, 2, 10, 18, 36, 54, 86)


def valence_electrons(number: int) -> int:
    """Electrons outside the noble-gas core, without filled d and f shells of main-group elements."""
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


@dataclass(frozen=True)
class Channels:
    """Weights per element.

    elements: chemical symbols. names: one per channel. weights: (n_channels, n_elements).
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
        """One channel per species and, for several species, one that counts all atoms alike."""
        symbols = tuple(sorted(set(elements), key=lambda symbol: atomic_numbers.get(symbol, 0)))
        n = len(symbols)
        rows = [tuple(float(i == j) for j in range(n)) for i in range(n)]
        names = list(symbols)
        if total and n > 1:
            rows.append((1.0,) * n)
            names.append("all")
        return cls(symbols, tuple(names), tuple(rows))

    @classmethod
    def by_charges(cls, elements: Iterable[str]) -> Channels:
        """Nuclear, valence and ionic (core electrons) charges as in Sinz et al. 2020, scaled to mean 1."""
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
        """From {channel: {element: weight}}; elements not named in a channel weigh 0 in it."""
        found = {symbol for row in table.values() for symbol in row}
        symbols = tuple(sorted(found, key=lambda symbol: atomic_numbers.get(symbol, 0)))
        rows = tuple(tuple(float(row.get(s, 0.0)) for s in symbols) for row in table.values())
        return cls(symbols, tuple(table), rows)

    def kinds(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which of the elements each atom is, (N,)."""
        found = kinds_of(numbers, self.elements)
        if (found < 0).any():
            names = ", ".join(chemical_symbols[z] for z in np.unique(numbers[found < 0]).tolist())
            raise UnknownElementError(
                f"the model does not know {names}; it was trained for {', '.join(self.elements)}"
            )
        return found

    def charges(self, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """Weights q_c(Z_k), shaped (n_channels, N), of atoms with these atomic numbers."""
        return np.asarray(self.weights, dtype=float)[:, self.kinds(numbers)]

    def to_dict(self) -> dict[str, Any]:
        return {
            "elements": list(self.elements),
            "names": list(self.names),
            "weights": [list(row) for row in self.weights],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Channels:
        return cls(
            tuple(data["elements"]),
            tuple(data["names"]),
            tuple(tuple(float(q) for q in row) for row in data["weights"]),
        )
