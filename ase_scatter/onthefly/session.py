"""One run of learning: the reference, its store, the potential, and what has happened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

from ase import Atoms

from ..compute.parallel import Progress
from ..errors import InputError
from ..model.model import Model
from ..structures.dataset import Frame, as_frames
from ..structures.system import System
from .learner import Judgement, Learner
from .reference import MOST_FAILURES, Labels, Reference, Source, frame_of
from .settings import LearningSettings
from .signs import stress_contradicts
from .store import CHECK, Entry, Store


@dataclass(frozen=True)
class Event:
    """What happened once.

    Parameters
    ----------
    what : str
        "reference", "failed", "stored" or "data".
    purpose : str
        What for.
    half_width : float or None
        Largest half-width of a force before, eV/Å.
    error : float or None
        Largest error of a component of a force before, eV/Å.
    note : str
        Why.
    """

    what: str
    purpose: str
    half_width: float | None = None
    error: float | None = None
    note: str = ""


@dataclass
class Session:
    """A run of learning.

    Parameters
    ----------
    reference : Reference
        What counts as true.
    store : Store
        Its results.
    settings : LearningSettings
        The settings.
    progress : bool or callable
        Whether, or by which function, calls of the reference are shown.

    Attributes
    ----------
    log : list of Event
        What has happened.
    n_reference : int
        Calls of the reference in this run.
    saved : int
        Structures that were predicted.
    """

    reference: Reference
    store: Store
    settings: LearningSettings
    progress: Progress = False
    log: list[Event] = field(default_factory=list, init=False)
    n_reference: int = field(default=0, init=False)
    saved: int = field(default=0, init=False)
    _learner: Learner | None = field(default=None, init=False)
    _given: list[Frame] = field(default_factory=list, init=False)
    _waiting: list[Entry] = field(default_factory=list, init=False)
    _used: list[Entry] = field(default_factory=list, init=False)

    @classmethod
    def open(
        cls,
        reference: Source | Session,
        *,
        data: str | Path | Iterable[Frame | Atoms] | None = None,
        store: str | Path | None = None,
        settings: LearningSettings | None = None,
        name: str | None = None,
        executor: Executor | None = None,
        progress: Progress = False,
    ) -> Session:
        """Begin a run, or go on with one.

        Parameters
        ----------
        reference : calculator, callable or Session
            What counts as true, as in `Reference`; a session stays as it is.
        data : str, Path or iterable of Frame or Atoms, optional
            Labelled structures to begin with.
        store : str or Path, optional
            Folder of the results.
        settings : LearningSettings, optional
            The settings.
        name : str, optional
            What the reference is called in the store.
        executor : concurrent.futures.Executor, optional
            Where several structures are computed at once.
        progress : bool or callable
            Whether, or by which function, calls of the reference are shown.

        Returns
        -------
        Session

        Raises
        ------
        InputError
            As in `Reference`, `Store` and `as_frames`.
        """
        if isinstance(reference, Session):
            return reference
        truth = Reference(reference, name, executor)
        session = cls(truth, Store(store, truth.identity()), settings or LearningSettings(), progress)
        session._given = [] if data is None else as_frames(data)
        return session

    # ---- the potential -------------------------------------------------------------------------------

    def begin(self, structures: Sequence[Atoms], replay: Sequence[str] = ()) -> None:
        """Choose the columns, and learn what is known already.

        A run that was stopped takes the course that it took before: results for its own purposes are learnt
        when they are asked for again, until something else is asked for; then all the rest is learnt.

        Parameters
        ----------
        structures : sequence of Atoms
            Structures that are going to be asked about.
        replay : sequence of str
            Purposes of this run.
        """
        if self._learner is not None:
            return
        self._waiting = [e for e in self.store.entries if e.frame is not None and e.purpose in replay]
        old = [e for e in self.store.entries if e.purpose != CHECK and e not in self._waiting]
        known = [*self._given, *(e.frame for e in old if e.frame is not None)]
        systems = [frame.system for frame in known[:3]]
        systems += [System.from_atoms(atoms) for atoms in structures]
        learner = Learner(systems, self.settings)
        for frame in known:
            learner.add(frame)
        self._learner = learner
        self.log += [Event("data", frame.group) for frame in self._given]
        self.log += [Event("stored", entry.purpose, note=entry.failure) for entry in old]

    @property
    def learner(self) -> Learner:
        """The potential that grows.

        Raises
        ------
        InputError
            Before `begin`.
        """
        if self._learner is None:
            raise InputError("nothing has been learnt yet; compute a structure first")
        return self._learner

    @property
    def knows(self) -> bool:
        """Whether anything has been learnt."""
        return self._learner is not None and bool(self._learner.frames)

    @property
    def model(self) -> Model:
        """The potential as it is now."""
        return self.learner.model

    @property
    def dataset(self) -> list[Frame]:
        """All labelled structures to learn from: those given, and those of the reference."""
        return [*self._given, *self.store.frames]

    def judge(self, structures: Sequence[Atoms]) -> list[Judgement]:
        """Predict structures with half-widths.

        Parameters
        ----------
        structures : sequence of Atoms
            The structures.

        Returns
        -------
        list of Judgement
        """
        return self.learner.judge([System.from_atoms(atoms) for atoms in structures])

    # ---- the reference -------------------------------------------------------------------------------

    def label(self, structures: Sequence[Atoms], purpose: str) -> list[Frame | None]:
        """Ask the reference, and learn; what the store knows is taken from there.

        Parameters
        ----------
        structures : sequence of Atoms
            The structures.
        purpose : str
            What for.

        Returns
        -------
        list of Frame or None
            None where the reference failed.

        Raises
        ------
        InputError
            If the reference has failed several times in a row, or at first.
        """
        self.begin(structures)
        systems = [System.from_atoms(atoms) for atoms in structures]
        found: list[Frame | None] = [None] * len(systems)
        ask = []
        for number, system in enumerate(systems):
            entry = self.store.find(system)
            if entry is None:
                ask.append(number)
                continue
            self._count(entry)
            found[number] = entry.frame
            if entry in self._waiting:
                self._waiting.remove(entry)
                self._learn(entry, "stored")
        if ask:
            # Another course than before: all that is known counts.
            waiting, self._waiting = self._waiting, []
            for entry in waiting:
                self._learn(entry, "stored")
        for place, labels in self.reference.compute([structures[number] for number in ask]):
            number = ask[place]
            # On disk before anything else happens.
            entry = _entry(systems[number], labels, purpose)
            self.store.add(entry)
            self.n_reference += 1
            self._count(entry)
            found[number] = self._learn(entry)
        return found

    def used(self, purpose: str) -> int:
        """Number of results that this run has asked for, failed ones and those of the store included.

        Parameters
        ----------
        purpose : str
            What for.

        Returns
        -------
        int
        """
        return sum(entry.purpose == purpose for entry in self._used)

    def _count(self, entry: Entry) -> None:
        if entry not in self._used:
            self._used.append(entry)

    def check(self, atoms: Atoms) -> Frame | None:
        """Ask the reference without learning, to see how good the potential is.

        Parameters
        ----------
        atoms : Atoms
            The structure.

        Returns
        -------
        Frame or None
            None where the reference failed.
        """
        system = System.from_atoms(atoms)
        entry = self.store.find(system)
        if entry is None:
            ((_, labels),) = self.reference.compute([atoms])
            entry = _entry(system, labels, CHECK)
            self.store.add(entry)
        return entry.frame

    def _learn(self, entry: Entry, what: str = "reference") -> Frame | None:
        frame = entry.frame
        if frame is None:
            self.log.append(Event("failed", entry.purpose, note=entry.failure))
            self.reference.failures += 1
            if self.reference.failures >= MOST_FAILURES or not self.knows:
                raise InputError(
                    f"the reference failed {self.reference.failures} time(s) in a row, last with: "
                    f"{entry.failure}"
                )
            return None
        self.reference.failures = 0
        if self.settings.use_stress and self.knows and stress_contradicts(self.learner.frames[-1], frame):
            raise InputError(
                "the stress of the reference has the wrong sign for its energies (it must be dE/dε over the "
                "volume, positive in tension); mend the calculator and begin with an empty store, or learn "
                "without stresses (use_stress=False)"
            )
        half_width = error = None
        if self.knows:
            judged = self.learner.judge([frame.system])[0]
            half_width = float(judged.force_half_widths.max())
            assert frame.forces is not None
            error = float(abs(judged.forces - frame.forces).max())
        self.learner.add(frame)
        self.log.append(Event(what, entry.purpose, half_width, error))
        self._show(entry.purpose, half_width)
        return frame

    def _show(self, purpose: str, half_width: float | None) -> None:
        """One line: calls so far, calls saved, half-width."""
        if callable(self.progress):
            self.progress(f"reference calls, {purpose}", self.n_reference, None)
        elif self.progress:
            import sys

            told = "" if half_width is None else f", half-width {half_width:.3f} eV/Å"
            line = f"{purpose}: {self.n_reference} reference calls, {self.saved} saved{told}"
            sys.stderr.write(f"\r{line:<78}")
            sys.stderr.flush()


def _entry(system: System, labels: Labels | str, purpose: str) -> Entry:
    if isinstance(labels, str):
        return Entry(system, purpose, None, labels)
    return Entry(system, purpose, frame_of(system, labels, purpose))
