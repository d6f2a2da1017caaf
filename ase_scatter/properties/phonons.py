"""Phonons: band structure, density of states, thermal properties, and whether the crystal is stable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator
from ase.cell import Cell
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .common import Progress, Result, band, require_crystal
from .force_sets import (
    LENGTH,
    SYMPREC,
    ForceSets,
    Supercell,
    force_sets,
    require_phonopy,
    require_relaxed,
    set_forces,
)

SOFTEST = 0.01
"""An imaginary frequency below this share of the highest one is noise of the interpolation between
wave vectors (it comes near Γ), not a mode."""

MESH = 70.0
"""Wave vectors lie as densely as those of a supercell of this length (Å) along each axis."""

Mesh = Sequence[int] | float


@dataclass(frozen=True)
class Thermal(Result):
    """Thermal properties of harmonic phonons at constant volume, all per atom.

    temperatures: (T,) K. free_energy: (T,) eV, of the vibrations, zero-point energy included. entropy and
    heat_capacity: (T,) eV/K. Each …_band: (T,) half-widths of bands that hold nine errors of ten, in the
    same units; None without a committee.
    """

    temperatures: NDArray[np.float64]
    free_energy: NDArray[np.float64]
    entropy: NDArray[np.float64]
    heat_capacity: NDArray[np.float64]
    free_energy_band: NDArray[np.float64] | None = None
    entropy_band: NDArray[np.float64] | None = None
    heat_capacity_band: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Phonons(Result):
    """Phonons of a crystal with n atoms in its primitive cell; imaginary frequencies are negative.

    primitive: the primitive cell, which wave vectors refer to. path: (k, 3) wave vectors along the
    standard path, in units of its reciprocal vectors; distances: (k,) along it, 1/Å (without 2π);
    labels: name and distance of each special point. frequencies: (k, 3n) THz, in rising order. gamma:
    (3n,) THz, at Γ, the three acoustic ones (zero but for rounding) included. dos_frequencies: (d,) THz;
    dos: (d,) states per THz and primitive cell. mesh: (3,) wave vectors of the density of states and the
    thermal properties. imaginary: THz, the largest imaginary frequency on path and mesh but for acoustic
    modes at Γ, 0 if there is none; imaginary_at: (3,) its wave vector. stable: whether it is so small
    that it is noise (`SOFTEST`). thermal: None if the crystal is not stable. frequencies_band and
    gamma_band: half-widths of bands that hold nine errors of ten, THz; None without a committee.
    unstable_members: how many of its members find the crystal unstable; if any does, the thermal
    properties have no bands. force_sets: the forces behind all this.
    """

    primitive: Atoms
    path: NDArray[np.float64]
    distances: NDArray[np.float64]
    labels: tuple[tuple[str, float], ...]
    frequencies: NDArray[np.float64]
    gamma: NDArray[np.float64]
    dos_frequencies: NDArray[np.float64]
    dos: NDArray[np.float64]
    mesh: NDArray[np.int64]
    imaginary: float
    imaginary_at: NDArray[np.float64]
    stable: bool
    thermal: Thermal | None
    force_sets: ForceSets
    frequencies_band: NDArray[np.float64] | None = None
    gamma_band: NDArray[np.float64] | None = None
    unstable_members: int = 0

    @property
    def optical(self) -> NDArray[np.float64]:
        """(3n − 3,) THz: frequencies at Γ without the three acoustic ones, in rising order."""
        return self.gamma[optical_modes(self.gamma)]

    @property
    def optical_band(self) -> NDArray[np.float64] | None:
        """(3n − 3,) THz: half-widths of the bands of `optical`; None without a committee."""
        return None if self.gamma_band is None else self.gamma_band[optical_modes(self.gamma)]


def phonons(
    atoms: Atoms,
    calculator: BaseCalculator,
    *,
    supercell: Supercell = LENGTH,
    displacement: float = 0.01,
    path: str | None = None,
    points: int = 150,
    mesh: Mesh = MESH,
    temperatures: ArrayLike | None = None,
    symprec: float = SYMPREC,
    stressed: bool = False,
    progress: Progress = False,
    name: str = "phonons",
) -> Phonons:
    """Phonons by finite displacements, with phonopy (J. Phys. Condens. Matter 35, 353001, 2023).

    atoms: a relaxed crystal in any cell. supercell: three repetitions of that cell, or a length in Å
    that every edge is to reach. displacement: Å. path: special points such as "GXKGL" (by default those
    of Comput. Mater. Sci. 49, 299, 2010), with so many points. mesh: three numbers of wave vectors, or
    a length in Å that they resolve. temperatures: K, by default 0 to 1000. symprec: Å, by which
    atoms may be off the places that symmetry has for them. stressed: the cell is meant to be under stress.

    A calculator with a committee gives error bars: force constants are linear in its members' forces,
    which are evaluated at the same displacements, so that frequencies of each member are exact; the
    members take as long as a committee takes for all supercells. The long-range fields of polar
    crystals (LO-TO splitting) are not included. Raises InputError without phonopy, and for what is no
    crystal at rest.
    """
    require_phonopy()
    require_crystal(atoms)
    kelvin = checked_temperatures(temperatures)
    grid = checked_mesh(mesh)
    if points < 2:
        raise InputError(f"the path needs at least two points, not {points}")
    require_relaxed(atoms, calculator, stressed=stressed)
    sets, model, member_forces, factor = force_sets(
        atoms,
        calculator,
        supercell=supercell,
        displacement=displacement,
        symprec=symprec,
        progress=progress,
        name=name,
    )
    primitive = Atoms(
        model.primitive.symbols,
        cell=model.primitive.cell,
        scaled_positions=model.primitive.scaled_positions,
        pbc=True,
    )
    track = _path(primitive, path, points)
    found = spectrum(model, grid, kelvin, track.kpts)
    distances, places, names = track.get_linear_kpoint_axis()
    dos = model.run_total_dos()
    members = member_spectra(model, member_forces, grid, kelvin, track.kpts)
    return Phonons(
        primitive=primitive,
        path=np.asarray(track.kpts),
        distances=np.asarray(distances),
        labels=tuple((str(label), float(place)) for label, place in zip(names, places, strict=True)),
        frequencies=found.frequencies,
        gamma=found.gamma,
        dos_frequencies=np.asarray(dos.frequency_points),
        dos=np.asarray(dos.dos),
        mesh=np.asarray(model.mesh.mesh_numbers),
        imaginary=found.imaginary,
        imaginary_at=found.imaginary_at,
        stable=found.stable,
        thermal=_thermal(kelvin, found, members, factor),
        force_sets=sets,
        frequencies_band=_band([member.frequencies for member in members], factor),
        gamma_band=_band([member.gamma for member in members], factor),
        unstable_members=sum(not member.stable for member in members),
    )


class Spectrum(NamedTuple):
    """Frequencies (THz) of one set of force constants; thermal: (3, T) free energy (eV), entropy and
    heat capacity (eV/K) per atom, without meaning if it is not stable."""

    frequencies: NDArray[np.float64]
    gamma: NDArray[np.float64]
    imaginary: float
    imaginary_at: NDArray[np.float64]
    stable: bool
    thermal: NDArray[np.float64]


def spectrum(
    model: Any, mesh: Mesh, temperatures: NDArray[np.float64], path: NDArray[np.float64] | None = None
) -> Spectrum:
    """What the force constants of a `phonopy.Phonopy` give, on a mesh and on a path (k, 3) besides."""
    along = np.zeros((1, 3)) if path is None else np.concatenate([np.zeros((1, 3)), path])
    frequencies = np.array(model.run_qpoints(along).frequencies)
    # With Γ and, for even numbers, the zone boundary, where crystals are prone to be unstable.
    grid = model.run_mesh(mesh, is_gamma_center=True)
    vectors = np.concatenate([along, grid.qpoints])
    values = np.concatenate([frequencies, grid.frequencies])
    lowest = np.array([_softest(q, row) for q, row in zip(vectors, values, strict=True)])
    worst = int(np.argmin(lowest))
    imaginary = max(0.0, -float(lowest[worst]))
    # phonopy takes moles of primitive cells.
    scale = units.kJ / units.mol / len(model.primitive)
    thermal = model.run_thermal_properties(temperatures=temperatures, exclude_gamma_acoustic=True)
    return Spectrum(
        frequencies=frequencies[1:],
        gamma=frequencies[0],
        imaginary=imaginary,
        imaginary_at=vectors[worst] if imaginary > 0 else np.zeros(3),
        stable=imaginary < SOFTEST * float(values.max()),
        thermal=scale * np.array([thermal.free_energy, thermal.entropy / 1000, thermal.heat_capacity / 1000]),
    )


def member_spectra(
    model: Any,
    members: NDArray[np.float64] | None,
    mesh: Mesh,
    temperatures: NDArray[np.float64],
    path: NDArray[np.float64] | None = None,
) -> list[Spectrum]:
    """The same for the forces of each member (members, n, S·N, 3); the last ones stay in the model."""
    found = []
    for forces in () if members is None else members:
        set_forces(model, forces)
        found.append(spectrum(model, mesh, temperatures, path))
    return found


def optical_modes(gamma: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which of the frequencies at Γ, in rising order, are not those of the three acoustic modes."""
    return np.sort(np.argsort(np.abs(gamma), kind="stable")[3:])


