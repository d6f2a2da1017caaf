"""Energies, forces and stresses of many structures in one batch, by a potential and by its committee."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.typing import NDArray

from ..compute.parallel import Progress, reporting
from ..errors import ExtrapolationWarning
from ..model.committee import Members

WILD = 8.0
"""A member so many standard deviations off the median, as the median deviation tells them, is wild."""
SMALL = 1e-2
"""Standard deviations below so much of the largest entry do not count."""
FEWEST, MOST_WILD = 6, 0.25
"""Of fewer members none is wild, nor if more than a quarter would be."""

WANTED = ("energy", "forces", "stress")
"""What a calculator that has only the ASE protocol is asked for, as far as it implements it."""


@dataclass(frozen=True, eq=False)
class Responses:
    """What the models give for a list of structures.

    The first axis of every array counts models: the potential itself is model 0, the members of its
    committee follow. Without a committee the potential is the only model.

    Parameters
    ----------
    structures : sequence of Atoms
        The structures, each with the results of the potential in a calculator of its own.
    members : sequence of Members or None
        For each structure, the results of the committee's members; None without a committee.
    """

    structures: Sequence[Atoms]
    members: Sequence[Members] | None

    @property
    def energy(self) -> NDArray[np.float64]:
        """(models, structures) in eV."""
        return self._stacked("energy", [atoms.get_potential_energy() for atoms in self.structures])

    @property
    def forces(self) -> NDArray[np.float64]:
        """(models, structures, N, 3) in eV/Å, without constraints; for structures of one size."""
        found = [atoms.get_forces(apply_constraint=False) for atoms in self.structures]
        return self._stacked("forces", found)

    @property
    def stress(self) -> NDArray[np.float64]:
        """(models, structures, 6) in eV/Å³, in Voigt order xx, yy, zz, yz, xz, xy, positive in tension."""
        return self._stacked("stress", [atoms.get_stress() for atoms in self.structures])

    def half_width(self, values: NDArray[np.float64], kind: str) -> NDArray[np.float64] | None:
        """Half-width of the 90 % interval of a quantity that each model has a value of.

        Parameters
        ----------
        values : ndarray, shape (models, ...)
            The quantity, computed from the responses of each model.
        kind : {"energy", "force", "stress"}
            The kind of label that the interval is calibrated for.

        Returns
        -------
        ndarray, shape (...), or None
            In the units of `values`. None without a committee, nan where the training had no labels of
            this kind.
        """
        if self.members is None:
            return None
        return half_width(values[1:], self.factor(kind))

    def factor(self, kind: str) -> float:
        """Factor that turns a standard deviation over the members into a half-width.

        Parameters
        ----------
        kind : {"energy", "force", "stress"}
            The kind of label that the interval is calibrated for.

        Returns
        -------
        float
            As in `Members.factors`; nan without a committee, or without labels of this kind.
        """
        return self.members[0].factors.get(kind, np.nan) if self.members else np.nan

    def _stacked(self, name: str, potential: Sequence[Any]) -> NDArray[np.float64]:
        """The potential's values and those of the members, along a new first axis."""
        own = np.array(potential, dtype=np.float64)[None]
        if self.members is None:
            return own
        return np.concatenate([own, np.stack([getattr(each, name) for each in self.members], axis=1)])


