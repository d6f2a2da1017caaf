"""The ASE face of a model: nothing but the protocol."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from numpy.typing import ArrayLike, NDArray

from .compute.backend import require_device
from .compute.lock import Lock
from .compute.target import Shapes, Target
from .errors import ExtrapolationWarning, InputError
from .model.committee import Members, Uncertainty
from .model.model import Model
from .structures.system import Evaluation, System
from .units import to_voigt


class ScatteringCalculator(Calculator):
    """Energies, forces and stress of a wavelet scattering model.

    Results are in ASE's units: eV, eV/Å and, for the stress, eV/Å³ in Voigt order, positive in tension.
    Models whose energy is a sum over atoms also give `energies`, eV, and `stresses`, eV/Å³, whose sum over
    the atoms is the stress: of what each pair of atoms gives, half is each one's (`get_virials` gives nine
    components). Settings are fixed for
    the life of the calculator, except for the grid (`freeze_grid`). Threads that share a calculator wait for
    each other: it holds one structure and its results. `evaluate_many` computes structures side by side.

    Parameters
    ----------
    model : str, Path or Model
        A shipped name, the path of a model file, or a model.
    device : str
        "cpu" or "cuda".
    dtype : str
        "float64" or "float32".
    grid_shape : array_like of int, shape (n_grids, 3), optional
        Grid points to be used whatever the cell; by default they follow the cell.
    warn_above : float, optional
        eV/Å. An evaluation emits an ExtrapolationWarning where the 90 % half-width of a force is above
        this, or an atom is beyond the training data. Each evaluation then computes the committee as
        well; `get_uncertainty` does so only when it is called.

    Raises
    ------
    ModelFileError
        If the model cannot be read.
    DeviceError
        If the device is not there.
    InputError
        If a setting cannot be used.
    """

    # New objects, where ASE keeps them: its base classes hold lists that all calculators share.
    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012
    ignored_changes = {"initial_charges", "initial_magmoms"}  # noqa: RUF012

    def __init__(
        self,
        model: str | Path | Model,
        *,
        device: str = "cpu",
        dtype: str = "float64",
        grid_shape: ArrayLike | None = None,
        warn_above: float | None = None,
    ) -> None:
        super().__init__()
        self._lock = Lock()
        if warn_above is not None and not warn_above > 0:
            raise InputError(f"warn_above must be a positive force in eV/Å, not {warn_above}")
        target = Target(device, dtype, grid_shape)
        require_device(device)
        self.model = model if isinstance(model, Model) else Model.load(model)
        if self.model.transform.per_atom:
            self.implemented_properties = [*self.implemented_properties, "energies", "stresses"]
        if warn_above is not None and self.model.committee is None:
            raise InputError(f"model {self.model.name!r} has no committee, so that it cannot warn")
        # The model itself stays out of the parameters: trajectories could not be written.
        self.parameters.update(
            model=self.model.name,
            hash=self.model.hash,
            device=device,
            dtype=dtype,
            grid_shape=None if target.shapes is None else target.shapes.tolist(),
            warn_above=warn_above,
        )

    def set(self, **kwargs: Any) -> dict[str, Any]:
        """Refuse changes: a calculator with other settings is another calculator.

        Parameters
        ----------
        **kwargs
            Settings.

        Returns
        -------
        dict
            Empty.

        Raises
        ------
        InputError
            If there are any.
        """
        if kwargs:
            raise InputError(
                f"{', '.join(kwargs)} cannot be set on a ScatteringCalculator; make a new one with "
                "the model, device and dtype that you want"
            )
        return {}

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """What has changed since the last calculation: anything that differs, however little.

        ASE's own comparison, with a tolerance, takes longer than a step of large cells on a GPU.

        Parameters
        ----------
        atoms : Atoms
            Atoms to compare with those of the last calculation.
        tol : float
            Ignored; part of ASE's protocol.

        Returns
        -------
        list of str
            Names of what has changed.
        """
        mine = self.atoms
        if mine is None:
            return list(all_changes)
        pairs = {
            "positions": (mine.positions, atoms.positions), "numbers": (mine.numbers, atoms.numbers),
            "cell": (mine.cell[:], atoms.cell[:]), "pbc": (mine.pbc, atoms.pbc),
        }  # fmt: skip
        return [name for name, (old, new) in pairs.items() if not np.array_equal(old, new)]

    def get_property(self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True) -> Any:
        """One result as ASE asks for it, computed if need be; one thread at a time.

        Parameters
        ----------
        name : str
            As ASE names it.
        atoms : Atoms, optional
            The structure; by default that of the last calculation.
        allow_calculation : bool
            Whether it is computed if it is not known.

        Returns
        -------
        float, ndarray or None
            None if it is not known and not to be computed.
        """
        with self._lock:
            return super().get_property(name, atoms, allow_calculation)

    def calculate_properties(self, atoms: Atoms, properties: Sequence[str]) -> Any:
        """Results of one structure as ASE's `Properties`; one thread at a time.

        Parameters
        ----------
        atoms : Atoms
            The structure.
        properties : sequence of str
            What is asked for, as ASE names it.

        Returns
        -------
        ase.outputs.Properties
        """
        with self._lock:
            return super().calculate_properties(atoms, properties)

    def grid_shapes(self, atoms: Atoms) -> Shapes | None:
        """Grid points that the cell of these atoms asks for.

        Parameters
        ----------
        atoms : Atoms
            The structure.

        Returns
        -------
        ndarray of int, shape (n_grids, 3), or None
            None without a grid.
        """
        return self.model.transform.grid_shapes(System.from_atoms(atoms))

    def freeze_grid(self, atoms: Atoms | None) -> None:
        """Keep the grids that the cell of these atoms asks for, whatever cell comes.

        While a cell is strained or relaxed the grids must not change from one step to the next, or
        the energy would jump (by little) where they do.

        Parameters
        ----------
        atoms : Atoms or None
            The structure; None lets the grids follow the cell again.
        """
        shapes = None if atoms is None else self.grid_shapes(atoms)
        with self._lock:
            self.parameters["grid_shape"] = None if shapes is None else shapes.tolist()
            self.reset()

    def get_virials(self, atoms: Atoms | None = None) -> NDArray[np.float64]:
        """All nine components of the parts that atoms have in the stress, as heat fluxes need them.

        Parameters
        ----------
        atoms : Atoms, optional
            The structure; by default that of the last evaluation.

        Returns
        -------
        ndarray, shape (N, 3, 3)
            ½ Σ_j r_ij ⊗ f_ij of each atom in eV, with the vectors r_ij to its neighbours and the forces f_ij
            from them. Only their sum, the stress times the volume, is symmetric; symmetrised and over the
            volume they are `stresses`. They need no volume.

        Raises
        ------
        InputError
            If there are no atoms.
        PropertyNotImplementedError
            If the model's energy is not a sum over atoms.
        """
        atoms = self.atoms if atoms is None else atoms
        if atoms is None:
            raise InputError("there are no atoms to compute; give some")
        (system,) = self._systems([atoms])
        virials = self.model.evaluate_one(system, self.target).virials
        if virials is None:
            raise PropertyNotImplementedError(
                f"model {self.model.name!r} is no sum over atoms, so that atoms have no part in its stress"
            )
        return virials

    @overload
    def get_uncertainty(self, atoms: Atoms | None = None) -> Uncertainty: ...

    @overload
    def get_uncertainty(self, atoms: Sequence[Atoms]) -> list[Uncertainty]: ...

    def get_uncertainty(
        self, atoms: Atoms | Sequence[Atoms] | None = None
    ) -> Uncertainty | list[Uncertainty]:
        """How far energies, forces and stresses may be off, and how far atoms are from the training data.

        Parameters
        ----------
        atoms : Atoms or sequence of Atoms, optional
            One structure or many; by default the atoms of the last evaluation.

        Returns
        -------
        Uncertainty or list of Uncertainty

        Raises
        ------
        InputError
            If the model has no committee.
        """
        atoms = self.atoms if atoms is None else atoms
        if atoms is None:
            raise InputError("there are no atoms to judge; give some")
        if isinstance(atoms, Atoms):
            return self.model.uncertainty(self._systems([atoms]), self.target)[0]
        return self.model.uncertainty(self._systems(atoms), self.target)

    @overload
    def get_members(self, atoms: Atoms) -> Members | None: ...

    @overload
    def get_members(self, atoms: Sequence[Atoms]) -> list[Members] | None: ...

    def get_members(self, atoms: Atoms | Sequence[Atoms]) -> Members | list[Members] | None:
        """What each member of the committee gives.

        Parameters
        ----------
        atoms : Atoms or sequence of Atoms
            One structure or many.

        Returns
        -------
        Members, list of Members or None
            None if the model has no committee.
        """
        if self.model.committee is None:
            return None
        if isinstance(atoms, Atoms):
            return self.model.members(self._systems([atoms]), self.target)[0]
        return self.model.members(self._systems(atoms), self.target)

    def evaluate_many(self, structures: Sequence[Atoms]) -> list[dict[str, Any]]:
        """Results of many structures of any sizes, together.

        On a CPU the structures are dealt out to the cores; a GPU takes as many at once as fit into its
        memory. The calculator's own atoms and results stay as they are.

        Parameters
        ----------
        structures : sequence of Atoms
            The structures.

        Returns
        -------
        list of dict
            Of each structure the results as ASE names them, in ASE's units.
        """
        systems = self._systems(structures)
        found = self.model.evaluate(systems, target=self.target)
        return [_results(system, values) for system, (values,) in zip(systems, found, strict=True)]

    def evaluate_with_members(
        self, structures: Sequence[Atoms]
    ) -> list[tuple[dict[str, Any], Members | None]]:
        """`evaluate_many`, and what each member of the committee gives, in one pass.

        Parameters
        ----------
        structures : sequence of Atoms
            The structures.

        Returns
        -------
        list of (dict, Members or None)
            Of each structure the results as ASE names them and the members; None if the model has no
            committee.
        """
        systems = self._systems(structures)
        found = self.model.evaluate(systems, self.model.rows_of_all, self.target)
        return [self._with_members(system, values) for system, values in zip(systems, found, strict=True)]

    def _with_members(
        self, system: System, found: Sequence[Evaluation]
    ) -> tuple[dict[str, Any], Members | None]:
        """Of evaluations by the model and, after it, its members."""
        committee = self.model.committee
        if committee is None or len(found) == 1:
            return _results(system, found[0]), None
        return _results(system, found[0]), Members.of(system, found[1:], committee.factors)

    def _systems(self, structures: Sequence[Atoms]) -> list[System]:
        # The repulsion looks for atoms at the same place anyway.
        return [System.from_atoms(atoms, apart=self.model.core is None) for atoms in structures]

    @property
    def has_committee(self) -> bool:
        """Whether the model can say how sure it is."""
        return self.model.committee is not None

    @property
    def knows_free_atoms(self) -> bool:
        """Whether the energies of free atoms are real ones, so that there are cohesive energies."""
        return self.model.knows_free_atoms

    @property
    def target(self) -> Target:
        """Where and how precisely the model is evaluated."""
        return Target(self.parameters["device"], self.parameters["dtype"], self.parameters["grid_shape"])

    def _warn(self, unsure: Uncertainty, limit: float) -> None:
        """Warn if forces on these atoms are uncertain, or atoms unlike those of the training."""
        worst, farthest = int(np.argmax(unsure.forces)), int(np.argmax(unsure.grade))
        said = []
        if unsure.forces[worst] > limit:
            said.append(f"the force on atom {worst} may be off by {unsure.forces[worst]:.2g} eV/Å")
        if unsure.grade[farthest] > 1:
            said.append(f"atom {farthest} is beyond the training data (grade {unsure.grade[farthest]:.2g})")
        if said:
            warnings.warn(" and ".join(said), ExtrapolationWarning, stacklevel=4)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Compute everything at once for these atoms; what has changed since plays no role.

        Parameters
        ----------
        atoms : Atoms, optional
            The structure; by default that of the last calculation.
        properties : list of str, optional
            What is asked for.
        system_changes : list of str
            Ignored; part of ASE's protocol.

        Raises
        ------
        InputError
            If the structure cannot be computed.
        PropertyNotImplementedError
            If the stress is asked for and the cell has no volume.
        """
        with self._lock:
            self._calculate(atoms, properties)

    def _calculate(self, atoms: Atoms | None, properties: list[str] | None) -> None:
        # First of all, so that nothing stale is left if something below fails.
        self.results = {}
        super().calculate(atoms)
        if self.atoms is None:
            raise InputError("there are no atoms to compute; attach the calculator to some")
        (system,) = self._systems([self.atoms])
        limit = self.parameters["warn_above"]
        rows = self.model.rows if limit is None else self.model.rows_of_all
        (found,) = self.model.evaluate([system], rows, self.target)
        self.results, members = self._with_members(system, found)
        if limit is not None and members is not None:
            self._warn(members.uncertainty(self.model.grade(system, self.target)), limit)
        if not system.has_volume and not {"stress", "stresses"}.isdisjoint(properties or ()):
            raise PropertyNotImplementedError(
                "the stress needs a cell with three independent vectors; set one with "
                "atoms.set_cell(...), or ask for energy and forces only"
            )


def _results(system: System, values: Evaluation) -> dict[str, Any]:
    """An evaluation as ASE names it."""
    results: dict[str, Any] = {
        "energy": values.energy,
        "free_energy": values.energy,
        "forces": values.forces,
    }
    if values.energies is not None:
        results["energies"] = values.energies
    if system.has_volume:
        results["stress"] = to_voigt(values.strain_gradient) / system.volume
        if values.virials is not None:
            results["stresses"] = to_voigt(values.virials) / system.volume
    return results
