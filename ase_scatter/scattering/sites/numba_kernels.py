"""Compiled passes over atoms for the atom-centred transform, on the CPU.

Three passes, each over a range of atoms, so that ranges can run on several threads; every atom writes
only what is its own, so the result does not depend on how the atoms are dealt out:

    1. `fields`   A, and g of the fields that are convolved again;
    2. `terms`    B; the atom's energy; ∂E/∂A, ∂E/∂B, and from it ∂E/∂g of the neighbours and a part of
                  the pair forces;
    3. `adjoint`  collects ∂E/∂g over the neighbours, completes ∂E/∂A, and with it the pair forces.

Pair functions are evaluated anew in each pass, which costs less than keeping them. Inner loops run
over the neighbours of an atom (or over directions), contiguously, for the sake of vector instructions.
"""

from __future__ import annotations

import math

import numpy as np

from ...compute.compiled import compiled, compiled_exactly
from .numba_pairs import (
    begin_pull,
    finish_pull,
    gather_neighbors,
    harmonics_of,
    padded,
    radial_functions,
    room_for,
)
from .numba_terms import add_moduli, add_products, add_rows, add_triples, modulus


@compiled
def fields(start, stop, plan, prefactor, kind, positions, cell, first, second, shifts, a, g):  # type: ignore[no-untyped-def]
    """Pass 1: convolve, and take the moduli that are convolved again.

    Parameters
    ----------
    start, stop : int
        The atoms start…stop − 1.
    plan : Plan
        Tables of the transform.
    prefactor : ndarray, shape (l_max + 1, l_max + 1)
        `harmonics.prefactors`.
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
    a : ndarray, shape (N, n_channels·n_phi)
        Takes A, normalised.
    g : ndarray, shape (N, n_sources)
        Takes the moduli g.
    """
    room = room_for(first, start, stop)
    near, pair = np.empty((6, room)), np.empty(room, np.int64)
    envelope, rho = np.empty((5, room)), np.empty((len(plan.l), room))
    q, cs = np.empty((plan.l_max + 1, plan.l_max + 1, room)), np.empty((2, plan.l_max + 1, room))
    y = np.empty(((plan.l_max + 1) ** 2, room))
    charged = np.empty(room)
    n_channels = len(plan.charges)
    for i in range(start, stop):
        n_real = gather_neighbors(i, kind, positions, cell, first, second, shifts, plan, near, pair)
        n = padded(n_real)
        radial_functions(n, len(plan.l), plan, near, envelope, rho, rho, False)
        harmonics_of(n, plan.l_max, prefactor, near, q, cs, y)
        for c in range(n_channels):
            charged[n_real:n] = 0.0
            for v in range(n_real):
                charged[v] = plan.charges[c, kind[second[pair[v]]]]
            for w in range(len(plan.l)):
                l = plan.l[w]
                at = c * plan.n_phi + plan.offset[w]
                if plan.scale_a[c, plan.offset[w]] == 0.0:
                    for m in range(2 * l + 1):
                        a[i, at + m] = 0.0
                    continue
                for m in range(2 * l + 1):
                    total = 0.0
                    for v in range(n):
                        total += charged[v] * rho[w, v] * y[l * l + m, v]
                    a[i, at + m] = total * plan.scale_a[c, plan.offset[w] + m]
        for s in range(len(plan.source)):
            at, size = plan.moduli[plan.source[s], 0], plan.moduli[plan.source[s], 1]
            total = plan.epsilon2
            for m in range(size):
                total += a[i, at + m] * a[i, at + m]
            g[i, s] = modulus(total, 1.0, plan.epsilon2)[0]


