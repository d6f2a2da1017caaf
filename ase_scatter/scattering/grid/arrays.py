"""The grid transform in array operations: the reference, and what runs on the host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...compute.backend import Array, Backend
from ...compute.functions import modulus
from ...structures.system import Evaluation, System
from ..transform import Jacobian, Shapes
from ..wavelets import Wavelet
from .columns import Path, _Node
from .plane_waves import Level, tabulate
from .structure_factor import StructureFactor

if TYPE_CHECKING:
    from .transform import GridTransform


class _Sampled:
    """One structure on its grids: what forward, adjoint and Jacobian share."""

    def __init__(
        self,
        transform: GridTransform,
        system: System,
        shapes: Shapes | None,
        backend: Backend,
        dtype: str,
    ) -> None:
        self.transform = transform
        self.system = system
        self.backend = backend
        self.xp = backend.xp
        self.dtype = dtype
        self.epsilon2 = transform.settings.epsilon2
        settings = transform.settings
        charges = transform.channels.charges(system.numbers)
        self.box, given = transform._grids(system, shapes)
        self.volume = self.box.volume
        used = transform._orders
        waves, levels = tabulate(
            tuple(self.box.vectors.ravel().tolist()),
            tuple((settings.scales[i], tuple(given[i].tolist()), used[i]) for i in sorted(used)),
            settings.band,
            backend,
            dtype,
        )
        self.levels = dict(zip(sorted(used), levels, strict=True))
        placed = self.box.place(system.positions)
        self.structure = StructureFactor.build(waves, self.box, placed, backend, dtype)
        self.charges = backend.to_device(charges, dtype)
        # Divided by the volume: the coefficients of ρ in plane waves.
        self.densities = self.structure.densities(self.charges) / self.volume
        self.occupied = [bool(q.any()) for q in charges]

    def _norm(self, path: Path) -> float:
        return self.transform.norms.get(path, 1.0)

    def _nodes(self) -> Iterator[_Node]:
        """Nodes of channels that have atoms here (the others' columns are zero)."""
        return (node for node in self.transform._tree if self.occupied[node.path.channel])

    def _fields(self, level: Level, wavelet: Wavelet, source: Array, path: Path) -> tuple[Array, Array]:
        """f_m (2l+1, n) and x = U² + ε² (n,)."""
        f, x = level.convolve(wavelet.p, wavelet.l, source)
        x *= 1.0 / self._norm(path)
        x += self.epsilon2
        return f, x

    def _order1(self, node: _Node) -> tuple[Level, Array, Array]:
        first = node.path.first
        level = self.levels[first.scale]
        return level, *self._fields(level, first, self.densities[node.path.channel], node.path)

    def _order2(self, path: Path, inner: Array) -> tuple[Level, Array, Array]:
        assert path.second is not None
        level = self.levels[path.second.scale]
        return level, *self._fields(level, path.second, inner, path)

    def _inner(self, level: Level, x: Array) -> Array:
        """Plane-wave coefficients of g = (U² + ε²)^{1/2} − ε."""
        g = self.xp.sqrt(x)
        g -= self.epsilon2**0.5
        return level.spectrum(g) / level.n_points

    def mean_squares(self, order: int) -> Iterator[tuple[Path, float]]:
        """∫U² du of every path of an order."""
        for node in self._nodes():
            level, _, x = self._order1(node)
            if order == 1:
                yield node.path, self._integral(level, x - self.epsilon2)
            elif node.children:
                inner = self._inner(level, x)
                for path in node.children:
                    level2, _, x2 = self._order2(path, inner)
                    yield path, self._integral(level2, x2 - self.epsilon2)

    def _integral(self, level: Level, values: Array) -> float:
        return float(values.sum(dtype="float64")) * self.volume / level.n_points

    def _rises(
        self, level: Level, x: Array, exponents: list[tuple[float, int]]
    ) -> Iterator[tuple[int, float, Array]]:
        """Per column: its index, its value, and du ∂h/∂U² at every point."""
        for exponent, index in exponents:
            value, slope = modulus(x, exponent, self.epsilon2, self.xp)
            yield index, self._integral(level, value), slope * (self.volume / level.n_points)

    def features(self) -> NDArray[np.float64]:
        values = np.zeros(self.transform.n_columns)
        for node in self._nodes():
            level, _, x = self._order1(node)
            for index, value, _ in self._rises(level, x, node.exponents):
                values[index] = value
            inner = self._inner(level, x) if node.children else None
            for path, exponents in node.children.items():
                level2, _, x2 = self._order2(path, inner)
                for index, value, _ in self._rises(level2, x2, exponents):
                    values[index] = value
        return values

    def _pull_back(self, level: Level, f: Array, slope: Array, norm: float) -> Array:
        """Images ŵ_m (2l+1, K) of w_m = ∂E/∂f_m = 2 t f_m / c."""
        return level.coefficients(f, slope * (2.0 / norm))

    def _spread(self, slope: Array, x: Array) -> Array:
        """Σ_um w_m f_m = Σ_u 2 t U², a 0-d array."""
        return 2.0 * (slope * (x - self.epsilon2)).sum()

    def evaluate(self, weights: NDArray[np.float64]) -> Evaluation:
        energy = 0.0
        spread = 0.0  # Σ w f: f carries 1/V, so it falls as the volume grows
        placed = np.zeros_like(self.system.positions)
        adjoints: dict[int, Array] = {}
        overlaps: dict[tuple[int, int], tuple[Array, Array]] = {}

        def add_overlap(level: Level, wavelet: Wavelet, source: Array, images: Array) -> None:
            pair = level.overlap(wavelet.p, wavelet.l, source, images)
            key = wavelet.scale, wavelet.l
            if key in overlaps:
                for total, part in zip(overlaps[key], pair, strict=True):
                    total += part
            else:
                overlaps[key] = pair

        for node in self._nodes():
            channel, first, _ = node.path
            level, f, x = self._order1(node)
            t = self.xp.zeros_like(x)
            for index, value, slope in self._rises(level, x, node.exponents):
                energy += weights[index] * value
                t += weights[index] * slope
            if node.children:
                inner = self._inner(level, x)
                back = self.xp.zeros_like(inner)
                for path, exponents in node.children.items():
                    assert path.second is not None
                    level2, f2, x2 = self._order2(path, inner)
                    t2 = self.xp.zeros_like(x2)
                    for index, value, slope in self._rises(level2, x2, exponents):
                        energy += weights[index] * value
                        t2 += weights[index] * slope
                    second = path.second
                    images = self._pull_back(level2, f2, t2, self._norm(path))
                    back[: level2.n_waves] += level2.correlate(second.p, second.l, images)
                    add_overlap(level2, second, inner, images)
                t += self._from_inner(level, back[None], x)[0]
            images = self._pull_back(level, f, t, self._norm(node.path))
            spread += float(self._spread(t, x))
            density = self.densities[channel]
            add_overlap(level, first, density, images)
            adjoint = adjoints.setdefault(channel, self.xp.zeros_like(density))
            adjoint[: level.n_waves] += level.correlate(first.p, first.l, images)
        for channel, adjoint in adjoints.items():
            gradient = self.structure.gradient(self.charges[channel], adjoint.conj()[None])
            placed += self.backend.to_host(gradient[0]) / self.volume
        with_box = (energy - spread) * np.eye(3)
        for (scale, l), pair in overlaps.items():
            with_box += self.backend.to_host(self.levels[scale].wave_strain(l, *pair))
        gradient = self.box.strain_gradient(with_box, placed, self.system.positions)
        forces = -self.box.d_original(placed)
        return Evaluation(energy, forces, 0.5 * (gradient + gradient.T))

    def _from_inner(self, level: Level, back: Array, x: Array) -> Array:
        """du-weighted ∂E/∂U², (n, n_points), through g, from ∂E/∂ĝ in plane waves (n, K)."""
        return level.fields(back)[0] * (0.5 / level.n_points / self.xp.sqrt(x))

    def jacobian(self) -> Jacobian:
        n, n_atoms = self.transform.n_columns, len(self.system)
        values = np.zeros(n)
        d_positions = np.zeros((n, n_atoms, 3), dtype=self.dtype)
        with_box = np.zeros((n, 3, 3), dtype=self.dtype)
        for node in self._nodes():
            channel, first, _ = node.path
            level, f, x = self._order1(node)
            density, norm = self.densities[channel], self._norm(node.path)
            indices, adjoints, strains, spreads = [], [], [], []
            for index, value, t, strain in self._slopes(node, level, x):
                images = self._pull_back(level, f, t, norm)
                values[index] = value
                indices.append(index)
                adjoints.append(level.correlate(first.p, first.l, images))
                overlap = level.overlap(first.p, first.l, density, images)
                strains.append(strain + level.wave_strain(first.l, *overlap))
                spreads.append(self._spread(t, x))
            stacked = self.xp.zeros((len(indices), len(density)), dtype=density.dtype)
            stacked[:, : level.n_waves] = self.xp.stack(adjoints).conj()
            gradient = self.structure.gradient(self.charges[channel], stacked) / self.volume
            d_positions[indices] = self.backend.to_host(gradient)
            volume_part = values[indices] - self.backend.to_host(self.xp.stack(spreads))
            with_box[indices] = self.backend.to_host(self.xp.stack(strains))
            with_box[indices] += volume_part[:, None, None] * np.eye(3)
        return Jacobian(
            values,
            self.box.d_original(d_positions),
            self.box.strain_gradient(with_box, d_positions, self.system.positions),
        )

    def _slopes(
        self, node: _Node, level: Level, x: Array
    ) -> Iterator[tuple[int, float, Array, Array | float]]:
        """Per column on a node: index, value, du-weighted ∂S/∂U² of the node's field, and the strain
        gradient through the second wavelet."""
        for index, value, slope in self._rises(level, x, node.exponents):
            yield index, value, slope, 0.0
        inner = self._inner(level, x) if node.children else None
        for path, exponents in node.children.items():
            second = path.second
            assert second is not None
            level2, f2, x2 = self._order2(path, inner)
            for index, value, slope in self._rises(level2, x2, exponents):
                images = self._pull_back(level2, f2, slope, self._norm(path))
                back = self.xp.zeros_like(inner)
                back[: level2.n_waves] = level2.correlate(second.p, second.l, images)
                overlap = level2.overlap(second.p, second.l, inner, images)
                strain = level2.wave_strain(second.l, *overlap)
                yield index, value, self._from_inner(level, back[None], x)[0], strain
