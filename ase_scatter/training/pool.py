"""Fewer candidate columns, where there are so many that the sums over all data do not fit into memory.

Normal equations are kept by part and kind of label and take memory as the square of the number of columns.
Several elements have thousands. Those that a first fit to some of the frames chooses, as many as a model of
three elements may have, are then the candidates.
"""

from __future__ import annotations

from collections.abc import Sequence

import threadpoolctl

from ..structures.dataset import Frame
from ..structures.sampling import spread
from .design_matrix import Problem
from .normal_equations import Stream

LARGE = 2500
"""So many candidates are kept as they are."""
POOL = 1800
"""Of more than `LARGE` so many are chosen."""
QUICK_RIDGE = 1e-8
"""Where only one ridge is tried, it is the one nearest to this."""
SAMPLED_FRAMES, SAMPLED_ATOMS = 150, 8000
"""Columns and the cutoff are chosen on at most so many frames with so many atoms."""


def pooled(problem: Problem) -> Problem:
    """Choose columns on some of the frames, where there are too many.

    Parameters
    ----------
    problem : Problem
        The regression.

    Returns
    -------
    Problem
        With the chosen columns, or as it is.
    """
    return problem if problem.n <= LARGE else problem.narrowed(pool_of(problem))


@threadpoolctl.threadpool_limits.wrap(limits=1)
def pool_of(problem: Problem) -> list[int]:
    """Choose columns on some of the frames.

    Parameters
    ----------
    problem : Problem
        The regression.

    Returns
    -------
    list of int
        The columns, ascending.
    """
    sigmas = problem.settings.sigmas
    stream = Stream(problem.width, problem.backend)
    frames = sample_frames(problem.frames)
    for frame, each in zip(frames, problem.all_rows(frames, "pool of columns"), strict=True):
        rows = each * problem.root_weight(frame)
        for kind, matrix in rows.matrix.items():
            stream.add(matrix / sigmas[kind], rows.target[kind] / sigmas[kind])
    chosen = problem.regression().choose(stream.moments(), QUICK_RIDGE, POOL)
    return sorted(k for k in chosen.tolist() if k < problem.n)


def sample_frames(frames: Sequence[Frame]) -> list[Frame]:
    """Choose at most `SAMPLED_FRAMES` frames and `SAMPLED_ATOMS` atoms, evenly spread, and all free atoms.

    Parameters
    ----------
    frames : sequence of Frame
        The data.

    Returns
    -------
    list of Frame
    """
    atoms = sum(len(frame.system) for frame in frames)
    n = int(min(SAMPLED_FRAMES, len(frames) * SAMPLED_ATOMS / atoms))
    kept = {id(frame) for frame in spread(list(frames), max(n, 2))}
    return [frame for frame in frames if id(frame) in kept or len(frame.system) == 1]
