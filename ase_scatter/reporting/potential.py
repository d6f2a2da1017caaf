"""Everything about a potential: errors on data, and the properties of its crystals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ase import Atoms

from ..calculator import ScatteringCalculator
from ..compute.parallel import Progress
from ..errors import InputError
from ..model.model import Model
from ..properties import Phonons, phonons
from ..structures.dataset import Frame
from ..training.coverage import HeldOut
from ..training.fitting import predict
from ..training.metrics import Prediction, errors
from ..training.reliability import half_widths_and_errors
from .tour import Tour, element_of, tour


@dataclass(frozen=True)
class OnData:
    """A potential on labelled structures.

    Parameters
    ----------
    name : str
        Name of the data; of a path the page shows the last part.
    frames : sequence of Frame
        The structures.
    predictions : sequence of Prediction
        What the potential gives for them.
    errors : dict of str to float
        Statistics over all frames, as `training.metrics.errors` gives them.
    held : dict of str to HeldOut
        Kind of label → errors and stated error bars; empty without a committee.
    """

    name: str
    frames: Sequence[Frame]
    predictions: Sequence[Prediction]
    errors: dict[str, float]
    held: dict[str, HeldOut] = field(default_factory=dict)


@dataclass(frozen=True)
class OfCrystal:
    """A potential on the crystal of an element.

    Parameters
    ----------
    element : str
        Chemical symbol.
    tour : Tour or str
        Lattice, elastic constants and vacancy, or why they could not be computed.
    phonons : Phonons or str or None
        Phonons, or why they could not be computed; None if there is no relaxed crystal.
    """

    element: str
    tour: Tour | str
    phonons: Phonons | str | None = None


@dataclass(frozen=True)
class Examination:
    """What is known about a potential.

    Parameters
    ----------
    model : Model
        The potential.
    data : list of OnData
        Labelled structures that it was evaluated on.
    crystals : list of OfCrystal
        The crystals of its elements.
    """

    model: Model
    data: list[OnData]
    crystals: list[OfCrystal]


def examine(
    model: Model,
    data: Mapping[str, Sequence[Frame]] | None = None,
    *,
    crystals: bool = True,
    device: str = "cpu",
    dtype: str = "float64",
    workers: int | None = None,
    progress: Progress = False,
) -> Examination:
    """Evaluate a potential on labelled structures and on the crystals of its elements.

    Parameters
    ----------
    model : Model
        The potential.
    data : mapping of str to sequence of Frame, optional
        Labelled structures by name.
    crystals : bool
        Whether crystals, vacancies and phonons are computed.
    device, dtype : str
        Where and how precisely.
    workers : int, optional
        Structures at a time on a CPU; by default one per core.
    progress : bool or callable
        Whether, or by which function, progress is shown.

    Returns
    -------
    Examination
        What was computed. What could not be computed is a text that says why.

    Raises
    ------
    InputError
        For data that the model cannot be evaluated on.
    DeviceError
        If the device is not there.
    """
    how = {"device": device, "dtype": dtype, "progress": progress}
    return Examination(
        model,
        [_on_data(model, name, frames, workers=workers, **how) for name, frames in (data or {}).items()],
        [_of_crystal(model, element, **how) for element in model.elements] if crystals else [],
    )


def _on_data(model: Model, name: str, frames: Sequence[Frame], **how: Any) -> OnData:
    predictions = predict(model, [frame.system for frame in frames], **how)
    held = {} if model.committee is None else half_widths_and_errors(model, frames, predictions, **how)[1]
    return OnData(name, frames, predictions, errors(predictions, frames)["all"], held)


def _of_crystal(model: Model, element: str, **how: Any) -> OfCrystal:
    try:
        element_of(model, element)
        found = tour(model, element=element, **how)
    except InputError as error:
        return OfCrystal(element, str(error))
    return OfCrystal(element, found, _phonons(model, found.relaxed.atoms, **how))


def _phonons(model: Model, crystal: Atoms, *, progress: Progress, **where: Any) -> Phonons | str:
    try:
        return phonons(crystal, ScatteringCalculator(model, **where), progress=progress)
    except InputError as error:
        return str(error)
