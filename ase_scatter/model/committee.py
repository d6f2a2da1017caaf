"""How sure a potential is: the spread of its committee, calibrated, and the distance to what it has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..structures.system import Evaluation, System
from ..units import to_voigt
from .extrapolation import Domain

DIGITS = 12
"""Significant digits of members' weights in a file; only their spread is ever used."""


@dataclass(frozen=True, eq=False)
class Committee:
    """Fits with columns of their own, moved so that their mean is the potential.

    weights: (n_members, n_columns). e0: element → its free-atom energy in each member. factors: "energy",
    "force", "stress" → what turns a standard deviation over the members into the half-width of a band
    with nine errors of ten inside. domain: where the training data lie.
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
        return {
            "weights": [[_rounded(value) for value in row] for row in self.weights.tolist()],
            "e0": {symbol: [_rounded(v) for v in values] for symbol, values in self.e0.items()},
            "factors": dict(self.factors),
            "domain": None if self.domain is None else self.domain.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Committee:
        domain = data["domain"]
        return cls(
            np.array(data["weights"], dtype=np.float64),
            data["e0"],
            data["factors"],
            None if domain is None else Domain.from_dict(domain),
        )


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Half-widths of bands that hold nine errors of ten, where the data are like those of the training.

    energy: eV, of the total. energies: (N,) in eV, of each atom's, None where the model has no such.
    forces: (N,) in eV/Å, of any component of the force on each atom. stress: eV/Å³, of any component, None
    where the cell has no volume or the training had no stresses. grade: (N,) distance to the training data
    over the largest in them: above 1 the model extrapolates (the same for all atoms where it has no
    energies per atom). Bands of kinds that the training had no labels of are nan.
    """

    energy: float
    energies: NDArray[np.float64] | None
    forces: NDArray[np.float64]
    stress: float | None
    grade: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Members:
    """What each member of a committee gives for one structure.

    energy: (m,) eV. energies: (m, N) in eV, None where the model has no energies per atom. forces:
    (m, N, 3) in eV/Å. stress: (m, 6) eV/Å³ in Voigt order, positive in tension, None without a volume.
    factors: as in `Committee`; a factor times a standard deviation over the members is the half-width
    of a band that holds nine errors of ten (nan where the training had no such labels).
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
        """Their spread as bands; grade: (N,), what `Domain.grade` gives."""
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
