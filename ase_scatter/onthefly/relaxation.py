"""Relaxations on the potential, verified by the reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from numpy.typing import NDArray

from ..errors import InputError
from ..structures.dataset import Frame
from .session import Session
from .trusted import TrustedCalculator, Unsure

MOST_STEPS = 200
"""Of an optimizer between two calls of the reference."""
RADIUS = 0.2
"""Å. So far an atom goes at first; the radius doubles where forces fell, and halves where not."""
SOFT = 2.0
"""eV/Å². Over this stiffness the first forces say how far it is to the minimum; no atom goes further at first."""
MARGIN = 1.5
"""Half-widths may exceed that of the structure that a walk begins from by this factor, whatever the trust."""


@dataclass(frozen=True, eq=False)
class Relaxed:
    """A relaxed structure.

    Parameters
    ----------
    atoms : Atoms
        The structure.
    frame : Frame
        What the reference gives for it.
    max_force : float
        Largest force that the reference leaves, eV/Å.
    converged : bool
        Whether the reference confirms it.
    """

    atoms: Atoms
    frame: Frame
    max_force: float
    converged: bool


def relax_by_learning(
    atoms: Atoms,
    session: Session,
    *,
    fmax: float,
    trust: float,
    max_calls: int,
    purpose: str,
    cell: bool = False,
    on_frame: Callable[[Frame], None] | None = None,
) -> Relaxed:
    """Relax on the potential; label where it is unsure, and where it says that it has arrived.

    Parameters
    ----------
    atoms : Atoms
        The structure; it stays as it is.
    session : Session
        The run.
    fmax : float
        Tolerance on the forces that the reference gives at the end, eV/Å; of a cell on its stress times the
        volume per atom, too (eV).
    trust : float
        Half-width at which the relaxation stops for the reference, eV/Å.
    max_calls : int
        Most calls of the reference.
    purpose : str
        What the calls are for.
    cell : bool
        Whether the cell relaxes, too.
    on_frame : callable, optional
        Called with each labelled frame.

    Returns
    -------
    Relaxed
        The structure with the smallest forces that was labelled.

    Raises
    ------
    InputError
        If the reference fails at the first structure.
    """
    at: Relaxed | None = None
    session.begin([atoms])
    steps, radius = 0, np.inf if cell else RADIUS
    if not session.knows:
        at = _asked(atoms, session, purpose, cell, fmax)
        steps += 1
        if at is not None and not cell:
            radius = min(radius, at.max_force / SOFT)
    best = at
    while steps < max_calls and not (best is not None and best.converged):
        walked = _walk(atoms if at is None else at.atoms, session, fmax, trust, cell, at, radius)
        found = _asked(walked, session, purpose, cell, fmax)
        steps += 1
        if found is None:
            trust, radius = 0.5 * trust, 0.5 * radius  # the reference could not: go less far
            continue
        lower = at is None or found.frame.energy < at.frame.energy or found.max_force < at.max_force
        radius *= 2.0 if lower else 0.5
        if on_frame is not None:
            on_frame(found.frame)
        if lower:  # a step that made it worse is not gone on from
            at = found
        if best is None or found.max_force < best.max_force:
            best = found
    if best is None:
        raise InputError("the reference could compute none of the structures of the relaxation")
    return best


def _walk(
    atoms: Atoms, session: Session, fmax: float, trust: float, cell: bool, at: Relaxed | None, radius: float
) -> Atoms:
    """Relax a copy on the potential until it has arrived, becomes unsure, or has gone as far as the radius.

    Where the potential does not reproduce the forces of that structure, what is missing is added as a
    constant: the walk never ends where the reference has said that it does not. The radius holds where the
    half-widths do not: of a structure near its minimum alone a flat potential is learnt.
    """
    moved: Atoms = atoms.copy()
    moved.calc = TrustedCalculator(session, trust)
    if at is not None:
        (judged,) = session.judge([at.atoms])
        moved.calc.limit = max(trust, MARGIN * float(judged.force_half_widths.max()))
    if at is not None and not cell and at.frame.forces is not None:
        moved.calc.missing = (at.atoms.positions.copy(), at.frame.forces - judged.forces)
    target: Any = FrechetCellFilter(moved) if cell else moved
    try:
        with BFGS(target, logfile=None, maxstep=min(0.1, 0.5 * radius)) as run:
            for _ in run.irun(fmax=0.5 * fmax, steps=MOST_STEPS):
                if np.linalg.norm(moved.positions - atoms.positions, axis=1).max() > radius:
                    break
    except Unsure:
        pass
    moved.calc = None
    return moved


def _asked(atoms: Atoms, session: Session, purpose: str, cell: bool, fmax: float) -> Relaxed | None:
    """What the reference says of a structure."""
    (frame,) = session.label([atoms], purpose)
    if frame is None:
        return None
    assert frame.forces is not None
    forces = held(atoms, frame.forces)
    largest = float(np.linalg.norm(forces, axis=1).max(initial=0.0))
    if cell:
        if frame.stress is None:
            raise InputError("the reference has no stress, so that a cell cannot be relaxed with it")
        largest = max(largest, float(np.abs(frame.stress).max()) * frame.system.volume / len(atoms))
    return Relaxed(atoms.copy(), frame, largest, largest <= fmax)


def held(atoms: Atoms, forces: NDArray[np.float64]) -> NDArray[np.float64]:
    """Forces without the parts that constraints take.

    Parameters
    ----------
    atoms : Atoms
        With its constraints.
    forces : ndarray, shape (N, 3)
        eV/Å.

    Returns
    -------
    ndarray, shape (N, 3)
    """
    forces = forces.copy()
    for constraint in atoms.constraints:
        constraint.adjust_forces(atoms, forces)
    return forces
