"""Thermal expansion: energies and phonons at several volumes, in the quasi-harmonic approximation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from numpy.typing import ArrayLike, NDArray

from ..compute.parallel import Progress, reporting
from ..errors import InputError
from ..units import GPA
from .common import frozen_calculator, minimise, require_crystal, with_calculator
from .eos import FEWEST_POINTS
from .force_sets import force_sets, require_phonopy, require_relaxed
from .responses import evaluate
from .result import Result
from .spectra import MESH, Mesh, Spectrum, checked_mesh, checked_temperatures, spectra
from .supercells import LENGTH, Supercell, repetitions

CALIBRATION = {"volume": "stress", "bulk_modulus": "stress", "expansion": "force", "heat_capacity": "force"}
"""Quantity → kind of label that its half-width is calibrated for."""


@dataclass(frozen=True)
class QuasiHarmonic(Result):
    """A crystal at zero pressure against temperature; extensive values are per atom.

    Parameters
    ----------
    temperatures : ndarray, shape (T,)
        K.
    volume : ndarray, shape (T,)
        Å³.
    lengths : ndarray, shape (T, 3)
        Lengths of the vectors of the cell that was given, Å.
    expansion : ndarray, shape (T,)
        Linear coefficient of thermal expansion, 1/K.
    bulk_modulus : ndarray, shape (T,)
        Isothermal, GPa.
    gibbs : ndarray, shape (T,)
        Gibbs energy, the potential energy included, eV.
    heat_capacity : ndarray, shape (T,)
        At constant pressure, eV/K.
    scan_volumes : ndarray, shape (v,)
        Volumes of the scan, Å³.
    scan_energies : ndarray, shape (v,)
        Energies of the lattice at rest, eV.
    scan_free_energies : ndarray, shape (v, T)
        Free energies of the vibrations, eV.
    volume_half_width, bulk_modulus_half_width : ndarray, shape (T,), or None
        Half-widths of the 90 % intervals of volume (Å³) and bulk modulus (GPa). None without a committee,
        and where a member finds the crystal unstable or without a minimum.
    expansion_half_width, heat_capacity_half_width : ndarray, shape (T,), or None
        The same of expansion (1/K) and heat capacity (eV/K).
    failed_members : int
        How many members do.
    """

    temperatures: NDArray[np.float64]
    volume: NDArray[np.float64]
    lengths: NDArray[np.float64]
    expansion: NDArray[np.float64]
    bulk_modulus: NDArray[np.float64]
    gibbs: NDArray[np.float64]
    heat_capacity: NDArray[np.float64]
    scan_volumes: NDArray[np.float64]
    scan_energies: NDArray[np.float64]
    scan_free_energies: NDArray[np.float64]
    volume_half_width: NDArray[np.float64] | None = None
    bulk_modulus_half_width: NDArray[np.float64] | None = None
    expansion_half_width: NDArray[np.float64] | None = None
    heat_capacity_half_width: NDArray[np.float64] | None = None
    failed_members: int = 0


def quasi_harmonic(
    atoms: Atoms,
    calculator: BaseCalculator,
    *,
    strains: tuple[float, float] = (-0.01, 0.03),
    points: int = 7,
    temperatures: ArrayLike | None = None,
    supercell: Supercell = LENGTH,
    displacement: float = 0.01,
    mesh: Mesh = MESH,
    fmax: float = 0.001,
    steps: int = 200,
    progress: Progress = False,
    name: str = "quasi-harmonic",
) -> QuasiHarmonic:
    """Minimise E(V) + F(V, T) over the volume, with F of the phonons at that volume.

    Energies and free energies lie on third-order Birch–Murnaghan curves; the method is reviewed in [1]_.

    Parameters
    ----------
    atoms : Atoms
        A relaxed crystal, whose shape is kept.
    calculator : BaseCalculator
        Any calculator of ASE; one with a committee gives half-widths, from the members' energies and
        phonons at all volumes. Those of volume and bulk modulus have the calibration of stresses, those of
        expansion and heat capacity that of forces.
    strains : tuple of float, default (-0.01, 0.03)
        The smallest and the largest strain of the lengths.
    points : int, default 7
        Number of volumes; the ions are relaxed at each. The cost is that of the phonons at all of them.
    temperatures : array_like, optional
        K; by default 0 to 1000 in steps of 10.
    supercell : three int or float, default 15.0
        As in `repetitions`.
    displacement : float, default 0.01
        Å.
    mesh : three int or float, default 70.0
        As in `phonons`.
    fmax : float, default 0.001
        Tolerance on the forces at rest, eV/Å.
    steps : int, default 200
        Most steps of the relaxation at each volume.
    progress : bool or callable, default False
        As in `compute.parallel.Progress`.
    name : str, default "quasi-harmonic"
        What the progress is called.

    Returns
    -------
    QuasiHarmonic
        The crystal at zero pressure against temperature.

    Raises
    ------
    InputError
        If phonopy is not installed, the atoms are no crystal at rest, a setting cannot be used, the crystal
        is unstable at a volume, or the minimum leaves the volumes.

    References
    ----------
    .. [1] Baroni et al., Rev. Mod. Phys. 73, 515 (2001), https://doi.org/10.1103/RevModPhys.73.515
    """
    require_phonopy()
    require_crystal(atoms)
    kelvin, grid = checked_temperatures(temperatures), checked_mesh(mesh)
    if not -0.2 < strains[0] < 0 < strains[1] < 0.2 or points < FEWEST_POINTS:
        raise InputError(
            f"give strains below and above 0, such as -0.01 and 0.03, and at least {FEWEST_POINTS} points"
        )
    require_relaxed(atoms, calculator)
    repeat = repetitions(atoms, supercell)
    frozen = frozen_calculator(calculator, atoms)
    crystals, scanned = [], []
    with reporting(progress, name, points) as tick:
        for strain in np.linspace(*strains, points):
            crystal = with_calculator(atoms, frozen)
            crystal.set_cell((1 + strain) * atoms.cell, scale_atoms=True)
            if not minimise(crystal, fmax=fmax, steps=steps, tick=lambda: None)[0]:
                raise InputError(f"the ions are not relaxed after {steps} steps at a strain of {strain:.3f}")
            displaced = force_sets(crystal, frozen, supercell=repeat.tolist(), displacement=displacement)
            scanned.append(spectra(displaced, grid, kelvin))
            _require_stable(scanned[-1][0], strain)
            crystals.append(crystal.copy())
            tick()
    responses = evaluate(crystals, frozen)
    # (models, volumes, …) per atom.
    energies = responses.energy / len(atoms)
    thermal = np.array([[each.thermal for each in models] for models in scanned]).swapaxes(0, 1)
    volumes = np.array([crystal.get_volume() for crystal in crystals]) / len(atoms)
    minima = [lowest_free_energy(volumes, *values, kelvin) for values in zip(energies, thermal, strict=True)]
    model = minima[0]
    outside = ~np.isfinite(model.volume)
    if outside.any():
        raise InputError(
            f"at {kelvin[outside][0]:g} K the free energy has no minimum between {volumes[0]:.2f} and "
            f"{volumes[-1]:.2f} Å³ per atom; widen the strains, or ask for lower temperatures"
        )
    failed = sum(
        not (np.isfinite(minimum.volume).all() and all(models[index].stable for models in scanned))
        for index, minimum in enumerate(minima)
    )
    widths: dict[str, Any] = {
        f"{key}_half_width": responses.half_width(np.array([getattr(each, key) for each in minima]), kind)
        for key, kind in CALIBRATION.items()
    }
    scale = (model.volume * len(atoms) / atoms.get_volume()) ** (1 / 3)
    return QuasiHarmonic(
        temperatures=kelvin,
        lengths=scale[:, None] * np.asarray(atoms.cell.lengths()),
        **model._asdict(),
        scan_volumes=volumes,
        scan_energies=energies[0],
        scan_free_energies=thermal[0, :, 0],
        **({} if failed else widths),
        failed_members=failed,
    )


class Minimum(NamedTuple):
    """The fields of `QuasiHarmonic` of these names; nan where there is no minimum.

    Parameters
    ----------
    volume, expansion, bulk_modulus, gibbs, heat_capacity : ndarray, shape (T,)
        As in `QuasiHarmonic`.
    """

    volume: NDArray[np.float64]
    expansion: NDArray[np.float64]
    bulk_modulus: NDArray[np.float64]
    gibbs: NDArray[np.float64]
    heat_capacity: NDArray[np.float64]


def _require_stable(found: Spectrum, strain: float) -> None:
    """Raise InputError if the crystal is unstable at this strain."""
    if not found.stable:
        raise InputError(
            f"at a strain of {strain:.3f} the crystal is unstable, with an imaginary frequency of "
            f"{found.imaginary:.2f} THz; without a free energy there is no thermal expansion. Narrow the "
            "strains, or choose a crystal that is stable"
        )


def lowest_free_energy(
    volumes: NDArray[np.float64],
    energies: NDArray[np.float64],
    thermal: NDArray[np.float64],
    temperatures: NDArray[np.float64],
) -> Minimum:
    """Find the volume where E + F is lowest, at each temperature.

    Parameters
    ----------
    volumes : ndarray, shape (v,)
        Å³ per atom, ascending.
    energies : ndarray, shape (v,)
        Energies of the lattice at rest, eV per atom.
    thermal : ndarray, shape (v, 3, T)
        As in `Spectrum`.
    temperatures : ndarray, shape (T,)
        K.

    Returns
    -------
    Minimum
        The properties there; nan where the minimum is not within the volumes.

    Notes
    -----
    The Birch–Murnaghan energy is a cubic polynomial of V^(−2/3), so that fits are linear and minima
    closed forms. The entropy is fitted alike, so that it is the derivative of the fitted free energy, and no
    difference between temperatures is needed: 3 α B = dp/dT = ∂S/∂V, and Cp − Cv = 9 α² B V T.
    """
    middle = volumes.mean()
    terms = np.vander((volumes / middle) ** (-2 / 3) - 1, 4, increasing=True)
    free, entropy, capacity = (
        np.linalg.lstsq(terms, values, rcond=None)[0]
        for values in (energies[:, None] + thermal[:, 0], thermal[:, 1], thermal[:, 2])
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        _, linear, square, cubic = free
        curvature = 2 * np.sqrt(square**2 - 3 * linear * cubic)
        # The root of the derivative where the curve is convex, in the form that a small cubic leaves exact.
        u = -2 * linear / (2 * square + curvature)
        volume = middle * (1 + u) ** -1.5
    inside = (volume > volumes[0]) & (volume < volumes[-1])
    volume, u = np.where(inside, volume, np.nan), np.where(inside, u, np.nan)
    slope = -2 / 3 * (1 + u) / volume  # du/dV
    modulus = volume * curvature * slope**2
    powers = u ** np.arange(4)[:, None]
    push = np.sum(entropy[1:] * np.arange(1, 4)[:, None] * powers[:3], axis=0) * slope
    expansion = push / modulus / 3
    return Minimum(
        volume=volume,
        expansion=expansion,
        bulk_modulus=modulus / GPA,
        gibbs=np.sum(free * powers, axis=0),
        heat_capacity=np.sum(capacity * powers, axis=0) + 9 * expansion**2 * modulus * volume * temperatures,
    )
