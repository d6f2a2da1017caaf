"""What the kernels of the grid transform work through: tables of paths, in blocks that fit into memory.

Some columns of a transform are computed together, for structures alike that lie side by side. What is
differentiated is a *head*: either each structure with each row of weights (energies), or every column by
itself (a Jacobian). For both, the adjoint pass is a list of *uses*: a path, a head, and the weights of
the path's exponents in it. An order-1 field is used by its own exponents and through its modulus by
what hangs on it; there is one *inner target* per modulus and head, where the latter is gathered.

Everything here is counted on the host once; nothing depends on positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..wavelets import Wavelet
from .columns import Exponents, Path, Tree

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Columns of the table of paths, as grid.cu names them.
SOURCE, RADIAL, DEGREE, TURNS, FIELD, SCALED, INNER, SLOT, SLOTS = range(9)
WIDTH = 9


class Uses(NamedTuple):
    """Adjoint fields that are made together.

    Parameters
    ----------
    paths : ndarray of int, shape (n, WIDTH)
        Table of paths, sorted by target.
    inverse_norms : ndarray, shape (n,)
        1/c.
    exponents, weights : ndarray, shape (n_slots,)
        Of all slots.
    segments : ndarray of int
        Where the paths of each target begin, and how many there are.
    targets : ndarray of int
        Rows that they are added to.
    n_fields : int
        Fields of all paths.
    in_place : bool
        Whether they overwrite the fields that they are made from.
    results : int
        Where in the results the sums of the slots begin.
    n_results : int
        How many sums there are.
    """

    paths: Ints
    inverse_norms: Floats
    exponents: Floats
    weights: Floats
    segments: Ints
    targets: Ints
    n_fields: int
    in_place: bool
    results: int
    n_results: int


class Block(NamedTuple):
    """Fields of one scale that are made together, and their uses, some at a time.

    Parameters
    ----------
    scale : int
        Index of the scale.
    paths : ndarray of int, shape (n, WIDTH)
        Table of paths.
    n_fields : int
        Fields of all paths.
    inner : ndarray of int, shape (n_inner, WIDTH)
        Table of paths whose modulus goes on.
    inverse_norms : ndarray, shape (n_inner,)
        1/c of these.
    uses : tuple of Uses
        Their uses.
    """

    scale: int
    paths: Ints
    n_fields: int
    inner: Ints
    inverse_norms: Floats
    uses: tuple[Uses, ...]


@dataclass(frozen=True)
class Plan:
    """Columns in the order of computing.

    Parameters
    ----------
    first, second : tuple of Block
        Blocks of order 1 and 2.
    n_inner : int
        Rows of moduli.
    n_inner_targets, n_targets : int
        Rows of what is gathered at moduli and at densities.
    inner_heads : ndarray of int
        Head that each row at a modulus belongs to.
    n_results : int
        Sums of slots.
    values : ndarray of int, shape (n_structures, n_columns)
        Where the sum of each column is, n_results for those that are zero.
    spreads, spread_heads : ndarray of int
        Where the sums 2 t U² of order 1 are, and whose.
    """

    first: tuple[Block, ...]
    second: tuple[Block, ...]
    n_inner: int
    n_inner_targets: int
    n_targets: int
    inner_heads: Ints
    n_results: int
    values: Ints
    spreads: Ints
    spread_heads: Ints


class _Use(NamedTuple):
    target: int
    inner: int
    head: int
    slots: tuple[tuple[float, int, float], ...]
    """Exponent, column, weight."""


class _Row(NamedTuple):
    """A path of one structure with its uses; source and inner are rows of the same structure."""

    path: Path
    wavelet: Wavelet
    source: int
    inner: int
    uses: list[_Use]


class Resolution(NamedTuple):
    """Limits and wavelets of a scale.

    Parameters
    ----------
    most_fields : int
        Fields that a block may have.
    orders : tuple of (int, int)
        The (p, l) in the order of their radial functions.
    """

    most_fields: int
    orders: tuple[tuple[int, int], ...]


def make_plan(
    tree: Tree,
    occupied: Sequence[bool],
    n_structures: int,
    weights: Floats | None,
    scales: dict[int, Resolution],
) -> Plan:
    """Plan the passes through the columns of a tree.

    Parameters
    ----------
    tree : Tree
        Columns.
    occupied : sequence of bool
        Whether there are atoms in each channel.
    n_structures : int
        Structures that are computed together.
    weights : ndarray, shape (n_rows, n_columns), optional
        Weights in eV, or None for each column by itself.
    scales : dict
        Index of the scale → Resolution.

    Returns
    -------
    Plan
    """
    first, second, counts = _rows(tree, occupied, weights)
    made = _Maker(tree, counts, n_structures, scales)
    blocks2 = tuple(made.blocks(second, order=2))
    blocks1 = tuple(made.blocks(first, order=1))
    columns, n_inner_targets, n_targets, n_heads, n_inner = (
        tree.n_columns, counts.inner_targets, counts.targets, counts.heads, counts.inner,
    )  # fmt: skip
    values = np.full((n_structures, columns), made.n_results, dtype=np.int64)
    for place, structure, column in made.values:
        values[structure, column] = place
    each = np.arange(n_structures)[:, None] * n_heads
    return Plan(
        blocks1,
        blocks2,
        n_inner * n_structures,
        n_inner_targets * n_structures,
        n_targets * n_structures,
        (each + np.array(counts.inner_heads, dtype=np.int64)).ravel(),
        made.n_results,
        values,
        np.array([place for place, _ in made.spreads], dtype=np.int64),
        np.array([head for _, head in made.spreads], dtype=np.int64),
    )


class _Counts(NamedTuple):
    """Rows of one structure."""

    sources: int
    inner: int
    inner_targets: int
    targets: int
    heads: int
    inner_heads: list[int]


def _rows(
    tree: Tree, occupied: Sequence[bool], weights: Floats | None
) -> tuple[list[_Row], list[_Row], _Counts]:
    """Rows of order 1 and 2 of one structure."""
    n_channels, n_inner = len(occupied), 0
    first: list[_Row] = []
    second: list[_Row] = []
    inner_heads: list[int] = []
    for node in tree.nodes:
        path = node.path
        if not occupied[path.channel]:
            continue
        uses1: list[_Use] = []
        inner = -1
        if node.children:
            inner, n_inner = n_inner, n_inner + 1
        if weights is None:
            uses1 += [_Use(i, -1, i, ((q, i, 1.0),)) for q, i in node.exponents]
            for child, exponents in node.children.items():
                uses2 = []
                for q, i in exponents:
                    uses2.append(_Use(len(inner_heads), -1, i, ((q, i, 1.0),)))
                    uses1.append(_Use(i, len(inner_heads), i, ()))
                    inner_heads.append(i)
                assert child.second is not None
                second.append(_Row(child, child.second, inner, -1, uses2))
        else:
            n_heads, start = len(weights), len(inner_heads)
            for head in range(n_heads):
                through = -1
                if node.children:
                    through = len(inner_heads)
                    inner_heads.append(head)
                target = head * n_channels + path.channel
                uses1.append(_Use(target, through, head, _weighed(node.exponents, weights[head])))
            for child, exponents in node.children.items():
                assert child.second is not None
                uses2 = [
                    _Use(start + head, -1, head, _weighed(exponents, weights[head]))
                    for head in range(n_heads)
                ]
                second.append(_Row(child, child.second, inner, -1, uses2))
        first.append(_Row(path, path.first, path.channel, inner, uses1))
    n_heads = tree.n_columns if weights is None else len(weights)
    n_targets = n_heads if weights is None else n_heads * n_channels
    counts = _Counts(n_channels, n_inner, len(inner_heads), n_targets, n_heads, inner_heads)
    return first, second, counts


def _weighed(exponents: Exponents, weights: Floats) -> tuple[tuple[float, int, float], ...]:
    return tuple((q, i, float(weights[i])) for q, i in exponents)


def in_blocks(costs: Sequence[float], limit: float) -> Iterator[slice]:
    """Cut items into blocks that follow each other and cost no more than a limit, or are one item.

    Parameters
    ----------
    costs : sequence of float
        Cost of each item.
    limit : float
        Most that a block may cost.

    Yields
    ------
    slice
        One block.
    """
    start, used = 0, 0.0
    for i, cost in enumerate(costs):
        if i > start and used + cost > limit:
            yield slice(start, i)
            start, used = i, 0.0
        used += cost
    if len(costs) > start:
        yield slice(start, len(costs))


class _Maker:
    """Makes blocks, and keeps account of where their sums go."""

    def __init__(
        self,
        tree: Tree,
        counts: _Counts,
        n_structures: int,
        scales: dict[int, Resolution],
    ) -> None:
        self.tree = tree
        self.counts = counts
        self.n_structures = n_structures
        self.scales = scales
        self.n_results = 0
        self.values: list[tuple[int, int, int]] = []
        self.spreads: list[tuple[int, int]] = []

    def blocks(self, rows: list[_Row], order: int) -> Iterator[Block]:
        for scale in sorted({row.wavelet.scale for row in rows}):
            mine = [row for row in rows if row.wavelet.scale == scale]
            every = [(s, row) for s in range(self.n_structures) for row in mine]
            counts = [2 * row.wavelet.l + 1 for _, row in every]
            for part in in_blocks(counts, self.scales[scale].most_fields):
                yield self._block(scale, every[part], order)

    def _block(self, scale: int, rows: list[tuple[int, _Row]], order: int) -> Block:
        resolution = self.scales[scale]
        n_sources = self.counts.sources if order == 1 else self.counts.inner
        paths = np.zeros((len(rows), WIDTH), dtype=np.int64)
        n_fields = 0
        for line, (s, row) in zip(paths, rows, strict=True):
            p, l = row.wavelet.p, row.wavelet.l
            line[[SOURCE, RADIAL, DEGREE]] = s * n_sources + row.source, resolution.orders.index((p, l)), l
            line[[TURNS, FIELD]] = (2 * p + l) % 4, n_fields
            line[INNER] = -1 if row.inner < 0 else s * self.counts.inner + row.inner
            n_fields += 2 * l + 1
        inverse = np.array([1.0 / self.tree.norm(row.path) for _, row in rows])
        goes_on = paths[:, INNER] >= 0
        return Block(
            scale, paths, n_fields, paths[goes_on], inverse[goes_on],
            tuple(self._uses(rows, paths, inverse, resolution.most_fields, order)),
        )  # fmt: skip

    def _uses(
        self, rows: list[tuple[int, _Row]], paths: Ints, inverse: Floats, most_fields: int, order: int
    ) -> Iterator[Uses]:
        n_targets = self.counts.targets if order == 1 else self.counts.inner_targets
        # (target, path): paths of a target follow each other, in the order of the columns' tree.
        every = sorted(
            (s * n_targets + use.target, k, s, use)
            for k, (s, row) in enumerate(rows)
            for use in row.uses
        )  # fmt: skip
        counts = [2 * int(paths[k, DEGREE]) + 1 for _, k, _, _ in every]
        single = all(len(row.uses) == 1 for _, row in rows)
        for part in in_blocks(counts, most_fields):
            chosen = every[part]
            of = [k for _, k, _, _ in chosen]
            table = paths[of]
            members = 2 * table[:, DEGREE] + 1
            table[:, SCALED] = table[:, FIELD] if single else np.cumsum(members) - members
            start = self.n_results
            exponents: list[float] = []
            weights: list[float] = []
            for line, (_, _, s, use) in zip(table, chosen, strict=True):
                line[[SLOT, SLOTS]] = len(exponents), len(use.slots)
                line[INNER] = -1 if use.inner < 0 else s * self.counts.inner_targets + use.inner
                for q, column, weight in use.slots:
                    exponents.append(q)
                    weights.append(weight)
                    self.values.append((self.n_results, s, column))
                    self.n_results += 1
                if order == 1:
                    self.spreads.append((self.n_results, s * self.counts.heads + use.head))
                self.n_results += 1
            targets = np.array([target for target, _, _, _ in chosen])
            begins = np.flatnonzero(np.diff(targets, prepend=-1))
            yield Uses(
                table, inverse[of], np.array(exponents), np.array(weights), np.append(begins, len(targets)),
                targets[begins], int(members.sum()), single, start, self.n_results - start,
            )  # fmt: skip
