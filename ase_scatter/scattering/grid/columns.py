"""Columns of the grid transform: settings, paths, and the tree they are computed in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ...errors import InputError
from ...structures.sampling import typical_bond
from ...structures.system import System
from ..wavelets import Wavelet


def default_scales(systems: Sequence[System]) -> tuple[float, ...]:
    """Four scales β (Å) for a grid, √2 apart, the smallest 1/4.7 of the typical bond."""
    smallest = typical_bond(systems) / 4.7
    return tuple(round(smallest * 2.0 ** (i / 2), 2) for i in range(4))


@dataclass(frozen=True, kw_only=True)
class GridSettings:
    """Hyperparameters of the candidate columns.

    scales: the ladder of β in Å, ascending; empty for `fit` to choose it from the data. band: waves
    up to |k| = band/β are kept. spacing: grid spacing over β. epsilon2: ε², in units of the mean of U².
    first: largest l of each radial order p, for order 1. inner, outer: the same for the first and the
    second wavelet of order 2. exponents1, exponents2: the q of order 1 and 2 (an empty exponents2
    leaves order 2 out). max_ratio: largest β2/β1.
    """

    scales: tuple[float, ...] = ()
    band: float = 5.0
    spacing: float = 0.45
    epsilon2: float = 0.5
    first: tuple[int, ...] = (6, 4, 2)
    inner: tuple[int, ...] = (6,)
    outer: tuple[int, ...] = (4, 2)
    exponents1: tuple[float, ...] = (1.0, 1.5, 2.0)
    exponents2: tuple[float, ...] = (1.0, 2.0)
    max_ratio: float = float("inf")

    def __post_init__(self) -> None:
        for name in ("scales", "first", "inner", "outer", "exponents1", "exponents2"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        positive = all(beta > 0 for beta in self.scales)
        if not positive or list(self.scales) != sorted(set(self.scales)):
            raise InputError(f"scales must be positive, distinct and ascending, not {self.scales}")
        if not self.epsilon2 > 0:
            raise InputError("epsilon2 must be positive: at 0 forces and elasticity are not defined")
        if not (self.band > 0 and self.spacing > 0):
            raise InputError("band and spacing must be positive")
        if not all(q > 0 for q in (*self.exponents1, *self.exponents2)):
            raise InputError("exponents must be positive")

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON can hold it: infinity becomes None."""
        data = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return data | {"max_ratio": None if np.isinf(self.max_ratio) else self.max_ratio}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> GridSettings:
        """The settings that `to_dict` described."""
        ratio = data.get("max_ratio")
        return cls(**{**data, "max_ratio": float("inf") if ratio is None else ratio})

    def wavelets(self, which: tuple[int, ...]) -> list[Wavelet]:
        """All wavelets with the (p, l) of a table p → largest l, on every scale."""
        return [
            Wavelet(i, p, l)
            for i in range(len(self.scales))
            for p, l_max in enumerate(which)
            for l in range(l_max + 1)
        ]


class Path(NamedTuple):
    """A channel, its wavelet and, for order 2, the second wavelet."""

    channel: int
    first: Wavelet
    second: Wavelet | None = None


class Column(NamedTuple):
    """A path and the exponent q."""

    path: Path
    exponent: float


@dataclass(frozen=True)
class _Node:
    """Columns of one order-1 path, and the order-2 paths that start from it."""

    path: Path
    exponents: list[tuple[float, int]] = field(default_factory=list)
    children: dict[Path, list[tuple[float, int]]] = field(default_factory=dict)

    @property
    def columns(self) -> list[int]:
        """Columns of the path itself and of those that start from it."""
        return [index for pairs in (self.exponents, *self.children.values()) for _, index in pairs]


def _flatten(path: Path) -> list[int]:
    numbers = [path.channel]
    for wavelet in path[1:]:
        numbers += [] if wavelet is None else [wavelet.scale, wavelet.p, wavelet.l]
    return numbers


def _unflatten(numbers: Sequence[int]) -> Path:
    values = [int(n) for n in numbers]
    second = Wavelet(*values[4:7]) if len(values) == 7 else None
    return Path(values[0], Wavelet(*values[1:4]), second)
