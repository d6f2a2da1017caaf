"""A fitted potential, and the file that holds it.

E = Σ_i E0(Z_i) + E_core + Σ_λ w_λ S_λ. The file is JSON, with every number written so that it reads
back bit for bit, and with a checksum over all that decides the energy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from ..compute import threads
from ..compute.backend import require_device, require_dtype
from ..compute.memory import clear_when_full
from ..compute.parallel import bar, in_order
from ..errors import InputError, ModelFileError, UnknownElementError
from ..reporting.description import _flattened
from ..scattering import transform_from_dict
from ..scattering.transform import Shapes, Transform
from ..structures.batch import batches
from ..structures.system import Evaluation, System
from ..units import to_voigt
from .committee import Committee, Members, Uncertainty
from .model_file import FORMAT, UNITS, VERSION, _checksum, _find, _parse, _write_atomically
from .repulsion import ZBLCore


@dataclass(frozen=True, eq=False)
class Model:
    """A sparse linear model on scattering coefficients; immutable.

    name: for people. transform: the columns. weights: (n_columns,) in eV. e0: element → energy of
    the free atom in eV; its keys are the elements that the model knows. core: short-range
    repulsion, or None. metadata: what JSON can hold: provenance, citation, errors, reference
    values, golden. committee: fits whose spread tells how sure the model is, or None.
    Raises InputError if the parts do not fit together.
    """

    name: str
    transform: Transform
    weights: NDArray[np.float64]
    e0: Mapping[str, float]
    core: ZBLCore | None = None
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
        weights.setflags(write=False)
        object.__setattr__(self, "weights", weights)
        ordered = sorted(self.e0.items(), key=lambda item: atomic_numbers[item[0]])
        object.__setattr__(self, "e0", {symbol: float(energy) for symbol, energy in ordered})
        object.__setattr__(self, "metadata", dict(self.metadata))

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols of the elements that it knows, by atomic number."""
        return tuple(self.e0)

    @cached_property
    def hash(self) -> str:
        """Sixteen hexadecimal digits that change with anything that changes the energy."""
        return _checksum(self._content())[:16]

    def evaluate(
        self,
        system: System,
        shapes: Shapes | None = None,
        *,
        device: str = "cpu",
        dtype: str = "float64",
    ) -> Evaluation:
        """Energy (eV), forces (eV/Å) and strain gradient (eV) of a structure.

        shapes: frozen grids, as `transform.grid_shapes` gives them. device and dtype are those of
        the transform; E0 and core are always summed in float64 on the host. Raises
        UnknownElementError for elements that are not among `elements`.
        """
        if device != "cpu":
            return self.evaluate_many([system], shapes, device=device, dtype=dtype)[0]
        atomic = self.free_atoms(system)
        # The core first: it refuses atoms at the same place.
        core = None if self.core is None else self.core.evaluate(system)
        total = self.transform.evaluate(system, self.weights, shapes=shapes, device=device, dtype=dtype)
        return _with_atoms(total if core is None else total + core, atomic)

    def evaluate_many(
        self,
        systems: Sequence[System],
        shapes: Shapes | None = None,
        *,
        device: str = "cpu",
        dtype: str = "float64",
        workers: int | None = None,
        progress: str = "",
    ) -> list[Evaluation]:
        """`evaluate` for many structures of any sizes, side by side on so many cores (default: all).

        A GPU takes as many at once as fit into its memory. shapes: grids that all of them share.
        progress: what to call the bar, if there is to be one.
        """
        if device != "cpu":
            # First of all: it refuses unknown elements.
            atomic = [self.free_atoms(system) for system in systems]
            rows = self._on_device(systems, self.weights[None], shapes, device, dtype, progress)
            return [_with_atoms(values, mine) for (values,), mine in zip(rows, atomic, strict=True)]
        workers = min(workers or threads.count(), len(systems)) or 1

        def one(system: System) -> Evaluation:
            return self.evaluate(system, shapes, dtype=dtype)

        return list(in_order(one, systems, workers, bool(progress), progress))

    def _on_device(
        self,
        systems: Sequence[System],
        weights: NDArray[np.float64],
        shapes: Shapes | None,
        device: str,
        dtype: str,
        progress: str = "",
    ) -> list[list[Evaluation]]:
        """Of each structure transform and core with each row of weights, without free atoms."""
        backend = require_device(device)
        require_dtype(dtype)
        needs = [self.transform.device_memory(system, dtype) for system in systems]
        cutoff = max(self.transform.cutoff, 0.0 if self.core is None else self.core.cutoff)

        def each() -> Iterator[list[Evaluation]]:
            for batch in batches(systems, needs, backend, cutoff):
                # The core first: it refuses atoms at the same place.
                cores = None if self.core is None else self.core.evaluate_batch(batch)
                rows = self.transform.evaluate_batch(batch, weights, shapes=shapes, dtype=dtype)
                for k, several in enumerate(rows):
                    yield several if cores is None else [values + cores[k] for values in several]

        with clear_when_full(backend):
            return list(bar(each(), bool(progress), progress, len(systems)))

    @cached_property
    def _e0(self) -> NDArray[np.float64]:
        return _by_number(self.e0)

    def free_atoms(self, system: System, e0: Mapping[str, float] | None = None) -> NDArray[np.float64]:
        """Free-atom energy of each atom, (N,) in eV; UnknownElementError for elements without one.

        e0: other energies than the model's own.
        """
        atomic: NDArray[np.float64] = (self._e0 if e0 is None else _by_number(e0))[system.numbers]
        if np.isnan(atomic).any():
            unknown = sorted({chemical_symbols[z] for z in system.numbers[np.isnan(atomic)]})
            raise UnknownElementError(
                f"model {self.name!r} does not know {', '.join(unknown)}; "
                f"it was trained for {', '.join(self.elements)}"
            )
        return atomic

    # ---- how sure it is --------------------------------------------------------------------------

    def uncertainty(
        self,
        system: System,
        shapes: Shapes | None = None,
        *,
        device: str = "cpu",
        dtype: str = "float64",
    ) -> Uncertainty:
        """How far energy, forces and stress may be off, and how far the atoms are from the training data.

        It takes about as long as one evaluation per member. Raises InputError for a model without a
        committee.
        """
        members = self.members(system, shapes, device=device, dtype=dtype)
        domain = self._require_committee().domain
        grade = np.full(len(system), np.nan)
        if domain is not None:
            grade = domain.grade(self.transform, system, device=device)
        return members.uncertainty(grade)

    def member(self, k: int) -> Model:
        """The potential that member k of the committee is by itself, for the spread of any property."""
        committee = self._require_committee()
        e0 = {symbol: values[k] for symbol, values in committee.e0.items()}
        return Model(f"{self.name}, member {k}", self.transform, committee.weights[k], e0, self.core)

    def members(
        self,
        system: System,
        shapes: Shapes | None = None,
        *,
        device: str = "cpu",
        dtype: str = "float64",
    ) -> Members:
        """What each member of the committee gives, together: sooner than `member(k).evaluate` for each.

        Raises InputError for a model without a committee.
        """
        committee = self._require_committee()
        atomic = np.array(
            [
                self.free_atoms(system, {symbol: e0[k] for symbol, e0 in committee.e0.items()})
                for k in range(len(committee))
            ]
        )
        if device == "cpu":
            core = None if self.core is None else self.core.evaluate(system)
            found = self.transform.evaluate_members(system, committee.weights, shapes=shapes, dtype=dtype)
            found = found if core is None else [values + core for values in found]
        else:
            found = self._on_device([system], committee.weights, shapes, device, dtype)[0]
        local = [values.energies for values in found if values.energies is not None]
        stress = None
        if system.has_volume:
            stress = np.array([to_voigt(values.strain_gradient) for values in found]) / system.volume
        return Members(
            energy=np.array([values.energy for values in found]) + atomic.sum(axis=1),
            energies=np.array(local) + atomic if local else None,
            forces=np.array([values.forces for values in found]),
            stress=stress,
            factors=committee.factors,
        )

    def _require_committee(self) -> Committee:
        if self.committee is None:
            raise InputError(
                f"model {self.name!r} has no committee, so that it cannot tell how sure it is; "
                "fit it anew with members=12 (fit --members 12)"
            )
        return self.committee

    # ---- a check that travels with the model -----------------------------------------------------

    def make_golden(self, system: System) -> dict[str, Any]:
        """A structure with this model's values for it, to be kept as `metadata["golden"]`."""
        values = self.evaluate(system)
        return {
            "numbers": system.numbers.tolist(),
            "positions": system.positions.tolist(),
            "cell": system.cell.tolist(),
            "pbc": system.pbc.tolist(),
            "energy": values.energy,
            "forces": values.forces.tolist(),
            "strain_gradient": values.strain_gradient.tolist(),
        }

    def check_golden(
        self, rtol: float = 1e-8, *, device: str = "cpu", dtype: str = "float64"
    ) -> dict[str, float]:
        """Recompute the golden values; largest deviation of each, over max(1, largest value).

        Raises ModelFileError if one is above rtol, or if the model holds no golden values.
        """
        golden = self.metadata.get("golden")
        if golden is None:
            raise ModelFileError(f"model {self.name!r} holds no golden values to check against")
        system = System(
            numbers=np.array(golden["numbers"], dtype=np.int64),
            positions=np.array(golden["positions"], dtype=np.float64),
            cell=np.array(golden["cell"], dtype=np.float64),
            pbc=np.array(golden["pbc"], dtype=bool),
        )
        values = self.evaluate(system, device=device, dtype=dtype)
        deviations = {}
        for key in ("energy", "forces", "strain_gradient"):
            expected = np.array(golden[key], dtype=np.float64)
            difference = np.abs(getattr(values, key) - expected).max()
            deviations[key] = float(difference / max(1.0, np.abs(expected).max()))
        # Negated, so that NaN fails too.
        off = {key: value for key, value in deviations.items() if not value <= rtol}
        if off:
            listed = ", ".join(f"{key} by {value:.1e}" for key, value in off.items())
            raise ModelFileError(
                f"model {self.name!r} does not give the values it was saved with (off: {listed}; "
                f"allowed: {rtol:.0e}); this installation computes something else"
            )
        return deviations

    # ---- for people ------------------------------------------------------------------------------

    def describe(self) -> str:
        """What the model is, as a text."""
        core = "none"
        if self.core is not None:
            low, high = self.core.r_outer.min(), self.core.r_outer.max()
            core = f"ZBL, off beyond {low:.2f}" + (f" to {high:.2f} Å" if high > low else " Å")
        rows: list[tuple[str, Any]] = [
            ("model", self.name),
            ("hash", self.hash),
            ("elements", ", ".join(self.elements)),
            ("columns", self.transform.n_columns),
            ("transform", self.transform.kind),
        ]
        rows += _flattened(self.transform.to_dict().get("settings", {}), "transform ")
        rows.append(("core", core))
        rows += [(f"E0 {symbol} (eV)", f"{energy:.6f}") for symbol, energy in self.e0.items()]
        rows += _flattened({k: v for k, v in self.metadata.items() if k != "golden"})
        if self.committee is not None:
            rows.append(("committee", f"{len(self.committee)} members"))
            rows += [(f"committee factor {k}", f"{v:.3g}") for k, v in self.committee.factors.items()]
        rows.append(("golden values", "yes" if "golden" in self.metadata else "no"))
        width = max(len(label) for label, _ in rows)
        return "\n".join(f"{label:<{width}}  {value}" for label, value in rows)

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
        """Write the model; an existing file stays as it is (InputError) unless overwrite is true.

        The file appears whole or not at all, also if the writing is interrupted.
        """
        path = Path(path)
        if path.exists() and not overwrite:
            raise InputError(
                f"{path} exists; choose another name, or replace it with --force (overwrite=True)"
            )
        content = self._content()
        document = {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "units": UNITS,
            "elements": list(self.elements),
            "metadata": self.metadata,
            **content,
        }
        try:
            document["sha256"] = _checksum(content)
            if self.committee is not None:
                document["committee"] = self.committee.to_dict()
                document["committee_sha256"] = _checksum(document["committee"])
            text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
        except (TypeError, ValueError) as error:
            raise InputError(f"the model cannot be written as JSON: {error}") from error
        try:
            _write_atomically(path, text + "\n")
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror}") from error

    @classmethod
    def load(cls, name_or_path: str | Path) -> Model:
        """Read a model from a file, or one of the shipped models by its name.

        What exists as a file or has a suffix is a path, anything else a shipped name. Raises
        ModelFileError for what is not there, is no model, is damaged, or is of a newer version.
        """
        source = _find(name_or_path)
        document = _parse(source)
        content = {key: document[key] for key in ("transform", "weights", "e0", "core")}
        committee = document.get("committee")
        if _checksum(content) != document["sha256"] or (
            committee is not None and _checksum(committee) != document.get("committee_sha256")
        ):
            raise ModelFileError(
                f"{source} is damaged: its numbers do not fit its checksum; get the file anew"
            )
        try:
            return cls(
                name=document["name"],
                transform=transform_from_dict(content["transform"]),
                weights=content["weights"],
                e0=content["e0"],
                core=None if content["core"] is None else ZBLCore.from_dict(content["core"]),
                metadata=document["metadata"],
                committee=None if committee is None else Committee.from_dict(committee),
            )
        except InputError as error:
            raise ModelFileError(f"{source} cannot be used: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileError(
                f"{source} holds a model that this version cannot use ({type(error).__name__}: {error})"
            ) from error


def _by_number(e0: Mapping[str, float]) -> NDArray[np.float64]:
    """By atomic number; nan for elements without."""
    table = np.full(len(chemical_symbols), np.nan)
    table[[atomic_numbers[symbol] for symbol in e0]] = list(e0.values())
    return table


def _with_atoms(values: Evaluation, atomic: NDArray[np.float64]) -> Evaluation:
    """With the energies of the free atoms (N,) added."""
    energies = None if values.energies is None else values.energies + atomic
    return Evaluation(float(values.energy + atomic.sum()), values.forces, values.strain_gradient, energies)
