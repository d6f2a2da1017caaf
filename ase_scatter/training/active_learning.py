"""Which structures of a pool would teach a potential most: greedy D-optimal design.

A structure's rows R (its energy per atom and forces, over the sigmas of the fit, in the columns of the model)
add the information log det(I + R C Rᵀ) to a fit whose weights have the covariance C = (AᵀA + ridge)⁻¹, in
units of the noise. The structure that adds most is taken, C is updated, and so on (Fedorov, Theory of
Optimal Experiments, 1972; as active learning of linear potentials: Podryabinkin, Shapeev, Comput. Mater.
Sci. 140, 171 (2017)). No labels are needed. What a structure adds never grows by taking others, so that
most need not be looked at again at every step.

The doubt about a structure is the root mean square of what the open directions of the weights leave its
labels uncertain by, over the noise: sqrt(trace(R C Rᵀ)/rows). Where it is below 1/2 for all that is left,
more of this pool would teach little, and the choice ends.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg
import threadpoolctl
from numpy.typing import NDArray

from ..compute import threads
from ..compute.parallel import Progress, bar, in_order
from ..errors import InputError
from ..model.model import Model
from ..structures.dataset import Frame, as_systems
from ..structures.system import System
from .settings import FitSettings

if TYPE_CHECKING:
    from ase import Atoms

ENOUGH = 0.5
"""Doubt, in units of the noise, below which structures teach little."""
RIDGE = 1e-6
"""Prior information, over the mean of what the pool's structures bring."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """Structures of a pool, in the order in which they should be labelled.

    Parameters
    ----------
    chosen : list of int
        Their numbers.
    gains : list of float
        Information that each added, nats.
    doubts : list of float
        Doubt about each just before it was taken, in units of the noise.
    largest_doubt : list of float
        The largest doubt about what is left after each.
    enough : bool
        Whether the choice ended because nothing that is left would teach much.
    """

    chosen: list[int]
    gains: list[float]
    doubts: list[float]
    largest_doubt: list[float]
    enough: bool


def select_structures(
    model: Model,
    pool: Sequence[System | Frame | Atoms],
    *,
    known: Sequence[System | Frame | Atoms] = (),
    count: int | None = None,
    until: float = ENOUGH,
    workers: int | None = None,
    progress: Progress = False,
) -> Choice:
    """Choose the structures of a pool that a model would learn most from, best first.

    The choice is D-optimal: each structure adds the most information to that of the known ones and those
    chosen before it. The sigmas are those of the model's fit.

    Parameters
    ----------
    model : Model
        The potential.
    pool : sequence of System, Frame or Atoms
        Structures to choose from.
    known : sequence of System, Frame or Atoms
        Structures that the model was trained on; without them the choice starts from knowing nothing.
    count : int, optional
        Number of structures, at most.
    until : float
        Doubt at which to stop, in units of the noise.
    workers : int, optional
        Structures at a time; by default one per core.
    progress : bool or callable
        Whether, or by which function, progress is shown.

    Returns
    -------
    Choice

    Raises
    ------
    InputError
        If the pool is empty or holds elements that the model does not know.
    """
    if not pool:
        raise InputError("the pool is empty; give structures to choose from")
    if count is not None and count < 1:
        raise InputError("at least one structure must be asked for")
    offered_systems, known_systems = as_systems(pool), as_systems(known)
    for system in (*offered_systems, *known_systems):
        model.free_atoms(system)  # refuses unknown elements
    sigmas, workers = _sigmas(model), workers or threads.count()

    def rows(system: System) -> Matrix:
        values, d_positions, _ = model.transform.jacobian(system)
        energy = values[None] / (len(system) * sigmas["energy"])
        forces = d_positions.reshape(len(values), -1).T / sigmas["force"]
        return np.concatenate([energy, forces]).astype(np.float64)

    with threadpoolctl.threadpool_limits(1):
        information = np.zeros((model.transform.n_columns,) * 2)
        for found in in_order(rows, known_systems, workers, progress, "known"):
            information += found.T @ found
        offered = list(in_order(rows, offered_systems, workers, progress, "pool"))
    # Of each column its own: they are of many sizes.
    size = np.mean([np.square(r).sum(axis=0) for r in offered], axis=0)
    information[np.diag_indices_from(information)] += RIDGE * np.maximum(size, 1e-12 * size.max())
    return _greedy(information, offered, min(count or len(pool), len(pool)), until, progress)


def _greedy(
    information: Matrix, offered: Sequence[Matrix], count: int, until: float, progress: Progress
) -> Choice:
    # Columns are brought to unit information, so that the inverse is well conditioned.
    scale = 1.0 / np.sqrt(np.diag(information))
    factor = scipy.linalg.cho_factor(information * scale * scale[:, None] + 1e-12 * np.eye(len(scale)))
    covariance = scipy.linalg.cho_solve(factor, np.eye(len(scale)))
    offered = [r * scale for r in offered]

    def gain(r: Matrix) -> tuple[float, float]:
        inner = r @ covariance @ r.T
        sign, value = np.linalg.slogdet(np.eye(len(r)) + inner)
        return float(value) if sign > 0 else 0.0, float(np.sqrt(max(0.0, np.trace(inner)) / len(r)))

    # Lazily: the gains on the heap were true at some earlier step, and can only have shrunk.
    heap, doubt = [], {}
    for k, r in enumerate(bar(offered, progress, "first look", len(offered))):
        value, doubt[k] = gain(r)
        heap.append((-value, k, 0))
    heapq.heapify(heap)
    chosen: list[int] = []
    gains: list[float] = []
    doubts: list[float] = []
    largest: list[float] = []
    for _ in bar(range(count), progress, "choosing", count):
        while heap[0][2] != len(chosen):
            _, k, _ = heapq.heappop(heap)
            value, doubt[k] = gain(offered[k])
            heapq.heappush(heap, (-value, k, len(chosen)))
        if max(doubt.values()) < until:
            # Doubts on record may be old and too large, never too small.
            return Choice(chosen, gains, doubts, largest, True)
        value, best, _ = heapq.heappop(heap)
        chosen.append(best)
        gains.append(-value)
        doubts.append(doubt.pop(best))
        r = offered[best]
        spread = covariance @ r.T
        covariance = covariance - spread @ np.linalg.solve(np.eye(len(r)) + r @ spread, spread.T)
        covariance = 0.5 * (covariance + covariance.T)
        if not heap:
            largest.append(0.0)
            break
        # The most doubtful is looked at anew until it is known to be.
        while True:
            k = max(doubt, key=lambda i: doubt[i])
            _, doubt[k] = gain(offered[k])
            if doubt[k] >= max(doubt.values()):
                break
        largest.append(doubt[k])
    return Choice(chosen, gains, doubts, largest, bool(largest) and largest[-1] < until)


def _sigmas(model: Model) -> Mapping[str, float]:
    """What counted as an error of 1 in the model's fit; the defaults, where it does not say."""
    default = FitSettings().sigmas
    fit = model.metadata.get("fit", {})
    given = {kind: fit.get("settings", {}).get(f"sigma_{kind}") for kind in ("energy", "force")}
    chosen = fit.get("validation", {}).get("sigmas", {})
    return {kind: float(chosen.get(kind) or value or default[kind]) for kind, value in given.items()}
