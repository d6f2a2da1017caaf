"""Stochastic rescaling of the cell: constant pressure with the right fluctuations of the volume."""

from __future__ import annotations

import numpy as np
from ase import Atoms, units

from ..units import GPA

COMPRESSIBILITY = 1 / (100 * GPA)
"""Å³/eV. It sets the time in which the volume relaxes, not what it relaxes to."""

BAROSTAT_EVERY = 10
"""Steps from one change of the cell to the next; each costs an evaluation more."""


def rescale_cell(
    atoms: Atoms, pressure: float, temperature: float, span: float, rng: np.random.Generator
) -> None:
    """Let the cell breathe for a short time.

    Parameters
    ----------
    atoms : Atoms
        With a calculator that has stresses; cell, positions and momenta are scaled in place.
    pressure : float
        Target, eV/Å³.
    temperature : float
        Target, K.
    span : float
        The time in units of the barostat's relaxation time.
    rng : numpy.random.Generator
        Random numbers.

    Notes
    -----
    The logarithm ε of the volume V obeys dε = −(β/τ)(P₀ − P) dt + √(2 kT β / (V τ)) dW, with the pressure P
    of the virial and of the velocities. Lengths grow by exp(dε/3), momenta shrink by it. Unlike Berendsen's
    barostat this samples the ensemble of constant pressure; unlike an extended Lagrangian it has no state
    besides the atoms, so that a run goes on from any of its frames and may change its temperature.

    References
    ----------
    Bernetti and Bussi, J. Chem. Phys. 153, 114107 (2020), https://doi.org/10.1063/5.0020514
    """
    volume = float(atoms.get_volume())
    virial = -float(atoms.get_stress(apply_constraint=False)[:3].mean())
    inner = virial + 2 * float(atoms.get_kinetic_energy()) / (3 * volume)
    noise = np.sqrt(2 * units.kB * temperature * COMPRESSIBILITY * span / volume) * rng.standard_normal()
    scale = float(np.exp((COMPRESSIBILITY * span * (inner - pressure) + noise) / 3))
    momenta = atoms.get_momenta()
    atoms.set_cell(scale * atoms.cell[:], scale_atoms=True)
    atoms.set_momenta(momenta / scale)
