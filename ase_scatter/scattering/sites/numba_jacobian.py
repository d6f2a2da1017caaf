"""Derivatives of all atom-centred columns, on the CPU.

Each atom's columns depend on the vectors to its neighbours through A and B, and, of order 2, on g of its
neighbours, which depend on the vectors to theirs. `messages` differentiates g; `derivatives` differentiates
the columns of one atom after the other. Each atom's go to a table of its own (n_columns, atoms in reach, 3),
or, summed over the atoms, all to one (n_columns, N, 3).
"""

from __future__ import annotations

import math

import numpy as np

from ...compute.compiled import compiled
from .numba_columns import convolve_again, on_sphere
from .numba_gradients import charged_gradients, harmonic_gradients, pair_gradients
from .numba_pairs import gather_neighbors, harmonics_of, padded, radial_functions, room_for
from .numba_terms import modulus


@compiled
def _true_vectors(n_real, n, near, vectors):  # type: ignore[no-untyped-def]
    """Vectors of the pairs as they are, not as they are held, (3n); 0 for padding."""
    for x in range(3):
        for v in range(n):
            vectors[x * n + v] = near[x, v] / near[4, v] if v < n_real else 0.0


@compiled
def _strain(row, n, vectors, strain):  # type: ignore[no-untyped-def]
    """Add Σ_v row ⊗ vector, symmetric, to strain (6): xx, yy, zz, yz, xz, xy."""
    xx = yy = zz = yz = xz = xy = 0.0
    for v in range(n):
        fx, fy, fz = row[v], row[n + v], row[2 * n + v]
        x, y, z = vectors[v], vectors[n + v], vectors[2 * n + v]
        xx += fx * x
        yy += fy * y
        zz += fz * z
        yz += fy * z + fz * y
        xz += fx * z + fz * x
        xy += fx * y + fy * x
    strain[0] += xx
    strain[1] += yy
    strain[2] += zz
    strain[3] += 0.5 * yz
    strain[4] += 0.5 * xz
    strain[5] += 0.5 * xy


@compiled
def _add(row, n3, gradient, at, size, slope):  # type: ignore[no-untyped-def]
    """Add Σ_m slope_m gradient[at + m] to row (n3)."""
    s = slope[0]
    for v in range(n3):
        row[v] += s * gradient[at, v]
    for m in range(1, size - 1, 2):  # sizes are odd
        s, t = slope[m], slope[m + 1]
        for v in range(n3):
            row[v] += s * gradient[at + m, v] + t * gradient[at + m + 1, v]


@compiled
def _collect(slot, start, stop, second, d_g, here, own, n3, to):  # type: ignore[no-untyped-def]
    """Add the derivatives of g of one atom with respect to positions (n3) and strain (6) to a row."""
    for p in range(start, stop):
        k = slot[second[p]]
        if k >= 0:  # always: it spares the compiler a case
            to[k] += d_g[p, 0]
            to[k + 1] += d_g[p, 1]
            to[k + 2] += d_g[p, 2]
    for x in range(3):
        to[here + x] += own[x]
    for x in range(6):
        to[n3 + x] += own[3 + x]


@compiled
def _combine(one, two, n, moved, width, first, second):  # type: ignore[no-untyped-def]
    """Add Σ_v one_v moved_v and Σ_v two_v moved_v to two rows (width); n is a multiple of 4."""
    for v in range(0, n, 4):
        a, b, c, d = one[v], one[v + 1], one[v + 2], one[v + 3]
        e, f, g, h = two[v], two[v + 1], two[v + 2], two[v + 3]
        for k in range(width):
            p, q, r, s = moved[v, k], moved[v + 1, k], moved[v + 2, k], moved[v + 3, k]
            first[k] += a * p + b * q + c * r + d * s
            second[k] += e * p + f * q + g * r + h * s


