"""Elastic tensors in Voigt order: rotation, symmetry of the crystal, stability, moduli of a polycrystal."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ..errors import InputError
from ..units import VOIGT, VOIGT_COLS, VOIGT_ROWS
from .result import Result


@dataclass(frozen=True)
class CubicConstants(Result):
    """Averages over the entries that are equal in a cubic crystal.

    Parameters
    ----------
    c11, c12, c44 : float
        GPa.
    deviation : float
        Largest difference between an entry of the tensor and the average it belongs to, GPa; large if the
        crystal is not cubic or its axes are not x, y, z.
    """

    c11: float
    c12: float
    c44: float
    deviation: float

    @property
    def bulk_modulus(self) -> float:
        """(C11 + 2 C12) / 3 in GPa."""
        return (self.c11 + 2 * self.c12) / 3


@dataclass(frozen=True)
class Moduli(Result):
    """Moduli of a polycrystal without texture.

    Parameters
    ----------
    bulk, shear : float
        Hill's mean of Voigt's and Reuss's bounds [1]_, GPa.
    young : float
        Young's modulus of Hill's mean, GPa.
    poisson : float
        Poisson's ratio of Hill's mean.
    anisotropy : float
        The universal index [2]_, 0 for an isotropic crystal.
    bulk_voigt, bulk_reuss, shear_voigt, shear_reuss : float
        The bounds, GPa.

    References
    ----------
    .. [1] Hill, Proc. Phys. Soc. A 65, 349 (1952), https://doi.org/10.1088/0370-1298/65/5/307
    .. [2] Ranganathan and Ostoja-Starzewski, Phys. Rev. Lett. 101, 055504 (2008),
       https://doi.org/10.1103/PhysRevLett.101.055504
    """

    bulk: float
    shear: float
    young: float
    poisson: float
    anisotropy: float
    bulk_voigt: float
    bulk_reuss: float
    shear_voigt: float
    shear_reuss: float


@dataclass(frozen=True)
class Symmetry(Result):
    """The space group of a crystal.

    Parameters
    ----------
    symbol : str
        International symbol.
    number : int
        Number in the International Tables.
    rotations : ndarray, shape (n, 3, 3)
        Its rotations, proper and improper, as Cartesian matrices.
    """

    symbol: str
    number: int
    rotations: NDArray[np.float64]


@contextmanager
def spglib_quiet() -> Iterator[None]:
    """Silence spglib's warning that its way to report errors will change.

    Yields
    ------
    None
        This project and ASE rely on the present way, which returns None.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning)
        yield


def symmetry_of(atoms: Atoms, tolerance: float = 1e-3) -> Symmetry:
    """Find the space group of a crystal with spglib.

    Parameters
    ----------
    atoms : Atoms
        The crystal.
    tolerance : float, default 1e-3
        Distance by which atoms may be off their symmetric places, Å.

    Returns
    -------
    Symmetry
        Symbol, number and rotations.

    Raises
    ------
    InputError
        If there is none, as when atoms lie on top of each other.

    References
    ----------
    Togo, Shinohara and Tanaka, Sci. Technol. Adv. Mater. Meth. 4, 2384822 (2024),
    https://doi.org/10.1080/27660400.2024.2384822
    """
    import spglib

    cell: Any = (np.array(atoms.cell), atoms.get_scaled_positions(), atoms.numbers)
    with spglib_quiet():
        found = spglib.get_symmetry_dataset(cell, symprec=tolerance)
    if found is None:
        raise InputError("no symmetry could be found: do atoms lie on top of each other?")
    basis = np.array(atoms.cell).T  # lattice vectors as columns
    rotations = np.array([basis @ rotation @ np.linalg.inv(basis) for rotation in found.rotations])
    return Symmetry(found.international, int(found.number), rotations)


def symmetrised(tensor: NDArray[np.float64], symmetry: Symmetry) -> NDArray[np.float64]:
    """Average tensors over the rotations of a crystal and over the order of the two strains.

    Parameters
    ----------
    tensor : ndarray, shape (..., 6, 6)
        Elastic tensors in Voigt order.
    symmetry : Symmetry
        The space group.

    Returns
    -------
    ndarray, shape (..., 6, 6)
        The averages, in the units of `tensor`.
    """
    tensor = (tensor + np.swapaxes(tensor, -1, -2)) / 2
    # The group's mean is a projection, which one matrix (36, 36) does for any number of tensors.
    mean = np.mean([np.kron(m, m) for m in map(_voigt_rotation, symmetry.rotations)], axis=0)
    return np.asarray((tensor.reshape(*tensor.shape[:-2], 36) @ mean.T).reshape(tensor.shape))


