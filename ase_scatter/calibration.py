"""How well the stated bands of a model fit its errors on labelled structures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from . import threads
from .committee import INSIDE, HeldOut
from .conventions import GPA
from .frames import Frame
from .metrics import LABEL_UNITS, Prediction
from .model import Model
from .progress import in_order
from .report import text_table
from .uncertainty import Uncertainty


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


def calibration_rows(held: dict[str, HeldOut]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table of stated and true bands."""
    rows = []
    for kind, h in held.items():
        true = float(np.quantile(h.errors, INSIDE))
        rows.append(
            [
                f"{kind} ({LABEL_UNITS[kind]})",
                str(len(h.errors)),
                f"{h.spreads.mean():.3g}",
                f"{true:.3g}",
                f"{100 * h.inside(1.0):.1f} %",
                f"{h.rank_correlation:.2f}",
            ]
        )
    heads = ["", "labels", "mean 90 % band", "90 % of errors below", "inside their band", "rank correlation"]
    return heads, rows


def calibration_table(held: dict[str, HeldOut]) -> str:
    """`calibration_rows` as a text."""
    return text_table(*calibration_rows(held))
