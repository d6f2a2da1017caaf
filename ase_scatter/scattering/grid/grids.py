"""Which grids a structure gets.

Every scale has a grid of its own, of spacing proportional to β, in one box.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.fft

from ...errors import InputError
from ...structures.system import System
from ..transform import Shapes
from ..wavelets import Wavelet
from .box import Box, padded_box
from .columns import GridSettings, Tree

VARIATION = 0.15
"""Grids of training structures are finer by up to this part, at random."""

COARSENING = 10 / 9
"""The design matrix is made on grids with this much more spacing than the model's, varied downwards:
the integrals are the same but for discretisation errors, which the net-force rows see the better."""

MOST_SKEW = 30.0
"""A cell of right angles with the same edges may be larger than the cell by this factor; so many are the
points of its grids."""


@dataclass(frozen=True)
class Grids:
    """Boxes and grids for the columns of a tree.

    Parameters
    ----------
    tree : Tree
        Columns, which need vacuum and a band.
    """

    tree: Tree

    @property
    def settings(self) -> GridSettings:
        """Hyperparameters."""
        return self.tree.settings

    @property
    def step(self) -> float:
        """Open directions grow by this length (Å), which the grid of every scale divides evenly."""
        return 2.0 * max(self.settings.scales)

    def _reach(self, wavelet: Wavelet) -> float:
        """Distance (Å) at which two of the wavelet, that far to either side, no longer overlap."""
        reach = max(3.5, 2.3 + np.sqrt(2 * wavelet.p + wavelet.l))
        return float(self.settings.scales[wavelet.scale] * reach)

    @cached_property
    def padding(self) -> float:
        """Vacuum (Å) that keeps every path from its own images."""
        reach = 0.0
        for path in {column.path for column in self.tree.paths}:
            total = self._reach(path.first)
            if path.second is not None:
                total = 0.8 * total + self._reach(path.second)
            reach = max(reach, total)
        return 2.0 * reach

    def box(self, system: System) -> Box:
        """Make the box of a structure.

        Parameters
        ----------
        system : System
            The structure.

        Returns
        -------
        Box
        """
        return padded_box(system, self.padding, self.step)

    def fewest(self, box: Box, scale: int) -> Shapes:
        """Count the grid points that hold all waves of a scale.

        Parameters
        ----------
        box : Box
            The box.
        scale : int
            Index of the scale.

        Returns
        -------
        ndarray of int, shape (3,)
        """
        lengths = np.linalg.norm(box.vectors, axis=1)
        bounds = lengths * self.settings.band / (2 * np.pi * self.settings.scales[scale])
        return np.asarray(2 * bounds.astype(np.int64) + 1)

    def shapes(self, box: Box) -> Shapes:
        """Choose the grids of a box.

        Parameters
        ----------
        box : Box
            The box.

        Returns
        -------
        ndarray of int, shape (n_scales, 3)
            Grid points per direction of each scale.

        Raises
        ------
        InputError
            For a cell so skew that its grids would hold many times the points that its volume asks for.
        """
        lengths = np.linalg.norm(box.vectors, axis=1)
        skew = float(lengths.prod() / box.volume)
        if skew > MOST_SKEW:
            raise InputError(
                f"the cell is so skew that its grids would hold {skew:.2g} times the points that its volume "
                "asks for; ase.geometry.minkowski_reduce gives vectors of the same lattice that are nearly "
                "at right angles, or take a model on sites"
            )
        shapes = np.empty((len(self.settings.scales), 3), dtype=np.int64)
        for i, beta in enumerate(self.settings.scales):
            spacing = self.settings.spacing * beta
            for axis, least in enumerate(self.fewest(box, i)):
                if box.steps[axis]:
                    shapes[i, axis] = box.steps[axis] * int(np.ceil(self.step / spacing))
                else:
                    points = max(int(least), int(np.ceil(lengths[axis] / spacing)), 2)
                    shapes[i, axis] = scipy.fft.next_fast_len(points, real=True)
        return shapes

    def of(self, system: System, frozen: Shapes | None = None) -> tuple[Box, Shapes]:
        """Make the box of a structure and the grids in it.

        Parameters
        ----------
        system : System
            The structure.
        frozen : ndarray of int, shape (n_scales, 3), optional
            Grids that do not follow the cell. Open directions have the grid that their length asks
            for all the same: it grows by whole steps.

        Returns
        -------
        box : Box
            The box.
        shapes : ndarray of int, shape (n_scales, 3)
            Grid points per direction of each scale.

        Raises
        ------
        InputError
            If the frozen grids have another shape, or are too coarse for the cell.
        """
        box = self.box(system)
        default = self.shapes(box)
        if frozen is None:
            return box, default
        frozen = np.asarray(frozen, dtype=np.int64)
        if frozen.shape != default.shape:
            raise InputError(
                f"grid_shape must be shaped {default.shape} (scales, directions), not {frozen.shape}"
            )
        shapes = np.where(box.steps > 0, default, frozen)
        for i in self.tree.orders:
            fewest = self.fewest(box, i)
            if np.any(shapes[i] < fewest):
                raise InputError(
                    f"the frozen grid {tuple(shapes[i].tolist())} of β = {self.settings.scales[i]:.3g} Å is "
                    f"too coarse for this cell, which needs {tuple(fewest.tolist())}: the cell has "
                    "grown too far since the grid was frozen; freeze it anew, at the largest cell"
                )
        return box, shapes

    def varied(self, system: System, rng: np.random.Generator) -> Shapes:
        """Choose grids finer than the default ones by up to VARIATION, at random, scale by scale.

        A fit that sees each structure on another grid cannot play the discretisation errors of the
        scales off against each other, which would hold on the grids of the training cells alone.

        Parameters
        ----------
        system : System
            The structure.
        rng : numpy.random.Generator
            Source of random numbers.

        Returns
        -------
        ndarray of int, shape (n_scales, 3)
            Grid points per direction of each scale.
        """
        shapes = self.shapes(self.box(system))
        finer = shapes * rng.uniform(1.0, 1.0 + VARIATION, size=shapes.shape)
        return np.array([[scipy.fft.next_fast_len(int(n), real=True) for n in row] for row in finer])
