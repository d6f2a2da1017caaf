"""The one rule for the size of supercells: periodic images are at least a given length apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ..errors import InputError

LENGTH = 15.0
"""Å. Periodic images are at least so far apart, unless told otherwise."""

Supercell = Sequence[int] | float
"""Three repetitions of a cell, or the least distance (Å) between periodic images."""


def repetitions(atoms: Atoms, supercell: Supercell) -> NDArray[np.int64]:
    """Repetitions of a cell that make a supercell.

    A length asks for the fewest repetitions that keep opposite faces of the supercell at least so far
    apart. Any vector between periodic images crosses from one face to the opposite one, so that no two
    images are nearer to each other, however skewed the cell is.

    Parameters
    ----------
    atoms : Atoms
        A crystal.
    supercell : three int or float
        Repetitions along the three cell vectors, which are returned as they are, or a length in Å.

    Returns
    -------
    ndarray of int, shape (3,)
        Repetitions along the three cell vectors.

    Raises
    ------
    InputError
        If the repetitions are not three positive whole numbers, or the length is not positive.
    """
    if np.ndim(supercell) == 0:
        length = float(supercell)  # type: ignore[arg-type]
        if not 0 < length < np.inf:
            raise InputError(f"the supercell's length must be positive, not {length} Å")
        distances = 1 / np.linalg.norm(atoms.cell.reciprocal(), axis=1)
        # A distance that is too short by a rounding error is long enough.
        return np.asarray(np.ceil(length / distances - 1e-6), dtype=np.int64)
    found = np.array(supercell)
    if found.shape != (3,) or not np.issubdtype(found.dtype, np.integer) or (found < 1).any():
        raise InputError(f"the supercell must be three whole numbers above 0, or a length in Å: {supercell}")
    return found.astype(np.int64)
