"""Where the training data lie in the space of coefficients, and how far from them an atom is.

For each element: the coefficients of its atoms along all their principal axes, each over its standard
deviation. The length of this vector is the distance to the middle of the training data (Mahalanobis's). It is
kept to some percent by a few random directions in this space (W. B. Johnson, J. Lindenstrauss, Contemp. Math.
26, 189 (1984)), for a matrix of all axes would be larger than the potential; the leading axes alone do not
see atoms between the others, as interstitials in a crystal. The grade is this length over the largest among
the training atoms, as MTP's is 1 at the edge of its active set (Podryabinkin, Shapeev, Comput. Mater. Sci.
140, 171 (2017)). Where two atoms are nearer to each other than any such pair in the training data, it is at
least the ratio of the distances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from ..compute.entries import entries, numbers
from ..compute.parallel import Progress, in_order
from ..compute.target import HOST, Target
from ..errors import InputError
from ..scattering import Transform
from ..structures.distances import distances_seen
from ..structures.pair_search import half_list
from ..structures.sampling import spread
from ..structures.system import System, kinds_of

AXES = 24
"""So many random directions are kept."""
LEAST = 1e-7
"""Variances along principal axes are at least so much of the largest: below it are errors of rounding."""
SAMPLED_ATOMS = 12_000
"""The axes are found from at most so many atoms."""
DIGITS = 9


@dataclass(frozen=True, eq=False)
class Region:
    """Where the atoms of one element lie.

    Parameters
    ----------
    columns : ndarray of int, shape (c,)
        Columns that vary.
    mean : ndarray, shape (c,)
        Their means.
    scale : ndarray, shape (c,)
        Their standard deviations.
    axes : ndarray, shape (k, c)
        Directions in the space of (x − mean)/scale, which give x k coordinates.
    lengths : ndarray, shape (k,)
        What the coordinates are divided by.
    rest : float or None
        Root mean square of what orthonormal axes leave of (x − mean)/scale, in older models; None where
        that does not count.
    edge : float
        Largest distance among the training atoms.
    shortest : mapping of str to float
        Shortest distance in Å to the atoms of each element in the training data.
    """

    columns: NDArray[np.int64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    axes: NDArray[np.float64]
    lengths: NDArray[np.float64]
    rest: float | None
    edge: float
    shortest: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, x: NDArray[np.float64]) -> Region:
        """From the coefficients of atoms.

        Parameters
        ----------
        x : ndarray, shape (n_atoms, n_columns)
            Coefficients.

        Returns
        -------
        Region
        """
        scale = x.std(axis=0)
        columns = np.flatnonzero(scale > 1e-9 * max(1e-300, float(np.abs(x).max())))
        mean, scale = x[:, columns].mean(axis=0), scale[columns]
        z = (x[:, columns] - mean) / scale
        values, vectors = np.linalg.eigh(z.T @ z / max(1, len(z)))
        lengths = np.sqrt(np.maximum(values, LEAST * max(1e-300, values.max(initial=0.0))))
        # All axes if they are few.
        turn = np.eye(len(columns))
        if len(columns) > AXES:
            turn = np.random.default_rng(0).normal(size=(AXES, len(columns)))
        axes = turn @ (vectors / lengths) @ vectors.T
        region = cls(columns, mean, scale, axes, np.ones(len(axes)), None, 1.0)
        edge = float(region.grade(x).max()) if len(columns) else 1.0
        return replace(region, edge=edge or 1.0)

    def grade(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distances over the edge.

        Parameters
        ----------
        x : ndarray, shape (n_atoms, n_columns)
            Coefficients.

        Returns
        -------
        ndarray, shape (n_atoms,)
        """
        z = (x[:, self.columns] - self.mean) / self.scale
        along = z @ self.axes.T
        square = np.square(along / self.lengths).sum(axis=1)
        if self.rest is not None:
            left = np.square(z).sum(axis=1) - np.square(along).sum(axis=1)
            square += np.maximum(0.0, left) / self.rest**2
        return np.asarray(np.sqrt(square) / self.edge)