@compiled
def messages(  # type: ignore[no-untyped-def]
    start, stop, plan, prefactor, kind, positions, cell, first, second, shifts, a, g, d_g, own_g
):
    """Differentiate the moduli g.

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
        A, normalised.
    g : ndarray, shape (N, n_sources)
        The moduli g.
    d_g : ndarray, shape (n_sources, P, 3)
        Takes ∂g/∂r_ij per Å; zeros.
    own_g : ndarray, shape (n_sources, N, 9)
        Takes ∂g/∂R of the atom itself, and ∂g/∂ε as xx, yy, zz, yz, xz, xy; zeros.
    """
    room, l_max = room_for(first, start, stop), plan.l_max
    near, pair = np.empty((6, room)), np.empty(room, np.int64)
    envelope, rho, slope = np.empty((5, room)), np.empty((len(plan.l), room)), np.empty((len(plan.l), room))
    q, cs = np.empty((l_max + 1, l_max + 1, room)), np.empty((2, l_max + 1, room))
    y, dy = np.empty(((l_max + 1) ** 2, room)), np.empty(((l_max + 1) ** 2, 3, room))
    along, gradient = np.empty(room), np.empty((plan.n_phi, 3 * room))
    charged, row, vectors = np.empty(3 * room), np.empty(3 * room), np.empty(3 * room)
    of_a, part = np.zeros((len(plan.charges) * plan.n_phi, 3 * room)), np.empty(2 * l_max + 1)
    root = math.sqrt(plan.epsilon2)
    for i in range(start, stop):
        n_real = gather_neighbors(i, kind, positions, cell, first, second, shifts, plan, near, pair)
        n = padded(n_real)
        radial_functions(n, len(plan.l), plan, near, envelope, rho, slope, True)
        harmonics_of(n, l_max, prefactor, near, q, cs, y)
        harmonic_gradients(n, l_max, prefactor, near, q, cs, dy)
        pair_gradients(n, plan, near, rho, slope, y, dy, along, gradient)
        charged_gradients(n_real, n, plan, kind, second, pair, gradient, charged, of_a)
        _true_vectors(n_real, n, near, vectors)
        for s in range(len(plan.source)):
            at, size = plan.moduli[plan.source[s], 0], plan.moduli[plan.source[s], 1]
            for m in range(size):
                part[m] = a[i, at + m] / (g[i, s] + root)
            row[: 3 * n] = 0.0
            _add(row, 3 * n, of_a, at, size, part)
            for v in range(n_real):
                for x in range(3):
                    d_g[s, pair[v], x] = row[x * n + v]
                    own_g[s, i, x] -= row[x * n + v]
            _strain(row, n, vectors, own_g[s, i, 3:])


@compiled
def _of_order_1(species, here, plan, places, of_a, n3, sphere, part, product, rows, columns):  # type: ignore[no-untyped-def]
    """Derivatives of the columns of order 1 with respect to the pairs: rows (c, n3) and columns (c,)."""
    places1, places_c, places_t, _, _ = places
    used = 0
    for t in range(len(plan.modulus)):
        if places1[t, species] >= 0:
            at, size = plan.moduli[plan.modulus[t], 0], plan.moduli[plan.modulus[t], 1]
            square = plan.epsilon2
            for m in range(size):
                square += here[at + m] * here[at + m]
            rise = modulus(square, plan.exponent1[t], plan.epsilon2)[1]
            for m in range(size):
                part[m] = 2.0 * rise * here[at + m]
            rows[used, :n3] = 0.0
            _add(rows[used], n3, of_a, at, size, part)
            columns[used] = places1[t, species]
            used += 1
    for t in range(len(plan.cross)):
        if places_c[t, species] >= 0:
            one, two, size = plan.cross[t, 0], plan.cross[t, 1], plan.cross[t, 2]
            rows[used, :n3] = 0.0
            _add(rows[used], n3, of_a, one, size, here[two : two + size])
            _add(rows[used], n3, of_a, two, size, here[one : one + size])
            columns[used] = places_c[t, species]
            used += 1
    if len(plan.triple):
        on_sphere(here, plan, sphere)
    for t in range(len(plan.triple)):
        if places_t[t, species] < 0:
            continue
        rows[used, :n3] = 0.0
        for slot in range(3):
            f = plan.triple[t, slot]
            times, seen = 0.0, False
            for other in range(3):
                if plan.triple[t, other] == f:
                    times += 1.0
                    seen = seen or other < slot
            if seen:
                continue
            one, two = plan.triple[t, (slot + 1) % 3], plan.triple[t, (slot + 2) % 3]
            at, size, harmonic = plan.sphere[f, 0], plan.sphere[f, 1], plan.sphere[f, 2]
            for d in range(len(plan.areas)):
                product[d] = times * plan.areas[d] * sphere[one, d] * sphere[two, d]
            for m in range(size):
                value = 0.0
                for d in range(len(plan.areas)):
                    value += product[d] * plan.directions[harmonic + m, d]
                part[m] = value
            _add(rows[used], n3, of_a, at, size, part)
        columns[used] = places_t[t, species]
        used += 1
    return used


