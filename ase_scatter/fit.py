"""From labelled structures to a potential: stream the design matrix, choose columns and ridge, solve.

The loss is

    Σ_frames (ΔE/N)²/σ_E² + Σ ΔF²/σ_F² + Σ Δσ²/σ_S² + Σ_frames |Σ_j F_j / N|²/σ_N² + ridge.

The last sum is the net force, which is zero in nature and, through the egg-box error, not quite zero
on a grid: these rows teach the weights translation invariance, and cost nothing since the derivatives
are there anyway. Every structure is first moved rigidly by a random vector, so that perfect crystals
too sit anywhere on the grid, and gets grids of its own. (Atom-centred columns have no net force, and
need none of this.) Only normal equations are kept, one set per validation fold, so memory does not grow
with the number of frames.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import scipy
import threadpoolctl
import vesin
from ase.data import chemical_symbols
from numpy.typing import NDArray
from tqdm import tqdm

from . import threads
from .backend import require_dtype
from .channels import Channels
from .conventions import GPA, to_voigt
from .core import ZBLCore
from .errors import InputError
from .frames import Frame, read_frames
from .metrics import ErrorTable, Prediction, errors
from .model import Model
from .regression import Moments, Stream, select, solve
from .system import System, completed_cell
from .transforms import (
    GridSettings,
    GridTransform,
    SitesSettings,
    SitesTransform,
    StackedTransform,
    Transform,
)

CALIBRATION_FRAMES = 24
TRANSFORMS = ("sites", "grid", "both")
LARGEST_SHIFT = 10.0
"""Training structures are moved rigidly by up to this much (Å) in each direction."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How a potential is fitted.

    transform: "sites" (sums over atoms: fast), "grid" (integrals over space), or "both", whose columns
    are stacked. sites: its hyperparameters, or those that differ from the recommended ones
    (`SitesSettings.recommended`). grid: those of the grid. channels: "species", "charges", or a table
    {channel: {element: weight}}. columns: so many in the model (fewer where there are not as many
    independent ones). sigma_energy (eV/atom),
    sigma_force (eV/Å), sigma_stress (GPa) and sigma_net (net force over N, eV/Å): what counts as an
    error of 1. thrift: the gain of a column is divided by its cost to this power when columns are
    chosen. ridge: strength, None to choose it from ridges on the validation folds. folds: their
    number. e0: energies of the free atoms (eV), None for least squares. core: whether a ZBL core is
    subtracted. dtype: of the design matrix (the sums over it, and the model, are float64).
    """

    transform: str = "sites"
    sites: SitesSettings | Mapping[str, Any] = field(default_factory=dict)
    grid: GridSettings = field(default_factory=GridSettings)
    channels: str | Mapping[str, Mapping[str, float]] = "species"
    columns: int = 600
    sigma_energy: float = 0.0015
    sigma_force: float = 0.06
    sigma_stress: float = 0.1
    sigma_net: float = 2e-4
    thrift: float = 0.6
    ridge: float | None = None
    ridges: tuple[float, ...] = (1e-10, 1e-9, 1e-8, 1e-7, 1e-6)
    folds: int = 5
    e0: Mapping[str, float] | None = None
    core: bool = True
    dtype: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "ridges", tuple(self.ridges))
        if self.transform not in TRANSFORMS:
            raise InputError(f"transform must be one of {', '.join(TRANSFORMS)}, not {self.transform!r}")
        for name in ("sigma_energy", "sigma_force", "sigma_stress", "sigma_net"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be positive, not {getattr(self, name)}")
        if self.columns < 1:
            raise InputError("columns must be at least 1")
        if self.folds < 2:
            raise InputError("folds must be at least 2: the ridge is chosen on frames left out")
        if not self.ridges or not all(ridge >= 0 for ridge in (*self.ridges, self.ridge or 0.0)):
            raise InputError(f"ridges must not be negative, and at least one: {self.ridges}, {self.ridge}")
        require_dtype(self.dtype)

    def make_channels(self, elements: Iterable[str]) -> Channels:
        """The channels that the settings ask for, for these elements."""
        if isinstance(self.channels, str):
            if self.channels == "species":
                return Channels.by_species(elements)
            if self.channels == "charges":
                return Channels.by_charges(elements)
            raise InputError(f"channels must be 'species', 'charges' or a table, not {self.channels!r}")
        return Channels.from_table(self.channels)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        sites = self.sites.to_dict() if isinstance(self.sites, SitesSettings) else dict(self.sites)
        data = asdict(replace(self, sites={})) | {"grid": self.grid.to_dict(), "sites": sites}
        unused = {"sites": "grid", "grid": "sites"}.get(self.transform)
        return {key: value for key, value in data.items() if key != unused}

    def candidates(self, channels: Channels, systems: Sequence[System]) -> Transform:
        """All columns to choose from, what the settings leave open chosen from these structures."""
        parts: list[Transform] = []
        if self.transform in ("sites", "both"):
            sites = self.sites
            if not isinstance(sites, SitesSettings):
                sites = SitesSettings.recommended(len(channels.elements), _typical_bond(systems), **sites)
            parts.append(SitesTransform.candidates(sites, channels))
        if self.transform in ("grid", "both"):
            grid = self.grid
            if not grid.scales:
                grid = replace(grid, scales=default_scales(systems))
            parts.append(GridTransform.candidates(grid, channels))
        return parts[0] if len(parts) == 1 else StackedTransform(tuple(parts))


@dataclass(frozen=True)
class FitResult:
    """A fitted model, and how it came about.

    errors: {"train", "test"} → table as `metrics.errors` gives it. frames, predictions: the same
    keys, one entry per frame. ridge_scores: ridge → validation loss. column_scores: number of columns →
    validation loss (both per row: 1 where errors are as large as the sigmas).
    """

    model: Model
    errors: dict[str, ErrorTable]
    frames: dict[str, Sequence[Frame]]
    predictions: dict[str, list[Prediction]]
    ridge_scores: dict[float, float]
    column_scores: dict[int, float]


def fit(
    train: str | Path | Sequence[Frame],
    *,
    test: str | Path | Sequence[Frame] | None = None,
    settings: FitSettings | None = None,
    name: str = "model",
    metadata: Mapping[str, Any] | None = None,
    progress: bool = True,
    workers: int | None = None,
) -> FitResult:
    """Fit a potential to labelled structures.

    train, test: files that ASE reads, or frames. name: of the model. metadata: what is added to the
    model's (citation, reference values). workers: threads (default: one per core). The result is
    the same, bit for bit, on every run on one machine with as many workers.
    Raises InputError for data that cannot be fitted.
    """
    settings = settings or FitSettings()
    frames: dict[str, Sequence[Frame]] = {"train": _frames(train)}
    if test is not None:
        frames["test"] = _frames(test)
    elements = _elements(frames["train"])
    strange = sorted(set(_elements(frames.get("test", ()))) - set(elements))
    if strange:
        raise InputError(f"the test set holds {', '.join(strange)}, of which the training set has none")
    problem = Problem(settings, elements, frames["train"], workers or os.cpu_count() or 1, progress)
    with threadpoolctl.threadpool_limits(1):
        moments = problem.moments()
    transform, e0, weights, ridges, columns = problem.solve(moments)
    data = {"train": _describe(train, frames["train"])}
    if test is not None:
        data["test"] = _describe(test, frames["test"])
    provenance = {
        "data": data,
        "settings": settings.to_dict(),
        "candidates": problem.transform.n_columns,
        "validation": {
            "ridge": {f"{key:.0e}": value for key, value in ridges.items()},
            "columns": {str(key): value for key, value in columns.items()},
        },
        "versions": _versions(),
    }
    model = Model(name, transform, weights, e0, problem.core, {**(metadata or {}), "fit": provenance})
    with threadpoolctl.threadpool_limits(1):
        predictions = {
            key: predict(model, [f.system for f in value], progress=progress, label=key, workers=workers)
            for key, value in frames.items()
        }
    tables = {key: errors(predictions[key], frames[key]) for key in frames}
    smallest = min(frames["train"], key=lambda f: len(f.system)).system
    golden = model.make_golden(smallest)
    model = replace(model, metadata={**model.metadata, "errors": tables, "golden": golden})
    return FitResult(model, tables, frames, predictions, ridges, columns)


def predict(
    model: Model,
    systems: Sequence[System],
    *,
    device: str = "cpu",
    dtype: str = "float64",
    progress: bool = False,
    label: str = "",
    workers: int | None = None,
) -> list[Prediction]:
    """Energy, forces and stress of many structures, on all cores."""

    workers = workers or os.cpu_count() or 1
    alone = workers == 1

    def one(system: System) -> Prediction:
        with threads.limited(threads.count() if alone else 1):
            return Prediction.from_evaluation(model.evaluate(system, device=device, dtype=dtype), system)

    return list(_in_order(one, systems, workers, progress, f"predict {label}"))


def default_scales(systems: Sequence[System]) -> tuple[float, ...]:
    """Four scales β (Å) for a grid, √2 apart, the smallest 1/4.7 of the typical bond."""
    smallest = _typical_bond(systems) / 4.7
    return tuple(round(smallest * 2.0 ** (i / 2), 2) for i in range(4))


def _typical_bond(systems: Sequence[System]) -> float:
    """Median distance (Å) between nearest neighbours, 2.35 where there are none."""
    nearest = np.concatenate([_nearest_distances(system) for system in _spread(systems, CALIBRATION_FRAMES)])
    return float(np.median(nearest)) if len(nearest) else 2.35


def _nearest_distances(system: System) -> NDArray[np.float64]:
    """Distance (Å) from each atom to its nearest neighbour, where there is one within 6 Å."""
    neighbors = vesin.NeighborList(cutoff=6.0, full_list=True, n_threads=1)
    i, distances = neighbors.compute(
        points=system.positions,
        box=completed_cell(system.cell, system.pbc),
        periodic=system.pbc,
        quantities="id",
    )
    nearest = np.full(len(system), np.inf)
    np.minimum.at(nearest, i, distances)
    found: NDArray[np.float64] = nearest[np.isfinite(nearest)]
    return found


class Problem:
    """One regression: candidate columns, targets, folds."""

    def __init__(
        self,
        settings: FitSettings,
        elements: Sequence[str],
        frames: Sequence[Frame],
        workers: int,
        progress: bool,
    ) -> None:
        # Before anything that takes time.
        if len(frames) < 2:
            raise InputError("at least two frames are needed: the ridge is chosen on frames left out")
        self.settings = settings
        self.frames = frames
        self.workers = workers
        self.progress = progress
        self.channels = settings.make_channels(elements)
        missing = sorted(set(elements) - set(self.channels.elements))
        if missing:
            raise InputError(f"the channels give no weight to {', '.join(missing)}")
        self.elements = self.channels.elements
        self.core = ZBLCore(self.elements) if settings.core else None
        if settings.e0 is not None:
            missing = sorted(set(elements) - set(settings.e0))
            if missing:
                raise InputError(f"e0 gives no energy for {', '.join(missing)}")
        systems = [frame.system for frame in frames]
        self.candidates = settings.candidates(self.channels, systems)
        sample = _spread(systems, CALIBRATION_FRAMES)
        self.transform = self.candidates.for_training().calibrated(sample, dtype=settings.dtype)
        self.n = self.transform.n_columns
        self.n_folds = min(settings.folds, len(frames))
        self.folds = _folds(frames, self.n_folds)

    # ---- rows -----------------------------------------------------------------------------------

    def moments(self) -> list[Moments]:
        """Normal equations of each fold."""
        width = self.n + len(self.elements)
        streams = [Stream(width) for _ in range(self.n_folds)]
        rows = _in_order(
            self._rows, list(enumerate(self.frames)), self.workers, self.progress, "design matrix"
        )
        for fold, (matrix, target) in zip(self.folds, rows, strict=True):
            streams[fold].add(matrix, target)
        return [stream.moments() for stream in streams]

    def _composition(self, system: System) -> NDArray[np.float64]:
        """Fraction of each element, (n_elements,)."""
        symbols = [chemical_symbols[z] for z in system.numbers.tolist()]
        return np.array([symbols.count(symbol) for symbol in self.elements]) / len(symbols)

    def _rows(self, job: tuple[int, Frame]) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Rows and targets of one frame, over the sigmas; energies are per atom."""
        s = self.settings
        number, frame = job
        rng = np.random.default_rng(number)
        system = frame.system
        if not self.transform.invariant:
            shift = rng.uniform(0.0, LARGEST_SHIFT, size=3)
            system = replace(system, positions=system.positions + shift)
        n_atoms = len(system)
        shapes = self.transform.training_shapes(system, rng)
        values, d_positions, d_strain = self.transform.jacobian(system, shapes=shapes, dtype=s.dtype)
        composition = self._composition(system)
        core = None if self.core is None else self.core.evaluate(system)
        energy = (frame.energy - (core.energy if core else 0.0)) / n_atoms
        if s.e0 is not None:
            energy -= float(composition @ [s.e0[symbol] for symbol in self.elements])
            composition = np.zeros_like(composition)
        rows = [np.concatenate([values / n_atoms, composition])[None] / s.sigma_energy]
        targets = [np.array([energy]) / s.sigma_energy]
        if not self.transform.invariant:
            net = -d_positions.sum(axis=1).T / n_atoms
            rows.append(self._padded(net) / s.sigma_net)
            targets.append(np.zeros(3))
        if frame.forces is not None:
            rows.append(self._padded(-d_positions.reshape(self.n, -1).T) / s.sigma_force)
            targets.append((frame.forces - (core.forces if core else 0.0)).ravel() / s.sigma_force)
        if frame.stress is not None:
            sigma = s.sigma_stress * GPA * system.volume
            rows.append(self._padded(to_voigt(np.asarray(d_strain, dtype=np.float64)).T) / sigma)
            virial = to_voigt(core.strain_gradient) if core else 0.0
            targets.append((frame.stress * system.volume - virial) / sigma)
        return np.concatenate(rows), np.concatenate(targets)

    def _padded(self, matrix: NDArray[Any]) -> NDArray[Any]:
        """Rows with zeros for the free-atom energies appended."""
        return np.hstack([matrix, np.zeros((len(matrix), len(self.elements)), dtype=matrix.dtype)])

    # ---- solution -------------------------------------------------------------------------------

    def solve(
        self, folds: list[Moments]
    ) -> tuple[Transform, dict[str, float], NDArray[np.float64], dict[float, float], dict[int, float]]:
        """Ridge strength, columns and weights from the normal equations."""
        s = self.settings
        total = Moments.summed(folds)
        # Columns are penalised in units of their own size in the weighted rows, E0 is not.
        unit = np.diag(total.gram).copy()
        unit[self.n :] = 0.0
        forced = np.arange(self.n, self.n + len(self.elements)) if s.e0 is None else np.array([], dtype=int)
        usable = np.flatnonzero(np.diag(total.gram)[: self.n] > 0)
        everything = np.concatenate([usable, forced])
        price = np.ones(self.n + len(self.elements))
        price[: self.n] = [column.cost**s.thrift for column in self.transform.columns]
        ridges = dict.fromkeys(s.ridges if s.ridge is None else (s.ridge,), 0.0)
        for fold in _bar(folds, self.progress, "ridge", self.n_folds):
            part, rest = fold.columns(everything), (total - fold).columns(everything)
            for strength in ridges:
                weights = solve(rest, strength * unit[everything])
                ridges[strength] += _loss(part, weights) / max(1, total.count)
        ridge = min(ridges, key=lambda key: (ridges[key], -key))
        limit = min(s.columns, len(usable))
        sizes = sorted(
            {max(1, round(limit * fraction)) for fraction in (0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0)}
        )
        columns = dict.fromkeys(sizes, 0.0)
        for fold in _bar(folds, self.progress, "column selection", self.n_folds):
            rest = total - fold
            order = select(rest, ridge * unit, limit + len(forced), forced=forced, price=price)
            for size in sizes:
                chosen = order[: size + len(forced)]
                weights = solve(rest.columns(chosen), ridge * unit[chosen])
                columns[size] += _loss(fold.columns(chosen), weights) / max(1, total.count)
        order = select(total, ridge * unit, limit + len(forced), forced=forced, price=price)
        weights = solve(total.columns(order), ridge * unit[order])
        by_index = dict(zip(order.tolist(), weights.tolist(), strict=True))
        if s.e0 is None:
            e0 = {symbol: by_index.get(self.n + i, 0.0) for i, symbol in enumerate(self.elements)}
        else:
            e0 = {symbol: float(s.e0[symbol]) for symbol in self.elements}
        # In the transform's own order, so that what shares work stands together.
        chosen_columns = sorted(i for i in by_index if i < self.n)
        coefficients = np.array([by_index[i] for i in chosen_columns])
        chosen_transform = self.candidates.deployed(self.transform).subset(chosen_columns)
        return chosen_transform, e0, coefficients, ridges, columns


