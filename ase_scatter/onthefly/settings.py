"""How a potential learns while it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import InputError

SITES: dict[int, dict[str, Any]] = {
    1: {
        "n_scales": 3, "ratio": 1.5, "first": (6, 4), "inner": (3,), "outer": (3,), "triple": 3,
        "exponents1": (1.0, 2.0), "exponents2": (1.0,),
    },
    2: {
        "n_scales": 3, "ratio": 1.5, "first": (4, 2), "inner": (2,), "outer": (2,), "triple": 3,
        "exponents1": (1.0, 2.0), "exponents2": (1.0,),
    },
    3: {
        "n_scales": 3, "ratio": 1.5, "first": (4, 2), "inner": (), "outer": (), "triple": 2,
        "exponents1": (1.0, 2.0), "exponents2": (),
    },
}  # fmt: skip
"""Number of elements (or more) → hyperparameters of the columns. No label has a say in which are used."""


@dataclass(frozen=True, kw_only=True)
class LearningSettings:
    """How a potential learns while it is used.

    Parameters
    ----------
    sites : mapping
        Hyperparameters of the columns that differ from `SITES`, as in `SitesSettings`.
    columns : int
        Largest number of columns; of more candidates those are kept that vary most by themselves.
    sigma_energy : float
        Error that counts as 1, of the energy over the square root of the number of atoms, eV.
    sigma_force : float
        The same of a component of a force, eV/Å.
    sigma_stress : float
        The same of a component of the stress, GPa.
    use_stress : bool
        Whether stresses of the reference are learnt from.
    members : int
        Draws from the posterior, whose spread gives the half-widths.
    closest : float
        Columns stay constant where atoms are nearer than this times the shortest distance in the first
        structures, and a screened repulsion sets in.
    seed : int
        Of the random numbers.

    Raises
    ------
    InputError
        If a setting makes no sense.
    """

    sites: Mapping[str, Any] = field(default_factory=dict)
    columns: int = 500
    sigma_energy: float = 0.002
    sigma_force: float = 0.05
    sigma_stress: float = 0.05
    use_stress: bool = True
    members: int = 16
    closest: float = 0.75
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("sigma_energy", "sigma_force", "sigma_stress", "closest"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be positive, not {getattr(self, name)}")
        if self.columns < 1:
            raise InputError(f"columns must be at least 1, not {self.columns}")
        if self.members < 4:
            raise InputError(f"members must be at least 4, not {self.members}")

    def to_dict(self) -> dict[str, Any]:
        """All settings as JSON can hold them.

        Returns
        -------
        dict
        """
        return {**asdict(self), "sites": dict(self.sites)}
