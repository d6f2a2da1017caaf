"""Which part of the energy's change each atom's motion carries where: virials for the heat flux.

The heat flux of potentials whose energy is a sum over atoms is J = Σ_i E_i v_i + Σ_k W_k v_k with

    W_k = −Σ_i (R_k − R_i) ⊗ ∂E_i/∂R_k,

where E_i counts the kinetic energy too (Fan et al., Phys. Rev. B 92, 094301 (2015); for messages between
atoms Langer, Frank, Knoop, J. Chem. Phys. 159, 174105 (2023)). Here E_i depends on the vectors r_ij to its
neighbours and, through g_j, on those from its neighbours to theirs, r_jk. With ∂E/∂r_jk of the total energy
and P_j = Σ_i (R_j − R_i) ∂E_i/∂g_j the sum over i is done once for each pair j → k:

    W_k takes −r_jk ⊗ ∂E/∂r_jk − P_j ⊗ ∂g_j/∂r_jk,    W_j takes +P_j ⊗ ∂g_j/∂r_jk,

for R_k − R_i = r_jk + (R_j − R_i). The sum of all W is the virial, but W_k is not symmetric, and not half of
the virial of each pair.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...structures.neighbors import Neighbors
from ...structures.system import System
from ..harmonics import prefactors
from .plan import Plan


def flux_virials(
    plan: Plan,
    system: System,
    kind: NDArray[np.int64],
    near: Neighbors,
    weights: tuple[NDArray[np.float64], ...],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the virials that the heat flux is made of.

    Parameters
    ----------
    plan : Plan
        Tables of the transform.
    system : System
        The structure.
    kind : ndarray of int, shape (N,)
        Which of the elements each atom is.
    near : Neighbors
        Pairs of atoms within the cutoff, or farther.
    weights : tuple of ndarray, each of shape (n_terms, n_elements)
        For each kind of term, in the order of ``KINDS``, the weights in eV.

    Returns
    -------
    energies : ndarray, shape (N,)
        Energies of the atoms in eV.
    virials : ndarray, shape (N, 3, 3)
        W_k in eV, with the axis of the distance first.
    """
    from . import numba_kernels as kernels

    n, n_sources = len(system), len(plan.source)
    where = (kind, system.positions, system.cell, near.first, near.second, near.shifts)
    factors = prefactors(plan.l_max)
    a, g = np.empty((n, plan.charges.shape[0] * plan.n_phi)), np.empty((n, n_sources))
    kept = np.empty((n, int(plan.moduli[plan.source, 1].sum())))
    back, force, energies = np.empty((near.n_pairs, n_sources)), np.empty((near.n_pairs, 3)), np.empty(n)
    kernels.fields(0, n, plan, factors, *where, a, g)
    kernels.terms(0, n, plan, factors, weights, *where, a, g, kept, energies, back, force)
    kernels.adjoint(0, n, plan, factors, *where, near.reverse, a, g, kept, back, force)
    own = np.repeat(np.arange(n), np.diff(near.first))
    vectors = system.positions[near.second] - system.positions[own] + near.shifts @ system.cell
    virials = np.zeros((n, 3, 3))
    np.add.at(virials, near.second, -vectors[:, :, None] * force[:, None, :])
    for axis in range(3 if n_sources else 0):
        a[:], force[:] = 0.0, 0.0
        moments = vectors[:, axis, None] * back
        kernels.adjoint(0, n, plan, factors, *where, near.reverse, a, g, kept, moments, force)
        np.add.at(virials[:, axis], near.second, -force)
        np.add.at(virials[:, axis], own, force)
    return energies, virials