def half_width(members: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Half-width of the 90 % interval of a quantity that each member of a committee has a value of.

    Parameters
    ----------
    members : ndarray, shape (m, ...)
        The values of the m members.
    factor : float
        Calibration factor, as in `Members.factors`.

    Returns
    -------
    ndarray, shape (...)
        The factor times the standard deviation over the members, in the units of `members`. Members far off
        all others, or without a value (nan), are left out, and an ExtrapolationWarning says so: where a
        property is far from linear in the weights, as at an instability, a single one would decide.
    """
    wild = wild_members(members)
    if not wild.any():
        return np.asarray(factor * members.std(axis=0, ddof=1))
    names = ", ".join(map(str, np.flatnonzero(wild.reshape(len(wild), -1).any(axis=1))))
    warnings.warn(
        f"of {len(members)} members of the committee, {names} (from 0) give a property far from all others; "
        "its half-width was computed without them",
        ExtrapolationWarning,
        stacklevel=2,
    )
    return np.asarray(factor * np.nanstd(np.where(wild, np.nan, members), axis=0, ddof=1))


def wild_members(members: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Find members that are far off all others.

    Parameters
    ----------
    members : ndarray, shape (m, ...)
        A quantity of the m members, all entries in one unit; nan for members without a value.

    Returns
    -------
    ndarray of bool, shape (m, ...)
        Whether a member is wild, for each entry of the quantity; none of fewer than `FEWEST`, nor if more
        than `MOST_WILD` of them would be.
    """
    if len(members) < FEWEST:
        return np.zeros(members.shape, dtype=bool)
    values = np.where(np.isfinite(members), members, np.inf)
    middle = np.median(values, axis=0)
    with np.errstate(invalid="ignore"):  # where half of them have no value
        off = np.abs(values - middle)
        # Normally distributed, a standard deviation is 1.48 median deviations. What is small beside the
        # largest entry, as frequencies near the zone's centre or zeros of a tensor, is not.
        small = SMALL * np.abs(middle[np.isfinite(middle)]).max(initial=0.0)
        scale = np.maximum(1.4826 * np.median(off, axis=0), small)
        wild = off > WILD * scale
    return np.asarray(wild & (wild.mean(axis=0) <= MOST_WILD))


def evaluate(
    structures: Sequence[Atoms],
    calculator: BaseCalculator,
    *,
    members: bool = True,
    progress: Progress = False,
    name: str = "structures",
) -> Responses:
    """Evaluate structures together, by the potential and by the members of its committee.

    Three kinds of calculators are served. One with a method ``evaluate_with_members(structures)``, which
    returns the pair (dict of ASE's results, `Members` or None) of each structure, computes everything in
    one call, as `ScatteringCalculator` does. One with a method ``evaluate_many(structures)``, which returns
    a dict of ASE's results for each structure, is called once as well. Any other calculator of ASE
    evaluates one structure after the other; it has no committee.

    Parameters
    ----------
    structures : sequence of Atoms
        Each gets a `SinglePointCalculator` that holds the potential's results. Where no members are
        computed, structures whose present calculator holds results for their present positions keep them.
    calculator : BaseCalculator
        Any calculator of ASE; neither its atoms nor its results are used afterwards.
    members : bool, default True
        Whether the committee is evaluated, where there is one.
    progress : bool or callable, default False
        As in `compute.parallel.Progress`.
    name : str, default "structures"
        What the progress is called.

    Returns
    -------
    Responses
        The results of all models.
    """
    committee = getattr(calculator, "evaluate_with_members", None) if members else None
    many = getattr(calculator, "evaluate_many", None)
    todo = list(structures) if committee is not None else [each for each in structures if _is_stale(each)]
    found: list[Members | None] = []
    with reporting(progress, name, len(todo)) as tick:
        answers: Iterable[tuple[dict[str, Any], Members | None]]
        if committee is not None:
            answers = committee(todo)
        elif many is not None:
            answers = [(results, None) for results in many(todo)] if todo else []
        else:
            answers = ((_asked(calculator, atoms), None) for atoms in todo)
        for atoms, (results, theirs) in zip(todo, answers, strict=True):
            atoms.calc = SinglePointCalculator(atoms, **results)
            found.append(theirs)
            tick()
    known = [theirs for theirs in found if theirs is not None]
    return Responses(structures, known or None)


def _is_stale(atoms: Atoms) -> bool:
    """Whether the atoms lack results for where they are."""
    return atoms.calc is None or bool(atoms.calc.check_state(atoms))


def _asked(calculator: BaseCalculator, atoms: Atoms) -> dict[str, Any]:
    """What the calculator implements of `WANTED`; a stress only where there is a volume."""
    kinds = [kind for kind in WANTED if kind in calculator.implemented_properties]
    return {
        kind: calculator.get_property(kind, atoms)
        for kind in kinds
        if kind != "stress" or atoms.cell.rank == 3
    }
