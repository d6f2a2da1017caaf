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

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from ...compute.memory import require_room
from ...compute.target import HOST, Shapes, Target
from ...errors import InputError
from ...structures.batch import Batch
from ...structures.system import Evaluation, System
from ..channels import Channels
from ..transform import Jacobian, LabelledColumn, Transform
from ..wavelets import Wavelet
from . import cuda as grid_device
from .arrays import _Sampled
from .box import Box, padded_box
from .columns import Column, GridSettings, Path, _flatten, _Node, _unflatten
from .grids import COARSENING, VARIATION

DEFAULT_VOLUME = 20.0
"""Volume per atom (Å³) that U² is averaged over where no training cell has a volume of its own."""


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

    def calibrated(self, systems: Sequence[System], target: Target = HOST) -> GridTransform:
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
                sampled = _Sampled(calibrated, system, None, target.backend, target.dtype)
                for path, total in sampled.mean_squares(order):
                    sums[path] = sums.get(path, 0.0) + total / (len(system) * per_atom)
            # Perfect crystals can have fields that are zero by symmetry: no c may be zero for them.
            least = 1e-6 * max(sums.values(), default=1.0)
            norms = {path: max(total, least) / len(systems) for path, total in sums.items()}
            calibrated = replace(self, norms=calibrated.norms | norms)
        return calibrated

    # ---- forward, adjoint, Jacobian -------------------------------------------------------------

    def _sample(self, system: System, target: Target) -> _Sampled:
        """The reference, in array operations alone."""
        return _Sampled(self, system, target.shapes, target.backend, target.dtype)

    def _on(self, system: System, target: Target) -> grid_device.Device:
        box, grids = self._grids(system, target.shapes)
        self._require_room(system, target)
        return grid_device.on_device(self, box, grids, target.backend, target.dtype)

    def _require_room(self, system: System, target: Target) -> None:
        require_room(target.backend, self.memory(system, target), f"a structure of {len(system)} atoms")

    def features(self, system: System, target: Target = HOST) -> NDArray[np.float64]:
        if target.on_host:
            return self._sample(system, target).features()
        return self._on(system, target).features(system)

    def evaluate_batch(
        self, batch: Batch, rows: NDArray[np.float64], target: Target = HOST
    ) -> list[list[Evaluation]]:
        self.require_weights(rows)
        if not target.on_host:
            return grid_device.evaluate_batch(self, batch, rows, target.shapes, target.dtype)
        samples = (self._sample(system, target) for system in batch.systems)
        return [[sample.evaluate(row) for row in rows] for sample in samples]

    def memory(self, system: System, target: Target) -> float:
        return grid_device.memory(self, *self._grids(system, target.shapes), len(system), target.dtype)

    def jacobian(self, system: System, target: Target = HOST) -> Jacobian:
        if target.on_host:
            return self._sample(system, target).jacobian()
        return self._on(system, target).jacobian(system)

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
