"""The columns that a potential learns with, fixed before anything is known.

They need structures, not labels: scales and cutoff follow from the bonds, norms from the first structures and
rattled copies of them. The copies also say how strongly each column acts on forces, which sets the size that
its weight is expected to have: a column that a perfect crystal silences by symmetry is not unknown for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from ..compute.target import Target
from ..model.repulsion import ZBLRepulsion
from ..scattering import SitesSettings, SitesTransform, Transform
from ..scattering.channels import Channels
from ..structures.dataset import Frame, elements_of
from ..structures.distances import shortest_distances
from ..structures.sampling import typical_bond
from ..structures.system import System, kinds_of
from ..units import GPA, VOIGT, to_voigt
from .settings import SITES, LearningSettings

RATTLE = (0.05, 0.15)
"""Å. Standard deviations of the displacements of the copies."""
STRAIN = 0.02
"""Standard deviation of the strains of the copies."""
MOST_COPIES = 8
"""Times that each structure is copied."""
FREE_ATOMS = 1e-5
"""Of the energies of the free atoms: so much of the mean square of their rows counts."""
TARGET = Target("cpu", "float64")

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one structure over their sigmas, and what the labels are.

    Parameters
    ----------
    matrix : ndarray, shape (1 + 3N or 7 + 3N, n)
        Energy, forces, and the stress where there is a volume.
    known : ndarray, shape (1 + 3N or 7 + 3N,)
        What does not come from the columns: repulsion and the start of the free atoms, over the sigmas.
    sigma : ndarray, shape (1 + 3N or 7 + 3N,)
        eV, eV/Å and eV/Å³.
    n_atoms : int
        N.
    """

    matrix: Matrix
    known: Matrix
    sigma: Matrix
    n_atoms: int

    @property
    def forces(self) -> slice:
        """Where the rows of the forces are."""
        return slice(1, 1 + 3 * self.n_atoms)

    @property
    def stress(self) -> slice:
        """Where the rows of the stress are."""
        return slice(1 + 3 * self.n_atoms, len(self.sigma))

    def targets(self, frame: Frame) -> tuple[Matrix, NDArray[np.bool_]]:
        """What the columns have to give, over the sigmas, and which of the rows are labelled.

        Parameters
        ----------
        frame : Frame
            The labels of this structure.

        Returns
        -------
        targets : ndarray, shape (rows,)
            0 where there is no label.
        labelled : ndarray of bool, shape (rows,)
        """
        labels = np.full(len(self.sigma), np.nan)
        labels[0] = frame.energy
        if frame.forces is not None:
            labels[self.forces] = frame.forces.ravel()
        if frame.stress is not None:
            labels[self.stress] = frame.stress
        there = np.isfinite(labels)
        return np.where(there, labels / self.sigma - self.known, 0.0), there


