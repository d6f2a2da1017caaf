"""Labels as rows of a trial fit, and the small algebra that such fits need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..structures.dataset import Frame
from .least_squares import solve
from .normal_equations import NormalEquations

Vector = NDArray[np.float64]


def _virial(frame: Frame) -> Vector | None:
    return None if frame.stress is None else frame.stress * frame.system.volume / len(frame.system)


LABELS: dict[str, Callable[[Frame], Vector | None]] = {
    "energy": lambda frame: np.array([frame.energy / len(frame.system)]),
    "energy per atom": lambda frame: np.array([frame.energy]),
    "force": lambda frame: None if frame.forces is None else frame.forces.ravel(),
    "virial": _virial,
    "stress as virial": lambda frame: None if frame.stress is None else frame.stress / len(frame.system),
}
"""How labels of a frame may be taken."""


VARIANTS = {"energy per atom": "energy", "stress as virial": "virial"}
"""Those that are another way of taking a kind."""


@dataclass(frozen=True)
class LabelRows:
    """Rows of one kind of label.

    Parameters
    ----------
    matrix : ndarray, shape (r, n)
        Of the columns, the free atoms and the offsets of stresses.
    target : ndarray, shape (r,)
        Labels.
    frame : ndarray of int, shape (r,)
        The frame of each row.
    """

    matrix: NDArray[np.float32]
    target: Vector
    frame: NDArray[np.int64]


@dataclass(frozen=True)
class Compared:
    """Labels of one frame beside their predictions, by kind.

    Parameters
    ----------
    labels, values : dict of str to ndarray
        eV/atom, eV/Å and eV/atom (virials).
    """

    labels: dict[str, Vector]
    values: dict[str, Vector]


@dataclass(frozen=True)
class Together:
    """Normal equations of several kinds of labels, each in units of its own size.

    Parameters
    ----------
    parts : dict of str to list of NormalEquations
        By kind, of each part of the data.
    free : ndarray of int
        Columns without a penalty.
    """

    parts: dict[str, list[NormalEquations]]
    free: NDArray[np.int64]

    def apart(self, kinds: Sequence[str], ridge: float = 1e-6) -> float:
        """The score of fits to each kind alone, as if the kinds had nothing to do with each other.

        Parameters
        ----------
        kinds : sequence of str
            The kinds.
        ridge : float
            Strength of the ridge.

        Returns
        -------
        float
        """
        return float(np.mean([self.score({kind: 1.0}, ridge) for kind in kinds]))

    def score(self, factors: dict[str, float], ridge: float = 1e-6) -> float:
        """Mean logarithm of the relative errors on data left out, for some factors.

        Parameters
        ----------
        factors : dict of str to float
            By how much labels of each kind are larger than they should be.
        ridge : float
            Strength of the ridge.

        Returns
        -------
        float
        """
        kinds = list(factors)
        scaled = {
            kind: [NormalEquations(p.gram * f**2, p.moment * f, p.square, p.count) for p in self.parts[kind]]
            for kind, f in factors.items()
        }
        sizes = {kind: sum(p.square for p in parts) for kind, parts in scaled.items()}
        losses = dict.fromkeys(kinds, 0.0)
        n_parts = len(scaled[kinds[0]])
        for part in range(n_parts):
            total = NormalEquations.summed(
                [
                    parts[k] * (1.0 / max(sizes[kind], 1e-12))
                    for kind, parts in scaled.items()
                    for k in range(n_parts)
                    if k != part
                ]
            )
            weights = solved(total, ridge, self.free)
            for kind in kinds:
                losses[kind] += scaled[kind][part].loss(weights)
        relative = [losses[kind] / max(sizes[kind], 1e-12) for kind in kinds]
        return float(np.mean(0.5 * np.log(np.maximum(relative, 1e-8))))


def solved(moments: NormalEquations, ridge: float, free: NDArray[np.int64]) -> Vector:
    """Weights from normal equations; columns that are zero get none.

    Parameters
    ----------
    moments : NormalEquations
        Of all columns.
    ridge : float
        Over the size of each column.
    free : ndarray of int
        Columns without a penalty.

    Returns
    -------
    ndarray, shape (n,)
    """
    penalty = ridge * np.diag(moments.gram)
    penalty[free] = 0.0
    there = np.flatnonzero(np.diag(moments.gram) > 0)
    weights = np.zeros(len(penalty))
    if len(there):
        weights[there] = solve(moments.columns(there), penalty[there])
    return weights


def clipped_rms(values: Vector) -> float:
    """Root mean square of values, the largest of which are clipped.

    Parameters
    ----------
    values : ndarray
        The values.

    Returns
    -------
    float
        0 for none.
    """
    if not len(values):
        return 0.0
    size = np.abs(values)
    return float(np.sqrt(np.mean(np.minimum(size, np.quantile(size, 0.9)) ** 2)))


def robust_lines(
    matrix: NDArray[np.float64], target: NDArray[np.float64], steps: int = 20
) -> NDArray[np.float64]:
    """Coefficients with the least sum of |errors|, by iterated least squares.

    Parameters
    ----------
    matrix : ndarray, shape (r, n)
        Regressors.
    target : ndarray, shape (r,)
        What they explain.
    steps : int
        Number of iterations.

    Returns
    -------
    ndarray, shape (n,)
        The smallest, where they are not determined.
    """
    root = np.ones(len(target))
    for _ in range(steps):
        found = np.linalg.lstsq(matrix * root[:, None], target * root, rcond=1e-9)[0]
        wrong = np.abs(matrix @ found - target)
        root = 1.0 / np.sqrt(np.maximum(wrong, 1e-9 + 1e-3 * np.median(wrong)))
    return np.asarray(found)


def others(parts: Sequence[NormalEquations]) -> Iterator[NormalEquations]:
    """For each part the sum of all the others.

    Parameters
    ----------
    parts : sequence of NormalEquations
        The parts.

    Yields
    ------
    NormalEquations
        The sum.
    """
    for part in range(len(parts)):
        yield NormalEquations.summed([other for k, other in enumerate(parts) if k != part])


def sampled(frames: Sequence[Frame], most_atoms: int, most_frames: int, least: int) -> list[int]:
    """Choose frames of all groups evenly.

    Parameters
    ----------
    frames : sequence of Frame
        The data.
    most_atoms, most_frames : int
        Largest numbers.
    least : int
        So many frames there are, whatever their atoms.

    Returns
    -------
    list of int
        Ascending.
    """
    groups: dict[str, list[int]] = {}
    for index, frame in enumerate(frames):
        groups.setdefault(frame.group, []).append(index)
    # Where a frame stands within its group decides: all groups are covered evenly.
    place = {i: (k + 0.5) / len(group) for group in groups.values() for k, i in enumerate(group)}
    order = sorted(range(len(frames)), key=lambda i: (_reversed_bits(place[i]), i))
    atoms, chosen = 0, list[int]()
    for index in order:
        size = len(frames[index].system)
        if len(chosen) >= least and (atoms + size > most_atoms or len(chosen) >= most_frames):
            continue
        chosen.append(index)
        atoms += size
    return sorted(chosen)


def _reversed_bits(x: float) -> float:
    """A low-discrepancy order of numbers between 0 and 1: their binary digits read backwards."""
    bits, value, weight = int(x * 2**20), 0.0, 0.5
    while bits:
        value, bits, weight = value + weight * (bits & 1), bits >> 1, weight / 2
    return value
