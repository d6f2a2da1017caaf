"""Where the training data lie in the space of coefficients, and how far from them an atom is.

For each element: the coefficients of its atoms, each over its standard deviation, along the leading
principal axes, each over its standard deviation again, and what is left of them over its root mean square.
The length of this vector is the distance to the middle of the training data (Mahalanobis's, with all small
axes taken as one); the grade is this length over the largest among the training atoms, as MTP's is 1 at the
edge of its active set (Podryabinkin, Shapeev, Comput. Mater. Sci. 140, 171 (2017)). Where two atoms are
nearer to each other than any such pair in the training data, it is at least the ratio of the distances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from .distances import distances_seen, pairs_within
from .progress import in_order
from .settings import spread
from .system import System, kinds_of
from .transforms import Transform

AXES = 24
"""So many principal axes are kept."""
SAMPLED_ATOMS = 12_000
"""The axes are found from at most so many atoms."""
DIGITS = 9


@dataclass(frozen=True, eq=False)
class Region:
    """Where the atoms of one element lie.

    columns: (c,) those that vary. mean: (c,) and axes: (k, c) such that axes @ (x − mean) has unit
    variance; rest: the root mean square of what the axes leave of (x − mean)/scale. scale: (c,) standard
    deviations. edge: the largest distance. shortest: element → how near (Å) its atoms came to these.
    """

    columns: NDArray[np.int64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    axes: NDArray[np.float64]
    lengths: NDArray[np.float64]
    rest: float
    edge: float
    shortest: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, x: NDArray[np.float64]) -> Region:
        """From coefficients (atoms, n_columns)."""
        scale = x.std(axis=0)
        columns = np.flatnonzero(scale > 1e-9 * max(1e-300, float(np.abs(x).max())))
        mean, scale = x[:, columns].mean(axis=0), scale[columns]
        z = (x[:, columns] - mean) / scale
        values, vectors = np.linalg.eigh(z.T @ z / max(1, len(z)))
        kept = [k for k in range(len(values))[::-1][:AXES] if values[k] > 1e-10 * values[-1]]
        axes = vectors[:, kept].T
        left = np.square(z).sum(axis=1) - np.square(z @ axes.T).sum(axis=1)
        # Never so small that rounding counts.
        rest = float(np.sqrt(max(left.mean(), 1e-6 * max(1, len(columns)))))
        region = cls(columns, mean, scale, axes, np.sqrt(values[kept]), rest, 1.0)
        edge = float(region.grade(x).max()) if len(columns) else 1.0
        return replace(region, edge=edge or 1.0)

    def grade(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """(atoms,) distances over the edge."""
        z = (x[:, self.columns] - self.mean) / self.scale
        along = z @ self.axes.T
        left = np.maximum(0.0, np.square(z).sum(axis=1) - np.square(along).sum(axis=1))
        square = np.square(along / self.lengths).sum(axis=1) + left / self.rest**2
        return np.asarray(np.sqrt(square) / self.edge)


@dataclass(frozen=True, eq=False)
class Domain:
    """A region per element, by symbol."""

    regions: Mapping[str, Region]

    @classmethod
    def of(
        cls,
        transform: Transform,
        systems: Sequence[System],
        workers: int,
        progress: bool,
        device: str = "cpu",
    ) -> Domain:
        """From structures that a potential with this transform is trained on."""
        n_atoms = sum(len(system) for system in systems)
        most = -(-SAMPLED_ATOMS * max(map(len, systems)) // max(1, n_atoms))
        found: dict[str, list[NDArray[np.float64]]] = {}

        def local(system: System) -> NDArray[np.float64]:
            return transform.local_features(system, device=device)

        if device != "cpu":
            workers = 1  # a device takes one structure after the other
        # The edge is among the extreme ones: all structures count, but not all atoms of large ones.
        for system, x in zip(
            systems, in_order(local, list(systems), workers, progress, "domain"), strict=True
        ):
            for symbol, rows in _by_element(system, x).items():
                kept = spread(list(range(len(rows))), most)
                found.setdefault(symbol, []).append(rows[kept])
        symbols = list(found)
        seen = distances_seen(systems, symbols)
        return cls(
            {
                symbol: replace(
                    Region.of(np.concatenate(rows)), shortest=dict(zip(symbols, nearest, strict=True))
                )
                for (symbol, rows), nearest in zip(found.items(), seen.tolist(), strict=True)
            }
        )

    def grade(self, transform: Transform, system: System, *, device: str = "cpu") -> NDArray[np.float64]:
        """(N,) how far the atoms are from the training data, 1 at their edge."""
        x = transform.local_features(system, device=device)
        grades = np.zeros(len(system))
        for symbol, rows in _by_element(system, x).items():
            mine = system.numbers == atomic_numbers[symbol]
            grades[mine] = self.regions[symbol].grade(rows)
        return np.maximum(grades, self._crowding(system))

    def _crowding(self, system: System) -> NDArray[np.float64]:
        """(N,) shortest distance seen over that of the nearest atom, 0 where none is nearer than it."""
        found = np.zeros(len(system))
        symbols = list(self.regions)
        seen = np.array([[self.regions[a].shortest.get(b, 0.0) for b in symbols] for a in symbols])
        if seen.any():
            kinds = kinds_of(system.numbers, symbols)
            i, j, r = pairs_within(system, float(seen.max()))
            ratio = seen[kinds[i], kinds[j]] / r
            np.maximum.at(found, i, np.where(ratio > 1.0, ratio, 0.0))
        return found

    def to_dict(self) -> dict[str, Any]:
        return {
            symbol: {
                "columns": r.columns.tolist(),
                "mean": _short(r.mean),
                "scale": _short(r.scale),
                "axes": [_short(axis) for axis in r.axes],
                "lengths": _short(r.lengths),
                "rest": r.rest,
                "edge": r.edge,
                "shortest": dict(r.shortest),
            }
            for symbol, r in self.regions.items()
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Domain:
        return cls(
            {
                symbol: Region(
                    np.array(r["columns"], dtype=np.int64),
                    np.array(r["mean"], dtype=np.float64),
                    np.array(r["scale"], dtype=np.float64),
                    np.array(r["axes"], dtype=np.float64).reshape(-1, len(r["columns"])),
                    np.array(r["lengths"], dtype=np.float64),
                    float(r["rest"]),
                    float(r["edge"]),
                    dict(r.get("shortest", {})),
                )
                for symbol, r in data.items()
            }
        )


def _by_element(system: System, x: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Rows of x by element: those of its atoms, or the structure's one row for each of its elements."""
    numbers = np.unique(system.numbers).tolist()
    if len(x) != len(system):
        return {chemical_symbols[z]: x for z in numbers}
    return {chemical_symbols[z]: x[system.numbers == z] for z in numbers}


def _short(values: NDArray[np.float64]) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values.tolist()]
