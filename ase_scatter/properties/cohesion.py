"""Cohesive energies: what it costs to take a structure apart into free atoms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from ..errors import InputError
from .responses import evaluate
from .result import Result


@dataclass(frozen=True)
class Cohesion(Result):
    """The cohesive energy of a structure.

    Parameters
    ----------
    energy : float
        Energy of the free atoms less that of the structure, eV/atom; positive for what holds together.
    energy_half_width : float or None
        Half-width of its 90 % interval; None without a committee.
    free_atoms : dict of str to float
        Energies of the free atoms by chemical symbol, eV.
    source : str
        "given", or "calculator".
    """

    energy: float
    energy_half_width: float | None
    free_atoms: dict[str, float]
    source: str


def cohesive_energy(
    atoms: Atoms, calculator: BaseCalculator, *, free_atoms: Mapping[str, float] | None = None
) -> Cohesion:
    """Compute the cohesive energy of a structure as it is.

    Parameters
    ----------
    atoms : Atoms
        The structure; relax it first where that is meant.
    calculator : BaseCalculator
        Any calculator of ASE. One with a false attribute `knows_free_atoms`, such as `ScatteringCalculator`
        with a model that was fitted without free atoms, is not asked for their energies.
    free_atoms : mapping of str to float, optional
        Energies of the free atoms by chemical symbol, eV, of the method that the calculator stands for; by
        default what the calculator gives for one atom alone.

    Returns
    -------
    Cohesion

    Raises
    ------
    InputError
        If the calculator does not know free atoms, or an element is missing in `free_atoms`.
    """
    symbols = sorted(set(atoms.symbols))
    structures = [atoms.copy()]
    if free_atoms is None:
        if not getattr(calculator, "knows_free_atoms", True):
            raise InputError(
                "the model does not know free atoms: its training data held none, so that its E0 only says "
                "where energies are counted from; give the energies of the free atoms, computed with the "
                "method of the training data (free_atoms=…, --free-atoms), or fit with e0 or a frame of "
                "each free atom"
            )
        structures += [Atoms(symbol) for symbol in symbols]
    elif missing := sorted(set(symbols) - set(free_atoms)):
        raise InputError(f"the energy of the free atom is missing for {', '.join(missing)}")
    found = evaluate(structures, calculator)
    energy_ms = found.energy  # (models, structures)
    if free_atoms is None:
        free_ms = energy_ms[:, 1:]
    else:
        free_ms = np.tile([float(free_atoms[symbol]) for symbol in symbols], (len(energy_ms), 1))
    if not np.isfinite(free_ms).all():
        raise InputError("the energies of the free atoms must be finite, in eV")
    counts = np.array([list(atoms.symbols).count(symbol) for symbol in symbols])
    cohesion_m = (free_ms @ counts - energy_ms[:, 0]) / len(atoms)
    width = found.half_width(cohesion_m, "energy")
    return Cohesion(
        float(cohesion_m[0]),
        None if width is None else float(width),
        dict(zip(symbols, free_ms[0].tolist(), strict=True)),
        "calculator" if free_atoms is None else "given",
    )