@compiled
def terms(  # type: ignore[no-untyped-def]
    start, stop, plan, prefactor, weights, kind, positions, cell, first, second, shifts,
    a, g, kept, energy, back, force,
):  # fmt: skip
    """Pass 2: energies, and derivatives with respect to the fields.

    Parameters
    ----------
    start, stop : int
        The atoms start…stop − 1.
    plan : Plan
        Tables of the transform.
    prefactor : ndarray, shape (l_max + 1, l_max + 1)
        `harmonics.prefactors`.
    weights : tuple of ndarray, each of shape (n_terms, n_elements)
        Weights in eV of each kind of term, in the order of ``KINDS``.
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
    a : ndarray, shape (N, n_channels·n_phi)
        A; becomes ∂E/∂A without what comes through g.
    g : ndarray, shape (N, n_sources)
        The moduli g.
    kept : ndarray, shape (N, n)
        Takes A of the sources.
    energy : ndarray, shape (N,)
        Takes the energies in eV.
    back : ndarray, shape (P, n_sources)
        Takes ∂E/∂g of each pair's neighbour.
    force : ndarray, shape (P, 3)
        Takes the part of ∂E/∂r_ij that comes from order 2, in eV/Å.
    """
    room = room_for(first, start, stop)
    near, pair = np.empty((6, room)), np.empty(room, np.int64)
    n_outer, n_sources = plan.n_outer, len(plan.source)
    n_inner = plan.n_outer_wavelets
    outer_l = 0
    for w in range(n_inner):
        outer_l = max(outer_l, plan.l[w])
    envelope, rho, slope = np.empty((5, room)), np.empty((n_inner, room)), np.empty((n_inner, room))
    q, cs = np.empty((outer_l + 1, outer_l + 1, room)), np.empty((2, outer_l + 1, room))
    y = np.empty(((outer_l + 1) ** 2, room))
    phi, sent, got = np.empty((n_outer, room)), np.empty((n_sources, room)), np.empty(room)
    weight, pull, radial = np.empty(((outer_l + 1) ** 2, room)), np.empty((3, room)), np.empty(room)
    b, db = np.empty(n_sources * n_outer), np.empty(n_sources * n_outer)
    da = np.empty(a.shape[1])
    slopes, slopes2 = np.empty(len(plan.moduli)), np.empty(len(plan.moduli2))
    squares, squares2 = np.empty(len(plan.moduli)), np.empty(len(plan.moduli2))
    n_directions = len(plan.areas)
    sphere = np.empty((len(plan.sphere), n_directions))
    d_sphere = np.empty((len(plan.sphere), n_directions))
    weights1, weights_c, weights_t, weights2, weights_c2 = weights
    for i in range(start, stop):
        species = kind[i]
        total = 0.0
        here = a[i]
        da[:] = 0.0

        total += add_moduli(
            species, here, da, plan.moduli, plan.modulus, plan.exponent1, weights1, plan.epsilon2,
            squares, slopes,
        )  # fmt: skip
        total += add_products(species, here, da, here, da, plan.cross, weights_c)
        total += add_triples(species, here, da, plan, weights_t, sphere, d_sphere)

        # Order 2.
        for p in range(first[i], first[i + 1]):
            for s in range(n_sources):
                back[p, s] = 0.0
            force[p, 0], force[p, 1], force[p, 2] = 0.0, 0.0, 0.0
        if n_sources > 0:
            n_real = gather_neighbors(i, kind, positions, cell, first, second, shifts, plan, near, pair)
            n = padded(n_real)
            radial_functions(n, n_inner, plan, near, envelope, rho, slope, True)
            harmonics_of(n, outer_l, prefactor, near, q, cs, y)
            for w in range(n_inner):
                l, at = plan.l[w], plan.offset[w]
                for m in range(2 * l + 1):
                    for v in range(n):
                        phi[at + m, v] = rho[w, v] * y[l * l + m, v]
            sent[:, n_real:n] = 0.0
            for v in range(n_real):
                j = second[pair[v]]
                for s in range(n_sources):
                    sent[s, v] = g[j, s]
            for s in range(n_sources):
                for k in range(n_outer):
                    value = 0.0
                    for v in range(n):
                        value += sent[s, v] * phi[k, v]
                    b[s * n_outer + k] = value * plan.scale_b[s, k]
                    db[s * n_outer + k] = 0.0
            total += add_moduli(
                species, b, db, plan.moduli2, plan.modulus2, plan.exponent2, weights2, plan.epsilon2,
                squares2, slopes2,
            )  # fmt: skip
            total += add_products(species, b, db, here, da, plan.cross2, weights_c2)
            for s in range(n_sources):
                for k in range(n_outer):
                    db[s * n_outer + k] *= plan.scale_b[s, k]

            # Back to the neighbours' g, and to their places.
            for s in range(n_sources):
                add_rows(n, db[s * n_outer : (s + 1) * n_outer], phi, got)
                for v in range(n_real):
                    back[pair[v], s] = got[v]
            begin_pull(n, outer_l, weight, radial, pull)
            for w in range(n_inner):
                l, at = plan.l[w], plan.offset[w]
                for m in range(2 * l + 1):
                    add_rows(n, db[at + m :: n_outer], sent, got)
                    for v in range(n):
                        radial[v] += slope[w, v] * y[l * l + m, v] * got[v]
                        weight[l * l + m, v] += rho[w, v] * got[v]
            finish_pull(n, outer_l, prefactor, near, q, cs, weight, radial, pull)
            for v in range(n_real):
                for x_ in range(3):
                    force[pair[v], x_] = pull[x_, v]

        at_kept = 0
        for s in range(n_sources):
            at, size = plan.moduli[plan.source[s], 0], plan.moduli[plan.source[s], 1]
            for m in range(size):
                kept[i, at_kept] = here[at + m]
                at_kept += 1
        for k in range(len(da)):
            here[k] = da[k]
        energy[i] = total


