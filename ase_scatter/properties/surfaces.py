"""Energies of surfaces, from slabs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import surface
from ase.calculators.calculator import BaseCalculator
from ase.units import J, m
from numpy.typing import NDArray

from ..compute.parallel import Progress
from ..errors import InputError
from .common import require_crystal
from .formation import formation
from .result import Result


@dataclass(frozen=True)
class SurfaceEnergy(Result):
    """A crystal cut in two.

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
        Relaxed, in the conventional cell, whose axes `miller` refers to. It has one element, or both faces
        of the slab have the crystal's composition.
    calculator : BaseCalculator
        Any calculator of ASE; one with a committee gives a half-width.
    miller : tuple of int
        Miller indices (h, k, l) of the face.
    layers : int, default 8
        Layers of the slab, as `ase.build.surface` counts them.
    repeat : tuple of int, default (1, 1)
        Cells in the plane, for reconstructions.
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
        If `crystal` is no crystal, for a face or a number of layers that make no slab, and for a slab of
        another composition than the crystal's.

    References
    ----------
    Fiorentini and Methfessel, J. Phys.: Condens. Matter 8, 6525 (1996),
    https://doi.org/10.1088/0953-8984/8/36/005
    """
    require_crystal(crystal)
    if layers < 2 or not any(miller):
        raise InputError("a slab needs Miller indices that are not all zero, and at least two layers")
    slab = surface(crystal, tuple(miller), layers, vacuum=5.0).repeat((*repeat, 1))
    slab.pbc = (True, True, False)
    units = len(slab) / len(crystal)
    if Counter(slab.get_chemical_symbols()) != Counter(
        {symbol: n * units for symbol, n in Counter(crystal.get_chemical_symbols()).items()}
    ):
        raise InputError("the slab has not the composition of the crystal; choose another number of layers")
    area = float(np.linalg.norm(np.cross(slab.cell[0], slab.cell[1])))

    def cost(cut: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
        return (cut - units * whole) / (2 * area) / (J / m**2)

    found = formation(
        slab, crystal, cost, calculator,
        rattle=rattle, fmax=fmax, steps=steps, progress=progress, name=name,
    )  # fmt: skip
    return SurfaceEnergy(**found._asdict(), area=area, miller=miller, layers=layers)
