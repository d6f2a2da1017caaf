"""Scattering coefficients integrated over all of space, on periodic grids.

Order 1, with f_m = ρ_c ∗ ψ_λm, U_λ² = Σ_m f_m² / c_λ and h_q(x) = (x + ε²)^{q/2} − ε^q:

    S1[c, λ, q] = ∫ h_q(U_λ²) du.

Order 2, with g = (U_λ1² + ε²)^{1/2} − ε, which is zero in vacuum, in the place of ρ_c, and β2 ≥ β1:

    S2[c, λ1, λ2, q] = ∫ h_q(U_λ2²[g]) du,    U_λ2² = Σ_m (g ∗ ψ_λ2m)² / c_λ1λ2.

(Sinz et al., J. Chem. Phys. 153, 084109 (2020), eqs. for S1 and S2, with ε added.) The c are means over
the training set, so that ε has no unit. In every path ∂E/∂f_m(u) = 2 t(u) f_m(u)/c with one scalar field
t = ∂E/∂U² that collects all exponents and, for order 1, all that depends on g; the adjoint pass is
made of such products, so it costs about as much as the forward pass whatever the number of columns.
Under strain k·R stays, and the stress comes from ∂ψ̂/∂k and from the volume factors.

Each scale has its own grid, of spacing proportional to β (multi-resolution).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from ..backend import Array, Backend, require_device, require_dtype, require_room
from ..batch import Batch
from ..channels import Channels
from ..errors import InputError
from ..system import Evaluation, System
from ..wavelets import Wavelet
from . import grid_device
from .base import Jacobian, LabelledColumn, Shapes, Transform
from .padding import Box, padded_box
from .waves import Level, StructureFactor, tabulate

DEFAULT_VOLUME = 20.0
"""Volume per atom (Å³) that U² is averaged over where no training cell has a volume of its own."""

VARIATION = 0.15
COARSENING = 10 / 9
"""The design matrix is made on grids with this much more spacing than the model's, varied downwards:
the integrals are the same but for discretisation errors, which the net-force rows see the better."""


@dataclass(frozen=True, kw_only=True)
class GridSettings:
    """Hyperparameters of the candidate columns.

    scales: the ladder of β in Å, ascending; empty for `fit` to choose it from the data. band: waves
    up to |k| = band/β are kept. spacing: grid spacing over β. epsilon2: ε², in units of the mean of U².
    first: largest l of each radial order p, for order 1. inner, outer: the same for the first and the
    second wavelet of order 2. exponents1, exponents2: the q of order 1 and 2 (an empty exponents2
    leaves order 2 out). max_ratio: largest β2/β1.
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
        """All of it as JSON can hold it: infinity becomes None."""
        data = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return data | {"max_ratio": None if np.isinf(self.max_ratio) else self.max_ratio}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> GridSettings:
        """The settings that `to_dict` described."""
        ratio = data.get("max_ratio")
        return cls(**{**data, "max_ratio": float("inf") if ratio is None else ratio})

    def wavelets(self, which: tuple[int, ...]) -> list[Wavelet]:
        """All wavelets with the (p, l) of a table p → largest l, on every scale."""
        return [
            Wavelet(i, p, l)
            for i in range(len(self.scales))
            for p, l_max in enumerate(which)
            for l in range(l_max + 1)
        ]


class Path(NamedTuple):
    """A channel, its wavelet and, for order 2, the second wavelet."""

    channel: int
    first: Wavelet
    second: Wavelet | None = None


class Column(NamedTuple):
    """A path and the exponent q."""

    path: Path
    exponent: float


@dataclass(frozen=True)
class _Node:
    """Columns of one order-1 path, and the order-2 paths that start from it."""

    path: Path
    exponents: list[tuple[float, int]] = field(default_factory=list)
    children: dict[Path, list[tuple[float, int]]] = field(default_factory=dict)

    @property
    def columns(self) -> list[int]:
        """Columns of the path itself and of those that start from it."""
        return [index for pairs in (self.exponents, *self.children.values()) for _, index in pairs]


