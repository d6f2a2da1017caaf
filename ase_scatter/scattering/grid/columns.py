"""Columns of the grid transform: settings, paths, and the tree they are computed in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ...compute.entries import entries, keywords, numbers
from ...errors import InputError
from ...structures.sampling import typical_bond
from ...structures.system import System
from ..channels import Channels
from ..transform import LabelledColumn
from ..wavelets import Wavelet


def default_scales(systems: Sequence[System]) -> tuple[float, ...]:
    """Choose four scales for a grid, √2 apart, the smallest 1/4.7 of the typical bond.

    Parameters
    ----------
    systems : sequence of System
        Structures whose bonds count.

    Returns
    -------
    tuple of float
        β in Å, ascending.
    """
    smallest = typical_bond(systems) / 4.7
    return tuple(round(smallest * 2.0 ** (i / 2), 2) for i in range(4))


@dataclass(frozen=True, kw_only=True)
class GridSettings:
    """Hyperparameters of the candidate columns.

    Parameters
    ----------
    scales : tuple of float
        The ladder of β in Å, ascending; empty for `fit` to choose it from the data.
    band : float
        Waves up to |k| = band/β are kept.
    spacing : float
        Grid spacing over β.
    epsilon2 : float
        ε², in units of the mean of U².
    first : tuple of int
        Largest l of each radial order p, for order 1.
    inner, outer : tuple of int
        The same for the first and the second wavelet of order 2.
    exponents1, exponents2 : tuple of float
        The q of order 1 and 2; an empty exponents2 leaves order 2 out.
    max_ratio : float
        Largest β2/β1.

    Raises
    ------
    InputError
        If a number is not positive or the scales do not ascend.
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
        """Describe the settings as JSON can hold them; infinity becomes None.

        Returns
        -------
        dict
        """
        data = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return data | {"max_ratio": None if np.isinf(self.max_ratio) else self.max_ratio}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> GridSettings:
        """Make the settings that `to_dict` described.

        Parameters
        ----------
        data : dict
            What `to_dict` gave.

        Returns
        -------
        GridSettings

        Raises
        ------
        InputError
            If a name is not known, or a value is not allowed.
        """
        entries(data, (), "settings of grids")
        given = {name: value for name, value in data.items() if (name, value) != ("max_ratio", None)}
        return cls(**keywords(given, asdict(cls()), "settings of grids"))

    def wavelets(self, which: tuple[int, ...]) -> list[Wavelet]:
        """List the wavelets of a table, on every scale.

        Parameters
        ----------
        which : tuple of int
            Largest l of each radial order p.

        Returns
        -------
        list of Wavelet
        """
        return [
            Wavelet(i, p, l)
            for i in range(len(self.scales))
            for p, l_max in enumerate(which)
            for l in range(l_max + 1)
        ]


class Path(NamedTuple):
    """A channel and the wavelets that it is convolved with.

    Parameters
    ----------
    channel : int
        Index of the channel.
    first : Wavelet
        Wavelet of order 1.
    second : Wavelet, optional
        Wavelet that the modulus is convolved with, for order 2.
    """

    channel: int
    first: Wavelet
    second: Wavelet | None = None

    @property
    def root(self) -> Path:
        """The path of order 1 that this one starts from."""
        return self._replace(second=None)

    def flat(self) -> list[int]:
        """List the numbers of the path.

        Returns
        -------
        list of int
            Channel, then scale, p and l of each wavelet.
        """
        row = [self.channel]
        for wavelet in self.wavelets:
            row += [wavelet.scale, wavelet.p, wavelet.l]
        return row

    @classmethod
    def of_flat(cls, flat: Sequence[float]) -> Path:
        """Make the path that `flat` described.

        Parameters
        ----------
        flat : sequence of int
            What `flat` gave.

        Returns
        -------
        Path

        Raises
        ------
        InputError
            If they are no such numbers.
        """
        values = numbers(flat, 1, "a path", whole=True).tolist()
        if len(values) not in (4, 7):
            raise InputError("a path has four numbers, or seven")
        second = Wavelet(*values[4:7]) if len(values) == 7 else None
        return cls(values[0], Wavelet(*values[1:4]), second)

    @property
    def wavelets(self) -> tuple[Wavelet, ...]:
        """One wavelet or two."""
        return (self.first,) if self.second is None else (self.first, self.second)


class Column(NamedTuple):
    """A path and the exponent of its modulus.

    Parameters
    ----------
    path : Path
        What is convolved.
    exponent : float
        q.
    """

    path: Path
    exponent: float


Exponents = list[tuple[float, int]]
"""Exponents of a path, each with the index of its column."""


