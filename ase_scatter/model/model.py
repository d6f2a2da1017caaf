"""A fitted potential: E = Σ_i E0(Z_i) + E_repulsion + Σ_λ w_λ S_λ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from ..compute import threads
from ..compute.memory import clear_when_full
from ..compute.parallel import Progress, bar, in_order
from ..compute.target import HOST, Target
from ..errors import InputError, UnknownElementError
from ..scattering.transform import Transform
from ..structures.batch import Batch, batches
from ..structures.system import Evaluation, System
from . import model_file
from .committee import Committee, Members, Uncertainty
from .document import assemble
from .repulsion import ZBLRepulsion
from .rows import Rows, by_number, with_free_atoms


@dataclass(frozen=True, eq=False)
class Model:
    """A sparse linear model on scattering coefficients; immutable.

    Parameters
    ----------
    name : str
        For people.
    transform : Transform
        The columns.
    weights : ndarray, shape (n_columns,)
        eV.
    e0 : mapping of str to float
        Energy of the free atom in eV by chemical symbol; these are the elements that the model knows.
    core : ZBLRepulsion, optional
        Short-range repulsion.
    metadata : mapping, optional
        What JSON can hold: provenance, citation, errors, reference values, values of the self-check.
    committee : Committee, optional
        Fits whose spread tells how sure the model is.

    Raises
    ------
    InputError
        If the parts do not fit together.

    References
    ----------
    .. [1] P. Sinz et al., J. Chem. Phys. 153, 084109 (2020), https://doi.org/10.1063/5.0016020
    """

    name: str
    transform: Transform
    weights: NDArray[np.float64]
    e0: Mapping[str, float]
    core: ZBLRepulsion | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    committee: Committee | None = None

    def __post_init__(self) -> None:
        weights = np.array(self.weights, dtype=np.float64)
        if weights.shape != (self.transform.n_columns,) or not np.isfinite(weights).all():
            raise InputError(
                f"the model's {self.transform.n_columns} columns need as many finite weights, "
                f"not an array shaped {weights.shape}"
            )
        unknown = [symbol for symbol in self.e0 if atomic_numbers.get(symbol, 0) < 1]
        if unknown or not self.e0 or not np.isfinite(list(self.e0.values())).all():
            raise InputError("e0 must give a finite energy to each of the model's elements")
        for part, known in (("transform", self.transform), ("core", self.core)):
            missing = [] if known is None else sorted(set(self.e0) - set(known.elements))
            if missing:
                raise InputError(f"e0 names {', '.join(missing)}, which the {part} does not know")
        if self.committee is not None and (
            self.committee.weights.shape[1] != len(weights) or set(self.committee.e0) != set(self.e0)
        ):
            raise InputError("the committee's columns and elements are not those of the model")
        domain = None if self.committee is None else self.committee.domain
        if domain is not None:
            domain.validate(self.elements, len(weights))
        weights.setflags(write=False)
        object.__setattr__(self, "weights", weights)
        ordered = sorted(self.e0.items(), key=lambda item: atomic_numbers[item[0]])
        object.__setattr__(self, "e0", {symbol: float(energy) for symbol, energy in ordered})
        object.__setattr__(self, "metadata", dict(self.metadata))

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols of the elements that it knows, by atomic number."""
        return tuple(self.e0)

    @property
    def knows_free_atoms(self) -> bool:
        """Whether E0 was known to the fit, which otherwise only makes energies small."""
        fit = self.metadata.get("fit", {})
        return bool(isinstance(fit, Mapping) and fit.get("free_atoms_known", False))

    @cached_property
    def hash(self) -> str:
        """Sixteen hexadecimal digits that change with anything that changes the energy."""
        return model_file.checksum(self._content())[:16]

    # ---- rows: the potential itself, and the members of its committee --------------------------------

    @cached_property
    def rows(self) -> Rows:
        """The potential itself."""
        return Rows(self.weights[None], by_number(self.e0)[None])

    @cached_property
    def rows_of_members(self) -> Rows:
        """The members of the committee.

        Raises
        ------
        InputError
            If the model has no committee.
        """
        committee = self._require_committee()
        e0 = [
            by_number({symbol: values[k] for symbol, values in committee.e0.items()})
            for k in range(len(committee))
        ]
        return Rows(committee.weights, np.array(e0))

    @cached_property
    def rows_of_all(self) -> Rows:
        """The potential and, after it, the members of its committee if it has one."""
        if self.committee is None:
            return self.rows
        pairs = zip(self.rows, self.rows_of_members, strict=True)
        return Rows(*(np.concatenate(pair) for pair in pairs))

    def member(self, k: int) -> Model:
        """The potential that a member of the committee is by itself, for the spread of any property.

        Parameters
        ----------
        k : int
            Which member, from 0 on.

        Returns
        -------
        Model

        Raises
        ------
        InputError
            If the model has no committee.
        """
        committee = self._require_committee()
        e0 = {symbol: values[k] for symbol, values in committee.e0.items()}
        return Model(f"{self.name}, member {k}", self.transform, committee.weights[k], e0, self.core)

    def _require_committee(self) -> Committee:
        if self.committee is None:
            raise InputError(
                f"model {self.name!r} has no committee, so that it cannot tell how sure it is; "
                "fit it anew with members=12 (fit --members 12)"
            )
        return self.committee

    # ---- the one route to energies -------------------------------------------------------------------

    def evaluate(
        self,
        systems: Sequence[System],
        rows: Rows | None = None,
        target: Target = HOST,
        *,
        workers: int | None = None,
        progress: Progress = False,
        name: str = "evaluate",
    ) -> list[list[Evaluation]]:
        """Energies, forces and strain gradients of structures of any sizes, for each row of weights.

        A CPU deals the structures out to its cores; a GPU takes as many at once as fit into its memory.
        The rows share the forward pass. Free atoms and repulsion are summed in float64.

        Parameters
        ----------
        systems : sequence of System
            The structures.
        rows : Rows, optional
            `rows` (the default), `rows_of_members` or `rows_of_all`.
        target : Target
            Where and how precisely; its grids serve all structures.
        workers : int, optional
            Structures at a time on a CPU; by default one per core.
        progress : bool or callable
            Whether, or by which function, progress is shown.
        name : str
            What the progress is called.

        Returns
        -------
        list of list of Evaluation
            Of each structure one for each row.

        Raises
        ------
        UnknownElementError
            For elements that are not among `elements`.
        DeviceError
            If the device is not there, or too small.
        InputError
            If a structure cannot be computed, or its energy or forces are not finite.
        """
        rows = self.rows if rows is None else rows
        # First of all: this refuses unknown elements.
        atomic = [self.free_atoms(system, rows.e0) for system in systems]

        def one(batch: Batch) -> list[list[Evaluation]]:
            # The repulsion first: it refuses atoms at the same place.
            repelled = None if self.core is None else self.core.evaluate_batch(batch)
            found = self.transform.evaluate_batch(batch, rows.weights, target)
            if repelled is None:
                return found
            return [[values + core for values in each] for each, core in zip(found, repelled, strict=True)]

        backend = target.backend
        cutoff = max(self.transform.cutoff, 0.0 if self.core is None else self.core.cutoff)
        parts = batches(systems, lambda system: self.transform.memory(system, target), backend, cutoff)
        several = 1
        if target.on_host:
            several = min(workers or threads.count(), len(systems)) or 1
        with clear_when_full(backend):
            results = chain.from_iterable(in_order(one, parts, several))
            found = list(bar(results, progress, name, len(systems)))
        found = [
            [with_free_atoms(values, free) for values, free in zip(each, mine, strict=True)]
            for each, mine in zip(found, atomic, strict=True)
        ]
        if not all(np.isfinite(v.energy) and np.isfinite(v.forces).all() for each in found for v in each):
            raise InputError(f"model {self.name!r} gives no finite energy and forces for such a structure")
        return found

    def evaluate_one(self, system: System, target: Target = HOST) -> Evaluation:
        """`evaluate` for one structure and the potential itself.

        Parameters
        ----------
        system : System
            The structure.
        target : Target
            Where and how precisely.

        Returns
        -------
        Evaluation
        """
        return self.evaluate([system], target=target)[0][0]

    def free_atoms(self, system: System, e0: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Free-atom energies of the atoms.

        Parameters
        ----------
        system : System
            The structure.
        e0 : ndarray, shape (n_rows, n_numbers), optional
            Free-atom energies in eV by atomic number, as in `Rows`; by default the model's own.

        Returns
        -------
        ndarray, shape (n_rows, N)
            eV.

        Raises
        ------
        UnknownElementError
            For elements without one.
        """
        atomic: NDArray[np.float64] = (self.rows.e0 if e0 is None else e0)[:, system.numbers]
        if np.isnan(atomic).any():
            unknown = sorted({chemical_symbols[z] for z in system.numbers[np.isnan(atomic[0])]})
            raise UnknownElementError(
                f"model {self.name!r} does not know {', '.join(unknown)}; "
                f"it was trained for {', '.join(self.elements)}"
            )
        return atomic

    # ---- how sure it is --------------------------------------------------------------------------

    def members(
        self,
        systems: Sequence[System],
        target: Target = HOST,
        *,
        workers: int | None = None,
        progress: Progress = False,
    ) -> list[Members]:
        """What each member of the committee gives for each structure.

        Parameters
        ----------
        systems : sequence of System
            The structures.
        target : Target
            Where and how precisely.
        workers : int, optional
            Structures at a time on a CPU; by default one per core.
        progress : bool or callable
            Whether, or by which function, progress is shown.

        Returns
        -------
        list of Members

        Raises
        ------
        InputError
            If the model has no committee.
        """
        committee = self._require_committee()
        found = self.evaluate(
            systems, self.rows_of_members, target, workers=workers, progress=progress, name="committee"
        )
        return [
            Members.of(system, values, committee.factors)
            for system, values in zip(systems, found, strict=True)
        ]

    def uncertainty(
        self,
        systems: Sequence[System],
        target: Target = HOST,
        *,
        workers: int | None = None,
        progress: Progress = False,
    ) -> list[Uncertainty]:
        """How far energies, forces and stresses may be off, and how far atoms are from the training data.

        Parameters
        ----------
        systems : sequence of System
            The structures.
        target : Target
            Where and how precisely.
        workers : int, optional
            Structures at a time on a CPU; by default one per core.
        progress : bool or callable
            Whether, or by which function, progress is shown.

        Returns
        -------
        list of Uncertainty

        Raises
        ------
        InputError
            If the model has no committee.
        """
        members = self.members(systems, target, workers=workers, progress=progress)
        several = min(workers or threads.count(), len(systems)) if target.on_host else 1
        grades = in_order(lambda system: self.grade(system, target), systems, several or 1)
        return [values.uncertainty(grade) for values, grade in zip(members, grades, strict=True)]

    def grade(self, system: System, target: Target = HOST) -> NDArray[np.float64]:
        """Extrapolation grade of each atom: above 1 it is beyond the training data.

        Parameters
        ----------
        system : System
            The structure.
        target : Target
            Where and how precisely.

        Returns
        -------
        ndarray, shape (N,)
            nan where the model does not know where its training data lie.

        Raises
        ------
        InputError
            If the model has no committee.
        """
        domain = self._require_committee().domain
        if domain is None:
            return np.full(len(system), np.nan)
        return domain.grade(self.transform, system, target)

    # ---- files -----------------------------------------------------------------------------------

    def _content(self) -> dict[str, Any]:
        """All that decides the energy."""
        return {
            "transform": self.transform.to_dict(),
            "weights": self.weights.tolist(),
            "e0": dict(self.e0),
            "core": None if self.core is None else self.core.to_dict(),
        }

    def save(self, path: str | Path, overwrite: bool = False) -> None:
        """Write the model to a file, which appears whole or not at all.

        Parameters
        ----------
        path : str or Path
            Where to.
        overwrite : bool
            Whether a file that exists is replaced.

        Raises
        ------
        InputError
            If the file exists and is not to be replaced, or cannot be written.
        """
        described = {"name": self.name, "elements": list(self.elements), "metadata": self.metadata}
        committee = None if self.committee is None else self.committee.to_dict()
        model_file.write(Path(path), described, self._content(), committee, overwrite=overwrite)

    @classmethod
    def load(cls, name_or_path: str | Path) -> Model:
        """Read a model from a file, or one of the shipped models by its name.

        What exists as a file or has a suffix is a path, anything else a shipped name.

        Parameters
        ----------
        name_or_path : str or Path
            The name or the path.

        Returns
        -------
        Model

        Raises
        ------
        ModelFileError
            For what is not there, is no model, is damaged, or is of a newer version.
        """
        return assemble(name_or_path, cls)
