"""Elastic constants, with clamped and with relaxed ions, from one batch of small strains and displacements.

Stresses and forces answer linearly to a small strain ε and to small displacements u of the ions,

    V dσ = V C⁰ dε − Λᵀ du,    dF = Λ dε − H du,

so that ions at rest follow with du = H⁻¹ Λ dε, and C = C⁰ − Λᵀ H⁻¹ Λ / V (Born and Huang, Dynamical Theory
of Crystal Lattices, Oxford, 1954; H without the rigid translations). Nothing is relaxed at the strains: all
structures are known beforehand, and the same ones serve every member of a committee.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from numpy.typing import NDArray

from ..compute.parallel import Progress
from ..errors import InputError
from ..units import GPA, from_voigt
from .common import LARGEST_STRESS, frozen_calculator, minimise, require_crystal, with_calculator
from .responses import evaluate, half_width
from .result import Result
from .tensors import CubicConstants, Moduli, Symmetry, cubic, moduli, stiffnesses, symmetrised, symmetry_of

LINEAR = 0.02
"""Nonlinearity, over the largest entry, up to which the strains count as small."""
NO_FORCES = 1e-4
"""Forces (eV/Å) per unit of strain below which the ions stay where they are: by symmetry, mostly."""

T = TypeVar("T", CubicConstants, Moduli)


@dataclass(frozen=True)
class ElasticConstants(Result):
    """The elastic tensor.

    Tensors are in Voigt order xx, yy, zz, yz, xz, xy, for engineering shear strains.

    Parameters
    ----------
    tensor : ndarray, shape (6, 6)
        Elastic constants with relaxed ions, GPa, with the symmetry of the crystal.
    clamped : ndarray, shape (6, 6)
        The same with ions that only follow the cell, GPa.
    tensor_members, clamped_members : ndarray, shape (m, 6, 6), or None
        Both tensors for each member of the committee, GPa; None without a committee.
    factor : float
        Factor that turns the standard deviation over the members into the half-width of a 90 % interval.
    asymmetry : float
        Largest change of an entry by the symmetry, GPa: an estimate of the numerical error.
    nonlinearity : float
        Largest change of an entry when the strains are doubled, GPa; `linear` says whether it is small.
    stress : ndarray, shape (6,)
        Residual stress of the unstrained crystal, GPa.
    strain : float
        Size of the strains.
    softest : float
        Smallest eigenvalue of H, eV/Å². The ions are at rest in a minimum if it is positive; inf where they
        need not move.
    symmetry : Symmetry
        The space group.
    """

    tensor: NDArray[np.float64]
    clamped: NDArray[np.float64]
    tensor_members: NDArray[np.float64] | None
    clamped_members: NDArray[np.float64] | None
    factor: float
    asymmetry: float
    nonlinearity: float
    stress: NDArray[np.float64]
    strain: float
    softest: float
    symmetry: Symmetry

    @property
    def tensor_half_width(self) -> NDArray[np.float64] | None:
        """(6, 6) half-widths of the 90 % intervals of `tensor`, GPa; None without a committee."""
        return self._width(self.tensor_members)

    @property
    def clamped_half_width(self) -> NDArray[np.float64] | None:
        """(6, 6) half-widths of the 90 % intervals of `clamped`, GPa; None without a committee."""
        return self._width(self.clamped_members)

    @property
    def linear(self) -> bool:
        """Whether the constants hardly depend on the size of the strains."""
        return self.nonlinearity < LINEAR * float(np.abs(self.tensor).max())

    @property
    def stable(self) -> bool:
        """Whether every strain and every displacement of the ions costs energy."""
        return bool(stiffnesses(self.tensor)[0] > 0 and self.softest > 0)

    def cubic(self, *, clamped: bool = False) -> CubicConstants:
        """Elastic constants of a cubic crystal whose axes are x, y, z.

        Parameters
        ----------
        clamped : bool, default False
            Whether the ions only follow the cell.

        Returns
        -------
        CubicConstants
            C11, C12 and C44, GPa.
        """
        return cubic(self.clamped if clamped else self.tensor)

    def cubic_half_width(self, *, clamped: bool = False) -> CubicConstants | None:
        """Half-widths of the 90 % intervals of `cubic`.

        Parameters
        ----------
        clamped : bool, default False
            Whether the ions only follow the cell.

        Returns
        -------
        CubicConstants or None
            Half-widths, GPa; None without a committee.
        """
        return self._each(cubic, self.clamped_members if clamped else self.tensor_members)

    def moduli(self) -> Moduli:
        """Moduli of a polycrystal, with relaxed ions.

        Returns
        -------
        Moduli
            Bulk, shear and Young's modulus, Poisson's ratio and anisotropy.
        """
        return moduli(self.tensor)

    def moduli_half_width(self) -> Moduli | None:
        """Half-widths of the 90 % intervals of `moduli`.

        Returns
        -------
        Moduli or None
            Half-widths, in the units of `moduli`; None without a committee.
        """
        return self._each(moduli, self.tensor_members)

    def _width(self, members: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        return None if members is None else half_width(members, self.factor)

    def _each(self, function: Callable[..., T], members: NDArray[np.float64] | None) -> T | None:
        """Half-widths of all that a function gives for a tensor."""
        if members is None:
            return None
        own = function(self.tensor)
        names = own.to_dict()

        def values(tensor: NDArray[np.float64]) -> list[float]:
            """Of a member; nan if its tensor is singular."""
            try:
                found = function(tensor)
            except InputError:
                return [np.nan] * len(names)
            return [getattr(found, name) for name in names]

        return type(own)(*half_width(np.array(list(map(values, members))), self.factor).tolist())


def elastic_constants(
    atoms: Atoms,
    calculator: BaseCalculator,
    *,
    strain: float = 0.005,
    displacement: float = 0.01,
    tolerance: float = 1e-3,
    fmax: float = 5e-4,
    steps: int = 200,
    progress: Progress = False,
    name: str = "elastic constants",
) -> ElasticConstants:
    """Elastic tensor from central differences of the stress, with clamped and with relaxed ions.

    All 24 strained crystals are evaluated in one batch, with 6 N crystals with displaced ions besides where
    ions do not stay in place by symmetry; a committee evaluates the same structures.

    Parameters
    ----------
    atoms : Atoms
        A crystal whose cell is relaxed; its ions are relaxed first.
    calculator : BaseCalculator
        Any calculator of ASE that has stresses; one with a committee gives half-widths.
    strain : float, default 0.005
        Size of the strains. They are doubled too, to extrapolate to zero strain and to see whether the
        strains are small enough.
    displacement : float, default 0.01
        Displacement of the ions, Å.
    tolerance : float, default 1e-3
        Tolerance of the symmetry, Å.
    fmax : float, default 5e-4
        Tolerance on the forces at rest, eV/Å.
    steps : int, default 200
        Most steps of the relaxation.
    progress : bool or callable, default False
        As in `compute.parallel.Progress`.
    name : str, default "elastic constants"
        What the progress is called.

    Returns
    -------
    ElasticConstants
        Both tensors. Half-widths are at the potential's own crystal: the lattices of members play no role.

    Raises
    ------
    InputError
        If the atoms are no crystal, the crystal is under stress, its ions do not come to rest, the strain is
        not between 0 and 0.05, or stresses or forces are not finite.

    References
    ----------
    Born and Huang, Dynamical Theory of Crystal Lattices (Oxford, 1954).
    """
    require_crystal(atoms)
    if not 0 < strain < 0.05:
        raise InputError(f"the strain is {strain}, but must be between 0 and 0.05")
    crystal = with_calculator(atoms, frozen_calculator(calculator, atoms))
    if not minimise(crystal, fmax=fmax, steps=steps, tick=lambda: None)[0]:
        raise InputError(
            f"the ions of the unstrained crystal are not relaxed after {steps} steps; relax them "
            "first, or allow more steps"
        )
    residual = crystal.get_stress() / GPA
    if np.abs(residual).max() > LARGEST_STRESS:
        raise InputError(
            f"the crystal is under a stress of up to {np.abs(residual).max():.2f} GPa, where "
            "elastic constants are not defined; relax its cell first (relax_cell)"
        )
    strained = [
        _strained(crystal, sign * size * strain * direction)
        for size in (1, 2) for direction in np.eye(6) for sign in (1, -1)
    ]  # fmt: skip
    found = evaluate(strained, crystal.calc, progress=progress, name=f"{name}, strains")
    d_stress, d_forces = (_slopes(values, strain) for values in (found.stress, _flat(found.forces)))
    clamped, coupling = _extrapolated(d_stress), _extrapolated(d_forces)
    # From here on: (models, …), the potential itself first.
    volume, tensor, softest = crystal.get_volume(), clamped, np.inf
    if np.abs(coupling).max() > NO_FORCES and len(atoms) > 1:
        displaced = [_displaced(crystal, k, s * displacement) for k in range(3 * len(atoms)) for s in (1, -1)]
        moved = _flat(evaluate(displaced, crystal.calc, progress=progress, name=f"{name}, ions").forces)
        hessian = (moved[:, 1::2] - moved[:, ::2]) / (2 * displacement)
        following, softest = _following(hessian, coupling)
        tensor = clamped - following / volume
    group = symmetry_of(crystal, tolerance)
    if not np.isfinite(tensor).all():
        raise InputError("the calculator gave stresses or forces that are not finite")
    exact, exact_clamped = symmetrised(tensor, group) / GPA, symmetrised(clamped, group) / GPA
    committee = len(tensor) > 1
    return ElasticConstants(
        tensor=exact[0],
        clamped=exact_clamped[0],
        tensor_members=exact[1:] if committee else None,
        clamped_members=exact_clamped[1:] if committee else None,
        factor=found.factor("stress"),
        asymmetry=float(np.abs(tensor[0] / GPA - exact[0]).max()),
        nonlinearity=float(np.abs(d_stress[1, 0] - d_stress[0, 0]).max() / GPA),
        stress=residual,
        strain=strain,
        softest=softest,
        symmetry=group,
    )


def _strained(crystal: Atoms, strain: NDArray[np.float64]) -> Atoms:
    """The crystal under an engineering strain (6,), its ions following."""
    atoms: Atoms = crystal.copy()
    # Engineering shears are twice the components of the strain tensor.
    deformation = np.eye(3) + from_voigt(strain * [1, 1, 1, 0.5, 0.5, 0.5])
    atoms.set_cell(atoms.cell @ deformation, scale_atoms=True)
    return atoms


def _displaced(crystal: Atoms, coordinate: int, by: float) -> Atoms:
    """The crystal with one of its 3N coordinates changed by so many Å."""
    atoms: Atoms = crystal.copy()
    atoms.positions.reshape(-1)[coordinate] += by
    return atoms


def _flat(forces: NDArray[np.float64]) -> NDArray[np.float64]:
    """(models, structures, 3N) of forces (models, structures, N, 3)."""
    return forces.reshape(*forces.shape[:2], -1)


def _slopes(values: NDArray[np.float64], strain: float) -> NDArray[np.float64]:
    """Central differences (2 sizes, models, a, 6) of values (models, 24, a) at the strains."""
    models, _, n = values.shape
    pairs = values.reshape(models, 2, 6, 2, n)
    slopes = (pairs[:, :, :, 0] - pairs[:, :, :, 1]) / (2 * strain)
    slopes[:, 1] /= 2
    return slopes.transpose(1, 0, 3, 2)


def _extrapolated(slopes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Richardson's value at no strain: errors of the central differences grow as its square."""
    return np.asarray((4 * slopes[0] - slopes[1]) / 3)


def _following(
    hessian: NDArray[np.float64], coupling: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Λᵀ H⁻¹ Λ (models, 6, 6) in eV, and the first model's smallest eigenvalue of H, eV/Å².

    hessian: (models, 3N, 3N), a row for each displacement. coupling: Λ, (models, 3N, 6).
    """
    n = hessian.shape[-1] // 3
    rigid = np.kron(np.full((n, n), 1 / n), np.eye(3))
    inside = np.eye(3 * n) - rigid
    hessian = inside @ ((hessian + np.swapaxes(hessian, 1, 2)) / 2) @ inside
    # Translations get a stiffness of their own, so that nothing is singular; Λ has no part there.
    held = hessian + np.abs(hessian).max() * rigid
    coupling = inside @ coupling
    answer = np.linalg.solve(held, coupling)
    return np.swapaxes(coupling, 1, 2) @ answer, float(np.linalg.eigvalsh(held[0])[0])
