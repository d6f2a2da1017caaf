"""From labelled structures to a potential: design matrix, validation, committee, model."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import threadpoolctl

from . import threads
from .backend import require_device
from .committee import HeldOut, Round, Validation, geometric_mean, kept_out, members
from .compression import compressed_rows
from .design import Normals, Problem
from .domain import Domain
from .errors import InputError
from .frames import Frame, elements_of, read_frames
from .judging import choose, with_cutoff
from .metrics import ErrorTable, Prediction, errors
from .model import Model
from .progress import bar
from .regression import Moments
from .settings import FitSettings
from .system import System
from .uncertainty import Committee

SIZES = {"energy": 1, "force": 3, "stress": 6}
"""Components that share a spread: of an atom's force, of a stress."""


@dataclass(frozen=True)
class FitResult:
    """A fitted model, and how it came about.

    errors: {"train", "test"} → table as `metrics.errors` gives it. frames, predictions: the same
    keys, one entry per frame. validation: what ridge and number of columns were chosen by. held_out: kind
    of label → errors and spreads of committees on data that they did not see.
    """

    model: Model
    errors: dict[str, ErrorTable]
    frames: dict[str, Sequence[Frame]]
    predictions: dict[str, list[Prediction]]
    validation: Validation
    held_out: dict[str, HeldOut]


def fit(
    train: str | Path | Sequence[Frame],
    *,
    test: str | Path | Sequence[Frame] | None = None,
    settings: FitSettings | None = None,
    name: str = "model",
    metadata: Mapping[str, Any] | None = None,
    progress: bool = True,
    workers: int | None = None,
    device: str = "cpu",
) -> FitResult:
    """Fit a potential to labelled structures.

    train, test: files that ASE reads, or frames. name: of the model. metadata: what is added to the
    model's (citation, reference values). workers: threads (default: one per core). device: where columns
    and their derivatives are computed, "cpu" or "cuda"; columns are chosen on the host. The result is
    the same, bit for bit, on every run on one machine and device with as many workers.
    Raises InputError for data that cannot be fitted, DeviceError for a device that is not there or too
    small.
    """
    settings = settings or FitSettings()
    require_device(device)  # before files are read
    frames: dict[str, Sequence[Frame]] = {"train": _frames(train)}
    if test is not None:
        frames["test"] = _frames(test)
    elements = elements_of(frame.system for frame in frames["train"])
    strange = sorted(set(elements_of(frame.system for frame in frames.get("test", ()))) - set(elements))
    if strange:
        raise InputError(f"the test set holds {', '.join(strange)}, of which the training set has none")
    workers = workers or threads.count()
    with threadpoolctl.threadpool_limits(1):
        settings = with_cutoff(settings, elements, frames["train"], workers, progress, device)
        problem = Problem(settings, elements, frames["train"], workers, progress, device)
        normals = problem.normals()
    model, validation, held_out = solve(problem, normals, settings, name, progress)
    data = {"train": _describe(train, frames["train"])}
    if test is not None:
        data["test"] = _describe(test, frames["test"])
    provenance = {
        "data": data,
        "settings": settings.to_dict(),
        "device": device,
        "candidates": problem.transform.n_columns,
        "validation": {
            "ridge": {f"{key:.0e}": value for key, value in validation.by_ridge.items()},
            "columns": {str(key): value for key, value in validation.by_size.items()},
            "averaging": validation.averaging,
            "sigmas": validation.sigmas,
            "pressures": validation.pressures,
        },
        "notes": list(validation.notes),
        "calibration": {
            kind: {
                "factor": held.factor,
                "rank_correlation": held.rank_correlation,
                "bins": held.table(held.factor),
            }
            for kind, held in held_out.items()
        },
        "versions": _versions(),
    }
    model = replace(model, metadata={**(metadata or {}), "fit": provenance})
    with threadpoolctl.threadpool_limits(1):
        predictions = {
            key: predict(
                model, [f.system for f in value], device=device, progress=progress, label=key, workers=workers
            )
            for key, value in frames.items()
        }
    tables = {key: errors(predictions[key], frames[key]) for key in frames}
    smallest = min(frames["train"], key=lambda f: len(f.system)).system
    golden = model.make_golden(smallest)
    model = replace(model, metadata={**model.metadata, "errors": tables, "golden": golden})
    return FitResult(model, tables, frames, predictions, validation, held_out)