def rotated(tensor: NDArray[np.float64], rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotate an elastic tensor.

    Parameters
    ----------
    tensor : ndarray, shape (6, 6)
        Elastic tensor in Voigt order.
    rotation : ndarray, shape (3, 3)
        Rotation matrix R, which takes a vector v to R v.

    Returns
    -------
    ndarray, shape (6, 6)
        The tensor of the rotated crystal, in the units of `tensor`.
    """
    turn = _voigt_rotation(rotation)
    return np.asarray(turn @ tensor @ turn.T)


def _voigt_rotation(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """How stresses in Voigt order turn: σ' = M σ, and so C' = M C Mᵀ (Bond's matrix)."""
    turn = np.empty((6, 6))
    for row, (i, j) in enumerate(VOIGT):
        products = np.outer(rotation[i], rotation[j])
        both = products + products.T
        turn[row] = both[VOIGT_ROWS, VOIGT_COLS]
        turn[row, :3] /= 2
    return turn


def stiffnesses(tensor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eigenvalues of an elastic tensor.

    Parameters
    ----------
    tensor : ndarray, shape (6, 6)
        Elastic tensor in Voigt order, GPa.

    Returns
    -------
    ndarray, shape (6,)
        Ascending, GPa. The crystal is stable if all are positive: Born's criteria for any symmetry.

    References
    ----------
    Mouhat and Coudert, Phys. Rev. B 90, 224104 (2014), https://doi.org/10.1103/PhysRevB.90.224104
    """
    # In Mandel's notation the matrix has the eigenvalues of the tensor.
    scale = np.sqrt([1, 1, 1, 2, 2, 2])
    return np.asarray(np.linalg.eigvalsh(tensor * np.outer(scale, scale)))


def cubic(tensor: NDArray[np.float64]) -> CubicConstants:
    """Elastic constants of a cubic crystal whose axes are x, y, z.

    Parameters
    ----------
    tensor : ndarray, shape (6, 6)
        Elastic tensor in Voigt order, GPa.

    Returns
    -------
    CubicConstants
        C11, C12 and C44, GPa.
    """
    axial, shear = tensor[:3, :3], tensor[3:, 3:]
    c11, c44 = float(np.diag(axial).mean()), float(np.diag(shear).mean())
    c12 = float(axial[np.triu_indices(3, 1)].mean())
    ideal = np.zeros((6, 6))
    ideal[:3, :3] = c12
    ideal[range(6), range(6)] = [c11] * 3 + [c44] * 3
    return CubicConstants(c11, c12, c44, float(np.abs(tensor - ideal).max()))


def moduli(tensor: NDArray[np.float64]) -> Moduli:
    """Moduli of a polycrystal without texture.

    Parameters
    ----------
    tensor : ndarray, shape (6, 6)
        Elastic tensor of the crystal in Voigt order, GPa.

    Returns
    -------
    Moduli
        Bulk, shear and Young's modulus, Poisson's ratio and anisotropy.

    Raises
    ------
    InputError
        If the tensor is singular.
    """
    if abs(stiffnesses(tensor)).min() < 1e-9:
        raise InputError("the elastic tensor is singular, so that it has no compliance")
    compliance = np.asarray(np.linalg.inv(tensor), dtype=np.float64)
    bulk_voigt, shear_voigt = _isotropic(tensor, 1.0)
    softness, slack = _isotropic(compliance, 0.25)
    bulk_reuss, shear_reuss = 1 / (9 * softness), 1 / (4 * slack)
    bulk, shear = (bulk_voigt + bulk_reuss) / 2, (shear_voigt + shear_reuss) / 2
    return Moduli(
        bulk=bulk,
        shear=shear,
        young=9 * bulk * shear / (3 * bulk + shear),
        poisson=(3 * bulk - 2 * shear) / (6 * bulk + 2 * shear),
        anisotropy=5 * shear_voigt / shear_reuss + bulk_voigt / bulk_reuss - 6,
        bulk_voigt=bulk_voigt,
        bulk_reuss=bulk_reuss,
        shear_voigt=shear_voigt,
        shear_reuss=shear_reuss,
    )


def _isotropic(tensor: NDArray[np.float64], shears: float) -> tuple[float, float]:
    """Mean over all orientations of what resists dilation and shear; shears: 1 for stiffnesses, 1/4 for
    compliances, where engineering shears count twice on both sides."""
    axial = tensor[:3, :3]
    total, trace = axial.sum(), np.trace(axial)
    shear = (3 * trace - total) / 30 + shears * np.trace(tensor[3:, 3:]) / 5
    return float(total / 9), float(shear)