def checked_temperatures(temperatures: ArrayLike | None) -> NDArray[np.float64]:
    """Temperatures (T,) in K, by default 0 to 1000 in steps of 10. Raises InputError for others than such."""
    kelvin = (
        np.arange(0.0, 1001.0, 10.0) if temperatures is None else np.array(temperatures, dtype=np.float64)
    )
    kelvin = np.atleast_1d(kelvin)
    if kelvin.ndim != 1 or not kelvin.size or not (np.isfinite(kelvin).all() and (kelvin >= 0).all()):
        raise InputError("temperatures must be a list of numbers in K, none below 0")
    return kelvin


def checked_mesh(mesh: Mesh) -> Mesh:
    """The mesh, as in `phonons`. Raises InputError if it is neither three numbers nor a length."""
    if not (np.ndim(mesh) == 0 or np.shape(mesh) == (3,)) or not (np.array(mesh) > 0).all():
        raise InputError(f"the mesh must be three whole numbers above 0, or a length in Å: {mesh}")
    return mesh


def _path(primitive: Atoms, path: str | None, points: int) -> Any:
    """The path through the zone of this very cell, however its lattice vectors were chosen."""
    try:
        return Cell(primitive.cell[:]).bandpath(path, npoints=points)
    except KeyError as error:
        known = ", ".join(Cell(primitive.cell[:]).bandpath(npoints=0).special_points)
        raise InputError(f"the path {path!r} has a point that is none of {known}") from error


def _softest(vector: NDArray[np.float64], frequencies: NDArray[np.float64]) -> float:
    """The lowest frequency, but for acoustic modes at Γ: those are zero, to either side."""
    at_gamma = np.abs(vector - np.round(vector)).max() < 1e-8
    values = frequencies[optical_modes(frequencies)] if at_gamma else frequencies
    return float(values.min(initial=np.inf))


def _thermal(
    temperatures: NDArray[np.float64], found: Spectrum, members: Sequence[Spectrum], factor: float
) -> Thermal | None:
    if not found.stable:
        return None
    bands = None
    if all(member.stable for member in members):
        bands = _band([member.thermal for member in members], factor)
    return Thermal(temperatures, *found.thermal, *(bands if bands is not None else ()))


def _band(values: Sequence[NDArray[np.float64]], factor: float) -> NDArray[np.float64] | None:
    return band(np.array(values), factor) if values else None
