"""How a potential is fitted: settings, and what is left open chosen from the data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import vesin
from numpy.typing import NDArray

from .backend import require_dtype
from .channels import Channels
from .errors import InputError
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
SIGMAS = {"energy": 0.001, "force": 0.06, "stress": 0.1}
"""Where the choice of sigmas begins: eV/atom, eV/Å, GPa."""
COLUMNS = 600
"""Columns per element, at most, where the settings leave their number open."""
TRANSFORMS = ("sites", "grid", "both")

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How a potential is fitted.

    transform: "sites" (sums over atoms: fast), "grid" (integrals over space), or "both", whose columns
    are stacked. sites: its hyperparameters, or those that differ from the recommended ones
    (`SitesSettings.recommended`). grid: those of the grid. channels: "species", "charges", or a table
    {channel: {element: weight}}. columns: so many in the model at most, None for 600 per element; validation
    may want fewer. sigma_energy (eV/atom), sigma_force (eV/Å), sigma_stress (GPa) and sigma_net (net force
    over N, eV/Å): what counts as an error of 1; None to choose the balance by validation. thrift: the gain of
    a column is divided by its cost to this power when columns are chosen. ridge: strength, None to choose it
    from ridges by validation. folds: parts that the data are dealt into. members: of the committee, 0 for
    none. averaged: whether the model is the mean of the committee rather than one fit with all the columns,
    None to decide by validation. e0: energies of the free atoms (eV), None for least squares. core: whether a
    ZBL core is subtracted. dtype: of the design matrix (the sums over it, and the model, are float64).
    """

    transform: str = "sites"
    sites: SitesSettings | Mapping[str, Any] = field(default_factory=dict)
    grid: GridSettings = field(default_factory=GridSettings)
    channels: str | Mapping[str, Mapping[str, float]] = "species"
    columns: int | None = None
    sigma_energy: float | None = None
    sigma_force: float | None = None
    sigma_stress: float | None = None
    sigma_net: float = 2e-4
    thrift: float = 0.6
    ridge: float | None = None
    ridges: tuple[float, ...] = (1e-11, 1e-9, 1e-7)
    folds: int = 8
    members: int = 12
    averaged: bool | None = None
    e0: Mapping[str, float] | None = None
    core: bool = True
    dtype: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "ridges", tuple(self.ridges))
        if self.transform not in TRANSFORMS:
            raise InputError(f"transform must be one of {', '.join(TRANSFORMS)}, not {self.transform!r}")
        for name in ("sigma_energy", "sigma_force", "sigma_stress", "sigma_net"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name} must be positive, not {getattr(self, name)}")
        if self.columns is not None and self.columns < 1:
            raise InputError("columns must be at least 1")
        if self.folds < 2:
            raise InputError("folds must be at least 2: the ridge is chosen on frames left out")
        if not self.ridges or not all(ridge >= 0 for ridge in (*self.ridges, self.ridge or 0.0)):
            raise InputError(f"ridges must not be negative, and at least one: {self.ridges}, {self.ridge}")
        require_dtype(self.dtype)

        if self.members == 1 or self.members < 0:
            raise InputError("members must be 0, or at least 2: a committee of one has no spread")

    def most_columns(self, n_elements: int) -> int:
        """Columns in a model of so many elements, at most: each element has its own."""
        return COLUMNS * min(n_elements, 3) if self.columns is None else self.columns

    @property
    def tried_ridges(self) -> tuple[float, ...]:
        """The ridges to choose from by validation."""
        return self.ridges if self.ridge is None else (self.ridge,)

    @property
    def sigmas(self) -> dict[str, float]:
        """What counts as an error of 1, by kind of label: as given, or where the choice begins."""
        given = {"energy": self.sigma_energy, "force": self.sigma_force, "stress": self.sigma_stress}
        start = {kind: SIGMAS[kind] if value is None else value for kind, value in given.items()}
        return {**start, "net": self.sigma_net}

    @property
    def open_sigmas(self) -> list[str]:
        """Kinds of labels whose sigmas are chosen by validation: those that are not given."""
        given = {"energy": self.sigma_energy, "stress": self.sigma_stress}
        return [kind for kind, value in given.items() if value is None]

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

    def candidates(
        self, channels: Channels, systems: Sequence[System], closest: NDArray[np.float64] | None = None
    ) -> Transform:
        """All columns to choose from, what the settings leave open chosen from these structures.

        closest: shortest distances (Å) in them of each pair of elements, below which columns do not change.
        """
        parts: list[Transform] = []
        if self.transform in ("sites", "both"):
            sites = self.sites
            if not isinstance(sites, SitesSettings):
                sites = SitesSettings.recommended(len(channels.elements), typical_bond(systems), **sites)
            held = () if closest is None else tuple(map(tuple, closest.tolist()))
            parts.append(replace(SitesTransform.candidates(sites, channels), closest=held))
        if self.transform in ("grid", "both"):
            grid = self.grid
            if not grid.scales:
                grid = replace(grid, scales=default_scales(systems))
            parts.append(GridTransform.candidates(grid, channels))
        return parts[0] if len(parts) == 1 else StackedTransform(tuple(parts))


def default_scales(systems: Sequence[System]) -> tuple[float, ...]:
    """Four scales β (Å) for a grid, √2 apart, the smallest 1/4.7 of the typical bond."""
    smallest = typical_bond(systems) / 4.7
    return tuple(round(smallest * 2.0 ** (i / 2), 2) for i in range(4))


def typical_bond(systems: Sequence[System]) -> float:
    """Median distance (Å) between nearest neighbours, 2.35 where there are none."""
    nearest = np.concatenate([_nearest_distances(system) for system in spread(systems, CALIBRATION_FRAMES)])
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


def spread(items: Sequence[T], n: int) -> list[T]:
    """At most n of them, evenly spread over the list."""
    indices = np.unique(np.linspace(0, len(items) - 1, min(n, len(items))).round().astype(int))
    return [items[i] for i in indices]