@compiled
def _of_order_2(  # type: ignore[no-untyped-def]
    species, here, b, plan, places, order2, source, n, of_a, gradient, phi, sent, part, along, used, rows,
    columns, coupling,
):  # fmt: skip
    """Derivatives of the columns of one source with respect to the pairs, at fixed g, and to g.

    They follow the rows that are used already; coupling (c, n) takes ∂/∂g of the neighbours.
    """
    _, _, _, places2, places_c2 = places
    begin = used
    for k in range(len(order2)):
        s, crossed, t = order2[k, 0], order2[k, 1], order2[k, 2]
        column = places_c2[t, species] if crossed else places2[t, species]
        if s != source or column < 0:
            continue
        rows[used, : 3 * n] = 0.0
        if crossed:
            at, other, size = plan.cross2[t, 0], plan.cross2[t, 1], plan.cross2[t, 2]
            _add(rows[used], 3 * n, of_a, other, size, b[at : at + size])
            for m in range(size):
                part[m] = here[other + m]
        else:
            at, size = plan.moduli2[plan.modulus2[t], 0], plan.moduli2[plan.modulus2[t], 1]
            square = plan.epsilon2
            for m in range(size):
                square += b[at + m] * b[at + m]
            rise = modulus(square, plan.exponent2[t], plan.epsilon2)[1]
            for m in range(size):
                part[m] = 2.0 * rise * b[at + m]
        inside = at - s * plan.n_outer
        along[: 3 * n] = 0.0
        coupling[used - begin, :n] = 0.0
        for m in range(size):
            part[m] *= plan.scale_b[s, inside + m]
            for v in range(n):
                coupling[used - begin, v] += part[m] * phi[inside + m, v]
        _add(along, 3 * n, gradient, inside, size, part)
        for x in range(3):
            for v in range(n):
                rows[used, x * n + v] += sent[s, v] * along[x * n + v]
        columns[used] = column
        used += 1
    return used