@compiled
def adjoint(  # type: ignore[no-untyped-def]
    start, stop, plan, prefactor, kind, positions, cell, first, second, shifts, reverse,
    a, g, kept, back, force,
):  # fmt: skip
    """Pass 3: derivatives with respect to the vectors of all pairs.

    Parameters
    ----------
    start, stop : int
        The atoms start…stop − 1.
    plan : Plan
        Tables of the transform.
    prefactor : ndarray, shape (l_max + 1, l_max + 1)
        `harmonics.prefactors`.
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
    reverse : ndarray of int, shape (P,)
        The pair that each pair is from the other end.
    a : ndarray, shape (N, n_channels·n_phi)
        ∂E/∂A without what comes through g; becomes complete.
    g : ndarray, shape (N, n_sources)
        The moduli g.
    kept : ndarray, shape (N, n)
        A of the sources.
    back : ndarray, shape (P, n_sources)
        ∂E/∂g of each pair's neighbour.
    force : ndarray, shape (P, 3)
        The part of order 2; becomes ∂E/∂r_ij, in eV/Å.
    """
    room = room_for(first, start, stop)
    near, pair = np.empty((6, room)), np.empty(room, np.int64)
    n_sources, n_channels, l_max = len(plan.source), len(plan.charges), plan.l_max
    envelope, rho, slope = np.empty((5, room)), np.empty((len(plan.l), room)), np.empty((len(plan.l), room))
    q, cs = np.empty((l_max + 1, l_max + 1, room)), np.empty((2, l_max + 1, room))
    y = np.empty(((l_max + 1) ** 2, room))
    weight, pull, radial = np.empty(((l_max + 1) ** 2, room)), np.empty((3, room)), np.empty(room)
    charged, along, got = np.empty((n_channels, room)), np.empty(room), np.empty(room)
    root = math.sqrt(plan.epsilon2)
    for i in range(start, stop):
        n_real = gather_neighbors(i, kind, positions, cell, first, second, shifts, plan, near, pair)
        n = padded(n_real)
        at_kept = 0
        for s in range(n_sources):
            total = 0.0
            for v in range(n_real):
                total += back[reverse[pair[v]], s]
            total /= g[i, s] + root
            at, size = plan.moduli[plan.source[s], 0], plan.moduli[plan.source[s], 1]
            for m in range(size):
                a[i, at + m] += total * kept[i, at_kept]
                at_kept += 1
        radial_functions(n, len(plan.l), plan, near, envelope, rho, slope, True)
        harmonics_of(n, l_max, prefactor, near, q, cs, y)
        begin_pull(n, l_max, weight, radial, pull)
        for c in range(n_channels):
            charged[c, n_real:n] = 0.0
            for v in range(n_real):
                charged[c, v] = plan.charges[c, kind[second[pair[v]]]]
        for w in range(len(plan.l)):
            l, at = plan.l[w], plan.offset[w]
            for v in range(n):
                along[v] = 0.0
            used = False
            if n_channels == 1:  # nothing to be summed first
                used = plan.scale_a[0, at] != 0.0
                for m in range(2 * l + 1 if used else 0):
                    w_k = a[i, at + m] * plan.scale_a[0, at + m]
                    for v in range(n):
                        w_v = w_k * charged[0, v]
                        along[v] += y[l * l + m, v] * w_v
                        weight[l * l + m, v] += rho[w, v] * w_v
            for m in range(2 * l + 1 if n_channels > 1 else 0):
                for v in range(n):
                    got[v] = 0.0
                for c in range(n_channels):
                    if plan.scale_a[c, at] == 0.0:
                        continue
                    used = True
                    w_k = a[i, c * plan.n_phi + at + m] * plan.scale_a[c, at + m]
                    for v in range(n):
                        got[v] += w_k * charged[c, v]
                if used:
                    for v in range(n):
                        along[v] += y[l * l + m, v] * got[v]
                        weight[l * l + m, v] += rho[w, v] * got[v]
            if used:
                for v in range(n):
                    radial[v] += slope[w, v] * along[v]
        finish_pull(n, l_max, prefactor, near, q, cs, weight, radial, pull)
        for v in range(n_real):
            p = pair[v]
            fx, fy, fz = force[p, 0] + pull[0, v], force[p, 1] + pull[1, v], force[p, 2] + pull[2, v]
            if near[4, v] != 1.0:
                # From the place where functions are taken to that of the atom.
                dx, dy, dz = near[0, v], near[1, v], near[2, v]
                scale, bend = near[4, v], near[5, v] * (dx * fx + dy * fy + dz * fz)
                fx, fy, fz = scale * fx + bend * dx, scale * fy + bend * dy, scale * fz + bend * dz
            force[p, 0], force[p, 1], force[p, 2] = fx, fy, fz