@dataclass(frozen=True)
class GridTransform(Transform):
    """Scattering coefficients of orders 1 and 2 on grids over all of space.

    settings: hyperparameters. channels: weights per element. paths: the columns, each a path and an
    exponent. norms: c of every path used (1 where not calibrated).
    """

    settings: GridSettings
    channels: Channels
    paths: tuple[Column, ...]
    norms: dict[Path, float]

    kind = "grid"
    invariant = False

    @classmethod
    def candidates(cls, settings: GridSettings, channels: Channels) -> GridTransform:
        """All columns that the settings allow, not yet calibrated."""
        if not settings.scales:
            raise InputError("scales must name at least one β (Å)")
        columns: list[Column] = []
        firsts = settings.wavelets(settings.first)
        inners = settings.wavelets(settings.inner) if settings.exponents2 else []
        outers = settings.wavelets(settings.outer) if settings.exponents2 else []
        for channel in range(len(channels.names)):
            for first in firsts:
                columns += [Column(Path(channel, first), q) for q in settings.exponents1]
            for first in inners:
                for second in outers:
                    ratio = settings.scales[second.scale] / settings.scales[first.scale]
                    if 1.0 <= ratio <= settings.max_ratio * (1 + 1e-9):
                        path = Path(channel, first, second)
                        columns += [Column(path, q) for q in settings.exponents2]
        if not columns:
            raise InputError("the settings leave no columns: give first and exponents1, or inner and outer")
        return cls(settings, channels, tuple(columns), {})

    # ---- what it consists of -------------------------------------------------------------------

    @property
    def elements(self) -> tuple[str, ...]:
        return self.channels.elements

    @cached_property
    def columns(self) -> Sequence[LabelledColumn]:
        return tuple(LabelledColumn(self._label(c), self._cost(c)) for c in self.paths)

    def _label(self, column: Column) -> str:
        channel, first, second = column.path
        parts = [self._name(wavelet) for wavelet in (first, second) if wavelet is not None]
        name = self.channels.names[channel]
        return f"grid S{len(parts)}[{name}; {' → '.join(parts)}; q={column.exponent:.3g}]"

    def _name(self, wavelet: Wavelet) -> str:
        return f"β={self.settings.scales[wavelet.scale]:.3g} p={wavelet.p} l={wavelet.l}"

    def _cost(self, column: Column) -> float:
        """Fields of the last wavelet times their grid points, relative to one of the finest fields."""
        wavelet = column.path.second or column.path.first
        ratio = self.settings.scales[0] / self.settings.scales[wavelet.scale]
        # However coarse a grid is, something is left: calls, and work on the waves.
        return (2 * wavelet.l + 1) * (ratio**3 + 0.02)

    def subset(self, indices: Iterable[int]) -> GridTransform:
        paths = tuple(self.paths[i] for i in indices)
        needed = {column.path for column in paths}
        needed |= {path._replace(second=None) for path in needed}
        norms = {path: c for path, c in self.norms.items() if path in needed}
        return replace(self, paths=paths, norms=norms)

    @cached_property
    def _tree(self) -> list[_Node]:
        """Order-1 paths in use, by channel and scale, each with what hangs on it."""
        nodes: dict[Path, _Node] = {}
        for index, (path, exponent) in enumerate(self.paths):
            root = path._replace(second=None)
            node = nodes.setdefault(root, _Node(root))
            if path.second is None:
                node.exponents.append((exponent, index))
            else:
                node.children.setdefault(path, []).append((exponent, index))
        return sorted(nodes.values(), key=lambda node: (node.path.channel, node.path.first))

    @cached_property
    def _identity(self) -> grid_device.Identity:
        return grid_device.Identity(self)

    @cached_property
    def _orders(self) -> dict[int, frozenset[tuple[int, int]]]:
        """(p, l) in use at each scale."""
        used = {wavelet for path, _ in self.paths for wavelet in path[1:] if wavelet is not None}
        return {
            scale: frozenset((wavelet.p, wavelet.l) for wavelet in used if wavelet.scale == scale)
            for scale in {wavelet.scale for wavelet in used}
        }

    # ---- boxes and grids ------------------------------------------------------------------------

    def _reach(self, wavelet: Wavelet) -> float:
        """Distance (Å) at which two of the wavelet, that far to either side, no longer overlap."""
        reach = max(3.5, 2.3 + np.sqrt(2 * wavelet.p + wavelet.l))
        return float(self.settings.scales[wavelet.scale] * reach)

    @cached_property
    def _padding(self) -> float:
        """Vacuum (Å) that keeps every path from its own images."""
        reach = 0.0
        for path in {column.path for column in self.paths}:
            total = self._reach(path.first)
            if path.second is not None:
                total = 0.8 * total + self._reach(path.second)
            reach = max(reach, total)
        return 2.0 * reach

    def _box(self, system: System) -> Box:
        return padded_box(system, self._padding, self._step)

    @property
    def _step(self) -> float:
        """Open directions grow by this length (Å), which the grid of every scale divides evenly."""
        return 2.0 * max(self.settings.scales)

    def grid_shapes(self, system: System) -> Shapes:
        """Grid points per direction of each scale, (n_scales, 3), for the cell as it is now."""
        return self._shapes(self._box(system))

    def for_training(self) -> GridTransform:
        """The transform on coarser grids, which `training_shapes` vary."""
        return replace(self, settings=replace(self.settings, spacing=self.settings.spacing * COARSENING))

    def deployed(self, trained: GridTransform) -> GridTransform:
        return replace(trained, settings=self.settings)

    def training_shapes(self, system: System, rng: np.random.Generator) -> Shapes:
        """Grids finer than the default ones by up to VARIATION, at random, scale by scale.

        A fit that sees each structure on another grid cannot play the discretisation errors of the
        scales off against each other, which would hold on the grids of the training cells alone.
        """
        shapes = self.grid_shapes(system)
        finer = shapes * rng.uniform(1.0, 1.0 + VARIATION, size=shapes.shape)
        return np.array([[scipy.fft.next_fast_len(int(n), real=True) for n in row] for row in finer])

    def _shapes(self, box: Box) -> Shapes:
        lengths = np.linalg.norm(box.vectors, axis=1)
        shapes = np.empty((len(self.settings.scales), 3), dtype=np.int64)
        for i, beta in enumerate(self.settings.scales):
            spacing = self.settings.spacing * beta
            for axis in range(3):
                if box.steps[axis]:
                    shapes[i, axis] = box.steps[axis] * int(np.ceil(self._step / spacing))
                else:
                    fewest = 2 * int(lengths[axis] * self.settings.band / (2 * np.pi * beta)) + 1
                    points = max(fewest, int(np.ceil(lengths[axis] / spacing)), 2)
                    shapes[i, axis] = scipy.fft.next_fast_len(points, real=True)
        return shapes

    def _grids(self, system: System, shapes: Shapes | None) -> tuple[Box, Shapes]:
        """The box of a structure and the grids in it, as given or by default."""
        box = self._box(system)
        return box, self._shapes(box) if shapes is None else self._require_shapes(box, shapes)

    def _require_shapes(self, box: Box, shapes: Shapes) -> Shapes:
        shapes = np.asarray(shapes, dtype=np.int64)
        expected = (len(self.settings.scales), 3)
        if shapes.shape != expected:
            raise InputError(f"grid_shape must be shaped {expected} (scales, directions), not {shapes.shape}")
        # Open directions have the grid that their length asks for: it grows by whole steps anyway.
        shapes = np.where(box.steps > 0, self._shapes(box), shapes)
        lengths = np.linalg.norm(box.vectors, axis=1)
        for i in self._orders:
            bounds = (lengths * self.settings.band / (2 * np.pi * self.settings.scales[i])).astype(int)
            if np.any(shapes[i] < 2 * bounds + 1):
                raise InputError(
                    f"the frozen grid {tuple(shapes[i].tolist())} of β = {self.settings.scales[i]:.3g} Å is "
                    f"too coarse for this cell, which needs {tuple((2 * bounds + 1).tolist())}: the cell has "
                    "grown too far since the grid was frozen; freeze it anew, at the largest cell"
                )
        return shapes

    # ---- calibration ----------------------------------------------------------------------------

    def calibrated(
        self, systems: Sequence[System], *, device: str = "cpu", dtype: str = "float64"
    ) -> GridTransform:
        """The transform with every c set to the mean of U² over these structures.

        The mean is over the volume that atoms fill (atoms times the median volume per atom), so that
        vacuum does not count.
        """
        periodic = [s.volume / len(s) for s in systems if s.pbc.all()]
        per_atom = float(np.median(periodic)) if periodic else DEFAULT_VOLUME
        calibrated = replace(self, norms={})
        for order in (1, 2):
            sums: dict[Path, float] = {}
            for system in systems:
                sampled = _Sampled(calibrated, system, None, require_device(device), dtype)
                for path, total in sampled.mean_squares(order):
                    sums[path] = sums.get(path, 0.0) + total / (len(system) * per_atom)
            # Perfect crystals can have fields that are zero by symmetry: no c may be zero for them.
            least = 1e-6 * max(sums.values(), default=1.0)
            norms = {path: max(total, least) / len(systems) for path, total in sums.items()}
            calibrated = replace(self, norms=calibrated.norms | norms)
        return calibrated

    # ---- forward, adjoint, Jacobian -------------------------------------------------------------

    def _sample(self, system: System, shapes: Shapes | None, device: str, dtype: str) -> _Sampled:
        """The reference, in array operations alone."""
        return _Sampled(self, system, shapes, require_device(device), require_dtype(dtype))

    def _on(self, device: str, system: System, shapes: Shapes | None, dtype: str) -> grid_device.Device:
        backend, (box, grids) = require_device(device), self._grids(system, shapes)
        needed = grid_device.memory(self, box, grids, len(system), require_dtype(dtype))
        require_room(backend, needed, f"a structure of {len(system)} atoms")
        return grid_device.on_device(self, box, grids, backend, dtype)

    def features(
        self,
        system: System,
        *,
        shapes: Shapes | None = None,
        device: str = "cpu",
        dtype: str = "float64",
    ) -> NDArray[np.float64]:
        if device != "cpu":
            return self._on(device, system, shapes, dtype).features(system)
        return self._sample(system, shapes, device, dtype).features()

    def evaluate(
        self,
        system: System,
        weights: NDArray[np.float64],
        *,
        shapes: Shapes | None = None,
        device: str = "cpu",
        dtype: str = "float64",
    ) -> Evaluation:
        rows = np.asarray(weights, dtype=np.float64)[None]
        return self.evaluate_members(system, rows, shapes=shapes, device=device, dtype=dtype)[0]

    def evaluate_members(
        self,
        system: System,
        weights: NDArray[np.float64],
        *,
        shapes: Shapes | None = None,
        device: str = "cpu",
        dtype: str = "float64",
    ) -> list[Evaluation]:
        if device != "cpu":
            batch = Batch([system], require_device(device))
            needed = self.device_memory(system, require_dtype(dtype))
            require_room(batch.backend, needed, f"a structure of {len(system)} atoms")
            return self.evaluate_batch(batch, weights, shapes=shapes, dtype=dtype)[0]
        self._require_weights(weights)
        sample = self._sample(system, shapes, device, dtype)
        return [sample.evaluate(row) for row in weights]

    def evaluate_batch(
        self,
        batch: Batch,
        weights: NDArray[np.float64],
        *,
        shapes: Shapes | None = None,
        dtype: str = "float64",
    ) -> list[list[Evaluation]]:
        self._require_weights(weights)
        return grid_device.evaluate_batch(self, batch, weights, shapes, require_dtype(dtype))

    def _require_weights(self, weights: NDArray[np.float64]) -> None:
        if weights.shape[1:] != (self.n_columns,):
            raise InputError(f"{self.n_columns} columns need as many weights, not {weights.shape[1:]}")

    def device_memory(self, system: System, dtype: str = "float64") -> float:
        return grid_device.memory(self, *self._grids(system, None), len(system), dtype)

    def jacobian(
        self,
        system: System,
        *,
        shapes: Shapes | None = None,
        device: str = "cpu",
        dtype: str = "float64",
    ) -> Jacobian:
        there = self.device_jacobian(system, shapes=shapes, device=device, dtype=dtype)
        to_host = require_device(device).to_host
        return Jacobian(*(to_host(array) for array in there))

    def device_jacobian(
        self,
        system: System,
        *,
        shapes: Shapes | None = None,
        device: str,
        dtype: str = "float64",
    ) -> Jacobian:
        if device == "cpu":
            return self._sample(system, shapes, device, dtype).jacobian()
        return self._on(device, system, shapes, dtype).jacobian(system)

    # ---- files ----------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "settings": self.settings.to_dict(),
            "channels": self.channels.to_dict(),
            "columns": [[*_flatten(path), exponent] for path, exponent in self.paths],
            "norms": [[*_flatten(path), c] for path, c in self.norms.items()],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> GridTransform:
        return cls(
            GridSettings.from_dict(data["settings"]),
            Channels.from_dict(data["channels"]),
            tuple(Column(_unflatten(row[:-1]), float(row[-1])) for row in data["columns"]),
            {_unflatten(row[:-1]): float(row[-1]) for row in data["norms"]},
        )


def _flatten(path: Path) -> list[int]:
    numbers = [path.channel]
    for wavelet in path[1:]:
        numbers += [] if wavelet is None else [wavelet.scale, wavelet.p, wavelet.l]
    return numbers


def _unflatten(numbers: Sequence[int]) -> Path:
    values = [int(n) for n in numbers]
    second = Wavelet(*values[4:7]) if len(values) == 7 else None
    return Path(values[0], Wavelet(*values[1:4]), second)


def _rise(x: Array, exponent: float, epsilon2: float, xp: Any) -> tuple[Array, Array]:
    """h_q and dh_q/dU² at x = U² + ε²."""
    if exponent == 2.0:
        return x - epsilon2, xp.ones_like(x)
    if exponent == 1.0:
        root = xp.sqrt(x)
        return root - epsilon2**0.5, 0.5 / root
    power = x ** (0.5 * exponent - 1.0)
    return power * x - epsilon2 ** (0.5 * exponent), 0.5 * exponent * power


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
            value, slope = _rise(x, exponent, self.epsilon2, self.xp)
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
