"""Tables of a box for the grid transform on a device: its waves, harmonics, radial functions and grids.

They are made there, by kernels, from the list of waves; only that changes with the cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...compute.backend import Array, Backend, Kernels, blocks, load_kernels, real
from ..harmonics import prefactors
from ..transform import Shapes
from ..wavelets import normalisation
from .box import Box
from .columns import GridSettings
from .plane_waves import Waves

FILES = ("compute/math.cuh", "scattering/grid/grid.cu")

GROUPS = 4
"""Threads that share out the m of a path in the kernel `correlate`."""


def macros(dtype: str) -> dict[str, object]:
    """List what grid.cu is compiled with.

    Parameters
    ----------
    dtype : str
        "float64" or "float32".

    Returns
    -------
    dict
    """
    return {"REAL": real(dtype), "GROUPS": GROUPS}


@dataclass(frozen=True)
class Scale:
    """Grid of one β, the waves within its band in the order of their places, and its wavelets on them.

    Parameters
    ----------
    shape : tuple of int
        Grid points per direction.
    n_waves : int
        Number of waves K.
    places : int
        Length of a spectrum.
    wave_at : array of int, shape (places,)
        The wave at each place, or −1.
    place_of : array of int, shape (K,)
        Place of each wave.
    which : array of int, shape (K,)
        Index of each wave among all.
    radial : array, shape (n, K)
        A of each (p, l) in use, with ψ̂ = phase · A · harmonic of k.
    slopes : array, shape (n, K)
        2 dA/dk².
    """

    shape: tuple[int, int, int]
    n_waves: int
    places: int
    wave_at: Array
    place_of: Array
    which: Array
    radial: Array
    slopes: Array

    @property
    def n_points(self) -> int:
        """Number of grid points."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Tables:
    """All waves of a box, in the order of their places on any grid, and its scales.

    Parameters
    ----------
    n_waves : int
        Number of waves K.
    waves : array, shape (4, K)
        k in 1/Å and how often each counts.
    factors : array of int, shape (n_rows, 2)
        Axis and n of the tables of one-dimensional phases.
    rows : array of int, shape (3, K)
        The three factors of each wave.
    harmonics : array, shape ((l_max+1)², K)
        Solid harmonics of k.
    gradients : array, shape ((l_max+1)², 3, K)
        Their derivatives with respect to k.
    scales : dict
        Index of the scale → Scale.
    """

    n_waves: int
    waves: Array
    factors: Array
    rows: Array
    harmonics: Array
    gradients: Array
    scales: dict[int, Scale]


Orders = tuple[tuple[int, int], ...]
"""The (p, l) in use at a scale."""


def tabulate(
    settings: GridSettings, box: Box, shapes: Shapes, orders: dict[int, Orders], backend: Backend, dtype: str
) -> Tables:
    """Tabulate waves and wavelets of a box on a device.

    Parameters
    ----------
    settings : GridSettings
        Hyperparameters.
    box : Box
        The box.
    shapes : ndarray of int, shape (n_scales, 3)
        Grid points per direction of each scale.
    orders : dict
        The (p, l) of each scale in use, in ascending order of β.
    backend : Backend
        Where the arrays are.
    dtype : str
        "float64" or "float32".

    Returns
    -------
    Tables
    """
    kernels = load_kernels(backend, FILES, macros(dtype))
    waves = Waves.within(box.vectors, settings.band / settings.scales[min(orders)])
    nx, ny, nz = waves.indices.T
    waves = waves.taken(np.lexsort((nz, ny, ny < 0, nx, nx < 0)))
    n = len(waves.lengths)
    vectors = backend.to_device(np.concatenate([waves.vectors.T, waves.multiplicity[None]]))
    tops = np.abs(waves.indices).max(axis=0, initial=0)
    factors = np.array([(axis, i) for axis in range(3) for i in range(-tops[axis], tops[axis] + 1)])
    starts = np.cumsum([0, *(2 * tops[:2] + 1)])
    l_max = max(l for used in orders.values() for _, l in used)
    harmonics = backend.xp.empty(((l_max + 1) ** 2, n), dtype=dtype)
    gradients = backend.xp.empty(((l_max + 1) ** 2, 3, n), dtype=dtype)
    kernels(
        "harmonics", blocks((l_max + 1) * n), vectors, backend.to_device(prefactors(l_max)),
        np.int32(l_max), np.int32(n), harmonics, gradients,
    )  # fmt: skip
    return Tables(
        n,
        vectors.astype(dtype),
        backend.to_device(factors, "int32"),
        backend.to_device((waves.indices + tops + starts).T, "int32"),
        harmonics,
        gradients,
        {
            scale: _scale(settings, scale, used, waves, vectors, shapes[scale], kernels, backend, dtype)
            for scale, used in orders.items()
        },
    )


def _scale(
    settings: GridSettings,
    index: int,
    orders: Orders,
    waves: Waves,
    vectors: Array,
    points: Shapes,
    kernels: Kernels,
    backend: Backend,
    dtype: str,
) -> Scale:
    beta, band, shape = settings.scales[index], settings.band, tuple(points.tolist())
    which = np.flatnonzero(waves.lengths < band / beta)
    nx, ny, nz = waves.indices[which].T
    half = shape[2] // 2 + 1
    place_of = ((nx % shape[0]) * shape[1] + ny % shape[1]) * half + nz
    wave_at = np.full(shape[0] * shape[1] * half, -1, dtype=np.int32)
    wave_at[place_of] = np.arange(len(which))
    norms = [normalisation(p, l) * (2.0 * np.pi * beta) ** 1.5 * beta**l for p, l in orders]
    there = backend.to_device(which, "int32")
    radial, slopes = (backend.xp.empty((len(orders), len(which)), dtype=dtype) for _ in range(2))
    kernels(
        "radials", blocks(len(orders) * len(which)), vectors, there,
        backend.to_device(np.array(orders), "int32"), backend.to_device(np.array(norms)),
        np.int32(len(orders)), np.int32(len(which)), np.int32(len(waves.lengths)), np.float64(beta),
        np.float64(band), radial, slopes,
    )  # fmt: skip
    return Scale(
        shape, len(which), len(wave_at), backend.to_device(wave_at),
        backend.to_device(place_of, "int32"), there, radial, slopes,
    )  # fmt: skip
