"""Plans of the grid transform on a device."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...compute.backend import Array, Backend
from .columns import Tree
from .plan import INNER, Block, Plan, Resolution, Uses, make_plan


class DeviceUses(NamedTuple):
    """`Uses` on the device.

    Parameters
    ----------
    host : Uses
        The same on the host.
    paths, inverse_norms, exponents, weights, segments, targets : array
        Copies on the device.
    through : array of int
        Rows of what comes back through moduli, in the order of INNER.
    most_slots : int
        Most slots of a path.
    """

    host: Uses
    paths: Array
    inverse_norms: Array
    exponents: Array
    weights: Array
    segments: Array
    targets: Array
    through: Array
    most_slots: int


class DeviceBlock(NamedTuple):
    """`Block` on the device.

    Parameters
    ----------
    host : Block
        The same on the host.
    paths, inner, inverse_norms : array
        Copies on the device; paths in `inner` are numbered from 0 on.
    inner_rows : array of int
        Rows of moduli of these.
    uses : tuple of DeviceUses
        Their uses.
    """

    host: Block
    paths: Array
    inner: Array
    inverse_norms: Array
    inner_rows: Array
    uses: tuple[DeviceUses, ...]


class DevicePlan(NamedTuple):
    """`Plan` on the device.

    Parameters
    ----------
    host : Plan
        The same on the host.
    first, second : tuple of DeviceBlock
        Blocks of order 1 and 2.
    """

    host: Plan
    first: tuple[DeviceBlock, ...]
    second: tuple[DeviceBlock, ...]

    @property
    def n_results(self) -> int:
        """Sums of slots, and nine strains of each inner target."""
        return self.host.n_results + 9 * self.host.n_inner_targets


def _numbered(paths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The table with those INNER that are there numbered from 0 on, and what they were."""
    paths = paths.copy()
    there = paths[:, INNER] >= 0
    rows = paths[there, INNER]
    paths[there, INNER] = np.arange(len(rows))
    return paths, rows


def _upload_uses(uses: Uses, backend: Backend) -> DeviceUses:
    paths, through = _numbered(uses.paths)
    return DeviceUses(
        uses,
        backend.to_device(paths, "int32"),
        backend.to_device(uses.inverse_norms),
        backend.to_device(uses.exponents),
        backend.to_device(uses.weights),
        backend.to_device(uses.segments, "int32"),
        backend.to_device(uses.targets, "int32"),
        backend.to_device(through, "int32"),
        int(paths[:, -1].max(initial=0)),
    )


def _upload_block(block: Block, backend: Backend) -> DeviceBlock:
    inner, rows = _numbered(block.inner)
    return DeviceBlock(
        block,
        backend.to_device(block.paths, "int32"),
        backend.to_device(inner, "int32"),
        backend.to_device(block.inverse_norms),
        backend.to_device(rows, "int32"),
        tuple(_upload_uses(uses, backend) for uses in block.uses),
    )


@lru_cache(maxsize=64)
def device_plan(
    tree: Tree,
    columns: tuple[int, ...] | None,
    occupied: tuple[bool, ...],
    n_structures: int,
    weights: tuple[int, bytes] | None,
    resolutions: tuple[tuple[int, Resolution], ...],
    backend: Backend,
) -> DevicePlan:
    """Make a plan and copy it to the device; it is kept there.

    Parameters
    ----------
    tree : Tree
        All columns.
    columns : tuple of int, optional
        Those to compute; all by default.
    occupied : tuple of bool
        Whether there are atoms in each channel.
    n_structures : int
        Structures that are computed together.
    weights : (int, bytes), optional
        How many rows of weights there are, and their bytes as float64; None for each column by itself.
    resolutions : tuple of (int, Resolution)
        Of each scale.
    backend : Backend
        The device.

    Returns
    -------
    DevicePlan
    """
    table = None
    if weights is not None:
        table = np.frombuffer(weights[1], dtype=np.float64).reshape(weights[0], -1)
    if columns is not None:
        tree = tree.subset(columns)
        table = None if table is None else table[:, list(columns)]
    plan = make_plan(tree, occupied, n_structures, table, dict(resolutions))
    return DevicePlan(
        plan,
        tuple(_upload_block(one, backend) for one in plan.first),
        tuple(_upload_block(one, backend) for one in plan.second),
    )
