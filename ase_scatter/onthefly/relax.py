"""Relaxation of atoms, and of a cell, for a handful of reference calculations."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from ..compute.parallel import Progress
from ..errors import InputError
from ..properties.common import require_crystal
from ..properties.relax import Relaxation
from ..structures.dataset import Frame
from ..units import GPA
from .reference import Source
from .relaxation import relax_by_learning
from .session import Session
from .settings import LearningSettings

TRUST = 3.0
"""The relaxation stops for the reference where a half-width is this many times the tolerance."""


@dataclass(frozen=True)
class LearnedRelaxation(Relaxation):
    """A structure relaxed by learning; energy, forces and stress are those of the reference.

    Parameters
    ----------
    atoms : Atoms
        The relaxed copy, without a calculator.
    energy : float
        eV, of the whole cell.
    max_force : float
        Largest force that is left, eV/Å.
    stress : ndarray, shape (6,), or None
        GPa, in Voigt order xx, yy, zz, yz, xz, xy, positive in tension; None if only positions were
        relaxed.
    steps : int
        Steps of the optimizer.
    converged : bool
        Whether the tolerance was reached.
    n_reference : int
        Calls of the reference.
    """

    n_reference: int = 0


def learn_relax(
    atoms: Atoms,
    reference: Source | Session,
    *,
    cell: bool = False,
    fmax: float = 0.02,
    force_tolerance: float = 0.1,
    max_calls: int = 60,
    data: str | Path | Iterable[Frame | Atoms] | None = None,
    store: str | Path | None = None,
    settings: LearningSettings | None = None,
    executor: Executor | None = None,
    reference_name: str | None = None,
    progress: Progress = False,
) -> LearnedRelaxation:
    """Relax positions, or positions and cell, at the accuracy of a reference.

    The structure relaxes on the potential as long as it is sure; the reference labels where it is not, and
    where the relaxation ends, until the reference's own forces are below the tolerance.

    Parameters
    ----------
    atoms : Atoms
        The structure; it stays as it is.
    reference : calculator, callable or Session
        A calculator of ASE with energies and forces, or a function that makes one.
    cell : bool, default False
        Whether the cell relaxes, too; the reference needs stresses.
    fmax : float, default 0.02
        Tolerance on the forces of the reference, eV/Å; of a cell also on its stress times the volume per
        atom, eV.
    force_tolerance : float, default 0.1
        Half-width of forces (eV/Å); at `TRUST` times as much the relaxation stops for the reference.
    max_calls : int, default 60
        Most calls of the reference.
    data : str, Path or iterable of Frame or Atoms, optional
        Labelled structures to begin with.
    store : str or Path, optional
        Folder that keeps the results of the reference.
    settings : LearningSettings, optional
        How the potential learns.
    executor : concurrent.futures.Executor, optional
        Where several structures are computed at once.
    reference_name : str, optional
        What the reference is called in the store.
    progress : bool or callable, default False
        Whether, or by which function, calls of the reference are shown.

    Returns
    -------
    LearnedRelaxation

    Raises
    ------
    InputError
        For a reference that fails, or has no stress where a cell relaxes.
    """
    session = Session.open(
        reference,
        data=data,
        store=store,
        settings=settings,
        name=reference_name,
        executor=executor,
        progress=progress,
    )
    if cell:
        require_crystal(atoms)
        if not session.reference.has_stress:
            raise InputError("the reference has no stress, so that a cell cannot be relaxed with it")
    session.begin([atoms], replay=("relax",))
    found = relax_by_learning(
        atoms,
        session,
        fmax=fmax,
        trust=TRUST * force_tolerance,
        max_calls=max_calls,
        purpose="relax",
        cell=cell,
    )
    return LearnedRelaxation(
        atoms=found.atoms,
        energy=found.frame.energy,
        max_force=found.max_force,
        stress=None if not cell or found.frame.stress is None else found.frame.stress / GPA,
        steps=session.used("relax"),
        converged=found.converged,
        n_reference=session.used("relax"),
    )
