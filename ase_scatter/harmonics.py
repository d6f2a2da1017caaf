"""Real solid harmonics r^l Y_lm(r̂), orthonormal on the sphere, index l(l+1)+m, by sphericart.

Bigi, Fraux, Browning, Ceriotti, J. Chem. Phys. 159, 064802 (2023).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import sphericart
from numpy.typing import NDArray


@lru_cache(maxsize=16)
def _calculator(l_max: int) -> Any:
    return sphericart.SolidHarmonics(l_max)


def solid_harmonics(
    vectors: NDArray[np.float64], l_max: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values ((l_max+1)², n) and Cartesian gradients ((l_max+1)², 3, n) at vectors (n, 3)."""
    points = np.ascontiguousarray(vectors, dtype=np.float64)
    values, gradients = _calculator(l_max).compute_with_gradients(points)
    return (
        np.ascontiguousarray(values.T),
        np.ascontiguousarray(gradients.transpose(2, 1, 0)),
    )


def degree(l: int) -> slice:
    """Where the 2l+1 harmonics of degree l stand."""
    return slice(l * l, (l + 1) * (l + 1))
