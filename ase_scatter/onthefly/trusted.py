"""The potential as a calculator that refuses structures that it is unsure of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from numpy.typing import NDArray

from ..errors import InputError
from ..structures.dataset import Frame
from .learner import Judgement
from .session import Session


class Unsure(Exception):
    """The potential is unsure of some structures.

    Parameters
    ----------
    structures : sequence of Atoms
        Copies, the worst first.
    worst : float
        Largest half-width, eV/Å.
    """

    def __init__(self, structures: Sequence[Atoms], worst: float) -> None:
        super().__init__(f"half-width {worst:.3g} eV/Å")
        self.structures = list(structures)
        self.worst = worst


class TrustedCalculator(Calculator):
    """The potential of a run, as long as it is sure.

    Parameters
    ----------
    session : Session
        The run.
    limit : float
        Half-widths of forces above this (eV/Å), and structures outside the data, raise `Unsure`.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, session: Session, limit: float) -> None:
        super().__init__()
        self._session = session
        self.limit = limit
        self.worst = 0.0
        self.missing: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        """Positions, and forces that are added for a while, with the energy that belongs to them."""

    def evaluate_many(self, structures: Sequence[Atoms]) -> list[dict[str, Any]]:
        """Results of several structures.

        Parameters
        ----------
        structures : sequence of Atoms
            The structures.

        Returns
        -------
        list of dict
            As ASE names them.

        Raises
        ------
        Unsure
            If the potential is unsure of any.
        """
        judged = self._session.judge(structures)
        widths = np.array([each.worst for each in judged])
        self.worst = float(widths.max(initial=0.0))
        if self.worst > self.limit:
            order = np.argsort(-widths)
            raise Unsure([structures[k].copy() for k in order if widths[k] > self.limit], self.worst)
        self._session.saved += len(structures)
        return [results_of(each) for each in judged]

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
            The structure.
        properties : list of str, optional
            What is asked for.
        system_changes : list of str
            Ignored; part of ASE's protocol.
        """
        self.results = {}
        super().calculate(atoms)
        assert self.atoms is not None
        (self.results,) = self.evaluate_many([self.atoms])
        if self.missing is not None:
            start, force = self.missing
            self.results["forces"] = self.results["forces"] + force
            self.results["energy"] -= float(np.sum(force * (self.atoms.positions - start)))
        if "stress" in (properties or ()) and "stress" not in self.results:
            raise PropertyNotImplementedError("the stress needs a cell with three independent vectors")


class AskingCalculator(Calculator):
    """The reference of a run, whose results are kept and learnt from.

    Parameters
    ----------
    session : Session
        The run.
    purpose : str
        What the calls are for.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, session: Session, purpose: str) -> None:
        super().__init__()
        self._session = session
        self._purpose = purpose

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Ask the reference.

        Parameters
        ----------
        atoms : Atoms, optional
            The structure.
        properties : list of str, optional
            What is asked for.
        system_changes : list of str
            Ignored; part of ASE's protocol.

        Raises
        ------
        InputError
            If the reference fails.
        """
        self.results = {}
        super().calculate(atoms)
        assert self.atoms is not None
        (frame,) = self._session.label([self.atoms], self._purpose)
        if frame is None:
            raise InputError(f"the reference failed: {self._session.log[-1].note}")
        self.results = labels_of(frame)


def labels_of(frame: Frame) -> dict[str, Any]:
    """Labels as ASE names them.

    Parameters
    ----------
    frame : Frame
        The labelled structure.

    Returns
    -------
    dict
    """
    results: dict[str, Any] = {"energy": frame.energy, "free_energy": frame.energy, "forces": frame.forces}
    if frame.stress is not None:
        results["stress"] = frame.stress
    return results


def results_of(judged: Judgement) -> dict[str, Any]:
    """A prediction as ASE names it.

    Parameters
    ----------
    judged : Judgement
        The prediction.

    Returns
    -------
    dict
    """
    results: dict[str, Any] = {"energy": judged.energy, "free_energy": judged.energy, "forces": judged.forces}
    if judged.stress is not None:
        results["stress"] = judged.stress
    return results
