"""Migration barriers: the highest point of a minimum-energy path, and how sure a committee is of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.optimize import LBFGS
from ase.optimize.optimize import Optimizer
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicHermiteSpline

from ..errors import InputError
from .band_file import BandFile
from .common import Progress, Result, members_of, reporting
from .common import band as half_width
from .elastic_band import BatchedNEB, arc, first_guess, optimise
from .end_states import AtomMap, fitting_map, hop_end_points, insert_end_points, map_atoms, require_path
from .relax import relax_positions

METHODS = ("improvedtangent", "aseneb")

DIP = 0.005
"""eV. An image that lies lower than both ends by more is a stable state between them."""


@dataclass(frozen=True)
class Barrier(Result):
    """A minimum-energy path.

    energies: (n,) eV, of the images, ends included. path: (n,) distance along the path in Å, summed
    over the minimum-image displacements of all atoms. slopes: (n,) dE/d(path), eV/Å. forward and
    backward: energy of the highest image above the first and above the last, eV. images: the
    structures, without calculators. max_force: largest force on the band that is left, eV/Å.
    steps: optimizer steps. converged: whether both ends and the band reached their tolerances.

    With a committee, else None: forward_band, backward_band and energies_band (n,), half-widths in eV of
    the 90 % bands of the two barriers, and of each image's energy above the first. They are spreads of
    what the members say at the images of the mean potential. Ends and saddle are stationary points, where
    a small change of the positions leaves the energy as it is: to first order in how far a member is from
    the mean, that is the spread of the barriers that the members would find on paths of their own. Where
    the band has no saddle between its ends, or a stable state (`intermediate`), the saddle of a member may be
    anywhere: both barriers get the widest of the bands of the images.

    mapping: how atoms were reordered; None if they stayed in the order given.
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
    energies_band: NDArray[np.float64] | None = None
    forward_band: float | None = None
    backward_band: float | None = None
    mapping: AtomMap | None = None

    def curve(self, path: ArrayLike) -> NDArray[np.float64]:
        """Energies (eV) at distances along the path (Å): cubics through all energies with their slopes."""
        return np.asarray(self._spline()(np.asarray(path)))

    @property
    def intermediate(self) -> int | None:
        """The lowest image, where it lies below both ends: the path passes a more stable state."""
        return _lowest_between(self.energies)

    @property
    def fitted_forward(self) -> float:
        """Highest point of `curve` above the first image, eV."""
        return self._top() - float(self.energies[0])

    @property
    def fitted_backward(self) -> float:
        """Highest point of `curve` above the last image, eV."""
        return self._top() - float(self.energies[-1])

    def to_dict(self) -> dict[str, Any]:
        """The fields, the fitted barriers and the intermediate, as what JSON can hold."""
        more = ("fitted_forward", "fitted_backward", "intermediate")
        return {**super().to_dict(), **{name: getattr(self, name) for name in more}}

    def _spline(self) -> CubicHermiteSpline:
        return CubicHermiteSpline(self.path, self.energies, self.slopes)

    def _top(self) -> float:
        spline = self._spline()
        turning = spline.derivative().roots(extrapolate=False)
        # A piece that is flat has nan as a root.
        return float(max(self.energies.max(), *spline(turning[np.isfinite(turning)]), -np.inf))


