"""Hyperparameters by validation on the training data, within a time budget.

One hyperparameter after the other is moved through a few values while the others stay (coordinate search),
over and over, until the time is up or nothing gets better. Sigmas and thrift cost no new pass over the
data: each design matrix is kept by kind of label, and they are tried on what is there. The score of a trial
is the geometric mean, over the kinds of labels there are, of the root mean square errors on data left out,
over those of the first trial: it needs no weighting of eV against GPa. Every trial is written to a file as
soon as it is done, and one that is in the file is not done again, so that a search can be broken off and go
on.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from ..compute import threads
from ..compute.backend import require_device
from ..compute.parallel import Progress, in_order
from ..errors import InputError
from ..scattering import SitesSettings
from ..structures.dataset import Frame, as_frames, elements_of
from ..structures.sampling import spread, typical_bond
from ..structures.system import System
from .design_matrix import Problem
from .normal_equations import NormalEquations
from .rows import Normals
from .settings import FitSettings
from .validation import geometric_mean, validate

if TYPE_CHECKING:
    from ase import Atoms

_LOGGER = logging.getLogger(__name__)

BETTER = 0.995
"""A score must be below this times the best so far to replace it: smaller differences are noise."""
FRAMES = 200
"""Trials use at most so many frames, evenly spread."""

Changes = dict[str, Any]
"""Name of a hyperparameter → value; those of a measure as "sites.cutoff", "grid.epsilon2"."""


@dataclass(frozen=True)
class Trial:
    """What some settings gave.

    Parameters
    ----------
    changes : dict
        From the settings that the search began with.
    errors : dict of str to float
        Root mean square errors on data left out: energy (meV/atom), force (eV/Å), stress (GPa).
    score : float
        1 for the first trial; less is better.
    microseconds : float
        Per atom, for energy, forces and stress on one thread.
    columns : int
        Number of columns in use.
    seconds : float
        Time that the trial took.
    """

    changes: Changes
    errors: dict[str, float]
    score: float
    microseconds: float
    columns: int
    seconds: float


@dataclass(frozen=True)
class Tuning:
    """A search.

    Parameters
    ----------
    trials : list of Trial
        In their order.
    best : Trial
        The best one.
    settings : FitSettings
        Its settings.
    """

    trials: list[Trial]
    best: Trial
    settings: FitSettings


def search_space(settings: FitSettings, bond: float) -> dict[str, tuple[Any, ...]]:
    """Hyperparameters that are tried, and their values.

    Parameters
    ----------
    settings : FitSettings
        Where the search begins.
    bond : float
        Typical distance of neighbours, Å.

    Returns
    -------
    dict of str to tuple
        Values by name; those of a transform as "sites.cutoff", "grid.epsilon2".
    """
    space: dict[str, tuple[Any, ...]] = {}
    if settings.transform in ("sites", "both"):
        space["sites.cutoff"] = tuple(round(ratio * bond, 1) for ratio in (1.8, 2.0, 2.2, 2.5))
        space["sites.scales"] = tuple(
            tuple(round(ratio * bond * step**k, 2) for k in range(count))
            for ratio, step, count in ((0.3, 1.5, 3), (0.25, 1.5, 4), (0.3, 2**0.5, 4), (0.35, 2**0.5, 4))
        )
        space["sites.epsilon2"] = (1.0, 0.3, 3.0)
        space["sites.switch"] = (2.0, 1.0)
    if settings.transform in ("grid", "both"):
        space["grid.scales"] = tuple(
            tuple(round(bond / ratio * 2 ** (k / 2), 2) for k in range(4)) for ratio in (4.7, 5.3, 4.2)
        )
        space["grid.epsilon2"] = (0.5, 1.0, 2.0)
    for kind in ("energy", "stress"):
        base, name = settings.sigmas[kind], f"sigma_{kind}"
        space[name] = tuple(float(f"{base * factor:.3g}") for factor in (1.0, 0.4, 2.5))
    space["thrift"] = (settings.thrift, 0.0 if settings.thrift else 0.6)
    return space


def changed(settings: FitSettings, changes: Mapping[str, Any]) -> FitSettings:
    """Settings with some hyperparameters changed.

    Parameters
    ----------
    settings : FitSettings
        The settings.
    changes : mapping
        Values by name, as in `search_space`.

    Returns
    -------
    FitSettings
    """
    top: dict[str, Any] = {}
    for name, value in changes.items():
        measure, _, inner = name.partition(".")
        if not inner:
            top[name] = value
        elif measure == "grid":
            top["grid"] = replace(top.get("grid", settings.grid), **{inner: value})
        else:
            sites = top.get("sites", settings.sites)
            if isinstance(sites, SitesSettings):
                top["sites"] = replace(sites, **{inner: value})
            else:
                top["sites"] = {**sites, inner: value}
    return replace(settings, **top)


def tune(
    frames: str | Path | Sequence[Frame | Atoms],
    *,
    minutes: float,
    settings: FitSettings | None = None,
    record: str | Path | None = None,
    workers: int | None = None,
    device: str = "cpu",
    progress: Progress = True,
    seen: Callable[[Trial, bool], None] = lambda trial, better: None,
) -> Tuning:
    """Search hyperparameters on training frames, for some minutes.

    At least one trial is made.

    Parameters
    ----------
    frames : str, Path or sequence of Frame or Atoms
        Training data.
    minutes : float
        Time.
    settings : FitSettings, optional
        Where the search begins.
    record : str or Path, optional
        File that trials are appended to (JSON lines), and taken from when it exists.
    workers : int, optional
        Threads; by default one per core.
    device : str
        "cpu" or "cuda". The time that a model takes is measured on the host.
    progress : bool or callable
        Whether, or by which function, progress is shown.
    seen : callable
        Told of every trial after the first as soon as it is known, and whether it is the best so far.

    Returns
    -------
    Tuning

    Raises
    ------
    InputError
        For a record of another search, or no time.
    """
    require_device(device)
    if not minutes > 0:
        raise InputError(f"the time to tune must be positive, not {minutes} minutes")
    settings = settings or FitSettings()
    sampled = spread(as_frames(frames), FRAMES)
    path = None if record is None else Path(record)
    search = _Search(sampled, settings, path, workers or threads.count(), device, progress)
    end = perf_counter() + 60 * minutes
    best = search.trial({})
    bond = typical_bond([frame.system for frame in sampled])
    space = search_space(settings, bond)
    better = True
    while better:
        better = False
        for name, values in space.items():
            for value in values:
                if perf_counter() > end:
                    return search.result(best)
                if _listed(best.changes.get(name)) == _listed(value):
                    continue
                found = search.trial({**best.changes, name: value})
                is_better = found.score < BETTER * best.score
                _LOGGER.info(
                    "score %.4f, best %.4f: %s", found.score, best.score, found.changes or "as given"
                )
                seen(found, is_better)
                if is_better:
                    best, better = found, True
    return search.result(best)


class _Search:
    """Trials, each done once; the last design matrix is kept."""

    def __init__(
        self,
        frames: Sequence[Frame],
        settings: FitSettings,
        record: Path | None,
        workers: int,
        device: str,
        progress: Progress,
    ) -> None:
        self.frames, self.settings, self.workers, self.progress = frames, settings, workers, progress
        self.device = device
        self.record = record
        self.trials: list[Trial] = []
        self.first: dict[str, float] | None = None
        self._matrix: tuple[str, Problem, Normals] | None = None
        self.elements = elements_of(frame.system for frame in frames)
        about = {
            "frames": len(frames),
            "atoms": sum(len(f.system) for f in frames),
            "energy": sum(f.energy for f in frames),
            "settings": settings.to_dict(),
        }
        self.known: dict[str, Trial] = {}
        if record is None:
            return
        if record.exists():
            for line in record.read_text(encoding="utf-8").splitlines():
                self._read(line, about)
        else:
            record.write_text(json.dumps({"about": about}) + "\n", encoding="utf-8")

    def _read(self, line: str, about: Mapping[str, Any]) -> None:
        try:
            entry = json.loads(line)
        except ValueError:
            return  # the last line of a search that was broken off while it wrote
        if "about" in entry:
            if entry["about"] != json.loads(json.dumps(about)):
                raise InputError(
                    f"{self.record} is the record of a search with other data or settings; "
                    "remove it, or name another"
                )
            return
        trial = Trial(**entry)
        self.known[json.dumps(trial.changes, sort_keys=True)] = trial

    def trial(self, changes: Changes) -> Trial:
        key = json.dumps(changes, sort_keys=True)
        if key not in self.known:
            found = self._measured(changes)
            self.known[key] = found
            if self.record is not None:
                with self.record.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(vars(found)) + "\n")
        trial = self.known[key]
        if self.first is None:
            self.first = trial.errors
        if all(t is not trial for t in self.trials):
            self.trials.append(trial)
        return trial

    def _measured(self, changes: Changes) -> Trial:
        start = perf_counter()
        settings = changed(self.settings, changes)
        problem, normals = self._normals(settings)
        regression = problem.regression(thrift=settings.thrift)
        with threadpoolctl.threadpool_limits(1):  # the cores are taken by selections side by side
            parts = normals.weighted(settings.sigmas)
            total = NormalEquations.summed(parts)
            most = min(settings.most_columns(len(problem.elements)), regression.usable(total))
            validation = validate(regression, parts, settings.tried_ridges, most, self.workers)
            ridge, size = validation.best

            def without(part: NormalEquations) -> NDArray[np.float64]:
                rest = total - part
                return regression.weights(rest, ridge, regression.choose(rest, ridge, size))

            squares: dict[str, list[float]] = {}
            fits = in_order(without, parts, self.workers, False, "")
            for weights, kinds in zip(fits, normals.parts, strict=True):
                for kind, stream in kinds.items():
                    squares.setdefault(kind, []).append(stream.moments().rmse(weights))
            chosen = regression.choose(total, ridge, size)
        errors = {
            kind: geometric_mean(values) * (1000 if kind == "energy" else 1)
            for kind, values in squares.items()
            if kind != "net"
        }
        score = 1.0
        if self.first is not None:
            score = geometric_mean([errors[kind] / self.first[kind] for kind in errors])
        used = sorted(k for k in chosen.tolist() if k < problem.n)
        speed = self._microseconds(problem, used)
        # As JSON gives it back, so that a search that goes on is the same.
        plain = json.loads(json.dumps(changes))
        return Trial(plain, errors, score, speed, len(used), perf_counter() - start)

    def _normals(self, settings: FitSettings) -> tuple[Problem, Normals]:
        """The design matrix, anew only where something in it changes."""
        data = settings.to_dict()
        key = json.dumps(
            {name: data.get(name) for name in ("transform", "sites", "grid", "channels", "e0", "core")}
        )
        if self._matrix is None or self._matrix[0] != key:
            self._matrix = None  # before the next, for the sake of memory
            problem = Problem(settings, self.elements, self.frames, self.workers, self.progress, self.device)
            with threadpoolctl.threadpool_limits(1):
                self._matrix = (key, problem, problem.normals())
        return self._matrix[1], self._matrix[2]

    def _microseconds(self, problem: Problem, used: list[int]) -> float:
        transform = problem.candidates.deployed(problem.transform).subset(used)
        system = max((frame.system for frame in self.frames), key=len)
        weights = np.full(len(used), 1e-3)
        times = []
        with threads.limited(1), threadpoolctl.threadpool_limits(1):
            for k in range(4):
                moved: System = replace(system, positions=system.positions + 1e-3 * k)
                start = perf_counter()
                transform.evaluate(moved, weights)
                times.append(perf_counter() - start)
        return 1e6 * float(np.median(times[1:])) / len(system)

    def result(self, best: Trial) -> Tuning:
        return Tuning(self.trials, best, changed(self.settings, best.changes))


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
