"""Migration barriers: the highest point of a minimum-energy path, with its half-width."""

from __future__ import annotations

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

from ..compute.parallel import Progress, reporting
from ..errors import InputError
from .band_file import BandFile
from .elastic_band import BatchedNEB, arc, first_guess, optimise
from .end_states import AtomMap, fitting_end, hop_end_points, insert_end_points
from .relax import relax_positions
from .responses import Responses, evaluate
from .result import Result

METHODS = ("improvedtangent", "aseneb")

DIP = 0.005
"""eV. An image that lies lower than both ends by more is a stable state between them."""


@dataclass(frozen=True)
class Barrier(Result):
    """A minimum-energy path.

    Parameters
    ----------
    energies : ndarray, shape (n,)
        Energies of the images, ends included, eV.
    path : ndarray, shape (n,)
        Distance along the path, Å, summed over the minimum-image displacements of all atoms.
    slopes : ndarray, shape (n,)
        dE/d(path), eV/Å.
    forward, backward : float
        Energy of the highest image above the first and above the last, eV.
    images : tuple of Atoms
        The structures, without calculators.
    max_force : float
        Largest force on the elastic band that is left, eV/Å.
    steps : int
        Steps of the optimizer.
    converged : bool
        Whether both ends and the elastic band reached their tolerances.
    energies_half_width : ndarray, shape (n,), or None
        Half-widths of the 90 % intervals of the energies above that of the first image, eV; None without a
        committee.
    forward_half_width, backward_half_width : float or None
        Half-widths of the 90 % intervals of the two barriers, eV; None without a committee.
    mapping : AtomMap or None
        How atoms were reordered; None if they stayed in the order given.

    Notes
    -----
    Half-widths are spreads of the members' energies at the images of the potential itself. Ends and saddle
    are stationary points, where a small change of the positions leaves the energy as it is: to first order
    in the difference between a member and the potential, that is the spread of the barriers that the members
    would find on paths of their own. Where the path has no saddle between its ends, or passes a stable state
    (`intermediate`), a member's saddle may be anywhere: both barriers get the largest half-width of all
    images.
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
    energies_half_width: NDArray[np.float64] | None = None
    forward_half_width: float | None = None
    backward_half_width: float | None = None
    mapping: AtomMap | None = None

    def curve(self, path: ArrayLike) -> NDArray[np.float64]:
        """Interpolate the energy along the path by cubics through all energies with their slopes.

        Parameters
        ----------
        path : array_like
            Distances along the path, Å.

        Returns
        -------
        ndarray
            Energies, eV.
        """
        return np.asarray(self._spline()(np.asarray(path)))

    @property
    def intermediate(self) -> int | None:
        """Index of the lowest image where it lies below both ends, as the path passes a more stable state;
        None elsewhere."""
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
        """Convert the fields, the fitted barriers and the intermediate to plain data.

        Returns
        -------
        dict
            As in `Result.to_dict`, with `fitted_forward`, `fitted_backward` and `intermediate` besides.
        """
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
    """Minimum-energy path between two structures by a climbing-image nudged elastic band.

    The first guess is an IDPP path [1]_.

    Parameters
    ----------
    initial, final : Atoms
        The two ends, of the same composition and cell; both are relaxed first.
    calculator : BaseCalculator
        Any calculator of ASE. All images are evaluated in one call where it has `evaluate_many`; a
        calculator with a committee gives half-widths.
    images : int, default 5
        Moving images, between the ends.
    method : {"improvedtangent", "aseneb"}, default "improvedtangent"
        Tangents and springs, as in `ase.mep.NEB` [2]_.
    climb : bool, default True
        Whether the highest image climbs to the saddle [3]_.
    spring : float, default 0.1
        Spring constant, eV/Å².
    fmax : float, default 0.05
        Tolerance on the forces on the elastic band, eV/Å.
    steps : int, default 300
        Most steps of the optimizer; check `converged`, as an unfinished path gives too high a barrier.
    end_fmax : float, default 0.01
        Tolerance on the forces at the two ends, eV/Å.
    optimizer : type of Optimizer, default LBFGS
        A class of `ase.optimize`.
    reorder : bool, optional
        Whether to match the atoms (`map_atoms`); by default where the order given does not fit
        (`fitting_map`). The result's `mapping` tells what was done.
    trajectory : str or Path, optional
        A file to which all images are written after each step. If it exists, it must be of the same path;
        the calculation goes on from its last complete set of images.
    progress : bool or callable, default False
        As in `compute.parallel.Progress`.
    name : str, default "barrier"
        What the progress is called.

    Returns
    -------
    Barrier
        The path, its barriers and half-widths.

    Raises
    ------
    InputError
        For settings that do not exist, for ends that do not belong together, and for a trajectory of
        another path.

    References
    ----------
    .. [1] Smidstrup et al., J. Chem. Phys. 140, 214106 (2014), https://doi.org/10.1063/1.4878664
    .. [2] Henkelman and Jónsson, J. Chem. Phys. 113, 9978 (2000), https://doi.org/10.1063/1.1323224
    .. [3] Henkelman, Uberuaga and Jónsson, J. Chem. Phys. 113, 9901 (2000),
       https://doi.org/10.1063/1.1329672
    """
    if method not in METHODS:
        raise InputError(f"the method is {method!r}, but must be {' or '.join(METHODS)}")
    final, mapping = fitting_end(initial, final, images, reorder)
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
    found = evaluate(band, calculator)
    energies = found.energy[0]
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
        **_half_widths(found),
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

    Parameters
    ----------
    supercell : Atoms
        The perfect crystal.
    calculator : BaseCalculator
        Any calculator of ASE.
    index : int, default 0
        The atom that is taken out.
    neighbour : int, optional
        The atom that hops, in the perfect crystal's count; by default the nearest, the first among equals.
    **settings
        As in `migration_barrier`.

    Returns
    -------
    Barrier
        The path and its barriers.

    Raises
    ------
    InputError
        As in `hop_end_points` and `migration_barrier`.
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

    Parameters
    ----------
    supercell : Atoms
        The perfect crystal.
    calculator : BaseCalculator
        Any calculator of ASE.
    element : str
        Chemical symbol of the added atom.
    start, end : array_like, shape (3,)
        The two places, Cartesian, Å.
    **settings
        As in `migration_barrier`.

    Returns
    -------
    Barrier
        The path and its barriers.

    Raises
    ------
    InputError
        As in `insert_end_points` and `migration_barrier`.
    """
    initial, final = insert_end_points(supercell, element, start, end)
    return migration_barrier(initial, final, calculator, **settings)


def _lowest_between(energies: NDArray[np.float64]) -> int | None:
    lowest = int(energies.argmin())
    return lowest if energies[lowest] < min(energies[0], energies[-1]) - DIP else None


def _half_widths(found: Responses) -> dict[str, Any]:
    """The fields of `Barrier` that a committee fills."""
    energies = found.energy
    forward, backward = (found.half_width(energies - energies[:, [end]], "energy") for end in (0, -1))
    if forward is None or backward is None:
        return {}
    top = int(energies[0].argmax())
    is_saddle = 0 < top < len(forward) - 1 and _lowest_between(energies[0]) is None
    return {
        "energies_half_width": forward,
        "forward_half_width": float(forward[top] if is_saddle else forward.max()),
        "backward_half_width": float(backward[top] if is_saddle else backward.max()),
    }


def _bare(image: Atoms) -> Atoms:
    image = image.copy()
    image.calc = None
    return image
