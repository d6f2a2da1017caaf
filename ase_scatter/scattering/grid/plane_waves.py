"""Plane waves of a box, grids of several resolutions, and the wavelets tabulated on them.

Half of the wave vectors suffice for real fields (n_z ≥ 0; those with n_z > 0 count twice). They are
sorted by length, so the waves that a wide wavelet needs, |k| ≤ band/β, are the first ones of the list:
a coarser field is a prefix of a finer one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...compute.backend import Array, Backend
from ..harmonics import degree, solid_harmonics
from ..wavelets import phase, profile, window


@dataclass(frozen=True)
class Waves:
    """Half of the wave vectors of a box up to a cutoff, sorted by length.

    Parameters
    ----------
    indices : ndarray of int, shape (K, 3)
        Integers n.
    vectors : ndarray, shape (K, 3)
        k in 1/Å.
    lengths : ndarray, shape (K,)
        Lengths of k in 1/Å.
    multiplicity : ndarray, shape (K,)
        1 or 2: how many waves each stands for.
    """

    indices: NDArray[np.int64]
    vectors: NDArray[np.float64]
    lengths: NDArray[np.float64]
    multiplicity: NDArray[np.float64]

    @classmethod
    def within(cls, vectors: NDArray[np.float64], cutoff: float) -> Waves:
        """List all waves of a box up to a cutoff.

        Parameters
        ----------
        vectors : ndarray, shape (3, 3)
            Box vectors in Å, row by row.
        cutoff : float
            Waves shorter than this count, in 1/Å.

        Returns
        -------
        Waves
        """
        reciprocal = 2.0 * np.pi * np.linalg.inv(vectors).T
        bounds = [int(cutoff * length / (2.0 * np.pi)) for length in np.linalg.norm(vectors, axis=1)]
        axes = [np.arange(-bounds[0], bounds[0] + 1), np.arange(-bounds[1], bounds[1] + 1)]
        axes.append(np.arange(bounds[2] + 1))
        indices = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        wave_vectors = indices @ reciprocal
        lengths = np.linalg.norm(wave_vectors, axis=1)
        inside = np.flatnonzero(lengths < cutoff)
        order = inside[np.argsort(lengths[inside], kind="stable")]
        indices = indices[order]
        return cls(
            indices,
            wave_vectors[order],
            lengths[order],
            np.where(indices[:, 2] > 0, 2.0, 1.0),
        )

    def taken(self, which: NDArray[np.int64]) -> Waves:
        """Take some of the waves, or all in another order.

        Parameters
        ----------
        which : ndarray of int, shape (n,)
            Their places.

        Returns
        -------
        Waves
        """
        return Waves(self.indices[which], self.vectors[which], self.lengths[which], self.multiplicity[which])

    def count(self, cutoff: float) -> int:
        """Count the waves up to a cutoff.

        Parameters
        ----------
        cutoff : float
            Waves shorter than this count, in 1/Å.

        Returns
        -------
        int
        """
        return int(np.searchsorted(self.lengths, cutoff, side="left"))


class Overlap(NamedTuple):
    """Sources and what comes back through wavelets of one scale and degree, wave by wave.

    Those of several wavelets add up.

    Parameters
    ----------
    along : array, shape (n, 2l+1, K)
        What the derivatives of the harmonics are to be multiplied with.
    radial : array, shape (n, K)
        The same for the radial factor, along y.
    """

    along: Array
    radial: Array


@dataclass(frozen=True)
class Level:
    """The grid of one scale β, the waves within its band, and its wavelets on them.

    Parameters
    ----------
    backend : Backend
        Where the arrays are.
    dtype : str
        "float64" or "float32".
    shape : tuple of int
        Grid points per direction.
    columns : tuple of int
        How many k_y and k_z its waves have.
    n_waves : int
        Number of waves K.
    flat : array of int, shape (K,)
        Place of each wave in a spectrum of shape[0] by columns.
    y : array, shape (3, K)
        β k.
    multiplicity : array, shape (K,)
        How many waves each stands for.
    harmonics : array, shape ((l_max+1)², K)
        Solid harmonics of y.
    gradients : array, shape ((l_max+1)², 3, K)
        Their derivatives with respect to y.
    radial : dict
        (p, l) → A (K,) and B = 2 dA/d(y²) (K,), with ψ̂ = phase · A · harmonic.
    """

    backend: Backend
    dtype: str
    shape: tuple[int, int, int]
    columns: tuple[int, int]
    n_waves: int
    flat: Array
    y: Array
    multiplicity: Array
    harmonics: Array
    gradients: Array
    radial: dict[tuple[int, int], tuple[Array, Array]]

    @classmethod
    def build(
        cls,
        waves: Waves,
        beta: float,
        band: float,
        shape: tuple[int, int, int],
        orders: Iterable[tuple[int, int]],
        backend: Backend,
        dtype: str,
    ) -> Level:
        """Tabulate wavelets of a scale.

        Parameters
        ----------
        waves : Waves
            Waves of the box.
        beta : float
            β in Å.
        band : float
            Waves up to band/β are kept.
        shape : tuple of int
            Grid points per direction.
        orders : iterable of (int, int)
            The (p, l) to tabulate.
        backend : Backend
            Where the arrays are.
        dtype : str
            "float64" or "float32".

        Returns
        -------
        Level
        """
        count = waves.count(band / beta)
        indices = waves.indices[:count]
        tops = np.abs(indices).max(axis=0, initial=0)
        ky, kz = int(2 * tops[1] + 1), int(tops[2] + 1)
        flat = (indices[:, 0] % shape[0] * ky + indices[:, 1] % ky) * kz + indices[:, 2]
        y = waves.vectors[:count] * beta
        s = np.einsum("ka,ka->k", y, y)
        harmonics, gradients = solid_harmonics(y, max((l for _, l in orders), default=0))
        w, dw = window(s, band)
        radial = {}
        for p, l in orders:
            value, slope = profile(p, l, s)
            factor = (2.0 * np.pi * beta) ** 1.5
            radial[p, l] = (
                backend.to_device(factor * value * w, dtype),
                backend.to_device(2.0 * factor * (slope * w + value * dw), dtype),
            )
        return cls(
            backend=backend,
            dtype=dtype,
            shape=shape,
            columns=(ky, kz),
            n_waves=count,
            flat=backend.to_device(flat),
            y=backend.to_device(y.T, dtype),
            multiplicity=backend.to_device(waves.multiplicity[:count], dtype),
            harmonics=backend.to_device(harmonics, dtype),
            gradients=backend.to_device(gradients, dtype),
            radial=radial,
        )

    @property
    def n_points(self) -> int:
        """Number of grid points."""
        return math.prod(self.shape)

    def fields(self, coefficients: Array) -> list[Array]:
        """Sum plane waves on the grid.

        Parameters
        ----------
        coefficients : array, shape (m, K)
            Coefficients c of each field.

        Returns
        -------
        list of array, shape (≤m, n_points)
            Σ_k c_k e^{ik·u} of all m fields, in the blocks of `blocks`.
        """
        return [self._synthesis(coefficients[block]) for block in self.blocks(len(coefficients))]

    def coefficients(self, fields: Sequence[Array], factors: Array) -> Array:
        """Analyse products of fields and factors.

        Parameters
        ----------
        fields : sequence of array, shape (≤m, n_points)
            m fields f, in blocks.
        factors : array, shape (n, n_points)
            What each field is multiplied with.

        Returns
        -------
        array, shape (n, m, K)
            Σ_u factor(u) f(u) e^{−ik·u}.
        """
        m = sum(map(len, fields))
        # Where several factors go together, all fields do.
        parts = [
            self._analysis((factors[some, None] * block).reshape(-1, self.n_points))
            for some in self.blocks(len(factors), m)
            for block in fields
        ]
        found = parts[0] if len(parts) == 1 else self.backend.xp.concatenate(parts)
        return found.reshape(len(factors), m, -1)

    def spectrum(self, field: Array) -> Array:
        """Analyse one field.

        Parameters
        ----------
        field : array, shape (n_points,)
            The field f.

        Returns
        -------
        array, shape (K,)
            Σ_u f(u) e^{−ik·u}.
        """
        return self._analysis(field[None])[0]

    def blocks(self, n: int, each: int = 1) -> list[slice]:
        """Cut items into blocks whose fields one FFT takes together.

        Parameters
        ----------
        n : int
            Number of items.
        each : int
            Fields of each item.

        Returns
        -------
        list of slice
            At least one item in each.
        """
        limit = self.backend.points_per_fft
        size = max(1, n if limit is None else limit // (each * self.n_points))
        return [slice(start, start + size) for start in range(0, n, size)]

    # The transforms go axis by axis, so that lines outside the band are never transformed; `columns`
    # says how many k_y and k_z there are inside it.

    def _synthesis(self, coefficients: Array) -> Array:
        xp, fft = self.backend.xp, self.backend.fft
        m, (nx, ny, nz), (ky, kz) = coefficients.shape[0], self.shape, self.columns
        spectrum = xp.zeros((m, nx * ky * kz), dtype=coefficients.dtype)
        spectrum[:, self.flat] = coefficients
        lines = fft.ifft(spectrum.reshape(m, nx, ky, kz), axis=1, norm="forward", overwrite_x=True)
        wide = xp.zeros((m, nx, ny, kz), dtype=coefficients.dtype)
        positive = ky // 2 + 1
        wide[:, :, :positive] = lines[:, :, :positive]
        wide[:, :, ny - ky + positive :] = lines[:, :, positive:]
        planes = fft.ifft(wide, axis=2, norm="forward", overwrite_x=True)
        return fft.irfft(planes, n=nz, axis=3, norm="forward").reshape(m, -1)

    def _analysis(self, fields: Array) -> Array:
        xp, fft = self.backend.xp, self.backend.fft
        m, ny, (ky, kz) = fields.shape[0], self.shape[1], self.columns
        planes = fft.rfft(fields.reshape(m, *self.shape), axis=3)[:, :, :, :kz]
        planes = fft.fft(planes, axis=2)
        positive = ky // 2 + 1
        lines = xp.concatenate([planes[:, :, :positive], planes[:, :, ny - ky + positive :]], axis=2)
        return fft.fft(lines, axis=1, overwrite_x=True).reshape(m, -1)[:, self.flat]

    def convolve(self, p: int, l: int, source: Array) -> tuple[list[Array], Array]:
        """Convolve a source with a wavelet.

        Parameters
        ----------
        p, l : int
            Radial order and angular degree of the wavelet.
        source : array, shape (≥K,)
            Plane-wave coefficients.

        Returns
        -------
        fields : list of array, shape (≤2l+1, n_points)
            f_m = Σ_k source_k ψ̂_m(k) e^{ik·u}, in blocks.
        squares : array, shape (n_points,)
            Σ_m of their squares.
        """
        value, _ = self.radial[p, l]
        scaled = source[: self.n_waves] * value * phase(p, l)
        fields = self.fields(scaled * self.harmonics[degree(l)])
        squares, *others = (self.backend.xp.einsum("mu,mu->u", block, block) for block in fields)
        for other in others:
            squares += other
        return fields, squares

    def adjoint(
        self, p: int, l: int, source: Array, fields: Sequence[Array], factors: Array
    ) -> tuple[Array, Overlap]:
        """Differentiate ½ Σ_u factor(u) Σ_m f_m(u)² through the fields that `convolve` made.

        Parameters
        ----------
        p, l : int
            Radial order and angular degree of the wavelet.
        source : array, shape (≥K,)
            Plane-wave coefficients that were convolved.
        fields : sequence of array, shape (≤2l+1, n_points)
            What `convolve` gave.
        factors : array, shape (n, n_points)
            Each makes a sum of its own.

        Returns
        -------
        back : array, shape (n, K)
            Σ_m conj(ψ̂_m) ŵ_m with w = factor · f: derivatives with respect to the source.
        overlap : Overlap
            What `strain` turns into derivatives with respect to a strain.
        """
        value, slope = self.radial[p, l]
        images = self.coefficients(fields, factors)
        back = (images * self.harmonics[degree(l)]).sum(axis=-2)
        # Both halves of the waves count.
        rotated = (source[: self.n_waves] * (self.multiplicity * phase(p, l))).conj()
        radial = (back * rotated).real * slope
        rotated *= value
        along = images.real * rotated.real
        along -= images.imag * rotated.imag
        back *= value * phase(p, l).conjugate()
        return back, Overlap(along, radial)

    def strain(self, l: int, overlap: Overlap) -> Array:
        """Differentiate with respect to a strain under which the sources are kept.

        Parameters
        ----------
        l : int
            Angular degree of the wavelets.
        overlap : Overlap
            What `adjoint` gave, or the sum for several wavelets of this degree.

        Returns
        -------
        array, shape (n, 3, 3)
            Element ab belongs to R_a → R_a + ε_ab R_b, under which k_b → k_b − ε_ab k_a.
        """
        xp = self.backend.xp
        gradient = xp.einsum("nmk,mbk->nbk", overlap.along, self.gradients[degree(l)])
        gradient += overlap.radial[:, None] * self.y
        return -xp.matmul(self.y, xp.swapaxes(gradient, -1, -2))


ScaleKey = tuple[float, tuple[int, int, int], frozenset[tuple[int, int]]]
"""What decides a level: β, grid shape, the (p, l) in use."""


@lru_cache(maxsize=2)
def tabulate(
    vectors: tuple[float, ...], scales: tuple[ScaleKey, ...], band: float, backend: Backend, dtype: str
) -> tuple[Waves, tuple[Level, ...]]:
    """Tabulate waves and levels of a box, which are kept while the box stays as it is.

    Parameters
    ----------
    vectors : tuple of float
        Nine numbers of the box vectors in Å, row by row.
    scales : tuple of ScaleKey
        Scales in ascending order of β.
    band : float
        Waves up to band/β are kept.
    backend : Backend
        Where the arrays are.
    dtype : str
        "float64" or "float32".

    Returns
    -------
    waves : Waves
        All waves.
    levels : tuple of Level
        One for each scale. The arrays are shared: nothing may write to them.
    """
    rows = np.array(vectors).reshape(3, 3)
    waves = Waves.within(rows, band / scales[0][0] if scales else 0.0)
    levels = (Level.build(waves, beta, band, shape, orders, backend, dtype) for beta, shape, orders in scales)
    return waves, tuple(levels)
