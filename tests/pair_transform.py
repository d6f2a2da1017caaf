"""A transform small enough to check by hand: S_k = Σ_pairs exp(−a_k r²), any mix of pbc."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from ase_scatter.compute.target import HOST
from ase_scatter.scattering.transform import Jacobian, Transform
from ase_scatter.structures.pair_search import completed_cell
from ase_scatter.structures.system import Evaluation, System

CUTOFF = 6.0
SHAPE_ENERGY = 1e-3
"""eV per grid point: this transform's grid error, grossly exaggerated, so that tests see it."""


class PairColumn(NamedTuple):
    label: str
    cost: float


@dataclass(frozen=True)
class PairTransform(Transform):
    """exponents a_k in Å⁻², large enough that pairs beyond CUTOFF do not count."""

    exponents: tuple[float, ...] = (1.0, 1.5)
    symbols: tuple[str, ...] = ("Li", "Si")

    kind = "pairs"

    @property
    def elements(self):
        return self.symbols

    @property
    def columns(self):
        return tuple(PairColumn(f"pairs a={a}", 1.0) for a in self.exponents)

    def grid_shapes(self, system: System):
        return np.ceil(np.linalg.norm(system.cell, axis=1) / 0.5).astype(np.int64)[None]

    def features(self, system, target=HOST):
        return self.jacobian(system, target).values

    def evaluate_batch(self, batch, rows, target=HOST):
        self.require_weights(rows)
        return [[self._evaluate(system, row, target) for row in rows] for system in batch.systems]

    def _evaluate(self, system, weights, target):
        values, d_positions, d_strain = self.jacobian(system, target)
        return Evaluation(
            float(weights @ values),
            -np.einsum("n,nia->ia", weights, d_positions),
            np.einsum("n,nab->ab", weights, d_strain),
        )

    def jacobian(self, system, target=HOST):
        shapes = target.shapes
        shapes = self.grid_shapes(system) if shapes is None else shapes
        cell = completed_cell(system.cell, system.pbc)
        atoms = Atoms(system.numbers, positions=system.positions, cell=cell, pbc=system.pbc)
        i, r, vectors = neighbor_list("idD", atoms, CUTOFF)
        a = np.array(self.exponents)[:, None]
        terms = np.exp(-a * r**2)
        slopes = -2.0 * a * terms  # over r
        d_positions = np.zeros((len(self.exponents), len(system), 3))
        for k, slope in enumerate(slopes):
            # Each pair is listed twice, which makes up for the ½ of the sum.
            np.add.at(d_positions[k], i, -slope[:, None] * vectors)
        d_strain = 0.5 * np.einsum("np,pa,pb->nab", slopes, vectors, vectors)
        values = 0.5 * terms.sum(axis=1) + SHAPE_ENERGY * np.asarray(shapes).sum()
        return Jacobian(values, d_positions, d_strain)

    def subset(self, indices: Iterable[int]):
        return replace(self, exponents=tuple(self.exponents[k] for k in indices))

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "settings": {"exponents": list(self.exponents)},
            "elements": list(self.symbols),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]):
        return cls(tuple(data["settings"]["exponents"]), tuple(data["elements"]))
