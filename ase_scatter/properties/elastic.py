"""Elastic constants, with clamped and with relaxed ions, from one batch of small strains and displacements.

Stresses and forces answer linearly to a small strain ε and to small displacements u of the ions,

    V dσ = V C⁰ dε − Λᵀ du,    dF = Λ dε − H du,

so that ions at rest follow with du = H⁻¹ Λ dε, and C = C⁰ − Λᵀ H⁻¹ Λ / V (Born & Huang, Dynamical Theory of
Crystal Lattices, 1954; H without the rigid translations). Nothing has to be relaxed at the strains, all
structures are known beforehand, and the same holds for every member of a committee.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from numpy.typing import NDArray

from ..errors import InputError
from ..units import GPA, from_voigt
from .common import Progress, Result, frozen_calculator, minimise, require_crystal, responses, with_calculator
from .tensors import CubicConstants, Moduli, Symmetry, cubic, moduli, stiffnesses, symmetrised, symmetry_of

LARGEST_STRESS = 0.5
"""Above this residual stress (GPa) dσ/dε is not the tensor that the elastic constants are."""
LINEAR = 0.02
"""Nonlinearity, over the largest entry, up to which the strains count as small."""
NO_FORCES = 1e-4
"""Forces (eV/Å) per unit of strain below which the ions stay where they are: by symmetry, mostly."""

T = TypeVar("T", CubicConstants, Moduli)


@dataclass(frozen=True)
class ElasticConstants(Result):
    """The elastic tensor.

    tensor: (6, 6) GPa with relaxed ions, Voigt order xx, yy, zz, yz, xz, xy, for engineering shear
    strains, with the symmetry of the crystal. clamped: the same with ions that only follow the cell.
    tensor_band and clamped_band: (6, 6) half-widths of 90 % bands, from the members' tensors
    (tensor_members and clamped_members, (m, 6, 6)) and `factor`; None without a committee. asymmetry:
    how far the symmetry moved an entry, GPa: an estimate of the numerical error. nonlinearity: the
    largest change of an entry (GPa) when strains are doubled; `linear` says whether it is small. stress:
    (6,) residual stress of the unstrained crystal, GPa. strain: size of the strains. softest: smallest
    eigenvalue of H, eV/Å²: the ions are at rest in a minimum if it is positive (inf where they need not
    move). symmetry: the space group.
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
    def tensor_band(self) -> NDArray[np.float64] | None:
        return self._band(self.tensor_members)

    @property
    def clamped_band(self) -> NDArray[np.float64] | None:
        return self._band(self.clamped_members)

    @property
    def linear(self) -> bool:
        """Whether the constants hardly depend on the size of the strains."""
        return self.nonlinearity < LINEAR * float(np.abs(self.tensor).max())

    @property
    def stable(self) -> bool:
        """Whether every strain and every displacement of the ions costs energy."""
        return bool(stiffnesses(self.tensor)[0] > 0 and self.softest > 0)

    def cubic(self, *, clamped: bool = False) -> CubicConstants:
        """C11, C12 and C44 of a cubic crystal whose axes are x, y, z."""
        return cubic(self.clamped if clamped else self.tensor)

    def cubic_band(self, *, clamped: bool = False) -> CubicConstants | None:
        """Half-widths of the 90 % bands of `cubic`."""
        return self._bands(cubic, self.clamped_members if clamped else self.tensor_members)

    def moduli(self) -> Moduli:
        """Bulk, shear and Young's modulus, Poisson's ratio, anisotropy; with relaxed ions."""
        return moduli(self.tensor)

    def moduli_band(self) -> Moduli | None:
        """Half-widths of the 90 % bands of `moduli`."""
        return self._bands(moduli, self.tensor_members)

    def _band(self, members: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        return None if members is None else np.asarray(self.factor * members.std(axis=0, ddof=1))

    def _bands(self, function: Callable[..., T], members: NDArray[np.float64] | None) -> T | None:
        if members is None:
            return None
        each = [function(tensor) for tensor in members]
        names = each[0].to_dict()
        return type(each[0])(
            **{name: self.factor * float(np.std([getattr(e, name) for e in each], ddof=1)) for name in names}
        )


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
    """Elastic tensor by central differences of the stress, C_ij = dσ_i/dε_j, with clamped and relaxed ions.

    atoms: a crystal whose cell is relaxed; its ions are relaxed first, to forces below fmax (eV/Å).
    strain: size of the strains; they are doubled too, to extrapolate to none and to see whether it is small
    enough. displacement: of the ions, Å. tolerance: of the symmetry, Å. Takes 24 evaluations, and 6 N
    where ions do not stay in place by symmetry; all in one batch, with a committee also by each member
    (bands are at the geometry of the whole: members' own lattices play no role). Raises InputError if the
    crystal is under stress or its ions do not come to rest.
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
    found = responses(strained, crystal.calc, progress=progress, name=f"{name}, strains")
    d_stress, d_forces = (_slopes(values, strain) for values in (found.stress, found.forces))
    clamped, coupling = _extrapolated(d_stress), _extrapolated(d_forces)
    # From here on: (models, …), the whole first and the members behind it.
    volume, tensor, softest = crystal.get_volume(), clamped, np.inf
    if np.abs(coupling).max() > NO_FORCES and len(atoms) > 1:
        displaced = [_displaced(crystal, k, s * displacement) for k in range(3 * len(atoms)) for s in (1, -1)]
        moved = responses(displaced, crystal.calc, progress=progress, name=f"{name}, ions").forces
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
        factor=found.factors.get("stress", np.nan),
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
    atoms: Atoms = crystal.copy()
    atoms.positions.reshape(-1)[coordinate] += by
    return atoms


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
