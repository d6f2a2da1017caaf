"""Molecular dynamics at the accuracy of a reference for a handful of its calculations."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from numpy.typing import NDArray

from ..compute.parallel import Progress
from ..errors import InputError
from ..properties.result import Result
from ..structures.dataset import Frame
from ..structures.system import System
from .reference import Source
from .session import Session
from .settings import LearningSettings
from .trusted import labels_of

JUDGED_EVERY = 8
"""Steps between which half-widths are computed; atoms that come too near are seen at every step."""


@dataclass(frozen=True)
class LearnedDynamics(Result):
    """A trajectory run by learning.

    Parameters
    ----------
    atoms : Atoms
        The last structure, with its velocities.
    times : ndarray, shape (s,)
        fs, of each judged step.
    temperatures : ndarray, shape (s,)
        K.
    half_widths : ndarray, shape (s,)
        Largest half-width of a force, eV/Å.
    called : ndarray, shape (n_reference,)
        fs, when the reference was asked.
    n_reference : int
        Calls of the reference that were learnt from.
    n_checks : int
        Steps drawn at random that the reference has checked, too.
    inside : float
        Fraction of the force components of the checks within their half-widths; nan without checks.
    error : float
        Mean absolute error of the force components of the checks, eV/Å; nan without checks.
    steps : int
        Steps taken.
    """

    atoms: Atoms
    times: NDArray[np.float64]
    temperatures: NDArray[np.float64]
    half_widths: NDArray[np.float64]
    called: NDArray[np.float64]
    n_reference: int
    n_checks: int
    inside: float
    error: float
    steps: int


def learn_md(
    atoms: Atoms,
    reference: Source | Session,
    *,
    temperature: float | tuple[float, float] = 300.0,
    steps: int = 1000,
    timestep: float = 1.0,
    friction: float = 0.01,
    force_tolerance: float = 0.1,
    max_calls: int = 500,
    checks: int = 0,
    seed: int = 0,
    data: str | Path | Iterable[Frame | Atoms] | None = None,
    store: str | Path | None = None,
    settings: LearningSettings | None = None,
    executor: Executor | None = None,
    reference_name: str | None = None,
    progress: Progress = False,
) -> LearnedDynamics:
    """Langevin dynamics in which the reference is asked where the potential is unsure.

    Parameters
    ----------
    atoms : Atoms
        The structure; it stays as it is. Velocities are kept if it has any.
    reference : calculator, callable or Session
        A calculator of ASE with energies and forces, or a function that makes one.
    temperature : float or (float, float), default 300.0
        K; two are the ends of a ramp.
    steps : int, default 1000
        Number of steps.
    timestep : float, default 1.0
        fs.
    friction : float, default 0.01
        1/fs.
    force_tolerance : float, default 0.1
        Half-width of forces above which the reference is asked, eV/Å.
    max_calls : int, default 500
        Most calls of the reference; the run stops there.
    checks : int, default 0
        Number of steps, drawn at random, at which the reference is asked without learning from it.
    seed : int, default 0
        Of the random numbers.
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
    LearnedDynamics

    Raises
    ------
    InputError
        For numbers that make no sense, and for a reference that fails.
    """
    first, last = temperature if isinstance(temperature, tuple) else (temperature, temperature)
    if min(first, last) <= 0 or steps < 1 or not timestep > 0 or not friction > 0:
        raise InputError("temperatures, steps, timestep and friction must be positive")
    session = Session.open(
        reference,
        data=data,
        store=store,
        settings=settings,
        name=reference_name,
        executor=executor,
        progress=progress,
    )
    atoms = atoms.copy()
    session.begin([atoms], replay=("md",))
    rng = np.random.default_rng(seed)
    if not atoms.get_momenta().any():
        thermalize_momenta(atoms, temperature_K=first, rng=rng)
    checked = set(np.random.default_rng(seed + 1).choice(steps, min(checks, steps), replace=False).tolist())
    calculator = _Stepping(session, force_tolerance)
    atoms.calc = calculator
    run = Langevin(
        atoms, timestep * units.fs, temperature_K=first, friction=friction / units.fs, rng=rng, fixcm=False
    )
    seen: list[tuple[float, float, float]] = []
    called: list[float] = []
    errors: list[NDArray[np.float64]] = []
    inside: list[NDArray[np.bool_]] = []
    taken = 0
    for step in range(steps):
        before = session.used("md")
        run.set_temperature(temperature_K=first + (last - first) * step / steps)
        run.run(1)
        taken += 1
        if session.used("md") > before:
            called.append(taken * timestep)
        if calculator.width is not None:
            seen.append((taken * timestep, float(atoms.get_temperature()), calculator.width))
        if step in checked:
            _check(session, atoms, errors, inside)
        if session.used("md") >= max_calls:
            break
    atoms.calc = None
    table = np.array(seen).reshape(-1, 3)
    return LearnedDynamics(
        atoms=atoms,
        times=table[:, 0],
        temperatures=table[:, 1],
        half_widths=table[:, 2],
        called=np.array(called),
        n_reference=session.used("md"),
        n_checks=len(errors),
        inside=float(np.mean(np.concatenate(inside))) if inside else np.nan,
        error=float(np.mean(np.concatenate(errors))) if errors else np.nan,
        steps=taken,
    )


def _check(
    session: Session, atoms: Atoms, errors: list[NDArray[np.float64]], inside: list[NDArray[np.bool_]]
) -> None:
    """Compare a step with the reference, without learning."""
    (judged,) = session.judge([atoms])
    frame = session.check(atoms)
    if frame is not None and frame.forces is not None:
        wrong = np.abs(judged.forces - frame.forces)
        errors.append(wrong.ravel())
        inside.append((wrong <= judged.force_half_widths[:, None]).ravel())


class _Stepping(Calculator):
    """The potential, and the reference where it is unsure; half-widths at some of the steps."""

    implemented_properties = ["energy", "free_energy", "forces"]  # noqa: RUF012

    def __init__(self, session: Session, tolerance: float) -> None:
        super().__init__()
        self._session, self._tolerance = session, tolerance
        self._since = JUDGED_EVERY
        self.width: float | None = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        self.results = {}
        super().calculate(atoms)
        assert self.atoms is not None
        session, self.width = self._session, None
        system = System.from_atoms(self.atoms)
        self._since += 1
        if session.knows and self._since < JUDGED_EVERY and not session.learner.reach.outside(system):
            values = session.model.evaluate([system], workers=1)[0][0]
            self.results = {"energy": values.energy, "free_energy": values.energy, "forces": values.forces}
            session.saved += 1
            return
        self._since = 0
        if session.knows:
            (judged,) = session.judge([self.atoms])
            self.width = float(judged.force_half_widths.max())
            self.results = {"energy": judged.energy, "free_energy": judged.energy, "forces": judged.forces}
            if judged.worst <= self._tolerance:
                session.saved += 1
                return
        (frame,) = session.label([self.atoms], "md")
        if frame is not None:
            self.results = labels_of(frame)
        elif self.width is None or self.width > 5 * self._tolerance:
            raise InputError(f"the reference failed where the potential is unsure: {session.log[-1].note}")