@compiled_exactly
def collect(start, stop, positions, cell, first, second, shifts, reverse, force, forces, virial):  # type: ignore[no-untyped-def]
    """Sum over the pairs of each atom what the forces between pairs, f_ij = ∂E/∂r_ij − ∂E/∂r_ji, give.

    Parameters
    ----------
    start, stop : int
        The atoms start…stop − 1.
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
    reverse : ndarray of int, shape (P,)
        The pair that each pair is from the other end.
    force : ndarray, shape (P, 3)
        ∂E/∂r_ij in eV/Å.
    forces : ndarray, shape (N, 3)
        Takes the forces Σ_j f_ij in eV/Å.
    virial : ndarray, shape (N, 3, 3)
        Takes ½ Σ_j r_ij ⊗ f_ij in eV: half of each pair's is each atom's.
    """
    d, f = np.empty(3), np.empty(3)
    for i in range(start, stop):
        for k in range(3):
            forces[i, k] = 0.0
            for c in range(3):
                virial[i, k, c] = 0.0
        for p in range(first[i], first[i + 1]):
            j, r = second[p], reverse[p]
            for k in range(3):
                f[k] = force[p, k] - force[r, k]
                forces[i, k] += f[k]
                d[k] = positions[j, k] - positions[i, k]
                for c in range(3):
                    d[k] += shifts[p, c] * cell[c, k]
            for k in range(3):
                for c in range(3):
                    virial[i, k, c] += 0.5 * d[k] * f[c]