@compiled
def derivatives(  # type: ignore[no-untyped-def]
    start, stop, plan, prefactor, places, order2, centres, kind, positions, cell, first, second, shifts,
    a, g, d_g, own_g, begin, end, reach, summed, table, strain, d_message,
):  # fmt: skip
    """Differentiate all columns of some atoms.

    Parameters
    ----------
    start, stop : int
        The centres start…stop − 1.
    plan : Plan
        Tables of the transform.
    prefactor : ndarray, shape (l_max + 1, l_max + 1)
        `harmonics.prefactors`.
    places : tuple of ndarray of int, each of shape (n_terms, n_elements)
        Column of each term and element, −1 for none, by kind of term in the order of ``KINDS``.
    order2 : ndarray of int, shape (n_terms, 3)
        Of each term of order 2 its source, whether it is a product, and its number in its kind.
    centres : ndarray of int, shape (n_centres,)
        The atoms.
    kind : ndarray of int, shape (N,)
        Element of each atom.
    positions : ndarray, shape (N, 3)
        In Å.
    cell : ndarray, shape (3, 3)
        Cell vectors in Å.
    first : ndarray of int, shape (N + 1,)
        First pair of each atom.
    second : ndarray of int, shape (P,)
        The neighbour in each pair; all pairs are within the cutoff.
    shifts : ndarray of int, shape (P, 3)
        Cells between the two.
    a : ndarray, shape (N, n_channels·n_phi)
        A, normalised.
    g : ndarray, shape (N, n_sources)
        The moduli g.
    d_g : ndarray, shape (n_sources, P, 3)
        What `messages` gave.
    own_g : ndarray, shape (n_sources, N, 9)
        What `messages` gave.
    begin, end : ndarray of int, shape (n_centres,)
        Where in `reach` the atoms in reach of each centre begin and end.
    reach : ndarray of int, shape (n,)
        The atoms that the columns of the centres depend on.
    summed : bool
        Whether the columns are summed over the centres, which all reach the same atoms then.
    table : ndarray, shape (3·n_columns·n,)
        Takes for each centre a table (n_columns, atoms in reach, 3) of derivatives with respect to positions,
        per Å; added to.
    strain : ndarray, shape (n_centres or 1, n_columns, 6)
        Takes derivatives with respect to the strain as xx, yy, zz, yz, xz, xy; added to.
    d_message : ndarray, shape (N, n_columns)
        Takes derivatives with respect to g if summed; added to.
    """
    room, l_max, n_sources, n_outer = (
        room_for(first, 0, len(first) - 1),
        plan.l_max,
        len(plan.source),
        plan.n_outer,
    )
    near, pair = np.empty((6, room)), np.empty(room, np.int64)
    envelope, rho, slope = np.empty((5, room)), np.empty((len(plan.l), room)), np.empty((len(plan.l), room))
    q, cs = np.empty((l_max + 1, l_max + 1, room)), np.empty((2, l_max + 1, room))
    y, dy = np.empty(((l_max + 1) ** 2, room)), np.empty(((l_max + 1) ** 2, 3, room))
    along, gradient = np.empty(3 * room), np.empty((plan.n_phi, 3 * room))
    charged, vectors = np.empty(3 * room), np.empty(3 * room)
    of_a, part = np.zeros((len(plan.charges) * plan.n_phi, 3 * room)), np.empty(2 * l_max + 1)
    phi, sent, b = np.empty((n_outer, room)), np.empty((n_sources, room)), np.empty(n_sources * n_outer)
    sphere, product = np.empty((len(plan.sphere), len(plan.areas))), np.empty(len(plan.areas))
    most = len(plan.modulus) + len(plan.cross) + len(plan.triple) + len(order2)
    rows, columns = np.empty((most, 3 * room)), np.empty(most, np.int64)
    coupling = np.empty((len(order2) + 1, room))
    slot = np.full(len(kind), -1, np.int64)
    most = 1
    for c in range(start, stop):
        most = max(most, end[c] - begin[c])
    moved = np.empty((0 if summed else room, 3 * most + 6))
    spare = np.zeros(0 if summed else 3 * most)
    n_columns = strain.shape[1]
    for c in range(start, stop):
        i, n_reach = centres[c], end[c] - begin[c]
        mine = table[3 * n_columns * begin[c] : 3 * n_columns * end[c]].reshape((n_columns, 3 * n_reach))
        mine_strain = strain[0] if summed else strain[c]
        for k in range(n_reach):
            slot[reach[begin[c] + k]] = 3 * k
        n_real = gather_neighbors(i, kind, positions, cell, first, second, shifts, plan, near, pair)
        n = padded(n_real)
        radial_functions(n, len(plan.l), plan, near, envelope, rho, slope, True)
        harmonics_of(n, l_max, prefactor, near, q, cs, y)
        harmonic_gradients(n, l_max, prefactor, near, q, cs, dy)
        pair_gradients(n, plan, near, rho, slope, y, dy, along, gradient)
        charged_gradients(n_real, n, plan, kind, second, pair, gradient, charged, of_a)
        _true_vectors(n_real, n, near, vectors)
        used = _of_order_1(kind[i], a[i], plan, places, of_a, 3 * n, sphere, part, product, rows, columns)
        if n_sources > 0:
            convolve_again(n_real, n, plan, rho, y, second, pair, g, phi, sent, b)
        for s in range(n_sources):
            already = used
            used = _of_order_2(
                kind[i], a[i], b, plan, places, order2, s, n, of_a, gradient, phi, sent, part, along, used,
                rows, columns, coupling,
            )  # fmt: skip
            found = used - already
            if found == 0:
                continue
            if summed:
                for v in range(n_real):
                    j = second[pair[v]]
                    for r in range(found):
                        d_message[j, columns[already + r]] += coupling[r, v]
                continue
            # ∂g of the neighbours with respect to the positions in reach and the strain.
            n_four, width = (n_real + 3) // 4 * 4, 3 * n_reach
            for v in range(n_four):
                moved[v, : width + 6] = 0.0
            for v in range(n_real):
                j = second[pair[v]]
                _collect(slot, first[j], first[j + 1], second, d_g[s], slot[j], own_g[s, j], width, moved[v])
            coupling[found, :n] = 0.0
            for r in range(0, found, 2):
                other = mine[columns[already + r + 1]] if r + 1 < found else spare
                _combine(
                    coupling[r], coupling[r + 1], n_four, moved, width, mine[columns[already + r]], other
                )
            for r in range(found):
                for v in range(n_real):
                    for x in range(6):
                        mine_strain[columns[already + r], x] += coupling[r, v] * moved[v, width + x]
        for r in range(used):
            _strain(rows[r], n, vectors, mine_strain[columns[r]])
            to = mine[columns[r]]
            for v in range(n_real):
                k = slot[second[pair[v]]]
                for x in range(3):
                    to[k + x] += rows[r, x * n + v]
            for x in range(3):
                own = 0.0
                for v in range(n):
                    own += rows[r, x * n + v]
                to[slot[i] + x] -= own


