"""What every scattering transform offers, whichever measure it integrates over.

A transform maps a structure to columns S_λ (features). With weights w the energy is Σ_λ w_λ S_λ.
`features` is the forward map, `evaluate` the forward and adjoint passes with the weights folded in
(what a calculator needs), `jacobian` the derivatives of every column (what training needs); the three
agree to rounding, and the tests hold them to it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..compute.backend import Array, require_device
from ..structures.batch import Batch
from ..structures.system import Evaluation, System

Shapes = NDArray[np.int64]


class Jacobian(NamedTuple):
    """Columns of one structure and their derivatives.

    values: (n,). d_positions: (n, N, 3) per Å. d_strain: (n, 3, 3), ∂S/∂ε for ε applied to
    positions and cell alike; only its symmetric part has a meaning. Arrays of the host, or of a device
    where that is said.
    """

    values: Array
    d_positions: Array
    d_strain: Array


class LabelledColumn(NamedTuple):
    """A column as a person reads it, and what it costs, in arbitrary units."""

    label: str
    cost: float


class Transform(ABC):
    """Common face of the grid and the atom-centred transforms. Instances are immutable.

    per_atom: whether the energy is a sum over atoms. invariant: whether moving all atoms alike changes
    nothing (on a grid it changes a little).
    """

    kind: str
    per_atom: bool = False
    invariant: bool = True

    @property
    def cutoff(self) -> float:
        """How far (Å) an atom sees its neighbours; 0 where nothing is summed over neighbours."""
        return 0.0

    @property
    @abstractmethod
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols of the elements that it can transform."""

    @property
    @abstractmethod
    def columns(self) -> Sequence[Any]:
        """What each column is; each has a `label` for people and a `cost` in arbitrary units."""

    @property
    def n_columns(self) -> int:
        return len(self.columns)

    def grid_shapes(self, system: System) -> Shapes | None:
        """Grid points per direction of each grid, (n_grids, 3), for the cell as it is; None without any."""
        return None

    @abstractmethod
    def features(
        self,
        system: System,
        *,
        shapes: Shapes | None = None,
        device: str = "cpu",
        dtype: str = "float64",
    ) -> NDArray[np.float64]:
        """Values S_λ of all columns, shaped (n_columns,)."""

    @abstractmethod
    def evaluate(
        self,
        system: System,
        weights: NDArray[np.float64],
        *,
        shapes: Shapes | None = None,
        device: str = "cpu",
        dtype: str = "float64",
    ) -> Evaluation:
        """Σ_λ w_λ S_λ with forces and strain gradient, in one adjoint pass."""

    def evaluate_members(
        self,
        system: System,
        weights: NDArray[np.float64],
        *,
        shapes: Shapes | None = None,
        device: str = "cpu",
        dtype: str = "float64",
    ) -> list[Evaluation]:
        """`evaluate` with each row of weights (n_members, n_columns)."""
        return [self.evaluate(system, row, shapes=shapes, device=device, dtype=dtype) for row in weights]

    def evaluate_batch(
        self,
        batch: Batch,
        weights: NDArray[np.float64],
        *,
        shapes: Shapes | None = None,
        dtype: str = "float64",
    ) -> list[list[Evaluation]]:
        """Of each structure on a device `evaluate` with each row of weights (n_rows, n_columns)."""
        device = batch.backend.name
        return [
            self.evaluate_members(system, weights, shapes=shapes, device=device, dtype=dtype)
            for system in batch.systems
        ]

    def device_memory(self, system: System, dtype: str = "float64") -> float:
        """Bytes that `evaluate_batch` needs for this structure on a device, about."""
        return 0.0

    def local_features(self, system: System, *, device: str = "cpu") -> NDArray[np.float64]:
        """Values of all columns at each atom (N, n_columns), or (1, n_columns) their mean per atom."""
        return self.features(system, device=device)[None] / len(system)

    @abstractmethod
    def jacobian(
        self,
        system: System,
        *,
        shapes: Shapes | None = None,
        device: str = "cpu",
        dtype: str = "float64",
    ) -> Jacobian:
        """Every column with its derivatives."""

    def device_jacobian(
        self,
        system: System,
        *,
        shapes: Shapes | None = None,
        device: str,
        dtype: str = "float64",
    ) -> Jacobian:
        """`jacobian` as arrays of the device."""
        backend = require_device(device)
        there = self.jacobian(system, shapes=shapes, device=device, dtype=dtype)
        return Jacobian(*(backend.to_device(array) for array in there))

    @abstractmethod
    def subset(self, indices: Iterable[int]) -> Self:
        """The transform with these columns only; whatever they do not need is never computed."""

    def calibrated(self, systems: Sequence[System], *, device: str = "cpu", dtype: str = "float64") -> Self:
        """The transform with its normalisation set from these structures, where it has any."""
        return self

    def for_training(self) -> Self:
        """The transform whose columns make the design matrix; itself, where nothing can be saved."""
        return self

    def deployed(self, trained: Self) -> Self:
        """Columns and normalisation of `trained`, which came from `self.for_training()`, for use."""
        return trained

    def training_shapes(self, system: System, rng: np.random.Generator) -> Shapes | None:
        """Grids for one structure of the design matrix; None without a grid."""
        return None

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""

    @classmethod
    @abstractmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The transform that `to_dict` described."""
