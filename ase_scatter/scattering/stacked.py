"""Columns of several transforms side by side: one model on more than one measure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compute.entries import entries
from ..compute.target import HOST, Shapes, Target
from ..errors import InputError
from ..structures.batch import Batch
from ..structures.system import Evaluation, System
from .grid.transform import GridTransform
from .sites.transform import SitesTransform
from .transform import Jacobian, Transform

_KINDS: dict[str, type[Transform]] = {t.kind: t for t in (GridTransform, SitesTransform)}


@dataclass(frozen=True)
class StackedTransform(Transform):
    """The columns of each part, one part after the other.

    Parameters
    ----------
    parts : tuple of Transform
        Transforms that know the same elements.

    Raises
    ------
    InputError
        If they know different elements.
    """

    parts: tuple[Transform, ...]

    kind = "both"

    def __post_init__(self) -> None:
        if len({part.elements for part in self.parts}) != 1:
            raise InputError("the parts of a stacked transform must know the same elements")
        object.__setattr__(self, "per_atom", all(part.per_atom for part in self.parts))
        object.__setattr__(self, "invariant", all(part.invariant for part in self.parts))

    @property
    def elements(self) -> tuple[str, ...]:
        return self.parts[0].elements

    @property
    def cutoff(self) -> float:
        return max(part.cutoff for part in self.parts)

    @cached_property
    def columns(self) -> Sequence[Any]:
        return tuple(column for part in self.parts for column in part.columns)

    @cached_property
    def _bounds(self) -> list[slice]:
        ends = np.cumsum([0, *(part.n_columns for part in self.parts)]).tolist()
        return [slice(a, b) for a, b in pairwise(ends)]

    def grid_shapes(self, system: System) -> Shapes | None:
        """The grids of the part that has any."""
        found = (part.grid_shapes(system) for part in self.parts)
        return next((shapes for shapes in found if shapes is not None), None)

    def features(self, system: System, target: Target = HOST) -> NDArray[np.float64]:
        return np.concatenate([part.features(system, target) for part in self.parts])

    def evaluate_batch(
        self, batch: Batch, rows: NDArray[np.float64], target: Target = HOST
    ) -> list[list[Evaluation]]:
        self.require_weights(rows)
        parts = [
            part.evaluate_batch(batch, rows[:, which], target)
            for part, which in zip(self.parts, self._bounds, strict=True)
        ]
        return [
            [sum(values[1:], start=values[0]) for values in zip(*of_parts, strict=True)]
            for of_parts in zip(*parts, strict=True)
        ]

    def memory(self, system: System, target: Target) -> float:
        return sum(part.memory(system, target) for part in self.parts)

    def local_features(self, system: System, target: Target = HOST) -> NDArray[np.float64]:
        """Of the parts that are sums over atoms, zero for the others; of all, where no part is."""
        if not any(part.per_atom for part in self.parts):
            return super().local_features(system, target)
        values = np.zeros((len(system), self.n_columns))
        for part, which in zip(self.parts, self._bounds, strict=True):
            if part.per_atom:
                values[:, which] = part.local_features(system, target)
        return values

    def jacobian(self, system: System, target: Target = HOST) -> Jacobian:
        parts = [part.jacobian(system, target) for part in self.parts]
        xp = target.backend.xp
        return Jacobian(*(xp.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def subset(self, indices: Iterable[int]) -> Transform:  # type: ignore[override]
        """In the order of the parts; a part that is left alone stands for itself."""
        wanted = list(indices)
        if wanted != sorted(wanted):
            raise InputError("columns of a stacked transform are chosen in their own order")
        kept = [
            part.subset([i - which.start for i in wanted if which.start <= i < which.stop])
            for part, which in zip(self.parts, self._bounds, strict=True)
        ]
        kept = [part for part in kept if part.n_columns]
        return kept[0] if len(kept) == 1 else StackedTransform(tuple(kept))

    def calibrated(self, systems: Sequence[System], target: Target = HOST) -> StackedTransform:
        return StackedTransform(tuple(part.calibrated(systems, target) for part in self.parts))

    def for_training(self) -> StackedTransform:
        return StackedTransform(tuple(part.for_training() for part in self.parts))

    def deployed(self, trained: StackedTransform) -> StackedTransform:
        pairs = zip(self.parts, trained.parts, strict=True)
        return replace(self, parts=tuple(mine.deployed(theirs) for mine, theirs in pairs))

    def training_shapes(self, system: System, rng: np.random.Generator) -> Shapes | None:
        shapes = [part.training_shapes(system, rng) for part in self.parts]
        return next((s for s in shapes if s is not None), None)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "parts": [part.to_dict() for part in self.parts]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> StackedTransform:
        (parts,) = entries(data, ("parts",), "transform")
        kinds = [entries(part, ("kind",), "part of a transform")[0] for part in parts]
        if not kinds or not all(kind in tuple(_KINDS) for kind in kinds):
            raise InputError(f"a stacked transform is made of {', '.join(_KINDS)}, not of {kinds}")
        return cls(tuple(_KINDS[kind].from_dict(part) for kind, part in zip(kinds, parts, strict=True)))
