"""Steps of the passes on a device: one batched FFT, or one kernel of grid.cu, each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...compute.backend import COMPLEX, THREADS, Array, Backend, Kernels, blocks, load_kernels
from .box import Box
from .cuda_atoms import Atoms
from .cuda_plan import DeviceBlock, DeviceUses
from .plan import Floats
from .tables import FILES, GROUPS, Scale, Tables, macros

POINTS_PER_THREAD, PARTS = 4, 128
"""Sums over a grid are made in so many parts at most, and no thread does less than this."""


@dataclass(frozen=True, eq=False)
class Steps:
    """What kernels and FFTs do for structures in one box.

    Parameters
    ----------
    tables : Tables
        Waves, wavelets and grids of the box, on the device.
    box : Box
        The box.
    epsilon2 : float
        ε², in the unit of U².
    backend : Backend
        The device.
    dtype : str
        "float64" or "float32".
    """

    tables: Tables
    box: Box
    epsilon2: float
    backend: Backend
    dtype: str

    @cached_property
    def kernels(self) -> Kernels:
        """Kernels of grid.cu."""
        return load_kernels(self.backend, FILES, macros(self.dtype))

    def empty(self, *shape: int) -> Array:
        """Allocate an array of the precision.

        Parameters
        ----------
        *shape : int
            Its shape.

        Returns
        -------
        array
        """
        return self.backend.xp.empty(shape, dtype=self.dtype)

    def zeros(self, *shape: int) -> Array:
        """Allocate zeros of the precision.

        Parameters
        ----------
        *shape : int
            Its shape.

        Returns
        -------
        array
        """
        return self.backend.xp.zeros(shape, dtype=self.dtype)

    def synthesis(self, spectra: Array, scale: Scale) -> Array:
        """Make fields of spectra, whose memory they may take.

        Parameters
        ----------
        spectra : array
            Real and imaginary parts side by side.
        scale : Scale
            Their grid.

        Returns
        -------
        array, shape (n, n_x, n_y, n_z)
        """
        waves = spectra.view(COMPLEX[self.dtype])
        return self.backend.fft.irfftn(waves, s=scale.shape, axes=(1, 2, 3), norm="forward", overwrite_x=True)

    def analysis(self, fields: Array) -> Array:
        """Make spectra of fields.

        Parameters
        ----------
        fields : array, shape (n, n_x, n_y, n_z)
            Fields.

        Returns
        -------
        array
            Real and imaginary parts side by side.
        """
        return self.backend.fft.rfftn(fields, axes=(1, 2, 3)).view(self.dtype)

    def spectra(self, n: int, scale: Scale) -> Array:
        """Allocate spectra.

        Parameters
        ----------
        n : int
            How many.
        scale : Scale
            Their grid.

        Returns
        -------
        array
        """
        nx, ny, nz = scale.shape
        return self.empty(n, nx, ny, 2 * (nz // 2 + 1))

    def convolved(self, block: DeviceBlock, sources: Array) -> Array:
        """Convolve sources with the wavelets of a block.

        Parameters
        ----------
        block : DeviceBlock
            Paths.
        sources : array
            Waves of densities or of moduli.

        Returns
        -------
        array, shape (n_fields, n_x, n_y, n_z)
        """
        scale = self.tables.scales[block.host.scale]
        spectra = self.spectra(block.host.n_fields, scale)
        tiles = blocks(scale.places)
        self.kernels(
            "convolve", len(block.host.paths) * tiles, block.paths, sources, np.int32(self.tables.n_waves),
            scale.wave_at, scale.which, scale.radial, self.tables.harmonics, np.int32(scale.n_waves),
            np.int32(scale.places), np.int32(tiles), spectra,
        )  # fmt: skip
        return self.synthesis(spectra, scale)

    def moduli(self, block: DeviceBlock, fields: Array, inner: Array) -> None:
        """Write the waves of the moduli of a block into their rows.

        Parameters
        ----------
        block : DeviceBlock
            Paths.
        fields : array
            What `convolved` made of them.
        inner : array
            Waves of all moduli.
        """
        n = len(block.host.inner)
        if not n:
            return
        scale = self.tables.scales[block.host.scale]
        n_points = scale.n_points
        moduli = self.empty(n, *scale.shape)
        tiles = blocks(n_points)
        self.kernels(
            "moduli", n * tiles, block.inner, block.inverse_norms, fields, np.int32(n_points),
            np.int32(tiles), np.float64(self.epsilon2), moduli,
        )  # fmt: skip
        tiles = blocks(scale.n_waves)
        self.kernels(
            "analyse", n * tiles, block.inner_rows, self.analysis(moduli), np.int32(self.tables.n_waves),
            scale.place_of, scale.which, np.int32(scale.n_waves), np.int32(scale.places), np.int32(tiles),
            np.dtype(self.dtype).type(1.0 / n_points), inner,
        )  # fmt: skip

    def through(self, uses: DeviceUses, scale: Scale, back: Array) -> Array:
        """Make fields of what comes back through moduli.

        Parameters
        ----------
        uses : DeviceUses
            Uses of fields.
        scale : Scale
            Their grid.
        back : array
            Waves of what comes back.

        Returns
        -------
        array
            Any array where nothing comes back.
        """
        n = len(uses.through)
        if not n:
            return back
        spectra = self.spectra(n, scale)
        tiles = blocks(scale.places)
        self.kernels(
            "synthesise", n * tiles, uses.through, back, np.int32(self.tables.n_waves), scale.wave_at,
            scale.which, np.int32(scale.places), np.int32(tiles), spectra,
        )  # fmt: skip
        return self.synthesis(spectra, scale)

    def respond(
        self, uses: DeviceUses, scale: Scale, fields: Array, through: Array, results: Array, adjoint: bool
    ) -> Array:
        """Sum h_q over the grid and make adjoint fields.

        Parameters
        ----------
        uses : DeviceUses
            Uses of fields.
        scale : Scale
            Their grid.
        fields : array, shape (n, n_x, n_y, n_z)
            Fields.
        through : array
            What comes back through moduli.
        results : array
            Sums, written here.
        adjoint : bool
            Whether adjoint fields are wanted.

        Returns
        -------
        array
            The adjoint fields.
        """
        n_points = scale.n_points
        tiles = min(PARTS, -(-n_points // (THREADS * POINTS_PER_THREAD)))
        in_place = uses.host.in_place or not adjoint
        scaled = fields if in_place else self.empty(uses.host.n_fields, *scale.shape)
        n_out = uses.host.n_results
        partial = self.backend.xp.empty((tiles, n_out), dtype="float64")
        self.kernels(
            "respond", len(uses.host.paths) * tiles, uses.paths, uses.inverse_norms, uses.exponents,
            uses.weights, fields, scaled, through, np.int32(n_points), np.int32(tiles),
            np.float64(self.epsilon2), np.float64(self.box.volume / n_points), np.int32(adjoint),
            np.int32(n_out), partial,
            shared=8 * THREADS * (uses.most_slots + 1),
        )  # fmt: skip
        start = uses.host.results
        self.total(partial, results[start : start + n_out])
        return scaled

    def total(self, partial: Array, out: Array) -> None:
        """Sum over parts.

        Parameters
        ----------
        partial : array, shape (n_parts, n)
            Partial sums.
        out : array, shape (n,)
            Where the sums go.
        """
        n = len(out)
        self.kernels("totals", blocks(n), partial, np.int32(len(partial)), np.int32(n), out)

    def correlate(
        self, uses: DeviceUses, scale: Scale, adjoints: Array, sources: Array, back: Array, flow: Array
    ) -> None:
        """Add adjoint fields to what comes back to their sources.

        Parameters
        ----------
        uses : DeviceUses
            Uses of fields.
        scale : Scale
            Their grid.
        adjoints : array
            Adjoint fields.
        sources : array
            Waves that were convolved.
        back : array
            Derivatives with respect to the sources.
        flow : array
            Derivatives with respect to k.
        """
        tiles = -(-scale.n_waves // (THREADS // GROUPS))
        self.kernels(
            "correlate", len(uses.host.targets) * tiles, uses.paths, uses.segments, uses.targets, sources,
            self.tables.waves, np.int32(self.tables.n_waves), scale.which, scale.place_of, scale.radial,
            scale.slopes, self.tables.harmonics, self.tables.gradients, np.int32(scale.n_waves),
            np.int32(scale.places), np.int32(tiles), self.analysis(adjoints), back, flow,
            shared=8 * 5 * THREADS,
        )  # fmt: skip

    def strains(self, flow: Array, out: Array) -> None:
        """Sum −k_a flow_b over the waves of each row.

        Parameters
        ----------
        flow : array, shape (n, 3, K)
            Derivatives with respect to k.
        out : array, shape (9 n,)
            Where the sums go.
        """
        n, n_waves = len(flow), self.tables.n_waves
        if not n:
            return
        parts = min(PARTS, -(-n_waves // (THREADS * POINTS_PER_THREAD)))
        partial = self.backend.xp.empty((parts, 9 * n), dtype="float64")
        self.kernels(
            "strains", n * parts, flow, self.tables.waves, np.int32(n), np.int32(n_waves), np.int32(parts),
            partial, shared=8 * 9 * THREADS,
        )  # fmt: skip
        self.total(partial, out)

    def factors(self, placed: Sequence[Floats]) -> Array:
        """Tabulate one-dimensional phases of all atoms.

        Parameters
        ----------
        placed : sequence of ndarray, shape (N, 3)
            Positions of each structure in Å.

        Returns
        -------
        array, shape (n_rows, N, 2)
        """
        fractional = np.concatenate(placed) @ np.linalg.inv(self.box.vectors)
        n_rows, n_atoms = self.tables.factors.shape[0], len(fractional)
        factors = self.empty(n_rows, n_atoms, 2)
        self.kernels(
            "phases", blocks(n_rows * n_atoms), self.backend.to_device(fractional), self.tables.factors,
            np.int32(n_rows), np.int32(n_atoms), factors,
        )  # fmt: skip
        return factors

    def densities(self, factors: Array, atoms: Atoms, n_structures: int) -> Array:
        """Compute the waves of the densities.

        Parameters
        ----------
        factors : array
            What `factors` gave.
        atoms : Atoms
            The atoms.
        n_structures : int
            Number of structures.

        Returns
        -------
        array, shape (n_structures · n_channels, K, 2)
            ρ̂(k)/V.
        """
        n_channels, n_waves = atoms.charges.shape[0], self.tables.n_waves
        sources = self.empty(n_structures * n_channels, n_waves, 2)
        tiles = blocks(n_waves)
        self.kernels(
            "densities", n_structures * n_channels * tiles, factors, self.tables.rows, atoms.first,
            atoms.charges, np.int32(atoms.n_atoms), np.int32(n_channels), np.int32(n_waves), np.int32(tiles),
            np.float64(1.0 / self.box.volume), sources,
        )  # fmt: skip
        return sources

    def gradient(
        self, factors: Array, atoms: Atoms, pairs: Array, back: Array, out: Array, most_parts: int
    ) -> None:
        """Differentiate with respect to the positions.

        Parameters
        ----------
        factors : array
            What `factors` gave.
        atoms : Atoms
            The atoms.
        pairs : array of int
            Pairs of a head and an atom.
        back : array
            Derivatives with respect to densities.
        out : array, shape (n_pairs · 3,)
            Where ∂/∂R goes.
        most_parts : int
            Parts that the sum over waves is made in, at most.
        """
        n_pairs, n_waves = pairs.shape[0], self.tables.n_waves
        parts = min(most_parts, -(-n_waves // 64))
        partial = self.backend.xp.empty((parts, 3 * n_pairs), dtype="float64")
        self.kernels(
            "gradient", blocks(n_pairs * parts), factors, self.tables.rows, atoms.charges, pairs, back,
            self.tables.waves, np.int32(n_pairs), np.int32(atoms.n_atoms), np.int32(n_waves),
            np.int32(parts), np.float64(1.0 / self.box.volume), partial,
        )  # fmt: skip
        self.total(partial, out)
