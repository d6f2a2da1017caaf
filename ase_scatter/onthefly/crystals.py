"""Elastic constants and phonons for a handful of reference calculations.

Both are second derivatives of the energy: a few strained or displaced crystals hold them all. Structures are
labelled one after the other, each the one of a pool that adds the most information (D-optimal), until the
half-widths of the property itself are as small as asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from ase import Atoms
from ase.optimize import BFGS
from numpy.typing import NDArray

from ..calculator import ScatteringCalculator
from ..compute.parallel import Progress
from ..errors import InputError
from ..properties.common import require_crystal
from ..properties.elastic import ElasticConstants, elastic_constants
from ..properties.phonons import Phonons, phonons
from ..properties.relax import relax_positions
from ..properties.result import Result
from ..properties.supercells import LENGTH, Supercell, repetitions
from ..structures.dataset import Frame
from ..structures.system import System
from ..units import from_voigt
from .reference import Source
from .relaxation import relax_by_learning
from .session import Session
from .settings import LearningSettings

RATTLE = {"elastic": 0.004, "phonons": 0.02}
"""Å. Standard deviations of the displacements of the pool: what is harmonic is learnt from what is small."""
SETTLED = 0.002
"""eV/Å. Forces of the potential on the ions of a strained crystal that is labelled."""
FARTHEST = 0.1
"""Å. No ion goes further for that."""
STRAIN = 0.01
"""Strains of the pool."""
LEAST_CALLS = 3
"""Structures of the pool that are labelled at least, so that the half-widths have been checked."""
SMALL = 0.1
"""Constants and frequencies below this fraction of the largest need only be as exact as that fraction."""

T = TypeVar("T", bound=Result)


@dataclass(frozen=True)
class Learned(Result, Generic[T]):
    """A property found by learning.

    Parameters
    ----------
    found : Result
        The property, with half-widths.
    atoms : Atoms
        The crystal that it belongs to.
    n_reference : int
        Calls of the reference.
    half_width : float
        Largest half-width over its value, small values counted as larger ones (`SMALL`).
    converged : bool
        Whether it is as small as asked.
    history : tuple of float
        The same after each call.
    """

    found: T
    atoms: Atoms
    n_reference: int
    half_width: float
    converged: bool
    history: tuple[float, ...]


def learn_elastic(
    atoms: Atoms,
    reference: Source | Session,
    *,
    tolerance: float = 0.02,
    relax: bool = True,
    fmax: float = 0.005,
    force_tolerance: float = 0.1,
    max_calls: int = 30,
    data: str | Path | Iterable[Frame | Atoms] | None = None,
    store: str | Path | None = None,
    settings: LearningSettings | None = None,
    executor: Executor | None = None,
    reference_name: str | None = None,
    progress: Progress = False,
) -> Learned[ElasticConstants]:
    """Elastic tensor with relaxed ions at the accuracy of a reference.

    Parameters
    ----------
    atoms : Atoms
        A crystal.
    reference : calculator, callable or Session
        A calculator of ASE with energies, forces and stresses, or a function that makes one.
    tolerance : float, default 0.02
        Half-width of each constant, over its value.
    relax : bool, default True
        Whether cell and ions are relaxed first, by learning, too.
    fmax : float, default 0.005
        Tolerance of that, as in `learn_relax`.
    force_tolerance : float, default 0.1
        As in `learn_relax`.
    max_calls : int, default 30
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
    Learned of ElasticConstants

    Raises
    ------
    InputError
        If the atoms are no crystal, or the reference fails or has no stress.
    """
    require_crystal(atoms)
    session = Session.open(
        reference,
        data=data,
        store=store,
        settings=settings,
        name=reference_name,
        executor=executor,
        progress=progress,
    )
    if not session.reference.has_stress:
        raise InputError("the reference has no stress, which elastic constants need")
    session.begin([atoms], replay=("elastic",))
    if relax:
        atoms = relax_by_learning(
            atoms,
            session,
            fmax=fmax,
            trust=3 * force_tolerance,
            max_calls=max_calls,
            purpose="elastic",
            cell=True,
        ).atoms

    def measured() -> tuple[ElasticConstants, NDArray[np.float64], NDArray[np.float64]]:
        found = elastic_constants(atoms, ScatteringCalculator(session.model))
        widths = found.tensor_half_width
        assert widths is not None
        return found, found.tensor, widths

    pool = [_strained(atoms, sign * STRAIN * row) for _ in range(2) for row in np.eye(6) for sign in (1, -1)]
    return _sharpened(session, atoms, pool, measured, "elastic", tolerance, max_calls, _settled)


def learn_phonons(
    atoms: Atoms,
    reference: Source | Session,
    *,
    supercell: Supercell = LENGTH,
    tolerance: float = 0.02,
    max_calls: int = 30,
    data: str | Path | Iterable[Frame | Atoms] | None = None,
    store: str | Path | None = None,
    settings: LearningSettings | None = None,
    executor: Executor | None = None,
    reference_name: str | None = None,
    progress: Progress = False,
    **options: Any,
) -> Learned[Phonons]:
    """Phonons at the accuracy of a reference.

    Parameters
    ----------
    atoms : Atoms
        A crystal, relaxed with the reference (`learn_relax`).
    reference : calculator, callable or Session
        A calculator of ASE with energies and forces, or a function that makes one.
    supercell : three int or float, default 15.0
        As in `phonons`; all calls of the reference are of this supercell.
    tolerance : float, default 0.02
        Half-width of each frequency, over its value.
    max_calls : int, default 30
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
    **options
        As in `phonons`.

    Returns
    -------
    Learned of Phonons

    Raises
    ------
    InputError
        If the atoms are no crystal, or the reference fails.
    """
    require_crystal(atoms)
    session = Session.open(
        reference,
        data=data,
        store=store,
        settings=settings,
        name=reference_name,
        executor=executor,
        progress=progress,
    )
    rng = np.random.default_rng(session.settings.seed)
    large = atoms.repeat(repetitions(atoms, supercell).tolist())
    pool = [_shaken(large, RATTLE["phonons"], rng) for _ in range(max_calls)]

    session.begin(pool[:1], replay=("phonons",))

    def measured() -> tuple[Phonons, NDArray[np.float64], NDArray[np.float64]]:
        calculator = ScatteringCalculator(session.model)
        rest = relax_positions(atoms, calculator, fmax=1e-4).atoms
        # The lattice is the reference's: the potential's own may be under a little stress there.
        found = phonons(rest, calculator, supercell=supercell, stressed=True, **options)
        assert found.frequencies_half_width is not None
        return found, found.frequencies, found.frequencies_half_width

    return _sharpened(session, atoms, pool, measured, "phonons", tolerance, max_calls)


def _sharpened(
    session: Session,
    atoms: Atoms,
    pool: Sequence[Atoms],
    measured: Callable[[], tuple[T, NDArray[np.float64], NDArray[np.float64]]],
    purpose: str,
    tolerance: float,
    max_calls: int,
    prepared: Callable[[Session, Atoms], Atoms] = lambda session, atoms: atoms,
) -> Learned[T]:
    """Label structures of a pool until the property is as sure as asked."""
    session.begin(pool[:1])
    rows = (
        [session.learner.basis.rows(System.from_atoms(each)).matrix for each in pool] if session.knows else []
    )
    left, history, taken = list(range(len(pool))), [], 0
    while True:
        chosen = left[0]
        if session.knows:
            rows = rows or [session.learner.basis.rows(System.from_atoms(each)).matrix for each in pool]
            posterior = session.learner.posterior
            assert posterior is not None
            chosen = max(left, key=lambda k: posterior.gain(rows[k]))
        left.remove(chosen)
        taken += session.label([prepared(session, pool[chosen])], purpose)[0] is not None
        done = not left or session.used(purpose) >= max_calls
        if taken < LEAST_CALLS and not done:
            continue
        found, values, widths = measured()
        size = np.maximum(np.abs(values), SMALL * np.abs(values).max())
        history.append(float((widths / size).max()))
        if history[-1] <= tolerance or done:
            calls = session.used(purpose)
            return Learned(found, atoms.copy(), calls, history[-1], history[-1] <= tolerance, tuple(history))


def _settled(session: Session, atoms: Atoms) -> Atoms:
    """Ions near where the potential has them at rest in this cell, so that soft modes are told, too.

    Of a structure shaken at random much, forces of the stiffest modes hide those of the soft ones, which ions
    follow under strain.
    """
    moved: Atoms = atoms.copy()
    moved.calc = ScatteringCalculator(session.model)
    with BFGS(moved, logfile=None, maxstep=0.02) as run:
        for _ in run.irun(fmax=SETTLED, steps=100):
            if np.abs(moved.positions - atoms.positions).max() > FARTHEST:
                break
    rng = np.random.default_rng(len(session.learner.frames))
    return _shaken(moved, RATTLE["elastic"], rng)


def _strained(atoms: Atoms, strain: NDArray[np.float64]) -> Atoms:
    """Under an engineering strain (6,)."""
    moved: Atoms = atoms.copy()
    moved.calc = None
    deformation = np.eye(3) + from_voigt(strain * [1, 1, 1, 0.5, 0.5, 0.5])
    moved.set_cell(moved.cell @ deformation, scale_atoms=True)
    return moved


def _shaken(atoms: Atoms, amount: float, rng: np.random.Generator) -> Atoms:
    """Ions displaced."""
    moved: Atoms = atoms.copy()
    moved.calc = None
    moved.positions += rng.normal(0.0, amount, moved.positions.shape)
    return moved
