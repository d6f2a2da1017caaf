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

from ..compute.parallel import Progress
from ..errors import InputError
from .common import require_crystal
from .force_sets import (
    SYMPREC,
    Displaced,
    ForceSets,
    bare_atoms,
    force_sets,
    require_phonopy,
    require_relaxed,
    set_forces,
)
from .responses import Responses
from .result import Result
from .supercells import LENGTH, Supercell

SOFTEST = 0.01
"""An imaginary frequency below this share of the highest one is noise of the interpolation between
wave vectors (it comes near Γ), not a mode."""

MESH = 70.0
"""Wave vectors lie as densely as those of a supercell of this length (Å) along each axis."""

Mesh = Sequence[int] | float
"""Three numbers of wave vectors, or a length (Å) that they resolve."""


@dataclass(frozen=True)
class Thermal(Result):
    """Thermal properties of harmonic phonons at constant volume, all per atom.

    Parameters
    ----------
    temperatures : ndarray, shape (T,)
        K.
    free_energy : ndarray, shape (T,)
        Helmholtz energy of the vibrations, zero-point energy included, eV.
    entropy, heat_capacity : ndarray, shape (T,)
        eV/K.
    free_energy_band, entropy_band, heat_capacity_band : ndarray, shape (T,), or None
        Half-widths of the 90 % intervals, in the same units; None without a committee.
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
    """Phonons of a crystal with n atoms in its primitive cell.

    Imaginary frequencies are given as negative numbers.

    Parameters
    ----------
    primitive : Atoms
        The primitive cell, which wave vectors refer to.
    path : ndarray, shape (k, 3)
        Wave vectors along the path, in units of the reciprocal vectors of `primitive`.
    distances : ndarray, shape (k,)
        Distance along the path, 1/Å (without 2π).
    labels : tuple of (str, float)
        Name and distance of each special point.
    frequencies : ndarray, shape (k, 3n)
        THz, in rising order.
    gamma : ndarray, shape (3n,)
        Frequencies at Γ, THz; the three acoustic ones (zero but for rounding) included.
    dos_frequencies : ndarray, shape (d,)
        THz.
    dos : ndarray, shape (d,)
        Density of states, per THz and primitive cell.
    mesh : ndarray of int, shape (3,)
        Wave vectors of the density of states and of the thermal properties.
    imaginary : float
        The largest imaginary frequency on path and mesh but for acoustic modes at Γ, THz; 0 if there is
        none.
    imaginary_at : ndarray, shape (3,)
        Its wave vector.
    stable : bool
        Whether the imaginary frequency is so small that it is noise (`SOFTEST`).
    thermal : Thermal or None
        None if the crystal is not stable.
    force_sets : ForceSets
        The forces behind all this.
    frequencies_band : ndarray, shape (k, 3n), or None
        Half-widths of the 90 % intervals of `frequencies`, THz; None without a committee.
    gamma_band : ndarray, shape (3n,), or None
        Half-widths of the 90 % intervals of `gamma`, THz; None without a committee.
    unstable_members : int
        Members of the committee that find the crystal unstable. If any does, the thermal properties have
        no half-widths.
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
        """(3n − 3,) THz: half-widths of the 90 % intervals of `optical`; None without a committee."""
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
    """Phonons from finite displacements, with phonopy.

    Parameters
    ----------
    atoms : Atoms
        A relaxed crystal in any cell.
    calculator : BaseCalculator
        Any calculator of ASE; one with a committee gives half-widths.
    supercell : three int or float, default 15.0
        As in `repetitions`.
    displacement : float, default 0.01
        Å.
    path : str, optional
        Special points such as "GXKGL"; by default those of [1]_.
    points : int, default 150
        Wave vectors along the path.
    mesh : three int or float, default 70.0
        Three numbers of wave vectors, or a length in Å that they resolve.
    temperatures : array_like, optional
        K; by default 0 to 1000 in steps of 10.
    symprec : float, default 1e-3
        Distance by which atoms may be off their symmetric places, Å.
    stressed : bool, default False
        Whether the cell is meant to be under stress.
    progress : bool or callable, default False
        As in `compute.parallel.Progress`.
    name : str, default "phonons"
        What the progress is called.

    Returns
    -------
    Phonons
        Frequencies, density of states, thermal properties and half-widths.

    Raises
    ------
    InputError
        If phonopy is not installed, the atoms are no crystal at rest, or a setting cannot be used.

    Notes
    -----
    Displacements and force constants are those of phonopy [2]_. Force constants are linear in the forces:
    the members of a committee evaluate the same displacements, so that the frequencies of each member are
    exact. The long-range fields of polar crystals (LO-TO splitting) are not included.

    References
    ----------
    .. [1] Setyawan and Curtarolo, Comput. Mater. Sci. 49, 299 (2010),
       https://doi.org/10.1016/j.commatsci.2010.05.010
    .. [2] Togo et al., J. Phys.: Condens. Matter 35, 353001 (2023),
       https://doi.org/10.1088/1361-648X/acd831
    """
    require_phonopy()
    require_crystal(atoms)
    kelvin = checked_temperatures(temperatures)
    grid = checked_mesh(mesh)
    if points < 2:
        raise InputError(f"the path needs at least two points, not {points}")
    require_relaxed(atoms, calculator, stressed=stressed)
    displaced = force_sets(
        atoms,
        calculator,
        supercell=supercell,
        displacement=displacement,
        symprec=symprec,
        progress=progress,
        name=name,
    )
    model, responses = displaced.model, displaced.responses
    primitive = bare_atoms(model.primitive)
    track = _path(primitive, path, points)
    models = spectra(displaced, grid, kelvin, track.kpts)
    found = models[0]
    distances, places, names = track.get_linear_kpoint_axis()
    dos = model.run_total_dos()
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
        thermal=_thermal(kelvin, models, responses),
        force_sets=displaced.force_sets,
        frequencies_band=responses.half_width(np.array([each.frequencies for each in models]), "force"),
        gamma_band=responses.half_width(np.array([each.gamma for each in models]), "force"),
        unstable_members=sum(not member.stable for member in models[1:]),
    )


