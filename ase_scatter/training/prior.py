"""Rows that count in a fit where no data speak."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .compression import compressed_rows
from .design_matrix import Problem
from .normal_equations import NormalEquations
from .unseen import unseen_rows
from .validation import Validation

SPREAD = 1.25
"""Standard deviation of errors that are normally distributed, over their mean absolute value."""
MANY_ATOMS = 10000
"""With so many atoms in the data rows for what no data show count once, otherwise in proportion."""


def prior_rows(
    problem: Problem, weights: NDArray[np.float64], validation: Validation
) -> NormalEquations | None:
    """Make rows for compressed solids and for what no data show.

    Parameters
    ----------
    problem : Problem
        The regression.
    weights : ndarray, shape (width,)
        Of a first fit.
    validation : Validation
        What it was chosen by.

    Returns
    -------
    NormalEquations or None
        None where there are none.
    """
    compressed, unseen = compressed_rows(problem, weights), unseen_rows(problem)
    if unseen is not None:
        unseen = sum(len(frame.system) for frame in problem.frames) / MANY_ATOMS * unseen
    found = [rows for rows in (compressed, unseen) if rows is not None]
    return share(validation) * NormalEquations.summed(found) if found else None


def share(validation: Validation) -> float:
    """Weight of rows for what no data show.

    Rows of data are over sigmas that say how kinds of labels weigh against each other, not how large errors
    are. Where data are fitted to a hundredth of their sigmas, rows over their own standard deviations would
    outweigh them, so that they are weighed by the mean square of the errors over the sigmas.

    Parameters
    ----------
    validation : Validation
        Errors on parts left out, and sigmas.

    Returns
    -------
    float
        At most 1.
    """
    errors = validation.errors[validation.best]
    kind = "force" if "force" in errors else "energy"
    return min(1.0, (SPREAD * errors[kind] / validation.sigmas[kind]) ** 2)