def migration_barrier(
    initial: Atoms,
    final: Atoms,
    calculator: BaseCalculator,
    *,
    images: int = 5,
    method: str = "improvedtangent",
    climb: bool = True,
    spring: float = 0.1,
    fmax: float = 0.05,
    steps: int = 300,
    end_fmax: float = 0.01,
    optimizer: type[Optimizer] = LBFGS,
    reorder: bool | None = None,
    trajectory: str | Path | None = None,
    progress: Progress = False,
    name: str = "barrier",
) -> Barrier:
    """Minimum-energy path between two structures by a (climbing-image) nudged elastic band.

    initial and final: same composition and cell; both are relaxed first, to end_fmax (eV/Å). images: the
    number of moving ones, between the ends; all are evaluated in one call where the calculator has
    `evaluate_many`. method: "improvedtangent" (J. Chem. Phys. 113, 9978, 2000) or "aseneb" of ASE. climb:
    let the highest image climb to the saddle (J. Chem. Phys. 113, 9901, 2000). spring: eV/Å². fmax:
    tolerance on the band, eV/Å, within that many steps of the optimizer. The first guess is IDPP
    (J. Chem. Phys. 140, 214106, 2014).

    reorder: whether to match the atoms (`map_atoms`); by default where the order given does not fit
    (`fitting_map`); see the result's `mapping`. trajectory: a file to which the band is written after each
    step; if it exists, it must be of the same path, and the calculation goes on from its last whole band.
    Check `converged`: an unfinished band gives too high a barrier. Raises InputError for ends that do not
    belong together, and for a file that is of something else.
    """
    if method not in METHODS:
        raise InputError(f"the method is {method!r}, but must be {' or '.join(METHODS)}")
    if images < 1:
        raise InputError("a band needs at least one image between its ends")
    mapping = None
    if reorder is not False:
        mapping = map_atoms(initial, final) if reorder else fitting_map(initial, final)
    if mapping is not None:
        final = mapping.atoms
    require_path(initial, final)
    file = None if trajectory is None else BandFile(trajectory, initial, final, images + 2)
    known = None if file is None else file.last

    ends = [
        relax_positions(end, calculator, fmax=end_fmax, progress=progress, name=f"{name}, {which} end")
        for end, which in zip(
            (known[0], known[-1]) if known else (initial, final), ("first", "last"), strict=True
        )
    ]
    if known is None:
        band = first_guess(ends[0].atoms, ends[1].atoms, images)
    else:
        band = [ends[0].atoms, *known[1:-1], ends[1].atoms]
    neb = BatchedNEB(band, calculator, method=method, k=spring, climb=False)
    with reporting(progress, name) as tick:

        def after_step() -> None:
            if file is not None:
                file.write(band)
            tick()

        converged, taken = optimise(neb, climb, fmax, steps, after_step, optimizer)
    energies = np.array([image.get_potential_energy() for image in band])
    path, slopes = arc(band)
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
        mapping=mapping,
        **_bands(band, calculator, energies),
    )


def vacancy_hop(
    supercell: Atoms,
    calculator: BaseCalculator,
    *,
    index: int = 0,
    neighbour: int | None = None,
    **settings: Any,
) -> Barrier:
    """Barrier of an atom's hop into a neighbouring vacancy.

    supercell, index, neighbour: as in `hop_end_points`. settings: as in `migration_barrier`.
    """
    initial, final = hop_end_points(supercell, index=index, neighbour=neighbour)
    return migration_barrier(initial, final, calculator, **settings)


def interstitial_hop(
    supercell: Atoms,
    calculator: BaseCalculator,
    element: str,
    start: ArrayLike,
    end: ArrayLike,
    **settings: Any,
) -> Barrier:
    """Barrier of an added atom's way from one place in a crystal to another.

    supercell: the perfect crystal. start and end: (3,) Å, Cartesian. settings: as in `migration_barrier`.
    """
    initial, final = insert_end_points(supercell, element, start, end)
    return migration_barrier(initial, final, calculator, **settings)


def _lowest_between(energies: NDArray[np.float64]) -> int | None:
    lowest = int(energies.argmin())
    return lowest if energies[lowest] < min(energies[0], energies[-1]) - DIP else None


def _bands(
    band: Sequence[Atoms], calculator: BaseCalculator, energies: NDArray[np.float64]
) -> dict[str, Any]:
    """The fields of `Barrier` that a committee fills."""
    found = [members_of(calculator, image) for image in band]
    members = [each for each in found if each is not None]
    if len(members) < len(band):
        return {}
    factor = members[0].factors.get("energy", np.nan)
    each = np.stack([image.energy for image in members], axis=1)
    forward, backward = (half_width(each - each[:, [end]], factor) for end in (0, -1))
    top = int(energies.argmax())
    is_saddle = 0 < top < len(band) - 1 and _lowest_between(energies) is None
    return {
        "energies_band": forward,
        "forward_band": float(forward[top] if is_saddle else forward.max()),
        "backward_band": float(backward[top] if is_saddle else backward.max()),
    }


def _bare(image: Atoms) -> Atoms:
    image = image.copy()
    image.calc = None
    return image