class Spectrum(NamedTuple):
    """Frequencies from one set of force constants.

    Parameters
    ----------
    frequencies, gamma, imaginary, imaginary_at, stable
        As in `Phonons`.
    thermal : ndarray, shape (3, T)
        Free energy (eV), entropy and heat capacity (eV/K) per atom; without meaning if it is not stable.
    """

    frequencies: NDArray[np.float64]
    gamma: NDArray[np.float64]
    imaginary: float
    imaginary_at: NDArray[np.float64]
    stable: bool
    thermal: NDArray[np.float64]


def spectrum(
    model: Any, mesh: Mesh, temperatures: NDArray[np.float64], path: NDArray[np.float64] | None = None
) -> Spectrum:
    """Frequencies and thermal properties from the force constants of a `phonopy.Phonopy`.

    Parameters
    ----------
    model : phonopy.Phonopy
        With force constants.
    mesh : three int or float
        As in `phonons`.
    temperatures : ndarray, shape (T,)
        K.
    path : ndarray, shape (k, 3), optional
        Wave vectors besides those of the mesh.

    Returns
    -------
    Spectrum
        Its frequencies are those on the path.
    """
    along = np.zeros((1, 3)) if path is None else np.concatenate([np.zeros((1, 3)), path])
    frequencies = np.array(model.run_qpoints(along).frequencies)
    # With Γ and, for even numbers, the zone boundary, where crystals are prone to be unstable.
    grid = model.run_mesh(mesh, is_gamma_center=True)
    vectors = np.concatenate([along, grid.qpoints])
    values = np.concatenate([frequencies, grid.frequencies])
    lowest = np.array([lowest_frequency(q, row) for q, row in zip(vectors, values, strict=True)])
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


def spectra(
    displaced: Displaced,
    mesh: Mesh,
    temperatures: NDArray[np.float64],
    path: NDArray[np.float64] | None = None,
) -> list[Spectrum]:
    """Frequencies and thermal properties that each model gives.

    Parameters
    ----------
    displaced : Displaced
        Forces of all models. Afterwards its phonopy model holds the potential's own.
    mesh : three int or float
        As in `phonons`.
    temperatures : ndarray, shape (T,)
        K.
    path : ndarray, shape (k, 3), optional
        Wave vectors besides those of the mesh.

    Returns
    -------
    list of Spectrum
        Of the potential, then of the members of its committee.
    """
    found = []
    # The potential comes last, so that its force constants are those that stay.
    for forces in displaced.forces[::-1]:
        set_forces(displaced.model, forces)
        found.append(spectrum(displaced.model, mesh, temperatures, path))
    return found[::-1]


def optical_modes(gamma: NDArray[np.float64]) -> NDArray[np.int64]:
    """Find the optical modes at Γ.

    Parameters
    ----------
    gamma : ndarray, shape (3n,)
        Frequencies at Γ in rising order, imaginary ones negative, THz.

    Returns
    -------
    ndarray of int, shape (3n - 3,)
        Places of all but the three frequencies of least magnitude, in rising order.
    """
    return np.sort(np.argsort(np.abs(gamma), kind="stable")[3:])


def checked_temperatures(temperatures: ArrayLike | None) -> NDArray[np.float64]:
    """Check temperatures.

    Parameters
    ----------
    temperatures : array_like or None
        K; None for 0 to 1000 in steps of 10.

    Returns
    -------
    ndarray, shape (T,)
        K.

    Raises
    ------
    InputError
        If they are not a list of finite numbers, none below 0.
    """
    kelvin = (
        np.arange(0.0, 1001.0, 10.0) if temperatures is None else np.array(temperatures, dtype=np.float64)
    )
    kelvin = np.atleast_1d(kelvin)
    if kelvin.ndim != 1 or not kelvin.size or not (np.isfinite(kelvin).all() and (kelvin >= 0).all()):
        raise InputError("temperatures must be a list of numbers in K, none below 0")
    return kelvin


def checked_mesh(mesh: Mesh) -> Mesh:
    """Check a mesh of wave vectors.

    Parameters
    ----------
    mesh : three int or float
        As in `phonons`.

    Returns
    -------
    three int or float
        The mesh.

    Raises
    ------
    InputError
        If it is neither three positive numbers nor a length.
    """
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


def lowest_frequency(vector: NDArray[np.float64], frequencies: NDArray[np.float64]) -> float:
    """Lowest frequency at a wave vector, but for acoustic modes at Γ, which are zero to either side.

    Parameters
    ----------
    vector : ndarray, shape (3,)
        Wave vector in units of the reciprocal vectors.
    frequencies : ndarray, shape (3n,)
        THz, in rising order, imaginary ones negative.

    Returns
    -------
    float
        THz; inf where there are acoustic modes alone.
    """
    at_gamma = np.abs(vector - np.round(vector)).max() < 1e-8
    values = frequencies[optical_modes(frequencies)] if at_gamma else frequencies
    return float(values.min(initial=np.inf))


def _thermal(
    temperatures: NDArray[np.float64], models: Sequence[Spectrum], responses: Responses
) -> Thermal | None:
    """Thermal properties, with half-widths where all models find the crystal stable."""
    if not models[0].stable:
        return None
    widths = None
    if all(each.stable for each in models):
        widths = responses.half_width(np.array([each.thermal for each in models]), "force")
    return Thermal(temperatures, *models[0].thermal, *(() if widths is None else widths))
