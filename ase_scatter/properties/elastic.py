"""Elastic constants from stresses at small strains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from numpy.typing import NDArray

from ..conventions import GPA, from_voigt
from ..errors import InputError
from .common import (
    Progress,
    Result,
    frozen_calculator,
    minimise,
    reporting,
    require_crystal,
    with_calculator,
)

LARGEST_STRESS = 0.5
"""Above this residual stress (GPa) dσ/dε is not the tensor that the elastic constants are."""


@dataclass(frozen=True)
class CubicConstants(Result):
    """Averages over the entries that are equal in a cubic crystal, GPa.

    deviation: how far an entry of the tensor is from the average it belongs to, at most; large if
    the crystal is not cubic or its axes are not x, y, z.
    """

    c11: float
    c12: float
    c44: float
    deviation: float

    @property
    def bulk_modulus(self) -> float:
        """(C11 + 2 C12) / 3 in GPa."""
        return (self.c11 + 2 * self.c12) / 3


@dataclass(frozen=True)
class ElasticConstants(Result):
    """The elastic tensor.

    tensor: (6, 6) GPa, Voigt order xx, yy, zz, yz, xz, xy, for engineering shear strains;
    symmetrised. asymmetry: largest |C_ij − C_ji| / 2 before that, GPa: an estimate of the numerical
    error. stress: (6,) residual stress of the unstrained crystal, GPa. strain: size of the strains.
    relaxed_ions: whether the ions followed the strain. converged: whether all their relaxations
    reached the tolerance.
    """

    tensor: NDArray[np.float64]
    asymmetry: float
    stress: NDArray[np.float64]
    strain: float
    relaxed_ions: bool
    converged: bool

    def cubic(self) -> CubicConstants:
        """C11, C12 and C44 of a cubic crystal whose axes are x, y, z."""
        axial, shear = self.tensor[:3, :3], self.tensor[3:, 3:]
        c11, c44 = float(np.diag(axial).mean()), float(np.diag(shear).mean())
        c12 = float(axial[np.triu_indices(3, 1)].mean())
        ideal = np.zeros((6, 6))
        ideal[:3, :3] = c12
        ideal[range(6), range(6)] = [c11] * 3 + [c44] * 3
        return CubicConstants(c11, c12, c44, float(np.abs(self.tensor - ideal).max()))


def elastic_constants(
    atoms: Atoms,
    calculator: BaseCalculator,
    *,
    strain: float = 0.005,
    relax_ions: bool = True,
    fmax: float = 5e-4,
    steps: int = 200,
    progress: Progress = False,
    name: str = "elastic constants",
) -> ElasticConstants:
    """Elastic tensor by central differences of the stress, C_ij = dσ_i/dε_j.

    atoms: a crystal whose cell is relaxed. relax_ions: let the ions relax at each strain, to
    forces below fmax (eV/Å), as in an experiment; otherwise they are clamped to the strain. Raises
    InputError if the crystal is under stress, or if relaxed ions are asked for and those of the
    unstrained crystal do not come to rest.
    """
    require_crystal(atoms)
    if not 0 < strain < 0.1:
        raise InputError(f"the strain is {strain}, but must be between 0 and 0.1")
    crystal = with_calculator(atoms, frozen_calculator(calculator, atoms))
    if relax_ions and not minimise(crystal, fmax=fmax, steps=steps, tick=lambda: None)[0]:
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
    tensor, converged = np.empty((6, 6)), True
    with reporting(progress, name, 12) as tick:
        for column, direction in enumerate(np.eye(6)):
            stresses = []
            for sign in (1, -1):
                strained, relaxed = _strained(crystal, sign * strain * direction, relax_ions, fmax, steps)
                stresses.append(strained.get_stress())
                converged = converged and relaxed
                tick()
            tensor[:, column] = (stresses[0] - stresses[1]) / (2 * strain * GPA)
    if not np.isfinite(tensor).all():
        raise InputError("the calculator gave stresses that are not finite for the strained cells")
    return ElasticConstants(
        tensor=(tensor + tensor.T) / 2,
        asymmetry=float(np.abs(tensor - tensor.T).max() / 2),
        stress=residual,
        strain=strain,
        relaxed_ions=relax_ions,
        converged=converged,
    )


def _strained(
    crystal: Atoms, strain: NDArray[np.float64], relax_ions: bool, fmax: float, steps: int
) -> tuple[Atoms, bool]:
    """The crystal under an engineering strain (6,), and whether its ions are where they belong."""
    atoms = with_calculator(crystal, crystal.calc)
    # Engineering shears are twice the components of the strain tensor.
    deformation = np.eye(3) + from_voigt(strain * [1, 1, 1, 0.5, 0.5, 0.5])
    atoms.set_cell(atoms.cell @ deformation, scale_atoms=True)
    if not relax_ions:
        return atoms, True
    converged, _ = minimise(atoms, fmax=fmax, steps=steps, tick=lambda: None)
    return atoms, converged