def _loss(moments: Moments, weights: NDArray[np.float64]) -> float:
    """Sum of squared weighted errors."""
    return moments.rmse(weights) ** 2 * moments.count if moments.count else 0.0


def _folds(frames: Sequence[Frame], n_folds: int) -> list[int]:
    """Fold of each frame: whole frames, every group spread evenly over the folds.

    Groups with fewer frames than there are folds are dealt out as one, or all would lie in the first.
    """
    sizes = Counter(frame.group for frame in frames)
    seen: Counter[str | None] = Counter()
    folds = []
    for frame in frames:
        key = frame.group if sizes[frame.group] >= n_folds else None
        folds.append(seen[key] % n_folds)
        seen[key] += 1
    return folds


def _spread(items: Sequence[T], n: int) -> list[T]:
    """At most n of them, evenly spread over the list."""
    indices = np.unique(np.linspace(0, len(items) - 1, min(n, len(items))).round().astype(int))
    return [items[i] for i in indices]


def _in_order(function: Any, items: Sequence[Any], workers: int, progress: bool, label: str) -> Iterator[Any]:
    """function(item) for all items, several at a time, in order, never far ahead of the consumer."""
    with ThreadPoolExecutor(workers) as pool:
        pending: list[Any] = []
        for item in _bar(items, progress, label, len(items)):
            pending.append(pool.submit(function, item))
            if len(pending) > workers:
                yield pending.pop(0).result()
        for future in pending:
            yield future.result()


