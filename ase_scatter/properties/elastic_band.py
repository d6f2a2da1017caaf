"""Bands of images between two structures: a first guess, forces for all of them at once, and arcs."""

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

from .common import evaluate_together, minimise
from .end_states import displacement

MEETING = 0.1
"""Å. Atoms nearer than this are in one place."""


class BatchedNEB(NEB):
    """A band that evaluates all its images together, with one calculator.

    Images carry results, not calculators: before ASE asks them for their forces, those that have moved
    are evaluated, in one call of the calculator's `evaluate_many` where it has one.
    """

    def __init__(self, images: Sequence[Atoms], calculator: BaseCalculator, **settings: Any) -> None:
        super().__init__(list(images), **settings)
        self._calculator = calculator

    def get_forces(self) -> NDArray[np.float64]:
        """Forces on the band's inner images, ((n − 2) N, 3) in eV/Å."""
        stale = [image for image in self.images if _is_stale(image)]
        if stale:
            evaluate_together(stale, self._calculator)
        return np.asarray(super().get_forces())


def _is_stale(image: Atoms) -> bool:
    return image.calc is None or bool(image.calc.check_state(image))


def first_guess(initial: Atoms, final: Atoms, images: int) -> list[Atoms]:
    """An IDPP path (J. Chem. Phys. 140, 214106, 2014), the ends first and last."""
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
    """Relax the band; where it climbs, roughly first, so that the right image does."""
    taken = 0
    if climb:
        _, taken = minimise(neb, fmax=10 * fmax, steps=steps, tick=tick, optimizer=optimizer)
        neb.climb = True
    converged, more = minimise(neb, fmax=fmax, steps=steps - taken, tick=tick, optimizer=optimizer)
    return converged, taken + more


def arc(band: Sequence[Atoms]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance along the band (Å) and the energy's slope (eV/Å), zero at the relaxed ends."""
    legs = [displacement(a, b) for a, b in pairwise(band)]
    lengths = np.array([np.linalg.norm(leg) for leg in legs])
    slopes = np.zeros(len(band))
    for i, image in enumerate(band[1:-1], start=1):
        # Unit vectors on both sides, averaged: a central difference along the arc.
        tangent = legs[i - 1] / lengths[i - 1] + legs[i] / lengths[i]
        tangent /= np.linalg.norm(tangent)
        slopes[i] = -np.vdot(image.get_forces(apply_constraint=False), tangent)
    return np.concatenate([[0.0], np.cumsum(lengths)]), slopes
