"""Pair functions of the compiled passes: neighbours, radial functions, harmonics."""

from __future__ import annotations

import math

from ...compute.compiled import compiled, compiled_exactly
from .plan import HELD


@compiled_exactly
def padded(n):  # type: ignore[no-untyped-def]
    """Round up to a multiple of 8, which vector instructions like.

    Parameters
    ----------
    n : int
        Number of neighbours.

    Returns
    -------
    int
        The multiple.
    """
    return (n + 7) // 8 * 8


@compiled_exactly
def gather_neighbors(i, kind, positions, cell, first, second, shifts, plan, near, pair):  # type: ignore[no-untyped-def]
    """Gather the neighbours of an atom within the cutoff, and where their functions are taken.

    Parameters
    ----------
    i : int
        The atom.
    kind : ndarray of int, shape (N,)
        Element of each atom.
    positions : ndarray, shape (N, 3)
        In Å.
    cell : ndarray, shape (3, 3)
        Cell vectors in Å.
    first : ndarray of int, shape (N + 1,)
        First pair of each atom.
    second : ndarray of int, shape (P,)
        The neighbour in each pair.
    shifts : ndarray of int, shape (P, 3)
        Cells between the two.
    plan : Plan
        Tables of the transform.
    near : ndarray, shape (6, room)
        Takes x, y, z and r of the neighbours in Å, with r clamped to f (`plan.clamp`), and f/r and
        (f′ − f/r)/f².
    pair : ndarray of int, shape (room,)
        Takes the pair of each neighbour.

    Returns
    -------
    int
        Number of neighbours.

    Notes
    -----
    Up to the next multiple of 8, which the loops over neighbours run to, follow some at the cutoff, whose
    pair functions are zero. A pair right at the cutoff may be in one pass and not in another, for rounding
    may differ: all that is kept of pairs is therefore set to zero first.
    """
    n, cutoff = 0, plan.cutoff
    square = cutoff * cutoff
    for p in range(first[i], first[i + 1]):
        j = second[p]
        a, b, c = shifts[p, 0], shifts[p, 1], shifts[p, 2]
        x = positions[j, 0] - positions[i, 0] + (a * cell[0, 0] + b * cell[1, 0] + c * cell[2, 0])
        y = positions[j, 1] - positions[i, 1] + (a * cell[0, 1] + b * cell[1, 1] + c * cell[2, 1])
        z = positions[j, 2] - positions[i, 2] + (a * cell[0, 2] + b * cell[1, 2] + c * cell[2, 2])
        s = x * x + y * y + z * z
        if s < square:
            r, begin = math.sqrt(s), plan.closest[kind[i], kind[j]]
            near[0, n], near[1, n], near[2, n], near[3, n], near[4, n], near[5, n] = x, y, z, r, 1.0, 0.0
            if r < begin:
                t = max(0.0, (r - begin) / (HELD * begin) + 1.0)
                f = begin - HELD * begin * (0.5 - t * t * t + 0.5 * t * t * t * t)
                scale = f / r
                near[0, n], near[1, n], near[2, n], near[3, n] = scale * x, scale * y, scale * z, f
                near[4, n], near[5, n] = scale, (t * t * (3.0 - 2.0 * t) - scale) / (f * f)
            pair[n] = p
            n += 1
    for v in range(n, padded(n)):
        near[0, v], near[1, v], near[2, v], near[3, v] = 0.0, 0.0, 0.0, cutoff
        near[4, v], near[5, v] = 1.0, 0.0
    return n


@compiled
def switched(t):  # type: ignore[no-untyped-def]
    """Evaluate the polynomial that falls from 1 to 0, as `functions.switched` does.

    Parameters
    ----------
    t : float
        At most 1; below 0 it counts as 0.

    Returns
    -------
    value, slope : float
        1 − 10t³ + 15t⁴ − 6t⁵, and its derivative with respect to t.
    """
    t = max(0.0, t)
    rest = 1.0 - t
    return rest * rest * rest * (1.0 + 3.0 * t + 6.0 * t * t), -30.0 * t * t * rest * rest