@threadpoolctl.threadpool_limits.wrap(limits=1)  # the cores are taken by selections side by side
def solve(
    problem: Problem,
    normals: Normals,
    settings: FitSettings,
    name: str = "model",
    progress: bool = False,
    among: Sequence[int] | None = None,
) -> tuple[Model, Validation, dict[str, HeldOut]]:
    """Model and committee from normal equations, and what they were chosen and calibrated by.

    settings: sigmas, thrift, ridges, columns and members are used; they may differ from those of the problem.
    among: the columns to choose from, None for all.
    """
    choice = choose(problem, normals, settings, among, progress)
    regression, parts, validation = choice.regression, choice.parts, choice.validation
    total = Moments.summed(parts)
    ridge, size = validation.best
    first = regression.weights(total, ridge, regression.choose(total, ridge, size))
    regression = replace(regression, prior=compressed_rows(problem, first))
    pool = regression.choose(total, ridge, size)
    weights = regression.weights(total, ridge, pool)[None]
    held_out: dict[str, HeldOut] = {}
    if settings.members:
        rounds = list(
            bar(
                kept_out(regression, parts, ridge, size, settings.members, problem.workers),
                progress, "calibration", min(4, len(parts)),
            )
        )  # fmt: skip
        losses = {name: geometric_mean([r.loss[name] for r in rounds]) for name in rounds[0].loss}
        validation = replace(validation, averaging=losses)
        averaged = settings.averaged
        if averaged is None:
            averaged = losses["mean"] <= losses["single"]
        held_out = _held_out(normals, rounds, averaged)
        single = weights
        weights = members(regression, parts, ridge, pool, settings.members, workers=problem.workers)
        if not averaged:
            weights += single - weights.mean(axis=0)
    # In the transform's own order, so that what shares work stands together.
    used = np.flatnonzero(np.any(weights[:, : problem.n] != 0, axis=0))
    transform = problem.candidates.deployed(problem.transform).subset(used.tolist())
    e0 = problem.e0(weights)
    committee = None
    if settings.members:
        factors = {kind: held.factor for kind, held in held_out.items()}
        training = [frame.system for frame in problem.frames]
        committee = Committee(
            weights=weights[:, used],
            e0={symbol: e0[:, k].tolist() for k, symbol in enumerate(problem.elements)},
            factors=factors,
            domain=Domain.of(transform, training, problem.workers, progress, problem.backend.name),
        )
    mean = dict(zip(problem.elements, e0.mean(axis=0).tolist(), strict=True))
    model = Model(name, transform, weights[:, used].mean(axis=0), mean, problem.core, committee=committee)
    return model, validation, held_out


def _held_out(normals: Normals, rounds: Sequence[Round], averaged: bool) -> dict[str, HeldOut]:
    """Errors and spreads on the sample of rows, by committees of the parts that they are not in."""
    found: dict[str, list[HeldOut]] = {}
    for round_ in rounds:
        middle = round_.members.mean(axis=0) if averaged else round_.single
        weights = np.vstack([round_.members, middle])
        used = np.flatnonzero(np.any(weights != 0, axis=0))
        for sample in normals.sample:
            if sample.part not in round_.out:
                continue
            for kind, matrix in sample.rows.matrix.items():
                predicted = weights[:, used] @ matrix[:, used].astype(np.float64).T
                wrong = predicted[-1] - sample.rows.target[kind]
                found.setdefault(kind, []).append(HeldOut.of(wrong, predicted[:-1], SIZES[kind]))
    return {kind: HeldOut.joined(several) for kind, several in found.items()}


def predict(
    model: Model,
    systems: Sequence[System],
    *,
    device: str = "cpu",
    dtype: str = "float64",
    progress: bool = False,
    label: str = "",
    workers: int | None = None,
) -> list[Prediction]:
    """Energy, forces and stress of many structures, on all cores."""
    evaluations = model.evaluate_many(
        systems, device=device, dtype=dtype, workers=workers, progress=f"predict {label}" if progress else ""
    )
    return [
        Prediction.from_evaluation(values, system)
        for values, system in zip(evaluations, systems, strict=True)
    ]


def _frames(source: str | Path | Sequence[Frame]) -> Sequence[Frame]:
    frames = read_frames(source) if isinstance(source, str | Path) else list(source)
    if not frames:
        raise InputError("there are no frames to fit")
    for number, frame in enumerate(frames):
        labels = [label for label in (frame.energy, frame.forces, frame.stress) if label is not None]
        if not all(np.isfinite(label).all() for label in labels):
            raise InputError(f"frame {number} has labels that are not finite; mend or drop it")
        if frame.stress is not None and not (frame.system.pbc.all() and frame.system.has_volume):
            raise InputError(f"frame {number} has a stress but is not periodic in three dimensions")
    return frames


def _describe(source: str | Path | Sequence[Frame], frames: Sequence[Frame]) -> dict[str, Any]:
    """What tells one data set from another: file, checksum, size."""
    about: dict[str, Any] = {
        "frames": len(frames),
        "atoms": sum(len(frame.system) for frame in frames),
    }
    if isinstance(source, str | Path):
        about["file"] = Path(source).name
        about["sha256"] = hashlib.sha256(Path(source).read_bytes()).hexdigest()
    return about


def _versions() -> dict[str, str]:
    import ase

    from . import __version__

    return {
        "ase_scatter": __version__, "python": platform.python_version(),
        "numpy": np.__version__, "scipy": scipy.__version__, "ase": ase.__version__,
    }  # fmt: skip
