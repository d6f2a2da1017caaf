"""Energies of surfaces, from slabs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.units import J, m
from numpy.typing import NDArray

from ..compute.parallel import Progress
from ..errors import InputError
from .common import require_crystal
from .formation import formation
from .responses import evaluate
from .result import Result
from .terminations import Termination, cut_crystal

SAME_ENERGY, SAME_GAP = 1e-4, 1e-3
"""J/m² and Å. Cuts that differ by less are one termination."""


@dataclass(frozen=True)
class SurfaceEnergy(Result):
    """A crystal cut in two. All energies are the mean of both faces of a slab.

    Parameters
    ----------
    energy : float
        Energy of one face of a slab with relaxed ions, J/m².
    unrelaxed : float
        The same of the slab as it was cut, J/m².
    energy_half_width : float or None
        Half-width of the 90 % interval of `energy`, J/m², from the members' energies of the relaxed
        structures; None without a committee.
    area : float
        Area of the cell's face, Å².
    miller : tuple of int
        Miller indices (h, k, l) of the face.
    layers : int
        Layers of the slab, as asked for.
    termination : int
        Which of `terminations` was taken, from 0.
    terminations : list of Termination
        All slabs with different energies, as they were cut, the one of least energy first.
    atoms : Atoms
        The relaxed slab, without a calculator.
    max_force : float
        Largest force that is left on the slab, eV/Å.
    converged : bool
        Whether the forces are below the tolerance.
    """

    energy: float
    unrelaxed: float
    energy_half_width: float | None
    area: float
    miller: tuple[int, int, int]
    layers: int
    termination: int
    terminations: list[Termination]
    atoms: Atoms
    max_force: float
    converged: bool


def surface_energy(
    crystal: Atoms,
    calculator: BaseCalculator,
    miller: tuple[int, int, int],
    *,
    layers: int = 8,
    repeat: tuple[int, int] = (1, 1),
    termination: int = 0,
    rattle: float = 0.0,
    fmax: float = 0.01,
    steps: int = 300,
    progress: Progress = False,
    name: str = "surface",
) -> SurfaceEnergy:
    """Energy of a surface, (E(slab) − N E(crystal)/N_crystal) / 2A of a slab with two faces.

    Parameters
    ----------
    crystal : Atoms
        Relaxed, in the conventional cell, whose axes `miller` refers to.
    calculator : BaseCalculator
        Any calculator of ASE; one with a committee gives a half-width.
    miller : tuple of int
        Miller indices (h, k, l) of the face.
    layers : int, default 8
        Layers of the slab, as `ase.build.surface` counts them: each has the composition of the crystal.
    repeat : tuple of int, default (1, 1)
        Cells in the plane, for reconstructions.
    termination : int, default 0
        Which of the places where the crystal can be cut is taken. They are counted by the energies of the
        slabs as they are cut: 0 is the one of least energy. Its ions alone are relaxed.
    rattle : float, default 0
        Width (Å) of random displacements before the relaxation, the same each time.
    fmax : float, default 0.01
        Tolerance on the forces, eV/Å.
    steps : int, default 300
        Most steps of the relaxation; check `converged`.
    progress : bool or callable, default False
        As in `compute.parallel.Progress`.
    name : str, default "surface"
        What the progress is called.

    Returns
    -------
    SurfaceEnergy
        The energy and the relaxed slab, which is open in its third direction: it needs no vacuum.

    Raises
    ------
    InputError
        If `crystal` is no crystal, for a face or a number of layers that make no slab, and if there is no
        such termination.

    Notes
    -----
    All slabs are stoichiometric. Where their two faces differ, as those of a polar face do, only the mean of
    both is defined without a reservoir; `Termination.symmetric` says so.

    References
    ----------
    Fiorentini and Methfessel, J. Phys.: Condens. Matter 8, 6525 (1996),
    https://doi.org/10.1088/0953-8984/8/36/005
    """
    require_crystal(crystal)
    if layers < 2 or not any(miller):
        raise InputError("a slab needs Miller indices that are not all zero, and at least two layers")
    reduced = np.array(miller) // np.gcd.reduce(miller)
    cuts = cut_crystal(crystal, tuple(reduced.tolist()), layers, repeat)
    units = len(cuts[0].atoms) / len(crystal)
    area = float(np.linalg.norm(np.cross(cuts[0].atoms.cell[0], cuts[0].atoms.cell[1])))

    def cost(cut: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
        return (cut - units * whole) / (2 * area) / (J / m**2)

    found = evaluate([crystal.copy(), *(cut.atoms.copy() for cut in cuts)], calculator, members=False)
    energies = cost(found.energy[0, 1:], found.energy[0, 0])
    ranked = _distinct([replace(cut, energy=float(e)) for cut, e in zip(cuts, energies, strict=True)])
    if not 0 <= termination < len(ranked):
        raise InputError(f"there is no termination {termination}: the face has {len(ranked)}, counted from 0")
    broken = formation(
        ranked[termination].atoms, crystal, cost, calculator,
        rattle=rattle, fmax=fmax, steps=steps, progress=progress, name=name,
    )  # fmt: skip
    return SurfaceEnergy(
        **broken._asdict(),
        area=area,
        miller=miller,
        layers=layers,
        termination=termination,
        terminations=ranked,
    )


def _distinct(cuts: list[Termination]) -> list[Termination]:
    """The cuts by energy; of those that symmetry makes equal, one."""
    ranked: list[Termination] = []
    for cut in sorted(cuts, key=lambda each: each.energy):
        if not any(_alike(cut, other) for other in ranked):
            ranked.append(cut)
    return ranked


def _alike(cut: Termination, other: Termination) -> bool:
    """Whether two cuts differ by rounding errors, or by which face is above."""
    return (
        abs(cut.energy - other.energy) < SAME_ENERGY
        and abs(cut.gap - other.gap) < SAME_GAP
        and sorted(cut.faces) == sorted(other.faces)
    )
