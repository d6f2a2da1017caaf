"""Elastic bands of images between two structures: first guess, forces on all of them at once, arc length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.mep import NEB, idpp_interpolate, interpolate
from ase.optimize.optimize import Optimizer
from numpy.typing import NDArray

from .common import minimise
from .end_states import displacement
from .responses import evaluate

MEETING = 0.1
"""Å. Atoms nearer than this are in one place."""


class BatchedNEB(NEB):
    """A nudged elastic band whose images are evaluated together, by one calculator.

    Images carry results, not calculators: before ASE asks them for their forces, those that have moved are
    evaluated, in one call of the calculator's `evaluate_many` where it has one.

    Parameters
    ----------
    images : sequence of Atoms
        The images, ends included; they are moved in place.
    calculator : BaseCalculator
        Any calculator of ASE.
    **settings
        As in `ase.mep.NEB`.
    """

    def __init__(self, images: Sequence[Atoms], calculator: BaseCalculator, **settings: Any) -> None:
        super().__init__(list(images), **settings)
        self._calculator = calculator

    def get_forces(self) -> NDArray[np.float64]:
        """Forces on the inner images.

        Returns
        -------
        ndarray, shape ((n - 2) * N, 3)
            Forces of the elastic band, eV/Å.
        """
        evaluate(self.images, self._calculator, members=False)
        return np.asarray(super().get_forces())


def first_guess(initial: Atoms, final: Atoms, images: int) -> list[Atoms]:
    """Guess a path from the image-dependent pair potential (IDPP).

    Parameters
    ----------
    initial, final : Atoms
        The two ends; they stay as they are.
    images : int
        Images between the ends.

    Returns
    -------
    list of Atoms
        Copies of the ends first and last, the images between them.

    References
    ----------
    Smidstrup et al., J. Chem. Phys. 140, 214106 (2014), https://doi.org/10.1063/1.4878664
    """
    band = [initial.copy() for _ in range(images + 1)] + [final.copy()]
    interpolate(band, mic=True)
    for number, image in enumerate(band[1:-1]):
        # Atoms that change places meet half way, where nothing tells IDPP to which side they should go.
        if len(image) > 1 and _least_distance(image) < MEETING:
            image.rattle(MEETING, seed=number)
    # The method is named, or ASE warns about its default; it matters little here.
    plain = NEB(band, method="improvedtangent")
    idpp_interpolate(plain, traj=None, log=None, mic=True)
    return band


def _least_distance(atoms: Atoms) -> float:
    distances = atoms.get_all_distances(mic=True)
    np.fill_diagonal(distances, np.inf)
    return float(distances.min())


def optimise(
    neb: BatchedNEB,
    climb: bool,
    fmax: float,
    steps: int,
    tick: Callable[[], None],
    optimizer: type[Optimizer],
) -> tuple[bool, int]:
    """Relax an elastic band.

    Parameters
    ----------
    neb : BatchedNEB
        The elastic band, relaxed in place.
    climb : bool
        Whether the highest image climbs. The band is relaxed roughly first, so that the right image does.
    fmax : float
        Tolerance on the forces, eV/Å.
    steps : int
        Most steps of the optimizer.
    tick : callable
        Called without arguments before the first and after each step.
    optimizer : type of Optimizer
        A class of `ase.optimize`.

    Returns
    -------
    converged : bool
        Whether the forces are below the tolerance.
    steps : int
        Steps taken.
    """
    taken = 0
    if climb:
        _, taken = minimise(neb, fmax=10 * fmax, steps=steps, tick=tick, optimizer=optimizer)
        neb.climb = True
    converged, more = minimise(neb, fmax=fmax, steps=steps - taken, tick=tick, optimizer=optimizer)
    return converged, taken + more


def arc(band: Sequence[Atoms]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Arc length and slope of the energy along a path.

    Parameters
    ----------
    band : sequence of Atoms
        The images, ends included, with forces.

    Returns
    -------
    path : ndarray, shape (n,)
        Distance along the path, Å.
    slopes : ndarray, shape (n,)
        dE/d(path), eV/Å; zero at the ends, which are relaxed.
    """
    legs = [displacement(a, b) for a, b in pairwise(band)]
    lengths = np.array([np.linalg.norm(leg) for leg in legs])
    slopes = np.zeros(len(band))
    for i, image in enumerate(band[1:-1], start=1):
        # Unit vectors on both sides, averaged: a central difference along the arc.
        tangent = legs[i - 1] / lengths[i - 1] + legs[i] / lengths[i]
        tangent /= np.linalg.norm(tangent)
        slopes[i] = -np.vdot(image.get_forces(apply_constraint=False), tangent)
    return np.concatenate([[0.0], np.cumsum(lengths)]), slopes
