"""What every scattering transform offers, on sites or on a grid.

A transform maps a structure to columns S_λ (features). With weights w the energy is Σ_λ w_λ S_λ.
`features` is the forward map, `evaluate_batch` the forward and adjoint passes with the weights folded in
(what a calculator needs), `jacobian` the derivatives of every column (what training needs); the three
agree to rounding, and the tests hold them to it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..compute.backend import Array
from ..compute.memory import require_room
from ..compute.target import HOST, Shapes, Target
from ..errors import InputError
from ..structures.batch import Batch
from ..structures.system import Evaluation, System


class Jacobian(NamedTuple):
    """Columns of one structure and their derivatives.

    Parameters
    ----------
    values : array, shape (n_columns,)
        The columns.
    d_positions : array, shape (n_columns, N, 3)
        Derivatives with respect to the positions, per Å.
    d_strain : array, shape (n_columns, 3, 3)
        ∂S/∂ε for a strain ε of positions and cell alike; only the symmetric part has a meaning.
    """

    values: Array
    d_positions: Array
    d_strain: Array

    def on_host(self, target: Target) -> Jacobian:
        """The same as NumPy arrays.

        Parameters
        ----------
        target : Target
            Where the arrays are.

        Returns
        -------
        Jacobian
        """
        return Jacobian(*map(target.backend.to_host, self))


class LabelledColumn(NamedTuple):
    """A column as a person reads it.

    Parameters
    ----------
    label : str
        What it is.
    cost : float
        What it costs, in arbitrary units.
    """

    label: str
    cost: float


class Transform(ABC):
    """Common face of the transforms. Instances are immutable.

    Attributes
    ----------
    kind : str
        Name in model files.
    per_atom : bool
        Whether the energy is a sum over atoms.
    invariant : bool
        Whether moving all atoms alike changes nothing (on a grid it changes a little).
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
        """Number of columns."""
        return len(self.columns)

    def grid_shapes(self, system: System) -> Shapes | None:
        """Grid points per direction of each grid for the cell as it is.

        Parameters
        ----------
        system : System
            The structure.

        Returns
        -------
        ndarray of int, shape (n_grids, 3), or None
            None without a grid.
        """
        return None

    @abstractmethod
    def features(self, system: System, target: Target = HOST) -> NDArray[np.float64]:
        """Values S_λ of all columns.

        Parameters
        ----------
        system : System
            The structure.
        target : Target
            Where and how precisely.

        Returns
        -------
        ndarray, shape (n_columns,)
        """

    @abstractmethod
    def evaluate_batch(
        self, batch: Batch, rows: NDArray[np.float64], target: Target = HOST
    ) -> list[list[Evaluation]]:
        """Σ_λ w_λ S_λ with forces and strain gradients, for each structure and each row of weights.

        Parameters
        ----------
        batch : Batch
            Structures on the device of the target.
        rows : ndarray, shape (n_rows, n_columns)
            Weights in eV. The forward pass is shared by the rows.
        target : Target
            Where and how precisely.

        Returns
        -------
        list of list of Evaluation
            Of each structure one for each row.

        Raises
        ------
        InputError
            If the rows are not as wide as there are columns.
        """

    def evaluate(self, system: System, weights: NDArray[np.float64], target: Target = HOST) -> Evaluation:
        """`evaluate_batch` for one structure and one row of weights.

        Parameters
        ----------
        system : System
            The structure.
        weights : ndarray, shape (n_columns,)
            Weights in eV.
        target : Target
            Where and how precisely.

        Returns
        -------
        Evaluation

        Raises
        ------
        DeviceError
            If the structure does not fit on the device.
        """
        if not target.on_host:
            require_room(target.backend, self.memory(system, target), f"a structure of {len(system)} atoms")
        rows = np.asarray(weights, dtype=np.float64)[None]
        return self.evaluate_batch(Batch([system], target.backend, self.cutoff), rows, target)[0][0]

    def require_weights(self, rows: NDArray[np.float64]) -> None:
        """Refuse weights that do not fit the columns.

        Parameters
        ----------
        rows : ndarray, shape (n_rows, n_columns)
            Weights.

        Raises
        ------
        InputError
            If the rows are not as wide as there are columns.
        """
        if rows.ndim != 2 or rows.shape[1] != self.n_columns:
            raise InputError(f"{self.n_columns} columns need as many weights, not {rows.shape[1:]}")

    def memory(self, system: System, target: Target) -> float:
        """Bytes that `evaluate_batch` needs for a structure on a device, about.

        Parameters
        ----------
        system : System
            The structure.
        target : Target
            Where and how precisely.

        Returns
        -------
        float
        """
        return 0.0

    def local_features(self, system: System, target: Target = HOST) -> NDArray[np.float64]:
        """Values of all columns at each atom, or their mean per atom.

        Parameters
        ----------
        system : System
            The structure.
        target : Target
            Where and how precisely.

        Returns
        -------
        ndarray, shape (N, n_columns) or (1, n_columns)
            One row where the columns are no sums over atoms.
        """
        return self.features(system, target)[None] / len(system)

    @abstractmethod
    def jacobian(self, system: System, target: Target = HOST) -> Jacobian:
        """Every column with its derivatives.

        Parameters
        ----------
        system : System
            The structure.
        target : Target
            Where and how precisely.

        Returns
        -------
        Jacobian
            Its arrays are those of the target's device.
        """

    @abstractmethod
    def subset(self, indices: Iterable[int]) -> Self:
        """The transform with some columns only; whatever they do not need is never computed.

        Parameters
        ----------
        indices : iterable of int
            Columns that stay.

        Returns
        -------
        Transform
        """

    def calibrated(self, systems: Sequence[System], target: Target = HOST) -> Self:
        """The transform with its normalisation set from these structures, where it has any.

        Parameters
        ----------
        systems : sequence of System
            Structures to take means over.
        target : Target
            Where and how precisely.

        Returns
        -------
        Transform
        """
        return self

    def for_training(self) -> Self:
        """The transform whose columns make the design matrix.

        Returns
        -------
        Transform
            Itself, where nothing can be saved.
        """
        return self

    def deployed(self, trained: Self) -> Self:
        """Columns and normalisation of a trained transform, for use.

        Parameters
        ----------
        trained : Transform
            What `for_training` gave, calibrated.

        Returns
        -------
        Transform
        """
        return trained

    def training_shapes(self, system: System, rng: np.random.Generator) -> Shapes | None:
        """Grids for one structure of the design matrix.

        Parameters
        ----------
        system : System
            The structure.
        rng : numpy.random.Generator
            Source of random numbers.

        Returns
        -------
        ndarray of int, shape (n_grids, 3), or None
            None without a grid.
        """
        return None

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON can hold it.

        Returns
        -------
        dict
        """

    @classmethod
    @abstractmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The transform that `to_dict` described.

        Parameters
        ----------
        data : dict
            What `to_dict` gave.

        Returns
        -------
        Transform

        Raises
        ------
        InputError
            If the data describe no such transform.
        """
