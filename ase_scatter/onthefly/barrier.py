"""Barriers for a handful of reference calculations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.optimize import BFGS, LBFGS

from ..compute.parallel import Progress
from ..errors import InputError
from ..properties.barriers import Barrier
from ..properties.elastic_band import BatchedNEB, arc, first_guess, optimise
from ..properties.end_states import AtomMap, displacement, fitting_end
from ..structures.dataset import Frame
from ..structures.system import System
from .reference import Source
from .relaxation import Relaxed, held, relax_by_learning
from .session import Session
from .settings import LearningSettings
from .trusted import AskingCalculator, TrustedCalculator, Unsure

TRUST = 3.0
"""The band stops for the reference where a half-width is this many times the tolerance."""
SAME_STATE = 0.1
"""Å. Relaxed ends that differ by less are one state."""
STEPS = 200
"""Of the optimizer between two calls."""


@dataclass(frozen=True)
class LearnedBarrier(Barrier):
    """A minimum-energy path found by learning; energies at labelled images are those of the reference.

    Parameters
    ----------
    energies : ndarray, shape (n,)
        Energies of the images, ends included, eV.
    path : ndarray, shape (n,)
        Distance along the path, Å, summed over the minimum-image displacements of all atoms.
    slopes : ndarray, shape (n,)
        dE/d(path), eV/Å.
    forward, backward : float
        Energy of the highest image above the first and above the last, eV.
    images : tuple of Atoms
        The structures, without calculators.
    max_force : float
        Largest force on the elastic band that is left, eV/Å.
    steps : int
        Steps of the optimizer.
    converged : bool
        Whether both ends and the elastic band reached their tolerances.
    energies_half_width : ndarray, shape (n,), or None
        Half-widths of the 90 % intervals of the energies above that of the first image, eV; None without a
        committee.
    forward_half_width, backward_half_width : float or None
        Half-widths of the 90 % intervals of the two barriers, eV; None without a committee.
    mapping : AtomMap or None
        How atoms were reordered; None if they stayed in the order given.
    n_reference : int
        Calls of the reference on the band.
    n_reference_ends : int
        Calls for the two ends.
    labelled : tuple of bool
        Which images the reference has confirmed where they are.
    saddle_error : float
        Largest error of a force on the saddle before the reference was asked the last time, eV/Å.
    history : tuple of tuple of float
        For each call on the band, the largest half-width of the force before (eV/Å), and the energy of the
        structure above the first end (eV).
    """

    n_reference: int = 0
    n_reference_ends: int = 0
    labelled: tuple[bool, ...] = ()
    saddle_error: float = np.nan
    history: tuple[tuple[float, float], ...] = ()


def learn_barrier(
    initial: Atoms,
    final: Atoms,
    reference: Source | Session,
    *,
    images: int = 5,
    fmax: float = 0.05,
    force_tolerance: float = 0.1,
    end_fmax: float = 0.02,
    ends: Literal["learn", "reference", "given"] = "learn",
    spring: float = 0.1,
    max_calls: int = 60,
    reorder: bool | None = None,
    data: str | Path | Iterable[Frame | Atoms] | None = None,
    store: str | Path | None = None,
    settings: LearningSettings | None = None,
    executor: Executor | None = None,
    reference_name: str | None = None,
    progress: Progress = False,
) -> LearnedBarrier:
    """Minimum-energy path between two structures at the accuracy of a reference.

    The band relaxes on the potential as long as it is sure, within a trust region. Where it is not, the
    reference labels the worst image, and the potential learns. Once the band has come to rest, the reference
    labels its highest image, until potential and reference agree there.

    Parameters
    ----------
    initial, final : Atoms
        The two ends, of the same composition and cell.
    reference : calculator, callable or Session
        A calculator of ASE with energies and forces, or a function that makes one.
    images : int, default 5
        Moving images.
    fmax : float, default 0.05
        Tolerance on the forces on the elastic band, and on the error of the forces on the saddle, eV/Å.
    force_tolerance : float, default 0.1
        Half-width of forces (eV/Å) that is trusted at the end; on the way, `TRUST` times as much.
    end_fmax : float, default 0.02
        Tolerance on the forces at the ends, eV/Å.
    ends : {"learn", "reference", "given"}, default "learn"
        Whether the ends are relaxed on the potential and verified, by the reference alone, or not at all.
    spring : float, default 0.1
        Spring constant, eV/Å².
    max_calls : int, default 60
        Most calls of the reference on the band, and for each end.
    reorder : bool, optional
        As in `migration_barrier`.
    data : str, Path or iterable of Frame or Atoms, optional
        Labelled structures to begin with.
    store : str or Path, optional
        Folder that keeps the results of the reference; a run that was stopped goes on from it.
    settings : LearningSettings, optional
        How the potential learns.
    executor : concurrent.futures.Executor, optional
        Where several unsure images are computed at once.
    reference_name : str, optional
        What the reference is called in the store.
    progress : bool or callable, default False
        Whether, or by which function, calls of the reference are shown.

    Returns
    -------
    LearnedBarrier

    Raises
    ------
    InputError
        For ends that do not belong together or are no minima, and for a reference that fails.
    """
    if ends not in ("learn", "reference", "given"):
        raise InputError(f"ends is {ends!r}, but must be 'learn', 'reference' or 'given'")
    final, mapping = fitting_end(initial, final, images, reorder)
    session = Session.open(
        reference,
        data=data,
        store=store,
        settings=settings,
        name=reference_name,
        executor=executor,
        progress=progress,
    )
    session.begin([initial, final], replay=("ends", "band"))
    trust = TRUST * force_tolerance
    relaxed = [_end(end, session, ends, end_fmax, trust, max_calls) for end in (initial, final)]
    first, last = (each.atoms for each in relaxed)
    if np.abs(displacement(first, last)).max() < SAME_STATE:
        raise InputError("both ends relax into the same structure, so that there is no path between them")
    search = _Search(session, relaxed, images, spring, fmax, force_tolerance, trust)
    converged = search.run(max_calls)
    return search.result(converged and all(end.converged for end in relaxed), mapping)


def _end(atoms: Atoms, session: Session, how: str, fmax: float, trust: float, max_calls: int) -> Relaxed:
    """A relaxed end."""
    if how == "learn":
        return relax_by_learning(atoms, session, fmax=fmax, trust=trust, max_calls=max_calls, purpose="ends")
    atoms = atoms.copy()
    if how == "reference":
        atoms.calc = AskingCalculator(session, "ends")
        with BFGS(atoms, logfile=None) as run:
            run.run(fmax=fmax, steps=10 * max_calls)
        atoms.calc = None
    (frame,) = session.label([atoms], "ends")
    if frame is None or frame.forces is None:
        raise InputError("the reference failed at an end of the path")
    force = float(np.linalg.norm(held(atoms, frame.forces), axis=1).max())
    if force > max(fmax, 0.1) and how == "given":
        raise InputError(
            f"an end of the path is no minimum: the reference leaves a force of {force:.2f} eV/Å; "
            "relax it first, or let it be relaxed (ends='learn')"
        )
    return Relaxed(atoms, frame, force, force <= fmax or how == "given")


class _Search:
    """The band, and what is known of it."""

    def __init__(
        self,
        session: Session,
        ends: Sequence[Relaxed],
        images: int,
        spring: float,
        fmax: float,
        tolerance: float,
        trust: float,
    ) -> None:
        self.session, self.fmax, self.tolerance, self.trust = session, fmax, tolerance, trust
        self.spring = spring
        self.ends = ends
        self.band = first_guess(ends[0].atoms, ends[1].atoms, images)
        self.steps = 0
        self.max_force = np.nan
        self.saddle_error = np.nan
        self.history: list[tuple[float, float]] = []

    def run(self, max_calls: int) -> bool:
        """Relax and label until the reference confirms the saddle."""
        trust = self.trust
        while len(self.history) < max_calls:
            try:
                settled = self._relax(trust)
            except Unsure as unsure:
                if not self._label(unsure.structures, unsure.worst):
                    trust *= 0.5  # the reference could not: go less far from what is known
                continue
            judged = self.session.judge(self.band)
            top = 1 + int(np.argmax([each.energy for each in judged[1:-1]]))
            (frame,) = self._label([self.band[top]], judged[top].worst) or (None,)
            if frame is None or frame.forces is None:
                return False
            self.saddle_error = float(np.abs(judged[top].forces - frame.forces).max())
            if self.saddle_error <= self.fmax:
                return settled
            trust = self.trust
        return False

    def _relax(self, trust: float) -> bool:
        """Relax the band on the potential; raises Unsure."""
        calculator = TrustedCalculator(self.session, trust)
        for image in self.band:
            image.calc = None
        neb = BatchedNEB(self.band, calculator, method="improvedtangent", k=self.spring, climb=False)
        converged, taken = optimise(neb, True, self.fmax, STEPS, lambda: None, LBFGS)
        self.steps += taken
        self.max_force = float(np.linalg.norm(neb.get_forces(), axis=1).max())
        return converged

    def _label(self, structures: Sequence[Atoms], worst: float) -> list[Frame]:
        """Ask the reference about the worst image, or about all where several can be computed at once."""
        chosen = structures if self.session.reference.parallel else structures[:1]
        frames = [frame for frame in self.session.label(chosen, "band") if frame is not None]
        first = self.ends[0].frame.energy
        self.history += [(worst, frame.energy - first) for frame in frames]
        return frames

    def result(self, converged: bool, mapping: AtomMap | None) -> LearnedBarrier:
        """The band with the energies of the reference where they are known."""
        session = self.session
        judged = session.judge(self.band)
        energies = np.array([each.energy for each in judged])
        widths = np.array([each.energy_half_width for each in judged])
        labelled = []
        for k, image in enumerate(self.band):
            entry = session.store.find(System.from_atoms(image))
            labelled.append(entry is not None and entry.frame is not None)
            if entry is not None and entry.frame is not None:
                energies[k], widths[k] = entry.frame.energy, 0.0
        calculator = TrustedCalculator(session, np.inf)
        for image, results in zip(self.band, calculator.evaluate_many(self.band), strict=True):
            image.calc = SinglePointCalculator(image, **results)
        path, slopes = arc(self.band)
        for image in self.band:
            image.calc = None
        top = int(energies.argmax())
        return LearnedBarrier(
            energies=energies,
            path=path,
            slopes=slopes,
            forward=float(energies.max() - energies[0]),
            backward=float(energies.max() - energies[-1]),
            images=tuple(image.copy() for image in self.band),
            max_force=self.max_force,
            steps=self.steps,
            converged=converged,
            energies_half_width=widths,
            forward_half_width=float(widths[top]),
            backward_half_width=float(widths[top]),
            mapping=mapping,
            n_reference=session.used("band"),
            n_reference_ends=session.used("ends"),
            labelled=tuple(labelled),
            saddle_error=self.saddle_error,
            history=tuple(self.history),
        )
