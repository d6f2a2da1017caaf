"""How sure a potential is: the calibrated spread of its committee."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compute.entries import entries, numbers
from ..errors import InputError
from ..structures.system import Evaluation, System
from ..units import to_voigt
from .extrapolation import Domain

DIGITS = 12
"""Significant digits of members' weights in a file; only their spread is ever used."""


@dataclass(frozen=True, eq=False)
class Committee:
    """Fits with columns of their own, moved so that their mean is the potential.

    Parameters
    ----------
    weights : ndarray, shape (n_members, n_columns)
        Weights in eV.
    e0 : mapping of str to list of float
        Free-atom energies in eV of each element, one for each member.
    factors : mapping of str to float
        What turns a standard deviation over the members into the half-width of an interval that holds
        nine errors of ten, for "energy", "force" and "stress".
    domain : Domain, optional
        Where the training data lie.

    Raises
    ------
    InputError
        If the parts do not fit together.
    """

    weights: NDArray[np.float64]
    e0: Mapping[str, list[float]]
    factors: Mapping[str, float]
    domain: Domain | None = None

    def __post_init__(self) -> None:
        weights = np.array(self.weights, dtype=np.float64)
        if weights.ndim != 2 or len(weights) < 2 or not np.isfinite(weights).all():
            raise InputError("a committee needs at least two members with finite weights")
        if any(np.shape(values) != (len(weights),) for values in self.e0.values()):
            raise InputError(f"a committee of {len(weights)} needs as many free-atom energies per element")
        if not all(np.isfinite(factor) and factor > 0 for factor in self.factors.values()):
            raise InputError("the factors of a committee must be positive")
        weights.setflags(write=False)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "e0", {symbol: list(values) for symbol, values in self.e0.items()})
        object.__setattr__(self, "factors", dict(self.factors))

    def __len__(self) -> int:
        return len(self.weights)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON can hold it.

        Returns
        -------
        dict
        """
        return {
            "weights": [[_rounded(value) for value in row] for row in self.weights.tolist()],
            "e0": {symbol: [_rounded(v) for v in values] for symbol, values in self.e0.items()},
            "factors": dict(self.factors),
            "domain": None if self.domain is None else self.domain.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Committee:
        """The committee that `to_dict` described.

        Parameters
        ----------
        data : mapping
            What `to_dict` gave.

        Returns
        -------
        Committee
        """
        weights, e0, factors, domain = entries(data, ("weights", "e0", "factors", "domain"), "committee")
        entries(e0, (), "free atoms of the committee")
        entries(factors, (), "factors of the committee")
        return cls(
            numbers(weights, 2, "weights of the committee"),
            {symbol: numbers(row, 1, "free atoms of the committee").tolist() for symbol, row in e0.items()},
            {kind: numbers(value, 0, "factors of the committee").item() for kind, value in factors.items()},
            None if domain is None else Domain.from_dict(domain),
        )


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Half-widths of intervals that hold nine errors of ten, where the data are like those of the training.

    A half-width is nan if the training had no labels of its kind.

    Parameters
    ----------
    energy : float
        Of the total energy, eV.
    energies : ndarray, shape (N,), optional
        Of the energy of each atom, eV; None if the model has no energies per atom.
    forces : ndarray, shape (N,)
        Of any component of the force on each atom, eV/Å.
    stress : float, optional
        Of any component of the stress, eV/Å³; None if the cell has no volume or the training no stresses.
    grade : ndarray, shape (N,)
        Extrapolation grade of each atom: above 1 the model extrapolates. It is the same for all atoms if
        the model has no energies per atom.
    """

    energy: float
    energies: NDArray[np.float64] | None
    forces: NDArray[np.float64]
    stress: float | None
    grade: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Members:
    """What each member of a committee gives for one structure.

    Parameters
    ----------
    energy : ndarray, shape (m,)
        eV.
    energies : ndarray, shape (m, N), optional
        eV; None if the model has no energies per atom.
    forces : ndarray, shape (m, N, 3)
        eV/Å.
    stress : ndarray, shape (m, 6), optional
        eV/Å³ in Voigt order, positive in tension; None without a volume.
    factors : mapping of str to float
        As in `Committee`: a factor times a standard deviation over the members is the half-width of an
        interval that holds nine errors of ten.
    """

    energy: NDArray[np.float64]
    energies: NDArray[np.float64] | None
    forces: NDArray[np.float64]
    stress: NDArray[np.float64] | None
    factors: Mapping[str, float]

    @classmethod
    def of(cls, system: System, found: Sequence[Evaluation], factors: Mapping[str, float]) -> Members:
        """From evaluations of a structure by the members.

        Parameters
        ----------
        system : System
            The structure.
        found : sequence of Evaluation
            One for each member.
        factors : mapping of str to float
            As in `Committee`.

        Returns
        -------
        Members
        """
        local = [values.energies for values in found if values.energies is not None]
        stress = None
        if system.has_volume:
            stress = np.array([to_voigt(values.strain_gradient) for values in found]) / system.volume
        return cls(
            energy=np.array([values.energy for values in found]),
            energies=np.array(local) if local else None,
            forces=np.array([values.forces for values in found]),
            stress=stress,
            factors=factors,
        )

    def __len__(self) -> int:
        return len(self.energy)

    def uncertainty(self, grade: NDArray[np.float64]) -> Uncertainty:
        """Their spread as half-widths.

        Parameters
        ----------
        grade : ndarray, shape (N,)
            Extrapolation grades, as `Domain.grade` gives them.

        Returns
        -------
        Uncertainty
        """
        forces = np.sqrt(self.forces.var(axis=0, ddof=1).mean(axis=1))
        stress = None
        if self.stress is not None and "stress" in self.factors:
            stress = self.factors["stress"] * float(np.sqrt(self.stress.var(axis=0, ddof=1).mean()))
        factors = {kind: self.factors.get(kind, np.nan) for kind in ("energy", "force")}
        return Uncertainty(
            energy=factors["energy"] * float(self.energy.std(ddof=1)),
            energies=None if self.energies is None else factors["energy"] * self.energies.std(axis=0, ddof=1),
            forces=factors["force"] * forces,
            stress=stress,
            grade=grade,
        )


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
