"""Phonons: band structure, density of states, thermal properties, and whether the crystal is stable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.cell import Cell
from numpy.typing import ArrayLike, NDArray

from ..compute.parallel import Progress
from ..errors import InputError
from .common import require_crystal
from .force_sets import (
    SYMPREC,
    ForceSets,
    bare_atoms,
    force_sets,
    require_phonopy,
    require_relaxed,
)
from .responses import Responses
from .result import Result
from .spectra import MESH, Mesh, Spectrum, checked_mesh, checked_temperatures, optical_modes, spectra
from .supercells import LENGTH, Supercell


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
    free_energy_half_width, entropy_half_width, heat_capacity_half_width : ndarray, shape (T,), or None
        Half-widths of the 90 % intervals, in the same units; None without a committee.
    """

    temperatures: NDArray[np.float64]
    free_energy: NDArray[np.float64]
    entropy: NDArray[np.float64]
    heat_capacity: NDArray[np.float64]
    free_energy_half_width: NDArray[np.float64] | None = None
    entropy_half_width: NDArray[np.float64] | None = None
    heat_capacity_half_width: NDArray[np.float64] | None = None


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
    frequencies_half_width : ndarray, shape (k, 3n), or None
        Half-widths of the 90 % intervals of `frequencies`, THz; None without a committee.
    gamma_half_width : ndarray, shape (3n,), or None
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
    frequencies_half_width: NDArray[np.float64] | None = None
    gamma_half_width: NDArray[np.float64] | None = None
    unstable_members: int = 0

    @property
    def optical(self) -> NDArray[np.float64]:
        """(3n − 3,) THz: frequencies at Γ without the three acoustic ones, in rising order."""
        return self.gamma[optical_modes(self.gamma)]

    @property
    def optical_half_width(self) -> NDArray[np.float64] | None:
        """(3n − 3,) THz: half-widths of the 90 % intervals of `optical`; None without a committee."""
        return None if self.gamma_half_width is None else self.gamma_half_width[optical_modes(self.gamma)]


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
        frequencies_half_width=responses.half_width(np.array([each.frequencies for each in models]), "force"),
        gamma_half_width=responses.half_width(np.array([each.gamma for each in models]), "force"),
        unstable_members=sum(not member.stable for member in models[1:]),
    )


def _path(primitive: Atoms, path: str | None, points: int) -> Any:
    """The path through the zone of this very cell, however its lattice vectors were chosen."""
    try:
        return Cell(primitive.cell[:]).bandpath(path, npoints=points)
    except KeyError as error:
        known = ", ".join(Cell(primitive.cell[:]).bandpath(npoints=0).special_points)
        raise InputError(f"the path {path!r} has a point that is none of {known}") from error


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