@dataclass(frozen=True)
class Node:
    """Columns of one order-1 path, and the order-2 paths that start from it.

    Parameters
    ----------
    path : Path
        The path of order 1.
    exponents : list of (float, int)
        Its exponents and columns.
    children : dict
        The same of each path of order 2.
    """

    path: Path
    exponents: Exponents = field(default_factory=list)
    children: dict[Path, Exponents] = field(default_factory=dict)

    @property
    def columns(self) -> list[int]:
        """Columns of the path itself and of those that start from it."""
        return [index for pairs in (self.exponents, *self.children.values()) for _, index in pairs]


@dataclass(frozen=True, eq=False)
class Tree:
    """Columns with all that is needed to compute them. Two trees are equal if they are the same object.

    Parameters
    ----------
    settings : GridSettings
        Hyperparameters.
    channels : Channels
        Weights per element.
    paths : tuple of Column
        The columns.
    norms : dict
        c of every path used (1 where not calibrated).
    """

    settings: GridSettings
    channels: Channels
    paths: tuple[Column, ...]
    norms: dict[Path, float]

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return len(self.paths)

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return len(self.channels.names)

    @cached_property
    def nodes(self) -> list[Node]:
        """Order-1 paths in use, by channel and wavelet, each with what hangs on it."""
        nodes: dict[Path, Node] = {}
        for index, (path, exponent) in enumerate(self.paths):
            node = nodes.setdefault(path.root, Node(path.root))
            exponents = node.exponents if path.second is None else node.children.setdefault(path, [])
            exponents.append((exponent, index))
        return sorted(nodes.values(), key=lambda node: (node.path.channel, node.path.first))

    @cached_property
    def orders(self) -> dict[int, tuple[tuple[int, int], ...]]:
        """The (p, l) in use at each scale, both ascending."""
        used = sorted({wavelet for path, _ in self.paths for wavelet in path.wavelets})
        return {
            scale: tuple((wavelet.p, wavelet.l) for wavelet in used if wavelet.scale == scale)
            for scale in dict.fromkeys(wavelet.scale for wavelet in used)
        }

    def norm(self, path: Path) -> float:
        """Look up c of a path, the unit of its U².

        Parameters
        ----------
        path : Path
            A path in use.

        Returns
        -------
        float
        """
        return self.norms.get(path, 1.0)

    def subset(self, indices: Iterable[int]) -> Tree:
        """Choose columns, with the norms that they need.

        Parameters
        ----------
        indices : iterable of int
            Columns that stay.

        Returns
        -------
        Tree
        """
        paths = tuple(self.paths[i] for i in indices)
        needed = {path for column in paths for path in (column.path, column.path.root)}
        norms = {path: c for path, c in self.norms.items() if path in needed}
        return Tree(self.settings, self.channels, paths, norms)

    @cached_property
    def labels(self) -> tuple[LabelledColumn, ...]:
        """Every column as a person reads it, with its cost."""
        return tuple(LabelledColumn(self._label(c), self._cost(c)) for c in self.paths)

    def _label(self, column: Column) -> str:
        path, exponent = column
        parts = [
            f"β={self.settings.scales[wavelet.scale]:.3g} p={wavelet.p} l={wavelet.l}"
            for wavelet in path.wavelets
        ]
        name = self.channels.names[path.channel]
        return f"grid S{len(parts)}[{name}; {' → '.join(parts)}; q={exponent:.3g}]"

    def _cost(self, column: Column) -> float:
        """Fields of the last wavelet times their grid points, relative to one of the finest fields."""
        wavelet = column.path.wavelets[-1]
        ratio = self.settings.scales[0] / self.settings.scales[wavelet.scale]
        # However coarse a grid is, something is left: calls, and work on the waves.
        return (2 * wavelet.l + 1) * (ratio**3 + 0.02)


def candidate_columns(settings: GridSettings, n_channels: int) -> list[Column]:
    """List all columns that the settings allow.

    Parameters
    ----------
    settings : GridSettings
        Hyperparameters.
    n_channels : int
        Number of channels.

    Returns
    -------
    list of Column

    Raises
    ------
    InputError
        If there are no scales or no columns.
    """
    if not settings.scales:
        raise InputError("scales must name at least one β (Å)")
    columns: list[Column] = []
    firsts = settings.wavelets(settings.first)
    inners = settings.wavelets(settings.inner) if settings.exponents2 else []
    outers = settings.wavelets(settings.outer) if settings.exponents2 else []
    for channel in range(n_channels):
        for first in firsts:
            columns += [Column(Path(channel, first), q) for q in settings.exponents1]
        for first in inners:
            for second in outers:
                ratio = settings.scales[second.scale] / settings.scales[first.scale]
                if 1.0 <= ratio <= settings.max_ratio * (1 + 1e-9):
                    columns += [Column(Path(channel, first, second), q) for q in settings.exponents2]
    if not columns:
        raise InputError("the settings leave no columns: give first and exponents1, or inner and outer")
    return columns
