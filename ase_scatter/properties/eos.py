"""Energy against volume, and the lattice parameter and bulk modulus that follow from it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.eos import EquationOfState, birchmurnaghan
from numpy.typing import NDArray
from scipy.optimize import OptimizeWarning

from ..compute.parallel import Progress, reporting
from ..errors import InputError
from ..units import GPA
from .common import frozen_calculator, require_crystal
from .relax import relax_positions
from .responses import evaluate
from .result import Result

FEWEST_POINTS = 5
"""The curve has four parameters: a fit through fewer points could not be wrong."""


@dataclass(frozen=True)
class EnergyVolume(Result):
    """Energies at scaled cells, and the Birch–Murnaghan curve through them.

    Parameters
    ----------
    volumes : ndarray, shape (n,)
        Volumes of the whole cell, Å³.
    energies : ndarray, shape (n,)
        Energies of the whole cell, eV.
    v0 : float
        Volume of the minimum, Å³.
    e0 : float
        Energy of the minimum, eV.
    lengths : ndarray, shape (3,)
        Lengths of the cell vectors at the minimum, Å.
    bulk_modulus : float
        GPa.
    bulk_derivative : float
        Derivative of the bulk modulus with respect to pressure.
    v0_half_width, bulk_modulus_half_width : float or None
        Half-widths of the 90 % intervals of `v0` (Å³) and `bulk_modulus` (GPa), from curves through the
        members' energies of the same structures; None without a committee.
    n_atoms : int
        Atoms in the cell.
    rmse : float
        Root-mean-square deviation of the fit, meV per atom.
    converged : bool
        Whether the ions were relaxed at all volumes; True where that was not asked for.
    """

    volumes: NDArray[np.float64]
    energies: NDArray[np.float64]
    v0: float
    e0: float
    lengths: NDArray[np.float64]
    bulk_modulus: float
    bulk_derivative: float
    v0_half_width: float | None
    bulk_modulus_half_width: float | None
    n_atoms: int
    rmse: float
    converged: bool

    @property
    def a(self) -> float:
        """Length of the first cell vector at the minimum, Å: a, for a conventional cell."""
        return float(self.lengths[0])

    @property
    def a_half_width(self) -> float | None:
        """Half-width of the 90 % interval of `a`, Å; None without a committee."""
        return None if self.v0_half_width is None else self.a * self.v0_half_width / (3 * self.v0)

    def curve(self, volumes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Evaluate the fitted curve.

        Parameters
        ----------
        volumes : ndarray
            Volumes of the whole cell, Å³.

        Returns
        -------
        ndarray
            Energies of the whole cell, eV.
        """
        modulus = self.bulk_modulus * GPA
        return np.asarray(birchmurnaghan(volumes, self.e0, modulus, self.bulk_derivative, self.v0))


def energy_volume(
    atoms: Atoms,
    calculator: BaseCalculator,
    *,
    strain: float = 0.01,
    points: int = 9,
    relax_ions: bool = False,
    fmax: float = 0.005,
    steps: int = 200,
    progress: Progress = False,
    name: str = "energy-volume",
) -> EnergyVolume:
    """Scale the cell and fit the third-order Birch–Murnaghan equation to the energies.

    Parameters
    ----------
    atoms : Atoms
        A crystal near its minimum.
    calculator : BaseCalculator
        Any calculator of ASE; one with a committee gives half-widths.
    strain : float, default 0.01
        Lengths are scaled by 1 − strain to 1 + strain. Over a wide range the curve's four parameters do not
        follow the energies: with 0.04 the bulk modulus of silicon is 2 % below the slope of the pressure,
        that of molybdenum 3 %, with 0.01 both are within 0.3 %.
    points : int, default 9
        Number of volumes.
    relax_ions : bool, default False
        Whether the positions are relaxed at each volume.
    fmax : float, default 0.005
        Tolerance on the forces of that relaxation, eV/Å.
    steps : int, default 200
        Most steps of that relaxation at each volume; check `converged`.
    progress : bool or callable, default False
        As in `compute.parallel.Progress`.
    name : str, default "energy-volume"
        What the progress is called.

    Returns
    -------
    EnergyVolume
        The energies and the curve.

    Raises
    ------
    InputError
        If the atoms are no crystal, the strain or the number of points is out of range, the minimum is not
        within the volumes, or no curve goes through the energies.

    References
    ----------
    Birch, Phys. Rev. 71, 809 (1947), https://doi.org/10.1103/PhysRev.71.809
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
    found = evaluate(strained, frozen, progress=progress, name=name)
    volumes = np.array([scaled.get_volume() for scaled in strained])
    energies = found.energy
    curves = np.array([_birch_murnaghan(volumes, energies[0]), *(_member(volumes, e) for e in energies[1:])])
    e0, modulus, derivative, v0 = curves[0].tolist()
    widths = [found.half_width(each, "energy") for each in curves.T]
    residual = energies[0] - birchmurnaghan(volumes, *curves[0])
    return EnergyVolume(
        volumes=volumes,
        energies=energies[0],
        v0=v0,
        e0=e0,
        lengths=np.asarray(atoms.cell.lengths()) * (v0 / atoms.get_volume()) ** (1 / 3),
        bulk_modulus=modulus / GPA,
        bulk_derivative=derivative,
        v0_half_width=None if widths[3] is None else float(widths[3]),
        bulk_modulus_half_width=None if widths[1] is None else float(widths[1]) / GPA,
        n_atoms=len(atoms),
        rmse=float(1000 * np.sqrt(np.mean(residual**2)) / len(atoms)),
        converged=converged,
    )


def _member(volumes: NDArray[np.float64], energies: NDArray[np.float64]) -> NDArray[np.float64]:
    """The curve of a member of the committee, nan if there is none."""
    try:
        return _birch_murnaghan(volumes, energies)
    except InputError:
        return np.full(4, np.nan)


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