@dataclass(frozen=True, eq=False)
class Basis:
    """Columns, repulsion, and how large weights are expected to be.

    Parameters
    ----------
    transform : Transform
        The columns.
    core : ZBLRepulsion
        Short-range repulsion.
    elements : tuple of str
        Chemical symbols.
    e0 : ndarray, shape (n_elements,)
        Where the energies of the free atoms begin, eV.
    middle : ndarray, shape (n_columns, n_elements)
        Values of the columns per atom in the first structures; they are taken off the energies' rows, so that
        energies do not start as differences of large numbers.
    size : ndarray, shape (n_columns + n_elements,)
        Mean square of the rows of each column, over the sigmas.
    settings : LearningSettings
        The settings.
    """

    transform: Transform
    core: ZBLRepulsion
    elements: tuple[str, ...]
    e0: Matrix
    middle: Matrix
    size: Matrix
    settings: LearningSettings

    @classmethod
    def of(cls, systems: Sequence[System], settings: LearningSettings, e0: float = 0.0) -> Basis:
        """From the first structures.

        Parameters
        ----------
        systems : sequence of System
            The structures.
        settings : LearningSettings
            The settings.
        e0 : float
            Energy per atom that the free atoms begin from, eV.

        Returns
        -------
        Basis
        """
        channels = Channels.by_species(elements_of(systems))
        n = len(channels.elements)
        given = {**SITES[min(n, max(SITES))], **settings.sites}
        sites = SitesSettings.recommended(n, typical_bond(systems), **given)
        closest = settings.closest * shortest_distances(systems, channels.elements)
        transform = replace(
            SitesTransform.candidates(sites, channels), closest=tuple(map(tuple, closest.tolist()))
        )
        rng = np.random.default_rng(settings.seed)
        enough = settings.columns / (3.0 * sum(len(system) for system in systems) * len(RATTLE))
        copies = [
            _shaken(system, amount, rng)
            for _ in range(min(MOST_COPIES, int(np.ceil(enough)) + 1))
            for system in systems
            for amount in RATTLE
        ]
        calibrated = transform.calibrated([*systems, *copies], TARGET)
        if calibrated.n_columns > settings.columns:
            calibrated = calibrated.subset(_independent(calibrated, copies, settings.columns))
        core = ZBLRepulsion(channels.elements, r_outer=closest)
        total = np.sum([calibrated.features(s, TARGET) for s in systems], axis=0)
        counts = np.sum([_counts(s, channels.elements) for s in systems], axis=0)
        element = np.array([column.element for column in calibrated.terms])
        middle = np.zeros((len(total), n))
        middle[np.arange(len(total)), element] = total / counts[element]
        ones = np.ones(len(total) + n)
        basis = cls(calibrated, core, channels.elements, np.full(n, e0), middle, ones, settings)
        squares = np.mean([np.square(basis.rows(s).matrix).mean(axis=0) for s in copies], axis=0)
        size = np.maximum(squares, 1e-12 * squares[: calibrated.n_columns].max())
        size[len(total) :] = FREE_ATOMS * squares[len(total) :]
        return replace(basis, size=size)

    @property
    def n_columns(self) -> int:
        """Number of columns, those of the free atoms included."""
        return len(self.size)

    def rows(self, system: System) -> Rows:
        """Rows of a structure.

        Parameters
        ----------
        system : System
            The structure.

        Returns
        -------
        Rows
        """
        n_atoms, settings = len(system), self.settings
        values, d_positions, d_strain = self.transform.jacobian(system, TARGET)
        core = self.core.evaluate(system)
        counts = _counts(system, self.elements)
        n = len(values)
        n_rows = 1 + 3 * n_atoms + (6 if system.has_volume and system.pbc.all() else 0)
        matrix, known = np.zeros((n_rows, self.n_columns)), np.zeros(n_rows)
        sigma = np.full(n_rows, settings.sigma_force)
        sigma[0] = settings.sigma_energy * n_atoms**0.5
        matrix[0, :n], matrix[0, n:] = values - self.middle @ counts, counts
        known[0] = core.energy + counts @ self.e0
        matrix[1 : 1 + 3 * n_atoms, :n] = -d_positions.reshape(n, -1).T
        known[1 : 1 + 3 * n_atoms] = core.forces.ravel()
        if n_rows > 1 + 3 * n_atoms:
            last = slice(1 + 3 * n_atoms, None)
            symmetric = 0.5 * (d_strain + d_strain.transpose(0, 2, 1))
            matrix[last, :n] = np.stack([symmetric[:, a, b] for a, b in VOIGT]) / system.volume
            known[last] = to_voigt(core.strain_gradient) / system.volume
            sigma[last] = settings.sigma_stress * GPA
        return Rows(matrix / sigma[:, None], known / sigma, sigma, n_atoms)


def _independent(transform: Transform, systems: Sequence[System], n: int) -> list[int]:
    """Columns whose forces vary most by themselves: pivots of a Cholesky factorisation."""
    gram = np.zeros((transform.n_columns,) * 2)
    for system in systems:
        _, d_positions, _ = transform.jacobian(system, TARGET)
        rows = d_positions.reshape(transform.n_columns, -1)
        gram += rows @ rows.T
    size = np.sqrt(np.diag(gram))
    size = np.where(size > 0, size, 1.0)
    _, pivots, rank, _ = scipy.linalg.lapack.dpstrf(gram / size / size[:, None], tol=1e-13)
    # In the transform's own order, so that what shares work stands together.
    return sorted((pivots[: min(n, rank)] - 1).tolist())


def _shaken(system: System, amount: float, rng: np.random.Generator) -> System:
    """A copy with displaced atoms and, where all directions are periodic, a strained cell."""
    positions = system.positions + rng.normal(0.0, amount, system.positions.shape)
    if not system.pbc.all():
        return replace(system, positions=positions)
    strain = rng.normal(0.0, STRAIN, (3, 3))
    deformation = np.eye(3) + 0.5 * (strain + strain.T)
    return replace(system, positions=positions @ deformation, cell=system.cell @ deformation)


def _counts(system: System, elements: Sequence[str]) -> NDArray[np.int64]:
    """Number of atoms of each element."""
    return np.bincount(kinds_of(system.numbers, elements), minlength=len(elements))
