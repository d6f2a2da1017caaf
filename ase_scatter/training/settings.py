"""How a potential is fitted: settings, and what is left open chosen from the data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compute.backend import require_dtype
from ..errors import InputError
from ..scattering import (
    GridSettings,
    GridTransform,
    SitesSettings,
    SitesTransform,
    StackedTransform,
    Transform,
)
from ..scattering.channels import Channels
from ..scattering.grid.columns import default_scales
from ..structures.sampling import typical_bond
from ..structures.system import System

SIGMAS = {"energy": 0.001, "force": 0.06, "stress": 0.1, "atomic": 0.5}
"""Where the choice of sigmas begins: eV/atom, eV/Å, GPa, eV."""
COLUMNS = 600
"""Columns per element, at most, where the settings leave their number open."""
TRANSFORMS = ("sites", "grid", "both")
PRESETS: dict[str, dict[str, Any]] = {
    "fast": {
        "sites": {
            "first": (4, 2),
            "inner": (),
            "outer": (),
            "triple": 3,
            "exponents1": (1.0, 2.0),
            "exponents2": (),
        },
        "columns": 200,
    },
    "balanced": {},
    "accurate": {"sites": {"n_scales": 5, "triple": 5}, "columns": 1000},
}
"""Name → settings that differ from the recommended ones."""


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How a potential is fitted.

    Parameters
    ----------
    transform : str
        "sites" (sums over atoms: fast), "grid" (integrals over space), or "both", whose columns are stacked.
    sites : SitesSettings or mapping
        Hyperparameters of sites, or those that differ from the recommended ones
        (`SitesSettings.recommended`).
    grid : GridSettings
        Hyperparameters of the grid.
    channels : str or mapping
        "species", "charges", or a table {channel: {element: weight}}; "auto" is one that all elements share,
        groups and periods, where these tell four or more elements apart, else species.
    columns : int, optional
        Largest number of columns in the model; by default `COLUMNS` for each of up to three
        elements. Validation may want fewer.
    sigma_energy, sigma_force, sigma_stress : float, optional
        Errors that count as 1: of energies (eV/atom), forces (eV/Å) and stresses (GPa); by default validation
        chooses their balance.
    sigma_atomic : float
        The same for the energies of single atoms (eV), where the data have them.
    sigma_net : float
        The same for the net force over the number of atoms (eV/Å).
    thrift : float
        When columns are chosen, the gain of each is divided by its cost to this power.
    ridge : float, optional
        Strength of the ridge; by default validation chooses it from `ridges`.
    ridges : tuple of float
        Strengths to choose from.
    folds : int
        Number of parts that the data are dealt into.
    members : int
        Members of the committee, 0 for none.
    e0 : mapping of str to float, optional
        Energies of the free atoms, eV; by default those of frames of one atom, or they are fitted.
    weights : mapping of str to float
        Group → how much the squares of the errors of its frames count, beside the weights of single frames.
    core : bool
        Whether a ZBL repulsion is subtracted from the data and belongs to the model.
    dtype : str
        Of the design matrix. The sums over it, and the model, are float64.

    Raises
    ------
    InputError
        If a setting makes no sense.
    """

    transform: str = "sites"
    sites: SitesSettings | Mapping[str, Any] = field(default_factory=dict)
    grid: GridSettings = field(default_factory=GridSettings)
    channels: str | Mapping[str, Mapping[str, float]] = "auto"
    columns: int | None = None
    sigma_energy: float | None = None
    sigma_force: float | None = None
    sigma_stress: float | None = None
    sigma_atomic: float = SIGMAS["atomic"]
    sigma_net: float = 2e-4
    thrift: float = 0.6
    ridge: float | None = None
    ridges: tuple[float, ...] = (1e-11, 1e-9, 1e-8, 1e-6)
    folds: int = 8
    members: int = 32
    e0: Mapping[str, float] | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    core: bool = True
    dtype: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "ridges", tuple(self.ridges))
        if self.transform not in TRANSFORMS:
            raise InputError(f"transform must be one of {', '.join(TRANSFORMS)}, not {self.transform!r}")
        for name in ("sigma_energy", "sigma_force", "sigma_stress", "sigma_atomic", "sigma_net"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name} must be positive, not {getattr(self, name)}")
        if self.columns is not None and self.columns < 1:
            raise InputError("columns must be at least 1")
        if self.folds < 2:
            raise InputError("folds must be at least 2: the ridge is chosen on frames left out")
        if not self.ridges or not all(ridge >= 0 for ridge in (*self.ridges, self.ridge or 0.0)):
            raise InputError(f"ridges must not be negative, and at least one: {self.ridges}, {self.ridge}")
        if not all(0.0 <= weight < np.inf for weight in self.weights.values()):
            raise InputError(f"weights must be at least 0: {dict(self.weights)}")
        require_dtype(self.dtype)
        if self.members == 1 or self.members < 0:
            raise InputError("members must be 0, or at least 2: a committee of one has no spread")

    @classmethod
    def preset(cls, name: str, **given: Any) -> FitSettings:
        """Settings by what matters.

        Parameters
        ----------
        name : str
            "fast" (order 1 and few columns: for long runs of many atoms), "balanced" (the defaults) or
            "accurate" (more scales and columns).
        **given : object
            Settings that stay as they are given; of `sites` those that are given.

        Returns
        -------
        FitSettings

        Raises
        ------
        InputError
            If there is no such preset.
        """
        if name not in PRESETS:
            raise InputError(f"preset must be one of {', '.join(PRESETS)}, not {name!r}")
        settings = {**PRESETS[name], **given}
        sites = given.get("sites", {})
        if not isinstance(sites, SitesSettings):
            settings["sites"] = {**PRESETS[name].get("sites", {}), **sites}
        return cls(**settings)

    def most_columns(self, n_elements: int) -> int:
        """Largest number of columns in a model. Each element has its own, three at most.

        Parameters
        ----------
        n_elements : int
            Number of elements.

        Returns
        -------
        int
        """
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
        return {**start, "atomic": self.sigma_atomic, "net": self.sigma_net}

    @property
    def open_sigmas(self) -> list[str]:
        """Kinds of labels whose sigmas are chosen by validation: those that are not given."""
        given = {"energy": self.sigma_energy, "stress": self.sigma_stress}
        return [kind for kind, value in given.items() if value is None]

    def make_channels(self, elements: Iterable[str]) -> Channels:
        """Channels that the settings ask for.

        Parameters
        ----------
        elements : iterable of str
            Chemical symbols of the data.

        Returns
        -------
        Channels

        Raises
        ------
        InputError
            If the settings name channels that there are not.
        """
        if isinstance(self.channels, str):
            if self.channels == "species":
                return Channels.by_species(elements)
            if self.channels == "auto":
                return Channels.by_kinship(elements)
            if self.channels == "charges":
                return Channels.by_charges(elements)
            raise InputError(
                f"channels must be 'auto', 'species', 'charges' or a table, not {self.channels!r}"
            )
        return Channels.from_table(self.channels)

    def to_dict(self) -> dict[str, Any]:
        """All settings in use as JSON can hold them.

        Returns
        -------
        dict
        """
        sites = self.sites.to_dict() if isinstance(self.sites, SitesSettings) else dict(self.sites)
        data = asdict(replace(self, sites={})) | {"grid": self.grid.to_dict(), "sites": sites}
        unused = {"sites": "grid", "grid": "sites"}.get(self.transform)
        return {key: value for key, value in data.items() if key != unused}

    def candidates(
        self, channels: Channels, systems: Sequence[System], closest: NDArray[np.float64] | None = None
    ) -> Transform:
        """All columns to choose from.

        Parameters
        ----------
        channels : Channels
            As `make_channels` gives them.
        systems : sequence of System
            Structures from which the scales and cutoffs are chosen that the settings leave open.
        closest : ndarray, shape (n_elements, n_elements), optional
            Shortest distances in Å of each pair of elements, below which columns do not change.

        Returns
        -------
        Transform
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
