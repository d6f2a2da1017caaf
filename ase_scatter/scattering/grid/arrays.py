"""The grid transform in array operations: the reference, and what runs on the host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...compute.backend import Array, Backend
from ...compute.functions import modulus
from ...structures.system import Evaluation, System
from ..transform import Jacobian, Shapes
from ..wavelets import Wavelet
from .box import Box
from .columns import Exponents, Node, Path, Tree
from .plane_waves import Level, Overlap, tabulate
from .strains import StrainSums
from .structure_factor import StructureFactor

Floats = NDArray[np.float64]


class _Fields(NamedTuple):
    """What one wavelet makes of a source (≥K,): f_m in blocks (≤2l+1, n_points), x = U² + ε² (n_points,)."""

    level: Level
    wavelet: Wavelet
    source: Array
    norm: float
    f: list[Array]
    x: Array

    def pull_back(self, factors: Array) -> tuple[Array, Overlap]:
        """Derivatives (n, K) by the source, and overlaps that those by the strain follow from, through
        factor · f_m for each factor (n, n_points)."""
        return self.level.adjoint(self.wavelet.p, self.wavelet.l, self.source, self.f, factors)


class _Pass(NamedTuple):
    """Forward and adjoint pass of one node.

    values: (n_columns of the node,). adjoint: (n_rows, K) derivatives with respect to the density, in
    plane waves. spread: (n_rows,) Σ w f, which falls as the volume grows since f carries 1/V.
    """

    values: Floats
    adjoint: Array
    spread: Floats


class Sampled:
    """One structure on its grids: what forward pass, adjoint pass and Jacobian share.

    Parameters
    ----------
    tree : Tree
        Columns.
    box : Box
        Box of the structure.
    shapes : ndarray of int, shape (n_scales, 3)
        Grid points per direction of each scale.
    system : System
        The structure.
    backend : Backend
        Where the arrays are.
    dtype : str
        "float64" or "float32".
    """

    def __init__(
        self, tree: Tree, box: Box, shapes: Shapes, system: System, backend: Backend, dtype: str
    ) -> None:
        self.tree = tree
        self.box = box
        self.system = system
        self.backend = backend
        self.xp = backend.xp
        self.dtype = dtype
        self.volume = box.volume
        settings, orders = tree.settings, tree.orders
        self.epsilon2 = settings.epsilon2
        waves, levels = tabulate(
            tuple(box.vectors.ravel().tolist()),
            tuple((settings.scales[i], tuple(shapes[i].tolist()), orders[i]) for i in sorted(orders)),
            settings.band,
            backend,
            dtype,
        )
        self.levels = dict(zip(sorted(orders), levels, strict=True))
        placed = box.place(system.positions)
        self.structure = StructureFactor.build(waves, box, placed, backend, dtype)
        charges = tree.channels.charges(system.numbers)
        self.charges = backend.to_device(charges, dtype)
        # Divided by the volume: the coefficients of ρ in plane waves.
        self.densities = self.structure.densities(self.charges) / self.volume
        self.occupied = [bool(q.any()) for q in charges]

    def _nodes(self) -> Iterator[Node]:
        """Nodes of channels that have atoms here (the others' columns are zero)."""
        return (node for node in self.tree.nodes if self.occupied[node.path.channel])

    # ---- forward --------------------------------------------------------------------------------

    def _convolved(self, wavelet: Wavelet, source: Array, path: Path) -> _Fields:
        level, norm = self.levels[wavelet.scale], self.tree.norm(path)
        f, x = level.convolve(wavelet.p, wavelet.l, source)
        x *= 1.0 / norm
        x += self.epsilon2
        return _Fields(level, wavelet, source, norm, f, x)

    def _order1(self, node: Node) -> _Fields:
        return self._convolved(node.path.first, self.densities[node.path.channel], node.path)

    def _order2(self, path: Path, inner: Array) -> _Fields:
        assert path.second is not None
        return self._convolved(path.second, inner, path)

    def _inner(self, fields: _Fields) -> Array:
        """Plane-wave coefficients of g = (U² + ε²)^{1/2} − ε."""
        g = self.xp.sqrt(fields.x)
        g -= self.epsilon2**0.5
        return fields.level.spectrum(g) / fields.level.n_points

    def _volume_element(self, level: Level) -> float:
        return self.volume / level.n_points

    def _integral(self, level: Level, values: Array) -> float:
        return float(values.sum(dtype="float64")) * self._volume_element(level)

    def _rises(self, fields: _Fields, exponents: Exponents) -> tuple[list[float], Array]:
        """Values of the columns of a path, and ∂h/∂U² (n_exponents, n_points) of each."""
        found = [modulus(fields.x, exponent, self.epsilon2, self.xp) for exponent, _ in exponents]
        values = [self._integral(fields.level, value) for value, _ in found]
        if len(found) == 1:
            return values, found[0][1][None]
        slopes = self.xp.empty((len(found), fields.level.n_points), dtype=self.dtype)
        for i, (_, slope) in enumerate(found):
            slopes[i] = slope
        return values, slopes

    def mean_squares(self, order: int) -> Iterator[tuple[Path, float]]:
        """Integrate U² of every path of an order.

        Parameters
        ----------
        order : int
            1 or 2.

        Yields
        ------
        path : Path
            A path.
        total : float
            ∫U² du in Å³, with the norms that the columns have.
        """
        for node in self._nodes():
            fields = self._order1(node)
            if order == 1:
                yield node.path, self._integral(fields.level, fields.x - self.epsilon2)
            elif node.children:
                inner = self._inner(fields)
                for path in node.children:
                    fields = self._order2(path, inner)
                    yield path, self._integral(fields.level, fields.x - self.epsilon2)

    def features(self) -> Floats:
        """Compute the values of all columns.

        Returns
        -------
        ndarray, shape (n_columns,)
        """
        values = np.zeros(self.tree.n_columns)
        for node in self._nodes():
            fields = self._order1(node)
            found, _ = self._rises(fields, node.exponents)
            inner = self._inner(fields) if node.children else None
            for path, exponents in node.children.items():
                found += self._rises(self._order2(path, inner), exponents)[0]
            values[node.columns] = found
        return values

    # ---- adjoint --------------------------------------------------------------------------------

    def _differentiate(self, node: Node, rows: Floats, strains: StrainSums) -> _Pass:
        """Both passes of a node for all rows of weights (n_rows, n_columns); adds to the strain gradients.

        The adjoint pass is linear in ∂E/∂U². A path with fewer exponents than rows is transformed once
        for each exponent, and what comes out is combined to rows; otherwise rows are combined before.
        Back at order 1 each row has a ∂E/∂U² of its own.
        """
        xp, density = self.xp, self.densities[node.path.channel]
        first = self._order1(node)
        level, x = first.level, first.x
        values, slopes = self._rises(first, node.exponents)
        own = self._weights(rows, node.exponents, self._volume_element(level))
        back = xp.zeros((len(rows), level.n_waves), dtype=density.dtype)
        inner = self._inner(first) if node.children else None
        for path, exponents in node.children.items():
            second = self._order2(path, inner)
            found, slopes2 = self._rises(second, exponents)
            values += found
            which = self._weighing(rows, exponents)
            if which.start == which.stop:
                continue
            mix = self._weights(
                rows[which], exponents, self._volume_element(second.level) * 2.0 / second.norm
            )
            if len(mix) <= len(exponents):
                images, overlap = second.pull_back(mix @ slopes2)
                strains.add(second.level, second.wavelet, overlap, which)
            else:
                each, overlap = second.pull_back(slopes2)
                images = mix @ each
                strain = second.level.strain(second.wavelet.l, overlap).reshape(-1, 9)
                strains.add_contracted((mix @ strain).reshape(-1, 3, 3), which)
            back[which, : second.level.n_waves] += images
        adjoint = xp.zeros((len(rows), len(density)), dtype=density.dtype)
        spread = xp.empty(len(rows), dtype="float64")
        squares = x - self.epsilon2
        # How g follows U².
        through = 0.5 / level.n_points / xp.sqrt(x) if node.children else None
        for block in level.blocks(len(rows), 2 * first.wavelet.l + 1):
            t = own[block] @ slopes
            if node.children:
                start = 0
                for fields in level.fields(back[block]):
                    t[start : start + len(fields)] += fields * through
                    start += len(fields)
            spread[block] = 2.0 * (t * squares).sum(axis=1, dtype="float64")
            t *= 2.0 / first.norm
            images, overlap = first.pull_back(t)
            adjoint[block, : level.n_waves] = images
            strains.add(level, first.wavelet, overlap, block)
        return _Pass(np.array(values), adjoint, self.backend.to_host(spread))

    def _weights(self, rows: Floats, exponents: Exponents, factor: float) -> Array:
        """Weights (n_rows, n_exponents) of the columns of a path times a factor."""
        return self.backend.to_device(rows[:, [index for _, index in exponents]] * factor, self.dtype)

    def _weighing(self, rows: Floats, exponents: Exponents) -> slice:
        """Rows from the first to the last that weigh a path."""
        if len(rows) == 1:
            return slice(0, 1)
        some = np.flatnonzero(rows[:, [index for _, index in exponents]].any(axis=1))
        return slice(some[0], some[-1] + 1) if len(some) else slice(0, 0)

    def _gradient(self, channel: int, adjoint: Array) -> Floats:
        """∂/∂R (n, N, 3) of the placed atoms, from derivatives (n, K) with respect to a density."""
        gradient = self.structure.gradient(self.charges[channel], adjoint.conj())
        return self.backend.to_host(gradient) / self.volume

    def evaluate(self, rows: Floats) -> list[Evaluation]:
        """Compute energies, forces and strain gradients; the rows share the forward pass.

        Parameters
        ----------
        rows : ndarray, shape (n_rows, n_columns)
            Weights in eV.

        Returns
        -------
        list of Evaluation
            One for each row.
        """
        values = np.zeros(self.tree.n_columns)
        spread = np.zeros(len(rows))
        strains = StrainSums(len(rows), self.xp, self.dtype)
        placed = np.zeros((len(rows), *self.system.positions.shape))
        adjoints: dict[int, Array] = {}
        for node in self._nodes():
            found = self._differentiate(node, rows, strains)
            values[node.columns] = found.values
            spread += found.spread
            channel = node.path.channel
            adjoints[channel] = found.adjoint + adjoints.get(channel, 0.0)
        for channel, adjoint in adjoints.items():
            placed += self._gradient(channel, adjoint)
        energies = rows @ values
        with_box = self._with_box(strains, energies - spread)
        gradients = self.box.strain_gradient(with_box, placed, self.system.positions)
        forces = -self.box.d_original(placed)
        return [
            Evaluation(float(energy), force, 0.5 * (gradient + gradient.T))
            for energy, force, gradient in zip(energies, forces, gradients, strict=True)
        ]

    def _with_box(self, strains: StrainSums, diagonal: Floats) -> Floats:
        """Derivatives (n_rows, 3, 3) by a strain of atoms and box, from those through the wavelets."""
        through = self.backend.to_host(strains.total()).astype(np.float64)
        return np.asarray(through + diagonal[:, None, None] * np.eye(3))

    def jacobian(self) -> Jacobian:
        """Compute every column with its derivatives: a row of weights for each.

        Returns
        -------
        Jacobian
        """
        n = self.tree.n_columns
        values, each = np.zeros(n), np.eye(n)
        d_positions = np.zeros((n, len(self.system), 3), dtype=self.dtype)
        with_box = np.zeros((n, 3, 3), dtype=self.dtype)
        for node in self._nodes():
            # No two paths share a row, so that nothing is gained by sums of overlaps.
            strains = StrainSums(len(each[node.columns]), self.xp, self.dtype, held=0)
            found = self._differentiate(node, each[node.columns], strains)
            values[node.columns] = found.values
            d_positions[node.columns] = self._gradient(node.path.channel, found.adjoint)
            with_box[node.columns] = self._with_box(strains, found.values - found.spread)
        return Jacobian(
            values,
            self.box.d_original(d_positions),
            self.box.strain_gradient(with_box, d_positions, self.system.positions),
        )