@dataclass(frozen=True, eq=False)
class Domain:
    """Where the training data lie.

    Parameters
    ----------
    regions : mapping of str to Region
        One for each element, by chemical symbol.
    """

    regions: Mapping[str, Region]

    @classmethod
    def of(
        cls,
        transform: Transform,
        systems: Sequence[System],
        workers: int,
        progress: Progress,
        target: Target = HOST,
    ) -> Domain:
        """From the structures that a potential is trained on.

        Parameters
        ----------
        transform : Transform
            That of the potential.
        systems : sequence of System
            The structures.
        workers : int
            Structures at a time, on the host.
        progress : bool or callable
            Whether, or by which function, progress is shown.
        target : Target
            Where coefficients are computed.

        Returns
        -------
        Domain
        """
        n_atoms = sum(len(system) for system in systems)
        most = -(-SAMPLED_ATOMS * max(map(len, systems)) // max(1, n_atoms))
        found: dict[str, list[NDArray[np.float64]]] = {}

        def local(system: System) -> NDArray[np.float64]:
            return transform.local_features(system, target)

        if not target.on_host:
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

    def grade(self, transform: Transform, system: System, target: Target = HOST) -> NDArray[np.float64]:
        """How far the atoms are from the training data.

        Parameters
        ----------
        transform : Transform
            That of the potential.
        system : System
            The structure.
        target : Target
            Where coefficients are computed.

        Returns
        -------
        ndarray, shape (N,)
            1 at the edge of the training data.
        """
        x = transform.local_features(system, target)
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
            pairs = half_list(system.positions, system.cell, system.pbc, float(seen.max()))
            ratio = seen[kinds[pairs.i], kinds[pairs.j]] / pairs.distances
            for atoms in (pairs.i, pairs.j):
                np.maximum.at(found, atoms, np.where(ratio > 1.0, ratio, 0.0))
        return found

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON can hold it.

        Returns
        -------
        dict
        """
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
        """The domain that `to_dict` described.

        Parameters
        ----------
        data : mapping
            What `to_dict` gave.

        Returns
        -------
        Domain
        """
        entries(data, (), "domain")
        return cls({symbol: _region(described) for symbol, described in data.items()})

    def validate(self, elements: Sequence[str], n_columns: int) -> None:
        """Refuse a domain that is not that of a model.

        Parameters
        ----------
        elements : sequence of str
            Chemical symbols of the model's elements.
        n_columns : int
            Number of its columns.

        Raises
        ------
        InputError
            If an element is missing, a column is not among those of the model, or a length is not positive.
        """
        entries(self.regions, tuple(elements), "domain")
        for r in self.regions.values():
            n, k = len(r.columns), len(r.lengths)
            if r.mean.shape != (n,) or r.scale.shape != (n,) or r.axes.shape != (k, n):
                raise InputError("the tables of the domain have different lengths")
            if n and not 0 <= r.columns.min() <= r.columns.max() < n_columns:
                raise InputError(f"the domain names columns that are not among the {n_columns}")
            rest = 1.0 if r.rest is None else r.rest
            if not all(np.all(value > 0) for value in (r.scale, r.lengths, rest, r.edge)):
                raise InputError("the lengths of the domain must be positive")


def _region(described: Any) -> Region:
    tables = ("columns", "mean", "scale", "axes", "lengths", "rest", "edge")
    columns, mean, scale, axes, lengths, rest, edge = entries(described, tables, "domain")
    shortest = described.get("shortest", {})
    entries(shortest, (), "shortest distances of the domain")
    return Region(
        numbers(columns, 1, "columns of the domain", whole=True),
        numbers(mean, 1, "means of the domain"),
        numbers(scale, 1, "scales of the domain"),
        numbers(axes, 2, "axes of the domain") if axes else np.empty((0, len(columns))),
        numbers(lengths, 1, "lengths of the domain"),
        None if rest is None else numbers(rest, 0, "rest of the domain").item(),
        numbers(edge, 0, "edge of the domain").item(),
        {symbol: numbers(r, 0, "a distance of the domain").item() for symbol, r in shortest.items()},
    )


def _by_element(system: System, x: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Rows of x by element: those of its atoms, or the structure's one row for each of its elements."""
    numbers = np.unique(system.numbers).tolist()
    if len(x) != len(system):
        return {chemical_symbols[z]: x for z in numbers}
    return {chemical_symbols[z]: x[system.numbers == z] for z in numbers}


def _short(values: NDArray[np.float64]) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values.tolist()]
