"""Thermal expansion: energies and phonons at several volumes, in the quasi-harmonic approximation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..units import GPA
from .common import (
    Progress,
    Result,
    band,
    frozen_calculator,
    members_of,
    minimise,
    reporting,
    require_crystal,
    with_calculator,
)
from .eos import FEWEST_POINTS
from .force_sets import LENGTH, Supercell, force_sets, repetitions, require_phonopy, require_relaxed
from .phonons import MESH, Mesh, Spectrum, checked_mesh, checked_temperatures, member_spectra, spectrum


@dataclass(frozen=True)
class QuasiHarmonic(Result):
    """A crystal at zero pressure against temperature; extensive values are per atom.

    temperatures: (T,) K. volume: (T,) Å³. lengths: (T, 3) Å, of the cell that was given. expansion: (T,)
    linear coefficient of thermal expansion, 1/K. bulk_modulus: (T,) GPa, isothermal. gibbs: (T,) eV, the
    potential energy included. heat_capacity: (T,) eV/K, at constant pressure. scan_volumes: (v,) Å³;
    scan_energies: (v,) eV, of the lattice at rest; scan_free_energies: (v, T) eV, of the vibrations. Each
    …_band: (T,) half-widths of bands that hold nine errors of ten, in the same units; None without a
    committee, or if failed_members (of it) find the crystal unstable or without a minimum.
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
    volume_band: NDArray[np.float64] | None = None
    expansion_band: NDArray[np.float64] | None = None
    bulk_modulus_band: NDArray[np.float64] | None = None
    heat_capacity_band: NDArray[np.float64] | None = None
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
    """Minimise E(V) + F(V, T) over the volume, F of the phonons at that volume (Rev. Mod. Phys. 73, 515,
    2001), along third-order Birch–Murnaghan curves.

    atoms: a relaxed crystal, whose shape is kept. strains: the smallest and largest, of lengths; so many
    points between them; at each the ions are relaxed to fmax (eV/Å). temperatures: K. supercell,
    displacement, mesh: as in `phonons`. The cost is that of the phonons at all volumes; bands take the
    members of the committee at all of them. Bands of volume and bulk modulus have the calibration of
    stresses, those of expansion and heat capacity that of forces. Raises InputError if a crystal is
    unstable, or the minimum leaves the volumes.
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
    scanned = []
    with reporting(progress, name, points) as tick:
        for strain in np.linspace(*strains, points):
            crystal = with_calculator(atoms, frozen)
            crystal.set_cell((1 + strain) * atoms.cell, scale_atoms=True)
            if not minimise(crystal, fmax=fmax, steps=steps, tick=lambda: None)[0]:
                raise InputError(f"the ions are not relaxed after {steps} steps at a strain of {strain:.3f}")
            scanned.append(_scan(crystal, repeat, displacement, grid, kelvin, strain))
            tick()
    volumes = np.array([scan.volume for scan in scanned])
    energies = np.array([scan.energies for scan in scanned])
    thermal = np.array([[found.thermal for found in scan.spectra] for scan in scanned])
    found = [_minimum(volumes, energies[:, i], thermal[:, i], kelvin) for i in range(energies.shape[1])]
    model, members = found[0], found[1:]
    outside = ~np.isfinite(model.volume)
    if outside.any():
        raise InputError(
            f"at {kelvin[outside][0]:g} K the free energy has no minimum between {volumes[0]:.2f} and "
            f"{volumes[-1]:.2f} Å³ per atom; widen the strains, or ask for lower temperatures"
        )
    good = [
        bool(np.isfinite(member.volume).all()) and all(scan.spectra[index].stable for scan in scanned)
        for index, member in enumerate(members, start=1)
    ]
    bands = {}
    if members and all(good):
        factors = scanned[0].factors
        for key, kind in (
            ("volume", "stress"),
            ("bulk_modulus", "stress"),
            ("expansion", "force"),
            ("heat_capacity", "force"),
        ):
            values = np.array([getattr(member, key) for member in members])
            bands[f"{key}_band"] = band(values, factors.get(kind, np.nan))
    scale = (model.volume * len(atoms) / atoms.get_volume()) ** (1 / 3)
    return QuasiHarmonic(
        temperatures=kelvin,
        lengths=scale[:, None] * np.asarray(atoms.cell.lengths()),
        **model._asdict(),
        scan_volumes=volumes,
        scan_energies=energies[:, 0],
        scan_free_energies=thermal[:, 0, 0],
        **bands,
        failed_members=good.count(False),
    )


class _Scan(NamedTuple):
    """One volume (Å³ per atom): energies (eV per atom) and spectra of the model, then of its members."""

    volume: float
    energies: list[float]
    spectra: list[Spectrum]
    factors: dict[str, float]


class _Minimum(NamedTuple):
    """The fields of `QuasiHarmonic` of these names; nan where there is no minimum."""

    volume: NDArray[np.float64]
    expansion: NDArray[np.float64]
    bulk_modulus: NDArray[np.float64]
    gibbs: NDArray[np.float64]
    heat_capacity: NDArray[np.float64]


def _scan(
    crystal: Atoms,
    supercell: NDArray[np.int64],
    displacement: float,
    mesh: Mesh,
    temperatures: NDArray[np.float64],
    strain: float,
) -> _Scan:
    _, phonopy, member_forces, _ = force_sets(
        crystal, crystal.calc, supercell=supercell.tolist(), displacement=displacement
    )
    model = spectrum(phonopy, mesh, temperatures)
    if not model.stable:
        raise InputError(
            f"at a strain of {strain:.3f} the crystal is unstable, with an imaginary frequency of "
            f"{model.imaginary:.2f} THz; without a free energy there is no thermal expansion. Narrow the "
            "strains, or choose a crystal that is stable"
        )
    energies, spectra, factors = [float(crystal.get_potential_energy()) / len(crystal)], [model], {}
    if member_forces is not None:
        members = members_of(crystal.calc, crystal)
        assert members is not None
        energies += (members.energy / len(crystal)).tolist()
        spectra += member_spectra(phonopy, member_forces, mesh, temperatures)
        factors = dict(members.factors)
    return _Scan(crystal.get_volume() / len(crystal), energies, spectra, factors)


def _minimum(
    volumes: NDArray[np.float64],
    energies: NDArray[np.float64],
    thermal: NDArray[np.float64],
    temperatures: NDArray[np.float64],
) -> _Minimum:
    """Where E + F is lowest: volumes and energies (v,), thermal (v, 3, T) as in `Spectrum`.

    The Birch–Murnaghan energy is a cubic polynomial of V^(−2/3), so that fits are linear and minima
    closed forms. The entropy is fitted alike, so that it is the fitted free energy's derivative, and no
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
    return _Minimum(
        volume=volume,
        expansion=expansion,
        bulk_modulus=modulus / GPA,
        gibbs=np.sum(free * powers, axis=0),
        heat_capacity=np.sum(capacity * powers, axis=0) + 9 * expansion**2 * modulus * volume * temperatures,
    )