@compiled
def radial_functions(n, n_wavelets, plan, near, envelope, rho, slope, with_slope):  # type: ignore[no-untyped-def]
    """Evaluate the radial functions of the first wavelets.

    Parameters
    ----------
    n : int
        Number of neighbours, padded.
    n_wavelets : int
        Number of wavelets.
    plan : Plan
        Tables of the transform.
    near : ndarray, shape (6, ≥ n)
        x, y, z and r of the neighbours in Å.
    envelope : ndarray, shape (5, ≥ n)
        Work space.
    rho : ndarray, shape (n_wavelets, ≥ n)
        Takes the radial functions.
    slope : ndarray, shape (n_wavelets, ≥ n)
        Takes their derivatives with respect to r, divided by r.
    with_slope : bool
        Whether `slope` is wanted.
    """
    on = plan.cutoff - plan.switch
    r = near[3]
    for v in range(n):
        fade, fading = switched((r[v] - on) / plan.switch)
        envelope[3, v] = fade
        # over r: r times this is the derivative of the cutoff's factor
        envelope[4, v] = fading / (plan.switch * r[v])
    last = -1
    for w in range(n_wavelets):
        k = plan.scale[w]
        inverse = 1.0 / (plan.betas[k] * plan.betas[k])
        if k != last:
            last = k
            for v in range(n):
                s = r[v] * r[v] * inverse
                e = math.exp(-0.5 * s)
                envelope[0, v] = s
                envelope[1, v] = e * envelope[3, v]
                envelope[2, v] = e * envelope[4, v]
        c = plan.polynomial[w]
        top = len(c) - 1
        while top > 0 and c[top] == 0.0:
            top -= 1
        if with_slope:
            for v in range(n):
                s = envelope[0, v]
                value, rise = c[top], 0.0
                for m in range(top - 1, -1, -1):
                    rise = rise * s + value
                    value = value * s + c[m]
                rho[w, v] = envelope[1, v] * value
                slope[w, v] = envelope[1, v] * (2.0 * rise - value) * inverse + envelope[2, v] * value
        else:
            for v in range(n):
                s = envelope[0, v]
                value = c[top]
                for m in range(top - 1, -1, -1):
                    value = value * s + c[m]
                rho[w, v] = envelope[1, v] * value


@compiled
def harmonics_of(n, l_max, prefactor, near, q, cs, values):  # type: ignore[no-untyped-def]
    """Evaluate the solid harmonics, as `harmonics.solid_harmonics_of` does.

    Parameters
    ----------
    n : int
        Number of neighbours, padded.
    l_max : int
        Largest degree.
    prefactor : ndarray, shape (l_max + 1, l_max + 1)
        `harmonics.prefactors`.
    near : ndarray, shape (6, ≥ n)
        x, y, z and r of the neighbours in Å.
    q : ndarray, shape (l_max + 1, l_max + 1, ≥ n)
        Takes Q_l^m, for `finish_pull`.
    cs : ndarray, shape (2, l_max + 1, ≥ n)
        Takes c_m and s_m, for `finish_pull`.
    values : ndarray, shape ((l_max + 1)², ≥ n)
        Takes r^l Y_lm.
    """
    x, y, z = near[0], near[1], near[2]
    for v in range(n):
        cs[0, 0, v], cs[1, 0, v] = 1.0, 0.0
    for m in range(1, l_max + 1):
        for v in range(n):
            cs[0, m, v] = x[v] * cs[0, m - 1, v] - y[v] * cs[1, m - 1, v]
            cs[1, m, v] = x[v] * cs[1, m - 1, v] + y[v] * cs[0, m - 1, v]
    start = 1.0
    for m in range(l_max + 1):
        if m > 0:
            start *= 2 * m - 1
        for l in range(m, l_max + 1):
            if l == m:
                for v in range(n):
                    q[l, m, v] = start
            elif l == m + 1:
                for v in range(n):
                    q[l, m, v] = (2 * m + 1) * z[v] * start
            else:
                one, two = (2 * l - 1) / (l - m), (l + m - 1) / (l - m)
                for v in range(n):
                    q[l, m, v] = one * z[v] * q[l - 1, m, v] - two * near[3, v] * near[3, v] * q[l - 2, m, v]
            f = prefactor[l, m]
            here = l * l + l
            for v in range(n):
                values[here + m, v] = f * q[l, m, v] * cs[0, m, v]
            if m > 0:
                for v in range(n):
                    values[here - m, v] = f * q[l, m, v] * cs[1, m, v]


