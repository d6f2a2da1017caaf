"""Frequencies and thermal properties from forces on displaced supercells, for all models of a committee."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from ase import units
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .force_sets import Displaced, set_forces

SOFTEST = 0.01
"""An imaginary frequency below this share of the highest one is noise of the interpolation between
wave vectors (it comes near Γ), not a mode."""

MESH = 70.0
"""Wave vectors lie as densely as those of a supercell of this length (Å) along each axis."""

Mesh = Sequence[int] | float
"""Three numbers of wave vectors, or a length (Å) that they resolve."""


class Spectrum(NamedTuple):
    """Frequencies from one set of force constants.

    Parameters
    ----------
    frequencies : ndarray, shape (k, 3n)
        On the path, THz, in rising order.
    gamma : ndarray, shape (3n,)
        At Γ, THz.
    imaginary : float
        The largest imaginary frequency but for acoustic modes at Γ, THz; 0 if there is none.
    imaginary_at : ndarray, shape (3,)
        Its wave vector.
    stable : bool
        Whether the imaginary frequency is so small that it is noise (`SOFTEST`).
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
