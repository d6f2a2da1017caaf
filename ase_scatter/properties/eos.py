"""Energy against volume, and what follows from it: lattice parameter and bulk modulus."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.eos import EquationOfState, birchmurnaghan
from numpy.typing import NDArray
from scipy.optimize import OptimizeWarning

from ..errors import InputError
from ..units import GPA
from .common import Progress, Result, frozen_calculator, reporting, require_crystal, responses
from .relax import relax_positions

FEWEST_POINTS = 5
"""The curve has four parameters: a fit through fewer points could not be wrong."""


@dataclass(frozen=True)
class EnergyVolume(Result):
    """Energies at scaled cells, and the Birch–Murnaghan curve through them.

    volumes: (n,) Å³ and energies: (n,) eV, of the whole cell. v0: volume of the minimum, Å³. e0:
    its energy, eV. lengths: (3,) cell lengths there, Å. bulk_modulus: GPa; bulk_derivative: its
    derivative with respect to pressure. v0_band, bulk_modulus_band: half-widths of their 90 % bands, from
    curves through the members' energies of the same structures; None without a committee. n_atoms: atoms in
    the cell. rmse: of the fit, meV per atom. converged: whether the ions were relaxed at all volumes, where
    that was asked for.
    """

    volumes: NDArray[np.float64]
    energies: NDArray[np.float64]
    v0: float
    e0: float
    lengths: NDArray[np.float64]
    bulk_modulus: float
    bulk_derivative: float
    v0_band: float | None
    bulk_modulus_band: float | None
    n_atoms: int
    rmse: float
    converged: bool

    @property
    def a(self) -> float:
        """Length of the first cell vector at the minimum, Å: a, for a conventional cell."""
        return float(self.lengths[0])

    @property
    def a_band(self) -> float | None:
        """Half-width of the 90 % band of `a`, Å."""
        return None if self.v0_band is None else self.a * self.v0_band / (3 * self.v0)

    def curve(self, volumes: NDArray[np.float64]) -> NDArray[np.float64]:
        """The fitted energies (eV, of the cell) at these volumes (Å³)."""
        modulus = self.bulk_modulus * GPA
        return np.asarray(birchmurnaghan(volumes, self.e0, modulus, self.bulk_derivative, self.v0))


def energy_volume(
    atoms: Atoms,
    calculator: BaseCalculator,
    *,
    strain: float = 0.04,
    points: int = 9,
    relax_ions: bool = False,
    fmax: float = 0.005,
    steps: int = 200,
    progress: Progress = False,
    name: str = "energy-volume",
) -> EnergyVolume:
    """Scale the cell by 1 − strain … 1 + strain in length and fit the third-order Birch–Murnaghan
    equation (Phys. Rev. 71, 809, 1947).

    atoms: a crystal near its minimum. relax_ions: relax the positions at each volume to fmax
    (eV/Å). Raises InputError if the minimum is not within the volumes or no curve goes through the
    energies: there would be no bulk modulus to speak of.
    """
    require_crystal(atoms)
    if not 0 < strain < 0.3 or points < FEWEST_POINTS:
        raise InputError(f"give a strain between 0 and 0.3, and at least {FEWEST_POINTS} points")
    frozen = frozen_calculator(calculator, atoms)
    strained = []
    for scale in np.linspace(1 - strain, 1 + strain, points):
        strained.append(atoms.copy())
        strained[-1].set_cell(scale * atoms.cell, scale_atoms=True)
    converged = True
    if relax_ions:
        with reporting(progress, f"{name}, ions", points) as tick:
            for k, scaled in enumerate(strained):
                relaxed = relax_positions(scaled, frozen, fmax=fmax, steps=steps)
                strained[k], converged = relaxed.atoms, converged and relaxed.converged
                tick()
    found = responses(strained, frozen, derivatives=False, progress=progress, name=name)
    volumes = np.array([scaled.get_volume() for scaled in strained])
    curves = np.array([_birch_murnaghan(volumes, energies) for energies in found.energy])
    e0, modulus, derivative, v0 = curves[0].tolist()
    bands = found.band(curves, "energy")
    residual = found.energy[0] - birchmurnaghan(volumes, *curves[0])
    return EnergyVolume(
        volumes=volumes,
        energies=found.energy[0],
        v0=v0,
        e0=e0,
        lengths=np.asarray(atoms.cell.lengths()) * (v0 / atoms.get_volume()) ** (1 / 3),
        bulk_modulus=modulus / GPA,
        bulk_derivative=derivative,
        v0_band=None if bands is None else float(bands[3]),
        bulk_modulus_band=None if bands is None else float(bands[1]) / GPA,
        n_atoms=len(atoms),
        rmse=float(1000 * np.sqrt(np.mean(residual**2)) / len(atoms)),
        converged=converged,
    )


def _birch_murnaghan(volumes: NDArray[np.float64], energies: NDArray[np.float64]) -> NDArray[np.float64]:
    """E0 (eV), B (eV/Å³), B′, V0 (Å³) of the curve through energies. Raises InputError if there is none."""
    fit = EquationOfState(volumes, energies, eos="birchmurnaghan")
    try:
        # The search may stray where the curve overflows; where it ends is checked below. Nor is a
        # covariance that cannot be estimated of interest: the residual is looked at.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", OptimizeWarning)
            v0, _, modulus = map(float, fit.fit(warn=False))
    except (RuntimeError, ValueError) as error:
        raise InputError(f"no equation of state fits these energies ({error})") from error
    if not (volumes[0] < v0 < volumes[-1] and modulus > 0):
        raise InputError(
            f"the energy has no minimum between {volumes[0]:.2f} and {volumes[-1]:.2f} Å³; relax "
            "the cell first, or scan a wider range of strains"
        )
    return np.asarray(fit.eos_parameters)