@compiled
def add_messages(first, second, paired, source_of, d_g, own_g, d_message, table, strain):  # type: ignore[no-untyped-def]
    """Add to the totals' derivatives what they gain from g of all atoms.

    Parameters
    ----------
    first : ndarray of int, shape (N + 1,)
        First pair of each atom.
    second : ndarray of int, shape (P,)
        The neighbour in each pair.
    paired, source_of : ndarray of int, shape (c,)
        The columns of order 2 and their sources.
    d_g, own_g : ndarray, shapes (n_sources, P, 3) and (n_sources, N, 9)
        What `messages` gave.
    d_message : ndarray, shape (N, n_columns)
        Derivatives with respect to g.
    table : ndarray, shape (n_columns, N, 3)
        Derivatives with respect to positions; added to.
    strain : ndarray, shape (1, n_columns, 6)
        Derivatives with respect to the strain; added to.
    """
    for k in range(len(paired)):
        c, s = paired[k], source_of[k]
        for j in range(len(first) - 1):
            slope = d_message[j, c]
            if slope == 0.0:
                continue
            for x in range(6):
                strain[0, c, x] += slope * own_g[s, j, 3 + x]
            for x in range(3):
                table[c, j, x] += slope * own_g[s, j, x]
            for p in range(first[j], first[j + 1]):
                for x in range(3):
                    table[c, second[p], x] += slope * d_g[s, p, x]
