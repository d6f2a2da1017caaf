"""Gradients of the pair functions of the compiled passes."""

from __future__ import annotations

from ...compute.compiled import compiled


@compiled
def harmonic_gradients(n, l_max, prefactor, near, q, cs, dy):  # type: ignore[no-untyped-def]
    """Differentiate the solid harmonics.

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
    dy : ndarray, shape ((l_max + 1)², 3, ≥ n)
        Takes ∇(r^l Y_lm).
    """
    x, y = near[0], near[1]
    for k in range(3):
        for v in range(n):
            dy[0, k, v] = 0.0
    for l in range(1, l_max + 1):
        here = l * l + l
        for m in range(l + 1):
            f = prefactor[l, m]
            for side in range(1 if m == 0 else 2):
                to = here + m if side == 0 else here - m
                for v in range(n):
                    base = f * cs[side, m, v]
                    lower = base * q[l - 1, m + 1, v] if m + 1 < l else 0.0
                    dy[to, 0, v] = -x[v] * lower
                    dy[to, 1, v] = -y[v] * lower
                    dy[to, 2, v] = (l + m) * base * q[l - 1, m, v] if m < l else 0.0
                if m > 0:
                    for v in range(n):
                        turn = f * m * q[l, m, v]
                        dy[to, 0, v] += turn * cs[side, m - 1, v]
                        if side == 0:
                            dy[to, 1, v] -= turn * cs[1, m - 1, v]
                        else:
                            dy[to, 1, v] += turn * cs[0, m - 1, v]


@compiled
def pair_gradients(n, plan, near, rho, slope, y, dy, along, gradient):  # type: ignore[no-untyped-def]
    """Differentiate the pair functions with respect to the vectors of the pairs.

    Parameters
    ----------
    n : int
        Number of neighbours, padded.
    plan : Plan
        Tables of the transform.
    near : ndarray, shape (6, ≥ n)
        What `gather_neighbors` left.
    rho, slope : ndarray, shape (n_wavelets, ≥ n)
        What `radial_functions` left.
    y, dy : ndarray, shapes ((l_max + 1)², ≥ n) and ((l_max + 1)², 3, ≥ n)
        Solid harmonics and their gradients.
    along : ndarray, shape (≥ n,)
        Work space.
    gradient : ndarray, shape (n_phi, ≥ 3n)
        Takes ∂φ/∂r_ij per Å: x of all neighbours, then y, then z.
    """
    held = False
    for v in range(n):
        held = held or near[4, v] != 1.0
    for w in range(len(plan.l)):
        l, at = plan.l[w], plan.offset[w]
        for m in range(2 * l + 1):
            k = l * l + m
            for v in range(n):
                along[v] = slope[w, v] * y[k, v]
            for c in range(3):
                for v in range(n):
                    gradient[at + m, c * n + v] = rho[w, v] * dy[k, c, v] + along[v] * near[c, v]
            if held:
                for v in range(n):
                    total = 0.0
                    for c in range(3):
                        total += near[c, v] * gradient[at + m, c * n + v]
                    along[v] = near[5, v] * total
                for c in range(3):
                    for v in range(n):
                        gradient[at + m, c * n + v] = (
                            near[4, v] * gradient[at + m, c * n + v] + along[v] * near[c, v]
                        )


@compiled
def charged_gradients(n_real, n, plan, kind, second, pair, gradient, charged, of_a):  # type: ignore[no-untyped-def]
    """Differentiate the fields A of an atom with respect to the vectors of its pairs.

    Parameters
    ----------
    n_real, n : int
        Number of neighbours, and the same padded.
    plan : Plan
        Tables of the transform.
    kind : ndarray of int, shape (N,)
        Element of each atom.
    second : ndarray of int, shape (P,)
        The neighbour in each pair.
    pair : ndarray of int, shape (≥ n_real,)
        The pair of each neighbour.
    gradient : ndarray, shape (n_phi, ≥ 3n)
        What `pair_gradients` left.
    charged : ndarray, shape (≥ 3n,)
        Work space.
    of_a : ndarray, shape (n_channels·n_phi, ≥ 3n)
        Takes ∂A/∂r_ij per Å, of the components of A that are used.
    """
    for c in range(len(plan.charges)):
        for x in range(3):
            for v in range(n):
                charged[x * n + v] = 0.0
            for v in range(n_real):
                charged[x * n + v] = plan.charges[c, kind[second[pair[v]]]]
        for k in range(plan.n_phi):
            scale = plan.scale_a[c, k]
            if scale != 0.0:
                for v in range(3 * n):
                    of_a[c * plan.n_phi + k, v] = scale * charged[v] * gradient[k, v]
