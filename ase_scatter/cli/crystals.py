"""How commands on crystals begin: the crystal, relaxed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from ..properties import Relaxation

NOT_CONVERGED = 1
"""Exit code for results that are not to be relied on: not converged, or of a crystal that is not stable."""

RELAXATION_STEPS = 500
"""A crystal that is not at rest after this number of steps is given up."""


def at_rest(atoms: Any, calculator: Any, *, quiet: bool, otherwise: str) -> Relaxation:
    """Relax cell and positions of a crystal, and keep its symmetry.

    Parameters
    ----------
    atoms : Atoms
        The crystal.
    calculator : BaseCalculator
        Any ASE calculator.
    quiet : bool
        Whether to show no progress.
    otherwise : str
        What else the user may do, for the error.

    Returns
    -------
    Relaxation
        The crystal at rest.

    Raises
    ------
    InputError
        If it does not come to rest.
    """
    from ..properties import relax_cell

    found = relax_cell(atoms, calculator, fmax=1e-4, steps=RELAXATION_STEPS, progress=not quiet)
    if not found.converged:
        raise InputError(
            f"the crystal does not come to rest in {RELAXATION_STEPS} steps; is it one that the model was "
            f"trained for? {otherwise}"
        )
    return found