def _bar(items: Iterable[T], progress: bool, label: str, total: int) -> Iterable[T]:
    bar: Iterable[T] = tqdm(items, desc=label, total=total, disable=not progress)
    return bar


def _frames(source: str | Path | Sequence[Frame]) -> Sequence[Frame]:
    frames = read_frames(source) if isinstance(source, str | Path) else list(source)
    if not frames:
        raise InputError("there are no frames to fit")
    for number, frame in enumerate(frames):
        labels = [label for label in (frame.energy, frame.forces, frame.stress) if label is not None]
        if not all(np.isfinite(label).all() for label in labels):
            raise InputError(f"frame {number} has labels that are not finite; mend or drop it")
        if frame.stress is not None and not (frame.system.pbc.all() and frame.system.has_volume):
            raise InputError(f"frame {number} has a stress but is not periodic in three dimensions")
    return frames


def _elements(frames: Iterable[Frame]) -> list[str]:
    return sorted({chemical_symbols[z] for frame in frames for z in frame.system.numbers.tolist()})


def _describe(source: str | Path | Sequence[Frame], frames: Sequence[Frame]) -> dict[str, Any]:
    """What tells one data set from another: file, checksum, size."""
    about: dict[str, Any] = {
        "frames": len(frames),
        "atoms": sum(len(frame.system) for frame in frames),
    }
    if isinstance(source, str | Path):
        about["file"] = Path(source).name
        about["sha256"] = hashlib.sha256(Path(source).read_bytes()).hexdigest()
    return about


def _versions() -> dict[str, str]:
    import ase

    from . import __version__

    return {
        "ase_scatter": __version__, "python": platform.python_version(),
        "numpy": np.__version__, "scipy": scipy.__version__, "ase": ase.__version__,
    }  # fmt: skip
