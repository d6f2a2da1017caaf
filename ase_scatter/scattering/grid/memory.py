"""How much memory a structure needs on a device."""

from __future__ import annotations

import numpy as np

from ..transform import Shapes
from .box import Box
from .columns import Tree


def bytes_needed(tree: Tree, box: Box, shapes: Shapes, n_atoms: int, dtype: str) -> float:
    """Estimate the bytes that the smallest pieces of one structure need, tables included.

    Parameters
    ----------
    tree : Tree
        Columns.
    box : Box
        The box.
    shapes : ndarray of int, shape (n_scales, 3)
        Grid points per direction of each scale.
    n_atoms : int
        Number of atoms.
    dtype : str
        "float64" or "float32".

    Returns
    -------
    float
    """
    size = np.dtype(dtype).itemsize
    settings, channels = tree.settings, tree.n_channels
    waves = {
        i: box.volume * (settings.band / settings.scales[i]) ** 3 / (12.0 * np.pi**2) for i in tree.orders
    }
    most = max(waves.values(), default=0.0)
    fields = {i: float(np.prod(shapes[i], dtype=np.float64)) * size for i in tree.orders}
    l_max = max((l for used in tree.orders.values() for _, l in used), default=0)
    tables = most * (4 * size * ((l_max + 1) ** 2 + 1) + 44)
    tables += sum(
        waves[i] * (2 * size * len(used) + 8) + 2.0 * fields[i] / size for i, used in tree.orders.items()
    )
    tops = 2.0 * (box.volume ** (1 / 3) * settings.band / settings.scales[min(waves, default=0)] / np.pi + 3)
    atoms = n_atoms * (3 * tops * size + 400.0)
    node = max(((2 * n.path.first.l + 1) * fields[n.path.first.scale] for n in tree.nodes), default=0.0)
    block = max(
        ((2 * w.l + 1) * fields[w.scale] for path, _ in tree.paths for w in path.wavelets),
        default=0.0,
    )
    return float(tables + atoms + 7 * size * most * (channels + 1) + node + 4 * block)


WAVE_BYTES = 100.0
"""Of each wave vector in the block that the sphere of the band is cut out of, on the host."""


def host_bytes_needed(tree: Tree, box: Box, shapes: Shapes, n_atoms: int, dtype: str) -> float:
    """Estimate the bytes that one structure needs on the host, the search for its waves included.

    Parameters
    ----------
    tree : Tree
        Columns.
    box : Box
        The box.
    shapes : ndarray of int, shape (n_scales, 3)
        Grid points per direction of each scale.
    n_atoms : int
        Number of atoms.
    dtype : str
        "float64" or "float32".

    Returns
    -------
    float
    """
    reach = tree.settings.band / min((tree.settings.scales[i] for i in tree.orders), default=np.inf)
    bounds = np.linalg.norm(box.vectors, axis=1) * reach / (2.0 * np.pi)
    block = float(np.prod(2.0 * bounds + 1.0)) / 2.0
    return bytes_needed(tree, box, shapes, n_atoms, dtype) + WAVE_BYTES * block
