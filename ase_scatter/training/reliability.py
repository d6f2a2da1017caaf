"""How well the stated bands of a model fit its errors on labelled structures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..compute import threads
from ..compute.parallel import in_order
from ..model.committee import Uncertainty
from ..model.model import Model
from ..structures.dataset import Frame
from ..units import GPA
from .coverage import HeldOut
from .metrics import Prediction


def bands_and_errors(
    model: Model,
    frames: Sequence[Frame],
    predictions: Sequence[Prediction],
    *,
    device: str = "cpu",
    dtype: str = "float64",
    workers: int | None = None,
    progress: bool = False,
) -> tuple[list[Uncertainty], dict[str, HeldOut]]:
    """Uncertainties of labelled structures; errors by kind of label, with the bands as their spreads.

    predictions: of the model for the frames.
    Energies per atom in eV, forces in eV/Å by component, stresses in GPa by component. Bands state to hold
    nine errors of ten: `HeldOut.inside(1.0)` is the fraction that they do hold.
    """

    def one(
        labelled: tuple[Frame, Prediction],
    ) -> tuple[Uncertainty, dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]]:
        frame, values = labelled
        unsure = model.uncertainty(frame.system, device=device, dtype=dtype)
        n = len(frame.system)
        found = {"energy": (np.array([values.energy - frame.energy]) / n, np.array([unsure.energy]) / n)}
        if frame.forces is not None:
            found["force"] = ((values.forces - frame.forces).ravel(), np.repeat(unsure.forces, 3))
        if frame.stress is not None and values.stress is not None and unsure.stress is not None:
            found["stress"] = ((values.stress - frame.stress) / GPA, np.full(6, unsure.stress / GPA))
        return unsure, found

    several: dict[str, list[HeldOut]] = {}
    unsure = []
    labelled = list(zip(frames, predictions, strict=True))
    for bands, found in in_order(one, labelled, workers or threads.count(), progress, "uncertainty"):
        unsure.append(bands)
        for kind, (wrong, stated) in found.items():
            several.setdefault(kind, []).append(HeldOut(np.abs(wrong), stated))
    return unsure, {kind: HeldOut.joined(parts) for kind, parts in several.items()}
