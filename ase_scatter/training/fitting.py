"""From labelled structures to a potential: design matrix, validation, committee, model."""

from __future__ import annotations

import hashlib
import platform
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy
import threadpoolctl

from ..compute import threads
from ..compute.backend import require_device
from ..compute.executors import ExecutorLike, workers_of
from ..compute.parallel import Progress, bar
from ..compute.target import Target
from ..errors import DataWarning, InputError
from ..model.committee import Committee
from ..model.extrapolation import Domain
from ..model.model import Model
from ..model.self_check import make_self_check
from ..structures.dataset import Frame, as_frames, as_systems, elements_of
from ..structures.sampling import typical_bond
from ..structures.system import System
from .balance import choose, with_cutoff
from .chunks import summed
from .coverage import HeldOut
from .data_checks import check_data
from .design_matrix import Problem
from .findings import Finding, serious
from .metrics import ErrorTable, Prediction, errors
from .normal_equations import NormalEquations
from .pool import pooled
from .pops import Round, ensemble, kept_out
from .prior import prior_rows
from .rows import Normals
from .settings import FitSettings
from .validation import Validation

if TYPE_CHECKING:
    from ase import Atoms

SIZES = {"energy": 1, "force": 3, "stress": 6, "atomic": 1}
"""Components that share a spread: of an atom's force, of a stress."""
DIVIDED_WITHIN = 0.01
"""Atomic energies sum to the total energy within this, eV/atom."""


@dataclass(frozen=True)
class FitResult:
    """A fitted model, and how it came about.

    Parameters
    ----------
    model : Model
        The potential.
    errors : dict of str to dict
        Tables of errors for "train" and "test", as `metrics.errors` gives them.
    frames : dict of str to sequence of Frame
        The data.
    predictions : dict of str to list of Prediction
        One for each frame.
    validation : Validation
        What ridge and number of columns were chosen by.
    held_out : dict of str to HeldOut
        Errors and spreads of committees on data that they did not see, by kind of label.
    findings : list of Finding
        What the training data were found to have.
    """

    model: Model
    errors: dict[str, ErrorTable]
    frames: dict[str, Sequence[Frame]]
    predictions: dict[str, list[Prediction]]
    validation: Validation
    held_out: dict[str, HeldOut]
    findings: list[Finding] = field(default_factory=list)


