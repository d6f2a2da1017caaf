"""Learning curves: errors against the number of training structures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compute.parallel import Progress
from ..errors import InputError
from ..structures.dataset import Frame, as_frames
from .fitting import fit
from .metrics import Prediction, errors
from .settings import FitSettings

if TYPE_CHECKING:
    from ase import Atoms

Peer = Callable[[Sequence[Frame], Sequence[Frame]], Sequence[Prediction]]
"""Trains another kind of potential on some frames, and predicts others."""


@dataclass(frozen=True)
class Point:
    """Errors on the test set of a fit to a number of structures.

    Parameters
    ----------
    name : str
        Whose fit.
    n_frames, n_atoms : int
        Structures and atoms that it was trained on.
    errors : dict of str to float
        As `metrics.errors` gives them.
    seconds : float
        Time of training and prediction.
    """

    name: str
    n_frames: int
    n_atoms: int
    errors: dict[str, float]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON can hold it.

        Returns
        -------
        dict
        """
        return {
            "name": self.name,
            "frames": self.n_frames,
            "atoms": self.n_atoms,
            "seconds": self.seconds,
            **self.errors,
        }


def default_sizes(n: int) -> list[int]:
    """Numbers of structures: all, a half, a quarter, … down to ten, in rising order.

    Parameters
    ----------
    n : int
        Number of all structures.

    Returns
    -------
    list of int
    """
    sizes = [n]
    while sizes[-1] // 2 >= min(10, n):
        sizes.append(sizes[-1] // 2)
        if sizes[-1] < 2:
            break
    return sorted({max(2, size) for size in sizes})


def learning_curve(
    train: str | Path | Sequence[Frame | Atoms],
    test: str | Path | Sequence[Frame | Atoms],
    *,
    settings: FitSettings | None = None,
    sizes: Sequence[int] | None = None,
    peers: dict[str, Peer] | None = None,
    seed: int = 0,
    workers: int | None = None,
    device: str = "cpu",
    progress: Progress = True,
    seen: Callable[[Point], None] = lambda point: None,
) -> list[Point]:
    """Errors on the test frames of fits to growing, nested random subsets of the training frames.

    Parameters
    ----------
    train, test : str, Path or sequence of Frame or Atoms
        Files, frames, or structures with their labels.
    settings : FitSettings, optional
        Of the fits.
    sizes : sequence of int, optional
        Numbers of frames; by default all, a half, a quarter, …
    peers : dict of str to callable, optional
        Other potentials to train on the same subsets, as `baselines.peer` gives them.
    seed : int
        Of the random subsets.
    workers : int, optional
        Threads; by default one per core.
    device : str
        "cpu" or "cuda".
    progress : bool or callable
        Whether, or by which function, progress is shown.
    seen : callable
        Told of every point as soon as it is known.

    Returns
    -------
    list of Point

    Raises
    ------
    InputError
        If the data do not have the sizes.
    """
    train, test = as_frames(train), as_frames(test)
    sizes = default_sizes(len(train)) if sizes is None else sorted(set(sizes))
    if not test:
        raise InputError("a learning curve needs test frames")
    if not sizes or sizes[0] < 2 or sizes[-1] > len(train):
        raise InputError(f"sizes must lie between 2 and {len(train)}, the number of training frames")
    settings = replace(settings or FitSettings(), members=0)
    order = np.random.default_rng(seed).permutation(len(train)).tolist()
    # Every element must be in the smallest subset: those with most elements come first.
    order = _covering(train, order)
    points = []
    for size in sizes:
        subset = [train[k] for k in sorted(order[:size])]
        jobs: list[tuple[str, Peer | None]] = [("ase-scatter", None), *(peers or {}).items()]
        for name, peer in jobs:
            start = perf_counter()
            if peer is None:
                found = fit(
                    subset, test=test, settings=settings, name=f"{size} frames",
                    workers=workers, device=device, progress=progress,
                )  # fmt: skip
                values = found.errors["test"]["all"]
            else:
                values = errors(peer(subset, test), test)["all"]
            n_atoms = sum(len(frame.system) for frame in subset)
            points.append(Point(name, size, n_atoms, values, perf_counter() - start))
            seen(points[-1])
    return points


def _covering(frames: Sequence[Frame], order: Sequence[int]) -> list[int]:
    """The order, changed so that the first few frames hold all elements."""
    first: list[int] = []
    missing = {z for frame in frames for z in frame.system.numbers.tolist()}
    for k in order:
        new = missing & set(frames[k].system.numbers.tolist())
        if new:
            first.append(k)
            missing -= new
    return first + [k for k in order if k not in first]
