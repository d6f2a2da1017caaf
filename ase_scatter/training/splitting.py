"""A part of the data kept for a test, what is alike on one side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from ..structures.dataset import Frame
from .data_checks import same_structures, shape_of
from .free_atoms import is_free

ALIKE = 1e-3
"""Structures whose atoms have surroundings as similar as this are kept together."""


def split(frames: Sequence[Frame], fraction: float, seed: int = 0) -> tuple[list[Frame], list[Frame]]:
    """Keep a part of the data for a test.

    Frames of one source stay together, and so do structures that are the same but for small differences. Each
    group of the data gives its part. Free atoms are never tested on.

    Parameters
    ----------
    frames : sequence of Frame
        The data.
    fraction : float
        Of the frames, to be tested on; between 0 and 1.
    seed : int
        Of the choice.

    Returns
    -------
    train, test : list of Frame
        Both in the order of the data.

    Raises
    ------
    InputError
        If the fraction makes no sense, or leaves one side empty.
    """
    if not 0.0 < fraction < 1.0:
        raise InputError(f"the test fraction must be between 0 and 1, not {fraction}")
    head = list(range(len(frames)))

    def find(i: int) -> int:
        while head[i] != i:
            i = head[i]
        return i

    by_source: dict[str, int] = {}
    for i, frame in enumerate(frames):
        if frame.source:
            head[find(i)] = find(by_source.setdefault(frame.source, i))
    for i, j in same_structures([shape_of(frame.system) for frame in frames], ALIKE):
        head[find(j)] = find(i)
    sets: dict[int, list[int]] = {}
    for i, frame in enumerate(frames):
        if not is_free(frame.system):
            sets.setdefault(find(i), []).append(i)
    by_group: dict[str, list[list[int]]] = {}
    for members in sets.values():
        by_group.setdefault(frames[members[0]].group, []).append(members)
    rng = np.random.default_rng(seed)
    chosen: set[int] = set()
    owed = 0.0  # frames that the groups before should have given
    for group in sorted(by_group):
        several = by_group[group]
        owed += fraction * sum(map(len, several))
        for k in rng.permutation(len(several)):
            if len(several[k]) <= owed + 0.5:
                chosen.update(several[k])
                owed -= len(several[k])
            if owed < 0.5:
                break
    train = [frame for i, frame in enumerate(frames) if i not in chosen]
    if not chosen or len(train) < 2:
        raise InputError(
            f"a test fraction of {fraction} of {len(frames)} frames leaves one side without frames"
        )
    return train, [frames[i] for i in sorted(chosen)]
