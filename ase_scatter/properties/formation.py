"""What it costs to break a perfect crystal: the part that point defects and surfaces have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.typing import NDArray

from ..compute.parallel import Progress
from .relax import relax_positions
from .responses import evaluate

Cost = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""Energies (eV) of the broken and of the perfect crystal → what breaking it costs."""


class Formation(NamedTuple):
    """The cost of breaking a crystal, and the structure that comes of it.

    Parameters
    ----------
    energy : float
        The cost with relaxed ions, in the units of the `Cost`.
    unrelaxed : float
        The cost with the atoms where they were put.
    energy_half_width : float or None
        Half-width of the 90 % interval of `energy`; None without a committee.
    atoms : Atoms
        The relaxed structure, without a calculator.
    max_force : float
        Largest force that is left, eV/Å.
    converged : bool
        Whether the forces are below the tolerance.
    """

    energy: float
    unrelaxed: float
    energy_half_width: float | None
    atoms: Atoms
    max_force: float
    converged: bool


def formation(
    broken: Atoms,
    perfect: Atoms,
    cost: Cost,
    calculator: BaseCalculator,
    *,
    rattle: float,
    fmax: float,
    steps: int,
    progress: Progress,
    name: str,
) -> Formation:
    """Relax the broken crystal and compare it with the perfect one.

    Parameters
    ----------
    broken : Atoms
        The crystal with a defect or a surface; its ions are relaxed.
    perfect : Atoms
        The perfect crystal, relaxed.
    cost : callable
        Energies of the broken and of the perfect crystal → the cost, for any number of models at once.
    calculator : BaseCalculator
        Any calculator of ASE.
    rattle : float
        Width (Å) of random displacements before the relaxation, the same each time.
    fmax : float
        Tolerance on the forces, eV/Å.
    steps : int
        Most steps of the relaxation.
    progress : bool or callable
        As in `compute.parallel.Progress`.
    name : str
        What the progress is called.

    Returns
    -------
    Formation
        The cost, its half-width and the relaxed structure.
    """
    first = evaluate([broken.copy()], calculator, members=False)
    moved = broken.copy()
    if rattle > 0:
        moved.positions += np.random.default_rng(0).normal(scale=rattle, size=(len(moved), 3))
    relaxed = relax_positions(moved, calculator, fmax=fmax, steps=steps, progress=progress, name=name)
    last = relaxed.atoms.copy()
    # Known already: only a committee has to evaluate it again.
    last.calc = SinglePointCalculator(last, energy=relaxed.energy)
    found = evaluate([last, perfect.copy()], calculator)
    costs = cost(found.energy[:, 0], found.energy[:, 1])
    width = found.half_width(costs, "energy")
    return Formation(
        energy=float(costs[0]),
        unrelaxed=float(cost(first.energy[0, 0], found.energy[0, 1])),
        energy_half_width=None if width is None else float(width),
        atoms=relaxed.atoms,
        max_force=relaxed.max_force,
        converged=relaxed.converged,
    )
