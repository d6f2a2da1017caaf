"""Migration barriers: nudged elastic bands whose images are evaluated together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from queue import SimpleQueue
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.geometry import find_mic
from ase.mep import NEB, idpp_interpolate, interpolate
from ase.optimize import BFGS
from ase.optimize.optimize import Optimizer
from numpy.typing import NDArray

from .. import threads
from ..errors import InputError
from .common import Progress, Result, minimise, reporting, require_crystal
from .relax import relax_positions

METHODS = ("improvedtangent", "aseneb")


@dataclass(frozen=True)
class Barrier(Result):
    """A minimum-energy path.

    energies: (n,) eV, of the images, ends included. path: (n,) distance along the path in Å, summed
    over the minimum-image displacements of all atoms. slopes: (n,) dE/d(path), eV/Å. forward and
    backward: energy of the highest image above the first and above the last, eV. images: the
    structures, without calculators. max_force: largest force on the band that is left, eV/Å.
    steps: optimizer steps. converged: whether both ends and the band reached their tolerances.
    """

    energies: NDArray[np.float64]
    path: NDArray[np.float64]
    slopes: NDArray[np.float64]
    forward: float
    backward: float
    images: tuple[Atoms, ...]
    max_force: float
    steps: int
    converged: bool


class BatchedNEB(NEB):
    """A band whose images are evaluated together, by as many threads as there are calculators.

    Images carry results, not calculators: before ASE asks them for their forces, those that have
    moved are evaluated, each by a calculator that is free. One calculator serves any number of
    images. What a calculator computes in compiled code (FFT, BLAS) runs in parallel.
    """

    def __init__(
        self, images: Sequence[Atoms], calculators: Sequence[BaseCalculator], **settings: Any
    ) -> None:
        super().__init__(list(images), **settings)
        self._free: SimpleQueue[BaseCalculator] = SimpleQueue()
        for calculator in calculators:
            self._free.put(calculator)
        self._threads = len(calculators)

    def get_forces(self) -> NDArray[np.float64]:
        """Forces on the band's inner images, ((n − 2) N, 3) in eV/Å."""
        stale = [image for image in self.images if _is_stale(image)]
        # Images side by side, or one after the other with all the threads that there are.
        each = 1 if self._threads > 1 else threads.count()

        def evaluate(image: Atoms) -> None:
            with threads.limited(each):
                self._evaluate(image)

        with ThreadPoolExecutor(self._threads) as pool:
            # list() re-raises what went wrong in a thread.
            list(pool.map(evaluate, stale))
        return np.asarray(super().get_forces())

    def _evaluate(self, image: Atoms) -> None:
        calculator = self._free.get()
        try:
            energy = calculator.get_potential_energy(image)
            forces = calculator.get_forces(image)
        finally:
            self._free.put(calculator)
        image.calc = SinglePointCalculator(image, energy=energy, forces=forces)


def _is_stale(image: Atoms) -> bool:
    return image.calc is None or bool(image.calc.check_state(image))


def hop_end_points(supercell: Atoms, *, index: int = 0, neighbour: int | None = None) -> tuple[Atoms, Atoms]:
    """A vacancy before and after a neighbour has hopped into it, all atoms on their sites.

    supercell: the perfect crystal. index: the atom that is taken out. neighbour: the atom that hops
    (in the perfect crystal's count); by default the nearest, the first among equals.
    """
    require_crystal(supercell)
    if len(supercell) < 3:
        raise InputError("a hop needs a supercell of at least three atoms")
    index %= len(supercell)
    distances = supercell.get_distances(index, range(len(supercell)), mic=True)
    distances[index] = np.inf
    if neighbour is None:
        # Rounded, so that the choice among equals does not hang on the last bit.
        neighbour = int(np.argmin(np.round(distances, 6)))
    if not 0 <= neighbour < len(supercell) or neighbour == index:
        raise InputError(f"atom {neighbour} cannot hop into the place of atom {index}")
    initial, final = supercell.copy(), supercell.copy()
    final.positions[neighbour] += supercell.get_distance(neighbour, index, mic=True, vector=True)
    del initial[index], final[index]
    return initial, final


