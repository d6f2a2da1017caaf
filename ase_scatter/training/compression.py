"""What a fit is told about solids that are compressed farther than its data go.

Columns grow fast with density, and where nothing was learnt their sum may fall as well as rise. So the
pressures of a first fit at small compressions are continued by Murnaghan's equation of state (F. D.
Murnaghan, PNAS 30, 244 (1944)),

    P(V) = P₁ + B₁/B′ [(V₁/V)^B′ − 1],

and energies and pressures that follow from it are added as rows of small weight. They count for little where
data speak, and decide where only a ridge would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..structures.dataset import Frame
from ..structures.sampling import spread
from ..units import GPA
from .design_matrix import Problem
from .normal_equations import NormalEquations

VOLUMES = (0.85, 0.75, 0.66, 0.58, 0.5, 0.43)
"""Of the rows, over that of the frame."""
NEAR = 0.95
"""So far, in volume, the first fit is believed."""
STIFFENING = 4.5
"""B′ of solids."""
SOFTEST = 2.0
"""B₁ is at least this (GPa)."""
FRAMES = 12
"""So many frames are compressed."""
DENSE = 1.2
"""Frames with more than this times the smallest volume per atom have vacuum, or are no solids."""
VAGUE = 0.1
"""Standard deviations of the rows, over energies and pressures that are gained, …"""
LEAST_ENERGY, LEAST_PRESSURE = 0.05, 5.0
"""… and at least (eV/atom, GPa)."""


def compressed_rows(problem: Problem, weights: NDArray[np.float64]) -> NormalEquations | None:
    """Make rows for compressed solids, over their standard deviations.

    Parameters
    ----------
    problem : Problem
        The regression.
    weights : ndarray, shape (width,)
        Of the first fit.

    Returns
    -------
    NormalEquations or None
        None where no frame is a solid.
    """
    found = [_rows(problem, frame, weights) for frame in solids(problem.frames)]
    return NormalEquations.summed(found) if found else None


def solids(frames: Sequence[Frame]) -> list[Frame]:
    """Choose some dense periodic frames, the smaller ones of their kind.

    Parameters
    ----------
    frames : sequence of Frame
        The data.

    Returns
    -------
    list of Frame
    """
    found = dense(frames)
    return spread(sorted(found, key=lambda f: len(f.system))[: max(FRAMES, len(found) // 2)], FRAMES)


def dense(frames: Sequence[Frame]) -> list[Frame]:
    """Find the periodic frames without vacuum.

    Parameters
    ----------
    frames : sequence of Frame
        The data.

    Returns
    -------
    list of Frame
    """
    periodic = [f for f in frames if f.system.pbc.all() and f.system.has_volume and len(f.system) > 0]
    if not periodic:
        return []
    volumes = np.array([f.system.volume / len(f.system) for f in periodic])
    least = float(np.quantile(volumes, 0.1))
    return [f for f, volume in zip(periodic, volumes.tolist(), strict=True) if volume < DENSE * least]


def scaled(frame: Frame, volume: float, energy: float = 0.0, pressure: float = 0.0) -> Frame:
    """Scale a frame to a part of its volume, and label it anew.

    Parameters
    ----------
    frame : Frame
        A periodic frame.
    volume : float
        Over that of the frame.
    energy : float
        In eV.
    pressure : float
        In GPa.

    Returns
    -------
    Frame
        Without forces.
    """
    factor = volume ** (1.0 / 3.0)
    system = replace(frame.system, positions=factor * frame.system.positions, cell=factor * frame.system.cell)
    stress = np.array([-pressure * GPA] * 3 + [0.0] * 3)
    return replace(frame, system=system, energy=energy, forces=None, stress=stress, atomic_energies=None)


def _rows(problem: Problem, frame: Frame, weights: NDArray[np.float64]) -> NormalEquations:
    n, volume = len(frame.system), frame.system.volume

    def told(frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rows (2, width) and targets of energy per atom and mean pressure (GPa)."""
        rows = problem.rows((0, frame))
        energy, stress = (problem.backend.to_host(rows.matrix[kind]) for kind in ("energy", "stress"))
        matrix = np.vstack([energy[0], -stress[:3].mean(axis=0)]).astype(np.float64)
        matrix[:, problem.width - len(problem.offsets) :] = 0.0
        return matrix, np.array([rows.target["energy"][0], -rows.target["stress"][:3].mean()])

    def predicted(v: float) -> NDArray[np.float64]:
        matrix, target = told(scaled(frame, v))
        return np.asarray(matrix @ weights - target)

    (_, p_0), (e_1, p_1) = predicted(1.0), predicted(NEAR)
    stiffness = max((p_1 - p_0) / -np.log(NEAR), SOFTEST)
    rows, targets = [], []
    for v in VOLUMES:
        ratio = NEAR / v
        pressure = p_1 + stiffness / STIFFENING * (ratio**STIFFENING - 1.0)
        # ∫ P dV from V to V₁, in units of the frame's volume.
        gained = (p_1 - stiffness / STIFFENING) * (NEAR - v)
        gained += stiffness / STIFFENING * NEAR / (STIFFENING - 1.0) * (ratio ** (STIFFENING - 1.0) - 1.0)
        gained *= GPA * volume / n
        matrix, target = told(scaled(frame, v, n * (e_1 + gained), pressure))
        sigmas = [
            LEAST_ENERGY + VAGUE * abs(gained),
            LEAST_PRESSURE + VAGUE * abs(pressure),
        ]
        rows.append(matrix / np.array(sigmas)[:, None])
        targets.append(target / sigmas)
    return NormalEquations.of(np.concatenate(rows), np.concatenate(targets))
