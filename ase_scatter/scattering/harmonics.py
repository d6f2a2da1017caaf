"""Real solid harmonics r^l Y_lm(r̂), orthonormal on the sphere, index l(l+1)+m.

The recursions are those of Bigi, Fraux, Browning, Ceriotti, J. Chem. Phys. 159, 064802 (2023).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from ..compute.backend import Array


def solid_harmonics(
    vectors: NDArray[np.float64], l_max: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    Evaluate the real solid harmonics and their gradients.

    Parameters
    ----------
    vectors : ndarray, shape (n, 3)
        Where to evaluate them.
    l_max : int
        Largest degree.

    Returns
    -------
    values : ndarray, shape ((l_max + 1)², n)
        r^l Y_lm, at index l(l + 1) + m.
    gradients : ndarray, shape ((l_max + 1)², 3, n)
        Derivatives with respect to the vectors.
    """
    values, gradients = solid_harmonics_of(np.asarray(vectors, dtype=np.float64)[None], l_max, np)
    return values[0], gradients[0]


def degree(l: int) -> slice:
    """
    Find the harmonics of one degree.

    Parameters
    ----------
    l : int
        Degree.

    Returns
    -------
    slice
        Where the 2l + 1 harmonics of degree l stand.
    """
    return slice(l * l, (l + 1) * (l + 1))


@lru_cache(maxsize=16)
def prefactors(l_max: int) -> NDArray[np.float64]:
    """
    Tabulate N_lm of Y_{l,±m} = N_lm Q_l^m {c_m, s_m}, with Q as in `solid_harmonics_of`.

    Parameters
    ----------
    l_max : int
        Largest degree.

    Returns
    -------
    ndarray, shape (l_max + 1, l_max + 1)
        N_lm for 0 ≤ m ≤ l, else 0; read-only.
    """
    table = np.zeros((l_max + 1, l_max + 1))
    for l in range(l_max + 1):
        m = np.arange(l + 1)
        table[l, : l + 1] = np.exp(0.5 * (gammaln(l - m + 1) - gammaln(l + m + 1)))
        table[l, : l + 1] *= np.sqrt((2 * l + 1) / (2 * np.pi))
    table[:, 0] /= np.sqrt(2.0)
    table.setflags(write=False)
    return table


def solid_harmonics_of(vectors: Array, l_max: int, xp: Any) -> tuple[Array, Array]:
    """
    Evaluate the real solid harmonics and their gradients, for arrays of any kind.

    Parameters
    ----------
    vectors : array, shape (n, k, 3)
        Where to evaluate them.
    l_max : int
        Largest degree.
    xp : module
        Array namespace that `vectors` belong to.

    Returns
    -------
    values : array, shape (n, (l_max + 1)², k)
        r^l Y_lm, at index l(l + 1) + m.
    gradients : array, shape (n, (l_max + 1)², 3, k)
        Derivatives with respect to the vectors.

    Notes
    -----
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
