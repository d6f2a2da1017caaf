"""A calculator of ASE that learns from a reference while it is used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes

from ..compute.parallel import Progress
from ..errors import InputError
from ..model.committee import Members
from ..model.model import Model
from ..structures.dataset import Frame
from ..structures.system import System
from ..units import to_voigt
from .learner import Judgement
from .reference import Source
from .session import Event, Session
from .settings import LearningSettings
from .trusted import labels_of, results_of

ROUNDS = 30
"""Calls of the reference for one list of structures, at most."""


class LearningCalculator(Calculator):
    """The reference where the potential is unsure, the potential elsewhere.

    A structure is predicted if the calibrated 90 % half-width of every force is below the tolerance and the
    structure is within the data. Otherwise the reference is asked, its result is written and returned, and
    the potential learns from it. It goes wherever a calculator of ASE goes: dynamics, relaxations, elastic
    bands, phonopy.

    Parameters
    ----------
    reference : calculator, callable or Session
        A calculator of ASE with energies and forces, or a function without arguments that makes one.
    model : Model, str or Path, optional
        A potential to ask first, with its committee: structures that it is sure of are its, until the
        reference has been asked once. Give `data` to go on learning from what it was trained on.
    data : str, Path or iterable of Frame or Atoms, optional
        Labelled structures to begin with.
    force_tolerance : float, default 0.1
        eV/Å.
    store : str or Path, optional
        Folder that keeps the results of the reference; a run that was stopped goes on from it.
    settings : LearningSettings, optional
        How the potential learns.
    executor : concurrent.futures.Executor, optional
        Where several unsure structures are computed at once.
    reference_name : str, optional
        What the reference is called in the store; by default its class and parameters.
    progress : bool or callable, default False
        Whether, or by which function, calls of the reference are shown.

    Raises
    ------
    InputError
        If the reference has no forces, the store cannot be used, or data cannot be learnt from.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(
        self,
        reference: Source | Session,
        *,
        model: Model | str | Path | None = None,
        data: str | Path | Iterable[Frame | Atoms] | None = None,
        force_tolerance: float = 0.1,
        store: str | Path | None = None,
        settings: LearningSettings | None = None,
        executor: Executor | None = None,
        reference_name: str | None = None,
        progress: Progress = False,
    ) -> None:
        super().__init__()
        if not force_tolerance > 0:
            raise InputError(f"force_tolerance must be a positive force in eV/Å, not {force_tolerance}")
        self.force_tolerance = force_tolerance
        self._first = model if model is None or isinstance(model, Model) else Model.load(model)
        if self._first is not None and self._first.committee is None:
            raise InputError(
                f"model {self._first.name!r} has no committee, so that it cannot say how sure it is"
            )
        self.session = Session.open(
            reference, data=data, store=store, settings=settings, executor=executor, name=reference_name,
            progress=progress,
        )  # fmt: skip
        if not self.session.reference.has_stress:
            self.implemented_properties = ["energy", "free_energy", "forces"]

    # ---- what it has come to -------------------------------------------------------------------------

    @property
    def n_reference(self) -> int:
        """Calls of the reference by this calculator; what a store knew does not count."""
        return self.session.n_reference

    @property
    def model(self) -> Model:
        """The potential as it is now.

        Raises
        ------
        InputError
            If nothing has been learnt yet.
        """
        if self._first is not None and not self.session.knows:
            return self._first
        return self.session.model

    @property
    def dataset(self) -> list[Frame]:
        """All labelled structures: those given, and those of the reference."""
        return self.session.dataset

    @property
    def log(self) -> list[Event]:
        """What has happened."""
        return self.session.log

    # ---- ASE's protocol ------------------------------------------------------------------------------

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Compute everything at once.

        Parameters
        ----------
        atoms : Atoms, optional
            The structure; by default that of the last calculation.
        properties : list of str, optional
            What is asked for.
        system_changes : list of str
            Ignored; part of ASE's protocol.

        Raises
        ------
        InputError
            If the reference is needed and fails.
        PropertyNotImplementedError
            If the stress is asked for and there is none.
        """
        self.results = {}
        super().calculate(atoms)
        if self.atoms is None:
            raise InputError("there are no atoms to compute; attach the calculator to some")
        self.results = self._answer(self.atoms)
        if "stress" in (properties or ()) and "stress" not in self.results:
            raise PropertyNotImplementedError("the stress needs a cell with three independent vectors")

    def _answer(self, atoms: Atoms) -> dict[str, Any]:
        """A prediction, or the labels."""
        if self._first is not None and not self.session.knows and not self.session.dataset:
            judged = _judged_by(self._first, atoms)
            if judged.worst <= self.force_tolerance:
                return results_of(judged)
        self.session.begin([atoms])
        if self.session.knows:
            entry = self.session.store.find(System.from_atoms(atoms))
            if entry is not None and entry.frame is not None:
                return labels_of(entry.frame)
            (judged,) = self.session.judge([atoms])
            if judged.worst <= self.force_tolerance:
                self.session.saved += 1
                return results_of(judged)
        (frame,) = self.session.label([atoms], "calculator")
        if frame is not None:
            return labels_of(frame)
        # The failure is in the log; a prediction is left, unless it is worthless.
        if judged.worst <= 5 * self.force_tolerance:
            return results_of(judged)
        raise InputError(
            f"the reference failed ({self.log[-1].note}) where the potential is unsure by "
            f"{judged.worst:.2g} eV/Å; mend the reference, and start again with the same store"
        )

    # ---- several structures --------------------------------------------------------------------------

    @property
    def has_committee(self) -> bool:
        """Whether it can say how sure it is."""
        return True

    def evaluate_many(self, structures: Sequence[Atoms]) -> list[dict[str, Any]]:
        """Results of many structures; the reference labels the worst until none is unsure.

        Parameters
        ----------
        structures : sequence of Atoms
            The structures.

        Returns
        -------
        list of dict
            Of each structure the results as ASE names them.
        """
        self.learn(structures)
        return [results_of(judged) for judged in self.session.judge(structures)]

    def evaluate_with_members(
        self, structures: Sequence[Atoms]
    ) -> list[tuple[dict[str, Any], Members | None]]:
        """`evaluate_many`, and what each member of the committee gives.

        Parameters
        ----------
        structures : sequence of Atoms
            The structures.

        Returns
        -------
        list of (dict, Members)
            Of each structure the results as ASE names them and the members.
        """
        results = self.evaluate_many(structures)
        members = self.model.members([System.from_atoms(atoms) for atoms in structures])
        return list(zip(results, members, strict=True))

    def learn(self, structures: Sequence[Atoms]) -> int:
        """Label the structures that the potential is least sure of, until it is sure of all.

        Parameters
        ----------
        structures : sequence of Atoms
            The structures.

        Returns
        -------
        int
            Number of structures that were labelled.
        """
        self.session.begin(structures[:1])
        asked: set[int] = set()
        if not self.session.knows:
            self.session.label(structures[:1], "calculator")
            asked.add(0)
        for _ in range(ROUNDS):
            worst = np.array([judged.worst for judged in self.session.judge(structures)])
            worst[sorted(asked)] = 0.0
            unsure = np.flatnonzero(worst > self.force_tolerance)
            if not len(unsure):
                break
            order = unsure[np.argsort(-worst[unsure])]
            chosen = order if self.session.reference.parallel else order[:1]
            self.session.label([structures[k] for k in chosen], "calculator")
            asked.update(chosen.tolist())
        return len(asked)


def _judged_by(model: Model, atoms: Atoms) -> Judgement:
    """What a potential with a committee of its own says."""
    system = System.from_atoms(atoms)
    (values,) = model.evaluate([system], workers=1)[0]
    (unsure,) = model.uncertainty([system], workers=1)
    stress = None
    if system.has_volume:
        stress = to_voigt(values.strain_gradient) / system.volume
    outside = "an atom is beyond the training data" if np.any(unsure.grade > 1) else ""
    return Judgement(values.energy, values.forces, stress, unsure.energy, unsure.forces, outside)
