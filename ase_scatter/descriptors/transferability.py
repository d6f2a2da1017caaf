"""Where a potential holds on other data, and whether its warnings came in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compute.parallel import Progress
from ..errors import InputError
from ..model.model import Model
from ..structures.dataset import Frame
from ..training.fitting import predict
from ..training.reliability import half_widths_and_errors
from .classifier import auc

Floats = NDArray[np.float64]

TIMES = 3.0
"""An error this many times the median counts as large."""


@dataclass(frozen=True)
class GroupTransfer:
    """A potential on one group of other data.

    Parameters
    ----------
    name : str
        The group.
    n_frames, n_atoms : int
        Its size.
    energy_mae : float
        meV/atom.
    force_rmse : float
        eV/Å, over components; nan without forces.
    large : float
        Share of items (atoms, or structures where there are no forces) with a large error.
    grade : float
        Median extrapolation grade of the items.
    outside : float
        Share of items with a grade above 1.
    half_width : float
        Median half-width of the items, eV/Å of force components (or eV/atom).
    coverage : float
        Share of errors within their half-widths; nine of ten is meant.
    """

    name: str
    n_frames: int
    n_atoms: int
    energy_mae: float
    force_rmse: float
    large: float
    grade: float
    outside: float
    half_width: float
    coverage: float


@dataclass(frozen=True, eq=False)
class Transfer:
    """A potential on other data.

    Parameters
    ----------
    name : str
        The data.
    of_forces : bool
        Whether items are the forces on atoms; else they are energies per atom of structures.
    threshold : float
        Errors above this are large: eV/Å of a force's length, or eV/atom.
    groups : list of GroupTransfer
        "all", then each group.
    roc : dict of str to float
        Area under the curve of "the error is large" by "grade" and by "half-width": 1 if each large error has
        a higher one than each small error; nan if none is large.
    curves : dict of str to (ndarray, ndarray)
        The curves: shares of small and large errors above each value.
    warned : float
        Share of the large errors with a grade above 1.
    false : float
        Share of the other errors with a grade above 1.
    missed : list of (int, int, float, float)
        The largest errors without a warning: structure, atom (−1 for energies), error, grade.
    errors, grades, half_widths : ndarray, shape (n_items,)
        Of the items.
    """

    name: str
    of_forces: bool
    threshold: float
    groups: list[GroupTransfer]
    roc: dict[str, float]
    curves: dict[str, tuple[Floats, Floats]]
    warned: float
    false: float
    missed: list[tuple[int, int, float, float]]
    errors: Floats
    grades: Floats
    half_widths: Floats

    def to_dict(self) -> dict[str, Any]:
        """Groups, areas under the curves and missed errors as JSON can hold them.

        Returns
        -------
        dict
        """

        def plain(value: Any) -> Any:
            return None if isinstance(value, float) and not np.isfinite(value) else value

        return {
            "name": self.name,
            "unit": "eV/Å" if self.of_forces else "eV/atom",
            "threshold": self.threshold,
            "groups": [{k: plain(v) for k, v in vars(group).items()} for group in self.groups],
            "roc": {k: plain(v) for k, v in self.roc.items()},
            "warned": plain(self.warned),
            "false": plain(self.false),
            "missed": [list(row) for row in self.missed],
        }


def transferability(
    model: Model,
    frames: Sequence[Frame],
    *,
    name: str = "",
    times: float = TIMES,
    device: str = "cpu",
    dtype: str = "float64",
    workers: int | None = None,
    progress: Progress = False,
) -> Transfer:
    """Compare the errors of a potential on other data with its warnings.

    Parameters
    ----------
    model : Model
        A potential with a committee.
    frames : sequence of Frame
        The data.
    name : str
        What they are called.
    times : float, default 3
        Errors above this many times the median are large.
    device, dtype : str
        Where and how precisely.
    workers : int, optional
        Structures at a time on a CPU; by default one per core.
    progress : bool or callable
        Whether, or by which function, progress is shown.

    Returns
    -------
    Transfer

    Raises
    ------
    InputError
        If the model has no committee with extrapolation grades, or there are no frames.
    """
    if model.committee is None or model.committee.domain is None:
        raise InputError(
            f"model {model.name!r} has no committee, so that it gives no warnings; "
            "fit it anew with members=12 (fit --members 12)"
        )
    if not frames:
        raise InputError("there are no frames to transfer to")
    how: dict[str, Any] = {"device": device, "dtype": dtype, "workers": workers, "progress": progress}
    predictions = predict(model, [frame.system for frame in frames], **how)
    unsure, _ = half_widths_and_errors(model, frames, predictions, **how)
    of_forces = any(frame.forces is not None for frame in frames)
    owner, atom, wrong, grades, widths, inside = [], [], [], [], [], []
    squares = [np.empty(0)] * len(frames)
    energy = np.array(
        [abs(p.energy - f.energy) / len(f.system) for p, f in zip(predictions, frames, strict=True)]
    )
    for k, (frame, prediction, told) in enumerate(zip(frames, predictions, unsure, strict=True)):
        n = len(frame.system)
        if of_forces and frame.forces is None:
            continue
        if of_forces:
            difference = prediction.forces - np.asarray(frame.forces)
            squares[k] = np.square(difference).ravel()
            atom.append(np.arange(n))
            wrong.append(np.linalg.norm(difference, axis=1))
            grades.append(told.grade)
            widths.append(told.forces)
            inside.append((np.abs(difference) <= told.forces[:, None]).mean(axis=1))
        else:
            atom.append(np.array([-1]))
            wrong.append(energy[k : k + 1])
            grades.append(np.array([told.grade.max()]))
            widths.append(np.array([told.energy / n]))
            inside.append(np.array([float(energy[k] <= told.energy / n)]))
        owner.append(np.full(len(wrong[-1]), k))
    rows = [np.concatenate(parts) for parts in (owner, atom, wrong, grades, widths, inside)]
    which, number, error, grade, width, covered = rows
    threshold = times * float(np.median(error))
    large = error > threshold
    scores = {"grade": grade, "half-width": width}
    groups = np.array([frame.group for frame in frames])

    def part(label: str, chosen: NDArray[np.bool_]) -> GroupTransfer:
        mine = chosen[which]
        found = np.concatenate([squares[k] for k in np.flatnonzero(chosen).tolist()])
        return GroupTransfer(
            label,
            int(chosen.sum()),
            sum(len(frames[k].system) for k in np.flatnonzero(chosen).tolist()),
            1000 * float(energy[chosen].mean()),
            float(np.sqrt(found.mean())) if len(found) else float("nan"),
            *(
                float(f(v[mine])) if mine.any() else float("nan")
                for f, v in (
                    (np.mean, large), (np.median, grade), (np.mean, grade > 1), (np.median, width),
                    (np.mean, covered),
                )
            ),
        )  # fmt: skip

    names = sorted(set(groups.tolist()) - {""})
    silent = np.flatnonzero(large & (grade <= 1))
    silent = silent[np.argsort(-error[silent], kind="stable")[:10]]
    return Transfer(
        name=name,
        of_forces=of_forces,
        threshold=threshold,
        groups=[part("all", np.ones(len(frames), bool)), *(part(label, groups == label) for label in names)],
        roc={key: auc(values, large) for key, values in scores.items()},
        curves={key: _curve(values, large) for key, values in scores.items()},
        warned=float((grade[large] > 1).mean()) if large.any() else float("nan"),
        false=float((grade[~large] > 1).mean()),
        missed=[(int(which[k]), int(number[k]), float(error[k]), float(grade[k])) for k in silent.tolist()],
        errors=error,
        grades=grade,
        half_widths=width,
    )


def _curve(scores: Floats, positive: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Shares of negatives and positives above each score, from none to all."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order]) / max(1, int(positive.sum()))
    alarms = np.cumsum(~positive[order]) / max(1, int((~positive).sum()))
    return np.append(0.0, alarms), np.append(0.0, hits)