def migration_barrier(
    initial: Atoms,
    final: Atoms,
    calculators: BaseCalculator | Sequence[BaseCalculator],
    *,
    images: int = 5,
    method: str = "improvedtangent",
    climb: bool = True,
    spring: float = 0.1,
    fmax: float = 0.05,
    steps: int = 300,
    end_fmax: float = 0.01,
    optimizer: type[Optimizer] = BFGS,
    progress: Progress = False,
    name: str = "barrier",
) -> Barrier:
    """Minimum-energy path between two structures by a (climbing-image) nudged elastic band.

    initial and final: same atoms, order and cell; both are relaxed first, to end_fmax (eV/Å).
    calculators: one that all images share, or several, which work at the same time. images: the
    number of moving ones, between the ends. method: "improvedtangent" or "aseneb" of ASE. climb:
    let the highest image climb to the saddle (J. Chem. Phys. 113, 9901, 2000). spring: eV/Å².
    fmax: tolerance on the band, eV/Å, within that many steps of the optimizer. The first guess is
    IDPP (J. Chem. Phys. 140, 214106, 2014). Check `converged`: an unfinished band gives too high a
    barrier. Raises InputError for ends that do not belong together.
    """
    if method not in METHODS:
        raise InputError(f"the method is {method!r}, but must be {' or '.join(METHODS)}")
    if images < 1:
        raise InputError("a band needs at least one image between its ends")
    pool = list(calculators) if isinstance(calculators, Sequence) else [calculators]
    if not pool:
        raise InputError("give at least one calculator")
    _require_ends(initial, final)

    ends = [
        relax_positions(end, pool[0], fmax=end_fmax, progress=progress, name=f"{name}, {which} end")
        for end, which in ((initial, "first"), (final, "last"))
    ]
    band = _guess(ends[0].atoms, ends[1].atoms, images)
    for image, end in ((band[0], ends[0]), (band[-1], ends[1])):
        image.calc = SinglePointCalculator(image, energy=end.energy)
    neb = BatchedNEB(band, pool, method=method, k=spring, climb=False)
    with reporting(progress, name) as tick:
        converged, taken = _optimise(neb, climb, fmax, steps, tick, optimizer)
    energies = np.array([image.get_potential_energy() for image in band])
    path, slopes = _path(band)
    return Barrier(
        energies=energies,
        path=path,
        slopes=slopes,
        forward=float(energies.max() - energies[0]),
        backward=float(energies.max() - energies[-1]),
        images=tuple(_bare(image) for image in band),
        max_force=float(np.linalg.norm(neb.get_forces(), axis=1).max()),
        steps=taken,
        converged=converged and all(end.converged for end in ends),
    )


def vacancy_hop(
    supercell: Atoms,
    calculators: BaseCalculator | Sequence[BaseCalculator],
    *,
    index: int = 0,
    neighbour: int | None = None,
    **settings: Any,
) -> Barrier:
    """Barrier of an atom's hop into a neighbouring vacancy.

    supercell, index, neighbour: as in `hop_end_points`. settings: as in `migration_barrier`.
    """
    initial, final = hop_end_points(supercell, index=index, neighbour=neighbour)
    return migration_barrier(initial, final, calculators, **settings)


def _require_ends(initial: Atoms, final: Atoms) -> None:
    if len(initial) != len(final) or (initial.numbers != final.numbers).any():
        raise InputError("the two ends must hold the same atoms, in the same order")
    if (initial.pbc != final.pbc).any() or not np.allclose(initial.cell, final.cell, atol=1e-8):
        raise InputError("the two ends must have the same cell and periodicity")
    if np.abs(_displacement(initial, final)).max(initial=0.0) < 1e-3:
        raise InputError("the two ends are the same structure; there is no path between them")


def _guess(initial: Atoms, final: Atoms, images: int) -> list[Atoms]:
    """An IDPP path, the ends first and last."""
    band = [initial.copy() for _ in range(images + 1)] + [final.copy()]
    interpolate(band, mic=True)
    # The method is named, or ASE warns about its default; it matters little here.
    plain = NEB(band, method="improvedtangent")
    idpp_interpolate(plain, traj=None, log=None, mic=True)
    return band


def _optimise(
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


def _displacement(start: Atoms, end: Atoms) -> NDArray[np.float64]:
    """Minimum-image displacements (N, 3) in Å."""
    vectors, _ = find_mic(end.positions - start.positions, start.cell, start.pbc)
    return np.asarray(vectors)


def _path(band: Sequence[Atoms]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance along the band (Å) and the energy's slope (eV/Å), zero at the relaxed ends."""
    legs = [_displacement(a, b) for a, b in pairwise(band)]
    lengths = np.array([np.linalg.norm(leg) for leg in legs])
    slopes = np.zeros(len(band))
    for i, image in enumerate(band[1:-1], start=1):
        # Unit vectors on both sides, averaged: a central difference along the arc.
        tangent = legs[i - 1] / lengths[i - 1] + legs[i] / lengths[i]
        tangent /= np.linalg.norm(tangent)
        slopes[i] = -np.vdot(image.get_forces(apply_constraint=False), tangent)
    return np.concatenate([[0.0], np.cumsum(lengths)]), slopes


def _bare(image: Atoms) -> Atoms:
    image = image.copy()
    image.calc = None
    return image
