"""The balance of energies, forces and stresses, and the cutoff, as errors on data left out ask for them.

A choice (columns, ridge, sigmas, cutoff, …) is judged by fits to all parts of the data but one, on the rows
kept of that one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..compute.executors import Workers
from ..compute.parallel import Progress
from ..scattering import SitesSettings, SitesTransform
from ..structures.dataset import Frame
from .chunks import summed
from .design_matrix import Problem
from .judge import Judge
from .least_squares import Regression
from .normal_equations import NormalEquations
from .pool import LARGE, QUICK_RIDGE, pool_of, sample_frames
from .rows import Normals
from .settings import FitSettings
from .validation import SIZES, Validation, validate

STEP = 2.0
"""Sigmas are moved by this factor …"""
MOST_STEPS = 4
"""… at most so many times in a direction, …"""
WORTH = 0.995
"""… as long as the score falls below this times the best so far."""

QUICK = 420
"""At most so many columns where only one number is tried."""
POOL = 1000
"""Of more columns than `LARGE` a pool of so many is chosen on all data, for whatever is tried with few."""
CUTOFF_STEP = 1.1
MOST_CUTOFF_STEPS = 3
LARGER_WORTH = 0.98
"""A larger cutoff has to bring the score below this times the best so far."""
OFFSETS_WORTH = 0.97
"""Stresses get offsets where the score falls below this times that without, and the pressures found are
larger than the mean error of stresses."""


def balanced(
    sigmas: Mapping[str, float], open_: Sequence[str], judged: Callable[[Mapping[str, float]], float]
) -> dict[str, float]:
    """Move sigmas while that lowers the score.

    Only ratios of sigmas count, so that those of forces, where there are any, need not be open.

    Parameters
    ----------
    sigmas : mapping of str to float
        Where to begin, by kind of label.
    open_ : sequence of str
        Kinds whose sigmas are moved.
    judged : callable
        The score for some sigmas.

    Returns
    -------
    dict of str to float
        The sigmas with the least score.
    """
    best = dict(sigmas)
    least = judged(best)
    for kind in open_:
        for factor in (1.0 / STEP, STEP):
            moved = False
            for _ in range(MOST_STEPS):
                trial = {**best, kind: best[kind] * factor}
                found = judged(trial)
                if found >= WORTH * least:
                    break
                best, least, moved = trial, found, True
            if moved:
                break
    return best


@dataclass(frozen=True)
class Choice:
    """What validation decided on.

    Parameters
    ----------
    regression : Regression
        With or without offsets of the stresses.
    parts : list of NormalEquations
        Of each part, with the sigmas; none where the choice was quick.
    validation : Validation
        By ridge and number of columns.
    """

    regression: Regression
    parts: list[NormalEquations]
    validation: Validation


def choose(
    problem: Problem,
    normals: Normals,
    settings: FitSettings,
    among: Sequence[int] | None = None,
    progress: Progress = False,
    thorough: bool = True,
) -> Choice:
    """Choose sigmas that the settings leave open, offsets of stresses, ridge and number of columns.

    Parameters
    ----------
    problem : Problem
        The regression.
    normals : Normals
        Its normal equations.
    settings : FitSettings
        What is given, and what is left open.
    among : sequence of int, optional
        Columns to choose from; by default all.
    progress : bool or callable
        Whether, or by which function, progress is shown.
    thorough : bool
        False for one ridge and one number of columns, and sigmas as they are.

    Returns
    -------
    Choice
    """
    kinds = {kind for part in normals.parts for kind in part} - {"net"}
    sigmas, notes, pressures = settings.sigmas, [problem.free_atoms.note], {}
    ridges = settings.tried_ridges
    ridge = min(ridges, key=lambda ridge: abs(np.log(max(ridge, 1e-16) / QUICK_RIDGE)))
    last = problem.n + len(problem.elements)
    bound, freed = (problem.regression(among, settings.thrift, offsets) for offsets in (False, True))
    pool, few = np.arange(problem.width), normals
    if problem.width > LARGE:
        total = normals.total(sigmas)
        pool = np.union1d(bound.choose(total, ridge, POOL), pool[problem.n :])
        few = normals.columns(pool)
    judge = Judge(few)

    def quick(
        regression: Regression, sigmas: Mapping[str, float], ridges: Sequence[float] = (ridge,)
    ) -> Validation:
        """With few columns from the pool."""
        parts, regression = few.weighted(sigmas), regression.among(pool)
        most = min(
            QUICK,
            settings.most_columns(len(problem.elements)),
            regression.usable(NormalEquations.summed(parts)),
        )
        return validate(regression, parts, ridges, most, problem.workers, progress, judge, (1.0,))

    regression = bound
    if "stress" in kinds:
        with_, without = quick(freed, sigmas), quick(bound, sigmas)
        if with_.least < OFFSETS_WORTH * without.least:
            weights = fitted(few.weighted(sigmas), freed.among(pool), with_)
            off = problem.pressures(weights[-len(problem.offsets) :])
            if max(map(abs, off.values())) > with_.errors[with_.best]["stress"]:
                regression = freed
    open_ = [kind for kind in settings.open_sigmas if kind in kinds]
    if thorough and open_ and len(kinds) > 1:
        sigmas = balanced(sigmas, open_, lambda trial: quick(regression, trial).least)
    parts: list[NormalEquations] = []
    if thorough:
        parts = normals.weighted(sigmas)
        if problem.width > LARGE:
            ridges = (quick(regression, sigmas, ridges).best[0],)
        most = min(
            settings.most_columns(len(problem.elements)), regression.usable(NormalEquations.summed(parts))
        )
        validation = validate(
            regression, parts, ridges, most, problem.workers, progress, Judge(normals), SIZES
        )
    else:
        validation = quick(regression, sigmas)
    if thorough and regression.forced.max(initial=0) >= last:
        pressures = problem.pressures(fitted(parts, regression, validation)[last:])
        told = ", ".join(f"{value:+.2f} GPa {group}".rstrip() for group, value in pressures.items())
        notes.append(
            f"the pressures in the data are not those of their energies ({told}): an offset per atom and "
            "group was fitted along, so that stresses count for what they say beyond it"
        )
    validation = replace(
        validation, sigmas=dict(sigmas), pressures=pressures, notes=tuple(note for note in notes if note)
    )
    return Choice(regression, parts, validation)


def fitted(
    parts: Sequence[NormalEquations], regression: Regression, validation: Validation
) -> NDArray[np.float64]:
    """Fit to all parts with the best ridge and number of columns.

    Parameters
    ----------
    parts : sequence of NormalEquations
        Of each part.
    regression : Regression
        How weights follow from moments.
    validation : Validation
        What tells the ridge and the number.

    Returns
    -------
    ndarray, shape (n,)
        Weights.
    """
    total, (ridge, size) = NormalEquations.summed(parts), validation.best
    return regression.weights(total, ridge, regression.choose(total, ridge, size))


def with_cutoff(
    settings: FitSettings,
    elements: Sequence[str],
    frames: Sequence[Frame],
    workers: int,
    progress: Progress,
    device: str = "cpu",
    elsewhere: Workers | None = None,
) -> FitSettings:
    """Choose the cutoff of the sites on some of the frames, where none is given.

    From the recommended one the cutoff, and the scales with it, are made smaller or larger by steps of a
    tenth as long as that helps; larger ones cost more and have to be worth it.

    Parameters
    ----------
    settings : FitSettings
        The settings.
    elements : sequence of str
        Chemical symbols.
    frames : sequence of Frame
        The data.
    workers : int
        Threads.
    progress : bool or callable
        Whether, or by which function, progress is shown.
    device : str
        "cpu" or "cuda".
    elsewhere : Workers, optional
        Where normal equations are summed.

    Returns
    -------
    FitSettings
        With a cutoff, or as they are.
    """
    sites = settings.sites
    if settings.transform == "grid" or isinstance(sites, SitesSettings) or "cutoff" in sites:
        return settings
    sampled, pool = sample_frames(frames), list[int]()

    def judged(cutoff: float | None) -> tuple[float, float]:
        given = {**dict(sites), **({} if cutoff is None else {"cutoff": cutoff})}
        trial = replace(settings, transform="sites", sites=given)
        problem = Problem(trial, elements, sampled, workers, progress, device)
        if problem.n > LARGE:
            if not pool:  # the scales follow the cutoff, so that columns of all cutoffs are alike
                pool.extend(pool_of(problem))
            problem = problem.narrowed(pool)
        found = choose(problem, summed(problem, elsewhere), trial, progress=progress, thorough=False)
        assert isinstance(problem.candidates, SitesTransform)
        return found.validation.least, problem.candidates.cutoff

    least, best = judged(None)
    for factor, worth in ((CUTOFF_STEP, LARGER_WORTH), (1 / CUTOFF_STEP, 1.0)):
        moved = False
        for _ in range(MOST_CUTOFF_STEPS):
            found, cutoff = judged(round(best * factor, 1))
            if found >= worth * least:
                break
            least, best, moved = found, cutoff, True
        if moved:
            break
    return replace(settings, sites={**sites, "cutoff": best})