@compiled
def _pull(n, l_max, prefactor, near, q, cs, weight, force):  # type: ignore[no-untyped-def]
    """Adds Σ_lm weight_lm ∇Y_lm to force (3, n)."""
    x, y = near[0], near[1]
    for l in range(1, l_max + 1):
        here = l * l + l
        for m in range(l + 1):
            f = prefactor[l, m]
            if m < l:
                for v in range(n):
                    radial = weight[here + m, v] * cs[0, m, v]
                    if m > 0:
                        radial += weight[here - m, v] * cs[1, m, v]
                    radial *= f
                    lower = radial * q[l - 1, m + 1, v] if m + 1 < l else 0.0
                    force[0, v] -= x[v] * lower
                    force[1, v] -= y[v] * lower
                    force[2, v] += (l + m) * radial * q[l - 1, m, v]
            if m > 0:
                for v in range(n):
                    turn = f * m * q[l, m, v]
                    up, down = weight[here + m, v], weight[here - m, v]
                    force[0, v] += turn * (up * cs[0, m - 1, v] + down * cs[1, m - 1, v])
                    force[1, v] += turn * (down * cs[0, m - 1, v] - up * cs[1, m - 1, v])


@compiled
def room_for(first, start, stop):  # type: ignore[no-untyped-def]
    """Find how many neighbours the work space of some atoms has to hold.

    Parameters
    ----------
    first : ndarray of int, shape (N + 1,)
        First pair of each atom.
    start, stop : int
        The atoms start…stop − 1.

    Returns
    -------
    int
        A multiple of 8.
    """
    most = 1
    for i in range(start, stop):
        most = max(most, first[i + 1] - first[i])
    return padded(most)


@compiled
def begin_pull(n, l_max, weight, radial, pull):  # type: ignore[no-untyped-def]
    """Set to zero what derivatives of the pairs' energy are collected in.

    Parameters
    ----------
    n : int
        Number of neighbours, padded.
    l_max : int
        Largest degree.
    weight : ndarray, shape ((l_max + 1)², ≥ n)
        What multiplies the gradient of each harmonic.
    radial : ndarray, shape (≥ n,)
        What multiplies the vector of the pair.
    pull : ndarray, shape (3, ≥ n)
        Derivatives with respect to the vector of the pair.
    """
    for k in range((l_max + 1) ** 2):
        for v in range(n):
            weight[k, v] = 0.0
    for v in range(n):
        radial[v] = 0.0
        pull[0, v], pull[1, v], pull[2, v] = 0.0, 0.0, 0.0


@compiled
def finish_pull(n, l_max, prefactor, near, q, cs, weight, radial, pull):  # type: ignore[no-untyped-def]
    """Add up the derivatives with respect to the vectors of the pairs.

    Parameters
    ----------
    n : int
        Number of neighbours, padded.
    l_max : int
        Largest degree.
    prefactor : ndarray, shape (l_max + 1, l_max + 1)
        `harmonics.prefactors`.
    near : ndarray, shape (6, ≥ n)
        x, y, z and r of the neighbours in Å.
    q, cs : ndarray
        What `harmonics_of` left.
    weight : ndarray, shape ((l_max + 1)², ≥ n)
        What multiplies the gradient of each harmonic.
    radial : ndarray, shape (≥ n,)
        What multiplies the vector of the pair.
    pull : ndarray, shape (3, ≥ n)
        Takes the derivatives.
    """
    _pull(n, l_max, prefactor, near, q, cs, weight, pull)
    for v in range(n):
        pull[0, v] += radial[v] * near[0, v]
        pull[1, v] += radial[v] * near[1, v]
        pull[2, v] += radial[v] * near[2, v]
