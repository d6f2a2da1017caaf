"""Pair functions of the compiled passes: neighbours, radial functions, harmonics."""

from __future__ import annotations

import math

from ...compute.compiled import compiled, compiled_exactly


@compiled_exactly
def padded(n):  # type: ignore[no-untyped-def]
    """Round n up to a multiple of 8, which vector instructions like."""
    return (n + 7) // 8 * 8


@compiled_exactly
def gather_neighbors(i, positions, cell, first, second, shifts, cutoff, near, pair):  # type: ignore[no-untyped-def]
    """Vectors (x, y, z, r) and pairs of the neighbours within the cutoff; how many there are.

    Up to the next multiple of 8, which the loops over neighbours run to, follow some at the cutoff,
    whose pair functions are zero. A pair right at the cutoff may be in one pass and not in another, for
    rounding may differ: all that is kept of pairs is therefore set to zero first.
    """
    n = 0
    square = cutoff * cutoff
    for p in range(first[i], first[i + 1]):
        j = second[p]
        a, b, c = shifts[p, 0], shifts[p, 1], shifts[p, 2]
        x = positions[j, 0] - positions[i, 0] + (a * cell[0, 0] + b * cell[1, 0] + c * cell[2, 0])
        y = positions[j, 1] - positions[i, 1] + (a * cell[0, 1] + b * cell[1, 1] + c * cell[2, 1])
        z = positions[j, 2] - positions[i, 2] + (a * cell[0, 2] + b * cell[1, 2] + c * cell[2, 2])
        s = x * x + y * y + z * z
        if s < square:
            near[0, n], near[1, n], near[2, n], near[3, n] = x, y, z, math.sqrt(s)
            pair[n] = p
            n += 1
    for v in range(n, padded(n)):
        near[0, v], near[1, v], near[2, v], near[3, v] = 0.0, 0.0, 0.0, cutoff
    return n


@compiled
def switched(t):  # type: ignore[no-untyped-def]
    """1 − 10t³ + 15t⁴ − 6t⁵ and its derivative for 0 ≤ t ≤ 1; t below 0 counts as 0."""
    t = max(0.0, t)
    rest = 1.0 - t
    return rest * rest * rest * (1.0 + 3.0 * t + 6.0 * t * t), -30.0 * t * t * rest * rest


@compiled
def modulus(x, q, epsilon2):  # type: ignore[no-untyped-def]
    """h_q and its derivative at x = U² + ε²."""
    if q == 1.0:
        root = math.sqrt(x)
        return root - math.sqrt(epsilon2), 0.5 / root
    if q == 2.0:
        return x - epsilon2, 1.0
    if q == 1.5:
        root = math.sqrt(x)
        fourth = math.sqrt(root)
        return root * fourth - epsilon2**0.75, 0.75 / fourth
    return x ** (0.5 * q) - epsilon2 ** (0.5 * q), 0.5 * q * x ** (0.5 * q - 1.0)


@compiled
def radial_functions(n, n_wavelets, plan, near, envelope, rho, slope, with_slope):  # type: ignore[no-untyped-def]
    """Radial functions of the first wavelets (n_wavelets, n), and their derivatives over r."""
    on = plan.cutoff - plan.switch
    r = near[3]
    last = -1
    for w in range(n_wavelets):
        k = plan.scale[w]
        inverse = 1.0 / (plan.betas[k] * plan.betas[k])
        if k != last:
            last = k
            for v in range(n):
                fade, fading = switched((r[v] - on) / plan.switch)
                e = math.exp(-0.5 * r[v] * r[v] * inverse)
                envelope[0, v] = r[v] * r[v] * inverse
                envelope[1, v] = e * fade
                # over r: r times this is the derivative of the cutoff's factor
                envelope[2, v] = e * fading / (plan.switch * r[v])
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
    """Solid harmonics ((l_max+1)², n); leaves q and cs for `_pull`."""
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
    """Neighbours that the work space of these atoms has to hold."""
    most = 1
    for i in range(start, stop):
        most = max(most, first[i + 1] - first[i])
    return padded(most)


@compiled
def begin_pull(n, l_max, weight, radial, pull):  # type: ignore[no-untyped-def]
    """Set to zero what pair forces are collected in: of each harmonic, along the pair, in total."""
    for k in range((l_max + 1) ** 2):
        for v in range(n):
            weight[k, v] = 0.0
    for v in range(n):
        radial[v] = 0.0
        pull[0, v], pull[1, v], pull[2, v] = 0.0, 0.0, 0.0


@compiled
def finish_pull(n, l_max, prefactor, near, q, cs, weight, radial, pull):  # type: ignore[no-untyped-def]
    """Pair forces (3, n), from the weights of the harmonics' gradients and what pulls along the pair."""
    _pull(n, l_max, prefactor, near, q, cs, weight, pull)
    for v in range(n):
        pull[0, v] += radial[v] * near[0, v]
        pull[1, v] += radial[v] * near[1, v]
        pull[2, v] += radial[v] * near[2, v]