def fit(
    train: str | Path | Sequence[Frame | Atoms] | Sequence[str | Path],
    *,
    test: str | Path | Sequence[Frame | Atoms] | None = None,
    settings: FitSettings | None = None,
    name: str = "model",
    metadata: Mapping[str, Any] | None = None,
    progress: Progress = True,
    workers: int | None = None,
    device: str = "cpu",
    executor: ExecutorLike | None = None,
    strict: bool = False,
) -> FitResult:
    """Fit a potential to labelled structures.

    The result is the same, bit for bit, on every run on one machine and device with the same number of
    workers, with any executor and without.

    Parameters
    ----------
    train : str, Path or sequence of Frame, Atoms or files
        A file that ASE reads, several of them, frames, or structures with their labels (`frames_of` says
        where they are looked for).
    test : str, Path or sequence of Frame or Atoms, optional
        Data to test on.
    settings : FitSettings, optional
        By default the recommended ones.
    name : str
        Of the model.
    metadata : mapping, optional
        Added to that of the model: citation, reference values.
    progress : bool or callable
        Whether, or by which function, progress is shown.
    workers : int, optional
        Threads; by default one per core.
    device : str
        "cpu" or "cuda", where columns and their derivatives are computed. Columns are chosen on the host.
    executor : str, Executor or callable, optional
        Where the design matrix is made and summed: "processes:N", "mpi", "dask://HOST:PORT", an executor of
        the `concurrent.futures` interface, or a function that makes one, which is called again when workers
        die. By default in threads of this process, which do all the rest anyway.
    strict : bool
        Whether training data that are very likely wrong (`check_data`) are refused.

    Returns
    -------
    FitResult

    Warns
    -----
    DataWarning
        For training data that are very likely wrong.

    Raises
    ------
    InputError
        If the data cannot be fitted, or are very likely wrong and `strict` is set.
    DeviceError
        If the device or the executor is not there, or too small.
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
    typical_bond([frame.system for frame in frames["train"]])  # refuses data without bonds
    workers = workers or threads.count()
    with threadpoolctl.threadpool_limits(1), workers_of(executor) as elsewhere:
        findings = check_data(frames["train"], workers=workers, progress=progress)
        tell(findings, strict)
        settings = with_cutoff(settings, elements, frames["train"], workers, progress, device, elsewhere)
        problem = Problem(settings, elements, frames["train"], workers, progress, device)
        candidates = problem.n
        problem = pooled(problem)
        normals = summed(problem, elsewhere)
    model, validation, held_out = solve(problem, normals, settings, name, progress)
    data = {"train": _describe(train, frames["train"])}
    if test is not None:
        data["test"] = _describe(test, frames["test"])
    provenance = {
        "data": data,
        "settings": settings.to_dict(),
        "device": device,
        "candidates": candidates,
        "free_atoms_known": problem.free_atoms.known,
        "validation": {
            "ridge": {f"{key:.0e}": value for key, value in validation.by_ridge.items()},
            "columns": {str(key): value for key, value in validation.by_size.items()},
            "sigmas": validation.sigmas,
            "pressures": validation.pressures,
        },
        "notes": list(validation.notes),
        "findings": [finding.to_dict() for finding in findings],
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
    golden = make_self_check(model, smallest)
    model = replace(model, metadata={**model.metadata, "errors": tables, "golden": golden})
    return FitResult(model, tables, frames, predictions, validation, held_out, findings)


def tell(findings: Sequence[Finding], strict: bool) -> None:
    """Warn of findings that are serious, or refuse them.

    Parameters
    ----------
    findings : sequence of Finding
        What was found.
    strict : bool
        Whether they are refused.

    Raises
    ------
    InputError
        If there are any, and `strict` is set.
    """
    sentences = "; ".join(finding.sentence for finding in serious(findings))
    if sentences and strict:
        raise InputError(f"the data are not fitted to, since they look wrong: {sentences}")
    if sentences:
        warnings.warn(f"the data look wrong: {sentences}", DataWarning, stacklevel=3)


@threadpoolctl.threadpool_limits.wrap(limits=1)  # the cores are taken by selections side by side
def solve(
    problem: Problem,
    normals: Normals,
    settings: FitSettings,
    name: str = "model",
    progress: Progress = False,
    among: Sequence[int] | None = None,
) -> tuple[Model, Validation, dict[str, HeldOut]]:
    """Model and committee from normal equations.

    Parameters
    ----------
    problem : Problem
        The regression.
    normals : Normals
        Its normal equations.
    settings : FitSettings
        Sigmas, cost exponent, ridges, columns and members are used; they may differ from those of the
        problem.
    name : str
        Of the model.
    progress : bool or callable
        Whether, or by which function, progress is shown.
    among : sequence of int, optional
        Columns to choose from; by default all.

    Returns
    -------
    model : Model
        The potential.
    validation : Validation
        What it was chosen by.
    held_out : dict of str to HeldOut
        What its error bars were calibrated by.
    """
    choice = choose(problem, normals, settings, among, progress)
    regression, parts, validation = choice.regression, choice.parts, choice.validation
    total = NormalEquations.summed(parts)
    ridge, size = validation.best
    first = regression.weights(total, ridge, regression.choose(total, ridge, size))
    regression = replace(regression, prior=prior_rows(problem, first, validation))
    columns = regression.choose(total, ridge, size)
    weights = regression.weights(total, ridge, columns)[None]
    held_out: dict[str, HeldOut] = {}
    if settings.members:
        sigmas = validation.sigmas
        rounds = list(
            bar(
                kept_out(regression, parts, normals, sigmas, ridge, size, settings.members),
                progress, "calibration", min(4, len(parts)),
            )
        )  # fmt: skip
        held_out = _held_out(normals, rounds)
        found = ensemble(
            regression, dict(enumerate(parts)), normals, sigmas, ridge, columns, settings.members
        )
        weights = found.members
        if found.n_wild:
            note = (
                f"{found.n_wild} labels are so far from the fit that they were left out of the error bars; "
                "look for outliers in the data"
            )
            validation = replace(validation, notes=(*validation.notes, note))
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
            domain=Domain.of(transform, training, problem.workers, progress, problem.target),
        )
    mean = dict(zip(problem.elements, e0.mean(axis=0).tolist(), strict=True))
    model = Model(name, transform, weights[:, used].mean(axis=0), mean, problem.core, committee=committee)
    return model, validation, held_out


def _held_out(normals: Normals, rounds: Sequence[Round]) -> dict[str, HeldOut]:
    """Errors and spreads on the sample of rows, by committees of the parts that they are not in."""
    found: dict[str, list[HeldOut]] = {}
    for round_ in rounds:
        weights = np.vstack([round_.ensemble.members, round_.ensemble.weights])
        used = np.flatnonzero(np.any(weights != 0, axis=0))
        for sample in normals.sample:
            if sample.part not in round_.out:
                continue
            for kind, matrix in sample.rows.matrix.items():
                predicted = weights[:, used] @ matrix[:, used].astype(np.float64).T
                wrong = predicted[-1] - sample.rows.target[kind]
                found.setdefault(kind, []).append(HeldOut.of(wrong, predicted[:-1], SIZES[kind]))
    return {kind: HeldOut.joined(several) for kind, several in found.items()}


@threadpoolctl.threadpool_limits.wrap(limits=1)  # the cores are taken by structures side by side
def predict(
    model: Model,
    structures: Sequence[System | Frame | Atoms],
    *,
    device: str = "cpu",
    dtype: str = "float64",
    progress: Progress = False,
    label: str = "",
    workers: int | None = None,
) -> list[Prediction]:
    """Energy, forces and stress of many structures.

    Parameters
    ----------
    model : Model
        The potential.
    structures : sequence of System, Frame or Atoms
        The structures.
    device : str
        "cpu" or "cuda".
    dtype : str
        "float64" or "float32".
    progress : bool or callable
        Whether, or by which function, progress is shown.
    label : str
        What the structures are called in it.
    workers : int, optional
        Structures at a time on a CPU; by default one per core.

    Returns
    -------
    list of Prediction

    Raises
    ------
    UnknownElementError
        For elements that the model does not know.
    """
    systems = as_systems(structures)
    evaluations = model.evaluate(
        systems, target=Target(device, dtype), workers=workers, progress=progress, name=f"predict {label}"
    )
    return [
        Prediction.from_evaluation(values, system)
        for (values,), system in zip(evaluations, systems, strict=True)
    ]


def _frames(source: Any) -> Sequence[Frame]:
    parts: list[Any] = [*_files(source)] or [source]
    frames = [frame for part in parts for frame in as_frames(part)]
    if not frames:
        raise InputError("there are no frames to fit")
    for number, frame in enumerate(frames):
        labels = (frame.energy, frame.forces, frame.stress, frame.atomic_energies)
        if not all(np.isfinite(label).all() for label in labels if label is not None):
            raise InputError(f"frame {number} has labels that are not finite; mend or drop it")
        if frame.stress is not None and not (frame.system.pbc.all() and frame.system.has_volume):
            raise InputError(f"frame {number} has a stress but is not periodic in three dimensions")
        if frame.atomic_energies is not None:
            off = float(frame.atomic_energies.sum() - frame.energy) / len(frame.system)
            if not abs(off) < DIVIDED_WITHIN:
                raise InputError(
                    f"the atomic energies of frame {number} sum to {off:+.3g} eV/atom more than its energy; "
                    "give energies that the total is divided into, of the same zero"
                )
    return frames


def _files(source: Any) -> list[Path]:
    """The files that data are given as; none for data themselves."""
    several = [source] if isinstance(source, str | Path) else source
    named = isinstance(several, list | tuple) and all(isinstance(part, str | Path) for part in several)
    return [Path(part) for part in several] if named else []


def _describe(source: Any, frames: Sequence[Frame]) -> dict[str, Any]:
    """What tells one data set from another: files, checksums, size."""
    about: dict[str, Any] = {
        "frames": len(frames),
        "atoms": sum(len(frame.system) for frame in frames),
    }
    files = _files(source)
    if files:
        about["file"] = ", ".join(file.name for file in files)
        sums = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
        about["sha256"] = ", ".join(sums)
    return about


def _versions() -> dict[str, str]:
    import ase

    from .._version import __version__

    return {
        "ase_scatter": __version__, "python": platform.python_version(),
        "numpy": np.__version__, "scipy": scipy.__version__, "ase": ase.__version__,
    }  # fmt: skip
