"""Real solid harmonics r^l Y_lm(r̂), orthonormal on the sphere, index l(l+1)+m.

By sphericart (Bigi, Fraux, Browning, Ceriotti, J. Chem. Phys. 159, 064802 (2023)) on the host; the same
recursions in plain array code for arrays of any kind.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import sphericart
from numpy.typing import NDArray
from scipy.special import gammaln

from ..compute.backend import Array


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


@lru_cache(maxsize=16)
def prefactors(l_max: int) -> NDArray[np.float64]:
    """N_lm (l_max+1, l_max+1) of Y_{l,±m} = N_lm Q_l^m {c_m, s_m}, with Q as in `solid_harmonics_of`."""
    table = np.zeros((l_max + 1, l_max + 1))
    for l in range(l_max + 1):
        m = np.arange(l + 1)
        table[l, : l + 1] = np.exp(0.5 * (gammaln(l - m + 1) - gammaln(l + m + 1)))
        table[l, : l + 1] *= np.sqrt((2 * l + 1) / (2 * np.pi))
    table[:, 0] /= np.sqrt(2.0)
    table.setflags(write=False)
    return table


def solid_harmonics_of(vectors: Array, l_max: int, xp: Any) -> tuple[Array, Array]:
    """Values (n, (l_max+1)², k) and gradients (n, (l_max+1)², 3, k) at vectors (n, k, 3) of any array kind.

    Y_{l,m} = N Q_l^m c_m and Y_{l,−m} = N Q_l^m s_m with c_m + i s_m = (x + iy)^m and Q_l^m a
    polynomial in z and r² (associated Legendre functions without their sign).
    """
    x, y, z = (vectors[:, :, axis] for axis in range(3))
    square = x * x + y * y + z * z
    one, zero = xp.ones_like(x), xp.zeros_like(x)
    c, s = [one], [zero]
    for _ in range(l_max):
        c, s = [*c, x * c[-1] - y * s[-1]], [*s, x * s[-1] + y * c[-1]]
    q: dict[tuple[int, int], Array] = {}
    start = 1.0
    for m in range(l_max + 1):
        start *= max(1, 2 * m - 1)
        q[m, m] = start * one
        for l in range(m + 1, l_max + 1):
            below = (l + m - 1) * square * q[l - 2, m] if l > m + 1 else zero
            q[l, m] = ((2 * l - 1) * z * q[l - 1, m] - below) * (1.0 / (l - m))
    n = prefactors(l_max)
    values: list[Array] = []
    gradients: list[Array] = []
    for l in range(l_max + 1):
        for m in range(-l, l + 1):
            k = abs(m)
            norm = float(n[l, k])
            part, other, sign = (c, s, -1.0) if m >= 0 else (s, c, 1.0)
            values.append(norm * q[l, k] * part[k])
            side = norm * q.get((l - 1, k + 1), zero) * part[k]
            up = (norm * k) * q[l, k]
            gradients.append(
                xp.stack(
                    [
                        up * part[k - 1] - x * side if k else -x * side,
                        sign * up * other[k - 1] - y * side if k else -y * side,
                        (norm * (l + k)) * q.get((l - 1, k), zero) * part[k],
                    ],
                    axis=1,
                )
            )
    return xp.stack(values, axis=1), xp.stack(gradients, axis=1)
