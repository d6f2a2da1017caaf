"""Heat flux of moving atoms, from which Green and Kubo's formula gives thermal conductivities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray

from ..errors import InputError
from ..model.model import Model
from ..scattering import SitesTransform
from ..structures.system import System


@dataclass(frozen=True)
class HeatFlux:
    """Heat flux of one moment, times the volume.

    Parameters
    ----------
    convective : ndarray, shape (3,)
        What atoms carry along: Σ_i E_i v_i with the energies of the potential and the kinetic ones, eV Å/fs.
    virial : ndarray, shape (3,)
        What goes from atom to atom: Σ_k W_k v_k, eV Å/fs.
    """

    convective: NDArray[np.float64]
    virial: NDArray[np.float64]

    @property
    def total(self) -> NDArray[np.float64]:
        """The sum of both, shape (3,), in eV Å/fs."""
        return self.convective + self.virial


def heat_flux(model: Model, atoms: Atoms) -> HeatFlux:
    """Compute the heat flux of a potential on sites.

    Parameters
    ----------
    model : Model
        A potential on sites.
    atoms : Atoms
        The structure with its velocities.

    Returns
    -------
    HeatFlux
        Both parts.

    Raises
    ------
    InputError
        If the potential is on a grid, whose energy is no sum over atoms.

    Notes
    -----
    The formula, exact for energies that depend on neighbours of neighbours, stands in the docstring of
    `ase_scatter.scattering.sites.heat`. Half of the repulsion between two atoms is each one's.
    """
    if not isinstance(model.transform, SitesTransform):
        raise InputError(
            f"model {model.name!r} computes on a grid and has no energies of single atoms, from which a heat "
            "flux could be made; take a potential on sites"
        )
    system = System.from_atoms(atoms)
    energies, virials = flux_virials_of(model, system)
    velocities = atoms.get_velocities() * units.fs  # Å/fs
    kinetic = 0.5 * atoms.get_masses() * (atoms.get_velocities() ** 2).sum(axis=1)
    return HeatFlux(
        convective=(energies + kinetic) @ velocities,
        virial=np.einsum("kab,kb->a", virials, velocities),
    )


def flux_virials_of(model: Model, system: System) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute energies of atoms and the virials that multiply their velocities in the heat flux.

    Parameters
    ----------
    model : Model
        A potential on sites.
    system : System
        The structure.

    Returns
    -------
    energies : ndarray, shape (N,)
        In eV, with free atoms and repulsion.
    virials : ndarray, shape (N, 3, 3)
        W_k in eV.
    """
    transform = model.transform
    assert isinstance(transform, SitesTransform)
    energies, virials = transform.flux_virials(system, model.weights)
    energies = energies + model.free_atoms(system)[0]
    if model.core is not None:
        core = model.core.evaluate(system)
        assert core.energies is not None
        assert core.virials is not None
        energies = energies + core.energies
        virials = virials - core.virials
    return energies, virials
