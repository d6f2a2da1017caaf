"""Formulas that several modules need, for arrays of any kind.

The same formulas stand in ``math.cuh`` for kernels and in ``scattering/sites/numba_pairs.py`` for compiled
loops.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .backend import Array


def switched(t: Array, xp: Any = np) -> tuple[Array, Array]:
    """
    Evaluate the polynomial that falls from 1 to 0 with two continuous derivatives.

    Parameters
    ----------
    t : array
        Where to evaluate it, any shape. It falls between t = 0 and t = 1; values outside count as the
        nearer end.
    xp : module, optional
        Array namespace that `t` belongs to.

    Returns
    -------
    value : array
        1 − 10t³ + 15t⁴ − 6t⁵, shaped like `t`.
    slope : array
        Its derivative with respect to `t`.
    """
    # The root at 1 is factored out, so that nothing cancels where the switch ends.
    t = xp.maximum(t, 0.0)
    rest = xp.maximum(1.0 - t, 0.0)
    return rest**3 * (1.0 + 3.0 * t + 6.0 * t * t), -30.0 * (t * rest) ** 2


def modulus(x: Array, q: float, epsilon2: float, xp: Any = np) -> tuple[Array, Array]:
    """
    Evaluate h_q, the power of a modulus that is smooth at zero.

    Parameters
    ----------
    x : array
        U² + ε², any shape.
    q : float
        Exponent, positive.
    epsilon2 : float
        ε², in the unit of U², positive.
    xp : module, optional
        Array namespace that `x` belongs to.

    Returns
    -------
    value : array
        h_q = (U² + ε²)^(q/2) − ε^q, shaped like `x`.
    slope : array
        Its derivative with respect to U².
    """
    if q == 2.0:
        return x - epsilon2, xp.ones_like(x)
    if q == 1.0:
        root = xp.sqrt(x)
        return root - epsilon2**0.5, 0.5 / root
    power = x ** (0.5 * q - 1.0)
    return power * x - epsilon2 ** (0.5 * q), 0.5 * q * power
