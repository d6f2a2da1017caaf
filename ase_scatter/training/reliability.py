"""How well the stated bands of a model fit its errors on labelled structures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..compute.parallel import Progress
from ..compute.target import Target
from ..model.committee import Uncertainty
from ..model.model import Model
from ..structures.dataset import Frame
from ..units import GPA
from .coverage import HeldOut
from .metrics import Prediction


def half_widths_and_errors(
    model: Model,
    frames: Sequence[Frame],
    predictions: Sequence[Prediction],
    *,
    device: str = "cpu",
    dtype: str = "float64",
    workers: int | None = None,
    progress: Progress = False,
) -> tuple[list[Uncertainty], dict[str, HeldOut]]:
    """Uncertainties of labelled structures beside the errors of a model.

    Parameters
    ----------
    model : Model
        The potential.
    frames : sequence of Frame
        The data.
    predictions : sequence of Prediction
        Of the model for the frames.
    device : str
        "cpu" or "cuda".
    dtype : str
        "float64" or "float32".
    workers : int, optional
        Structures at a time on a CPU; by default one per core.
    progress : bool or callable
        Whether, or by which function, progress is shown.

    Returns
    -------
    uncertainties : list of Uncertainty
        One for each frame.
    held_out : dict of str to HeldOut
        Errors by kind of label, with half-widths as their spreads: energies per atom in eV, forces in eV/Å,
        stresses in GPa. `HeldOut.inside(1.0)` is the fraction of errors within their half-widths.
    """

    unsure = model.uncertainty(
        [frame.system for frame in frames], Target(device, dtype), workers=workers, progress=progress
    )
    several: dict[str, list[HeldOut]] = {}
    for frame, values, half_widths in zip(frames, predictions, unsure, strict=True):
        n = len(frame.system)
        found = {"energy": (np.array([values.energy - frame.energy]) / n, np.array([half_widths.energy]) / n)}
        if frame.forces is not None:
            found["force"] = (values.forces - frame.forces).ravel(), np.repeat(half_widths.forces, 3)
        if frame.stress is not None and values.stress is not None and half_widths.stress is not None:
            found["stress"] = (values.stress - frame.stress) / GPA, np.full(6, half_widths.stress / GPA)
        for kind, (wrong, stated) in found.items():
            several.setdefault(kind, []).append(HeldOut(np.abs(wrong), stated))
    return unsure, {kind: HeldOut.joined(parts) for kind, parts in several.items()}
