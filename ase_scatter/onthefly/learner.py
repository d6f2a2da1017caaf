"""A potential that grows: each labelled structure adds its rows to the normal equations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from ..errors import InputError
from ..model.committee import Committee
from ..model.model import Model
from ..structures.dataset import Frame, elements_of
from ..structures.system import System
from ..training.normal_equations import NormalEquations
from ..units import to_voigt
from .basis import Basis, Rows
from .conformal import Conformal
from .posterior import Posterior
from .reach import Reach
from .settings import LearningSettings

KINDS = ("energy", "force", "stress")


@dataclass(frozen=True, eq=False)
class Judgement:
    """What the potential gives for a structure, and how sure it is.

    Parameters
    ----------
    energy : float
        eV.
    forces : ndarray, shape (N, 3)
        eV/Å.
    stress : ndarray, shape (6,), or None
        eV/Å³; None without a volume.
    energy_half_width : float
        eV.
    force_half_widths : ndarray, shape (N,)
        Of any component of the force on each atom, eV/Å.
    outside : str
        In what the structure is unlike all data, or "".
    """

    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64] | None
    energy_half_width: float
    force_half_widths: NDArray[np.float64]
    outside: str

    @property
    def worst(self) -> float:
        """Largest half-width of a force, eV/Å; infinite outside the data."""
        return np.inf if self.outside else float(self.force_half_widths.max())


class Learner:
    """A potential that grows.

    Parameters
    ----------
    systems : sequence of System
        The first structures, from which the columns follow.
    settings : LearningSettings
        The settings.

    Attributes
    ----------
    frames : list of Frame
        The data so far.
    posterior : Posterior or None
        What is known about the weights; None before the first frame.
    factors : dict of str to Conformal
        By kind of label.
    """

    def __init__(self, systems: Sequence[System], settings: LearningSettings) -> None:
        self.settings = settings
        self.frames: list[Frame] = []
        self.posterior: Posterior | None = None
        self.factors = {kind: Conformal() for kind in KINDS}
        self.reach = Reach()
        self._systems = list(systems)
        self._basis: Basis | None = None
        self._equations = NormalEquations.empty(0)
        self._model: Model | None = None

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols of the elements that it learns."""
        return tuple(elements_of(self._systems))

    @property
    def basis(self) -> Basis:
        """The columns.

        Raises
        ------
        InputError
            Before the first frame.
        """
        if self._basis is None:
            raise InputError("nothing has been learnt yet; label a structure first")
        return self._basis

    def add(self, frame: Frame, checked: bool = True) -> None:
        """Learn from a labelled structure.

        Parameters
        ----------
        frame : Frame
            The structure and its labels.
        checked : bool
            Whether the error of its prediction counts for the half-widths to come.

        Raises
        ------
        InputError
            For elements that the first structures did not have.
        """
        strange = sorted(set(elements_of([frame.system])) - set(self.elements))
        if strange:
            raise InputError(
                f"the structure holds {', '.join(strange)}, which is not among {', '.join(self.elements)}, "
                "the elements that this run began with; begin another run, or give data that hold all"
            )
        with threadpoolctl.threadpool_limits(1):
            if self._basis is None:
                self._basis = Basis.of(self._systems, self.settings, frame.energy / len(frame.system))
                self._equations = NormalEquations.empty(self._basis.n_columns)
            rows = self._basis.rows(frame.system)
            target, there = rows.targets(frame)
            if not self.settings.use_stress:
                there[rows.stress] = False
            if self.posterior is not None and checked:
                self._check(rows, target, there)
            self._equations = self._equations + NormalEquations.of(rows.matrix[there], target[there])
            start = (1.0, 1.0) if self.posterior is None else (self.posterior.alpha, self.posterior.beta)
            self.posterior = Posterior.of(self._equations, self._basis.size, start)
        self.frames.append(frame)
        self.reach.add(frame.system, self._basis.transform.cutoff)
        self._model = None

    def _check(self, rows: Rows, target: NDArray[np.float64], there: NDArray[np.bool_]) -> None:
        """Compare the prediction with the labels."""
        assert self.posterior is not None
        wrong = rows.matrix @ self.posterior.weights - target
        spread = self._with_noise(self.posterior.spread(rows.matrix))
        per_atom = np.sqrt(np.square(spread[rows.forces]).reshape(-1, 3).mean(axis=1))
        spread[rows.forces] = np.repeat(per_atom, 3)
        for kind, where in (("energy", slice(0, 1)), ("force", rows.forces), ("stress", rows.stress)):
            if there[where].any():
                self.factors[kind].add(wrong[where][there[where]], spread[where][there[where]])

    def _with_noise(self, spread: NDArray[np.float64]) -> NDArray[np.float64]:
        assert self.posterior is not None
        return np.asarray(np.hypot(spread, self.posterior.noise))

    def judge(self, systems: Sequence[System]) -> list[Judgement]:
        """Predict structures with half-widths.

        Parameters
        ----------
        systems : sequence of System
            The structures.

        Returns
        -------
        list of Judgement

        Raises
        ------
        InputError
            If nothing has been learnt yet.
        """
        model = self.model
        assert self.posterior is not None
        found = model.evaluate(systems, model.rows_of_all, workers=1)
        noise, settings, judged = self.posterior.noise, self.settings, []
        for system, (values, *members) in zip(systems, found, strict=True):
            forces = np.array([member.forces for member in members])
            spread = np.sqrt(forces.var(axis=0, ddof=1).mean(axis=1))
            energy = float(np.std([member.energy for member in members], ddof=1))
            stress = None
            if system.has_volume:
                stress = to_voigt(values.strain_gradient) / system.volume
            judged.append(
                Judgement(
                    energy=values.energy,
                    forces=values.forces,
                    stress=stress,
                    energy_half_width=self.factors["energy"].factor
                    * float(np.hypot(energy, noise * settings.sigma_energy * len(system) ** 0.5)),
                    force_half_widths=self.factors["force"].factor
                    * np.hypot(spread, noise * settings.sigma_force),
                    outside=self.reach.outside(system),
                )
            )
        return judged

    @property
    def model(self) -> Model:
        """The potential as it is now, with a committee drawn from the posterior.

        Raises
        ------
        InputError
            If nothing has been learnt yet.
        """
        if self._model is None:
            basis = self.basis
            assert self.posterior is not None
            n = basis.transform.n_columns
            draws = self.posterior.draws(self.settings.members, self.settings.seed)
            e0 = basis.e0 + draws[:, n:] - draws[:, :n] @ basis.middle
            weights = self.posterior.weights
            mean = basis.e0 + weights[n:] - weights[:n] @ basis.middle
            self._model = Model(
                name="learnt",
                transform=basis.transform,
                weights=weights[:n],
                e0=dict(zip(basis.elements, mean.tolist(), strict=True)),
                core=basis.core,
                committee=Committee(
                    weights=draws[:, :n],
                    e0={symbol: e0[:, k].tolist() for k, symbol in enumerate(basis.elements)},
                    factors={kind: max(each.factor, 1e-6) for kind, each in self.factors.items()},
                ),
            )
        return self._model
