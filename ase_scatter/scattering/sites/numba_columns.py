"""All atom-centred columns of each atom in one pass, on the CPU."""

from __future__ import annotations

import numpy as np

from ...compute.compiled import compiled
from .numba_pairs import gather_neighbors, harmonics_of, padded, radial_functions, room_for
from .numba_terms import modulus


@compiled
def outer_degree(plan):  # type: ignore[no-untyped-def]
    """Find the largest degree of the second wavelets.

    Parameters
    ----------
    plan : Plan
        Tables of the transform.

    Returns
    -------
    int
        0 without order 2.
    """
    found = 0
    for w in range(plan.n_outer_wavelets):
        found = max(found, plan.l[w])
    return found


@compiled
def convolve_again(n_real, n, plan, rho, y, second, pair, g, phi, sent, b):  # type: ignore[no-untyped-def]
    """Convolve the moduli g of an atom's neighbours with the second wavelets.

    Parameters
    ----------
    n_real, n : int
        Number of neighbours, and the same padded.
    plan : Plan
        Tables of the transform.
    rho : ndarray, shape (≥ n_outer_wavelets, ≥ n)
        Radial functions.
    y : ndarray, shape (≥ (outer degree + 1)², ≥ n)
        Solid harmonics.
    second : ndarray of int, shape (P,)
        The neighbour in each pair.
    pair : ndarray of int, shape (≥ n_real,)
        The pair of each neighbour.
    g : ndarray, shape (N, n_sources)
        The moduli g.
    phi : ndarray, shape (n_outer, ≥ n)
        Takes the pair functions.
    sent : ndarray, shape (n_sources, ≥ n)
        Takes g of the neighbours.
    b : ndarray, shape (n_sources·n_outer,)
        Takes B, normalised.
    """
    for w in range(plan.n_outer_wavelets):
        l, at = plan.l[w], plan.offset[w]
        for m in range(2 * l + 1):
            for v in range(n):
                phi[at + m, v] = rho[w, v] * y[l * l + m, v]
    for s in range(len(plan.source)):
        for v in range(n):
            sent[s, v] = 0.0
        for v in range(n_real):
            sent[s, v] = g[second[pair[v]], s]
        for k in range(plan.n_outer):
            value = 0.0
            for v in range(n):
                value += sent[s, v] * phi[k, v]
            b[s * plan.n_outer + k] = value * plan.scale_b[s, k]


@compiled
def on_sphere(field, plan, sphere):  # type: ignore[no-untyped-def]
    """Evaluate the fields of triple products in the directions of the rule.

    Parameters
    ----------
    field : ndarray, shape (n_channels·n_phi,)
        A of the atom.
    plan : Plan
        Tables of the transform.
    sphere : ndarray, shape (n_fields, n_directions)
        Takes F_λ(û).
    """
    for f in range(len(plan.sphere)):
        at, size, harmonic = plan.sphere[f, 0], plan.sphere[f, 1], plan.sphere[f, 2]
        for d in range(len(plan.areas)):
            sphere[f, d] = field[at] * plan.directions[harmonic, d]
        for m in range(1, size):
            for d in range(len(plan.areas)):
                sphere[f, d] += field[at + m] * plan.directions[harmonic + m, d]


@compiled
def _moduli(species, field, moduli, terms, exponents, places, epsilon2, squares, x):  # type: ignore[no-untyped-def]
    """Moduli of a field into the columns x."""
    for k in range(len(moduli)):
        at, size = moduli[k, 0], moduli[k, 1]
        square = epsilon2
        for m in range(size):
            square += field[at + m] * field[at + m]
        squares[k] = square
    for t in range(len(terms)):
        column = places[t, species]
        if column >= 0:
            x[column] = modulus(squares[terms[t]], exponents[t], epsilon2)[0]


@compiled
def _products(species, one, two, terms, places, x):  # type: ignore[no-untyped-def]
    """Products of two fields into the columns x."""
    for t in range(len(terms)):
        column = places[t, species]
        if column >= 0:
            value = 0.0
            for m in range(terms[t, 2]):
                value += one[terms[t, 0] + m] * two[terms[t, 1] + m]
            x[column] = value


@compiled
def columns(  # type: ignore[no-untyped-def]
    start, stop, plan, prefactor, places, kind, positions, cell, first, second, shifts, a, g, x
):
    """Evaluate all columns at some atoms.

    Parameters
    ----------
    start, stop : int
        The atoms start…stop − 1.
    plan : Plan
        Tables of the transform.
    prefactor : ndarray, shape (l_max + 1, l_max + 1)
        `harmonics.prefactors`.
    places : tuple of ndarray of int, each of shape (n_terms, n_elements)
        Column of each term and element, −1 for none, by kind of term in the order of ``KINDS``.
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
    x : ndarray, shape (N, n_columns)
        Takes the columns; those of other elements are not touched.
    """
    room = room_for(first, start, stop)
    near, pair = np.empty((6, room)), np.empty(room, np.int64)
    n_inner, n_sources, l_max = plan.n_outer_wavelets, len(plan.source), outer_degree(plan)
    envelope, rho = np.empty((5, room)), np.empty((n_inner, room))
    q, cs = np.empty((l_max + 1, l_max + 1, room)), np.empty((2, l_max + 1, room))
    y = np.empty(((l_max + 1) ** 2, room))
    phi, sent = np.empty((plan.n_outer, room)), np.empty((n_sources, room))
    b = np.empty(n_sources * plan.n_outer)
    squares, squares2 = np.empty(len(plan.moduli)), np.empty(len(plan.moduli2))
    sphere = np.empty((len(plan.sphere), len(plan.areas)))
    places1, places_c, places_t, places2, places_c2 = places
    for i in range(start, stop):
        species, here, found = kind[i], a[i], x[i]
        _moduli(species, here, plan.moduli, plan.modulus, plan.exponent1, places1, plan.epsilon2,
                squares, found)  # fmt: skip
        _products(species, here, here, plan.cross, places_c, found)
        on_sphere(here, plan, sphere)
        for t in range(len(plan.triple)):
            column = places_t[t, species]
            if column >= 0:
                one, two, three = plan.triple[t, 0], plan.triple[t, 1], plan.triple[t, 2]
                value = 0.0
                for d in range(len(plan.areas)):
                    value += plan.areas[d] * sphere[one, d] * sphere[two, d] * sphere[three, d]
                found[column] = value
        if n_sources > 0:
            n_real = gather_neighbors(i, kind, positions, cell, first, second, shifts, plan, near, pair)
            n = padded(n_real)
            radial_functions(n, n_inner, plan, near, envelope, rho, rho, False)
            harmonics_of(n, l_max, prefactor, near, q, cs, y)
            convolve_again(n_real, n, plan, rho, y, second, pair, g, phi, sent, b)
            _moduli(species, b, plan.moduli2, plan.modulus2, plan.exponent2, places2, plan.epsilon2,
                    squares2, found)  # fmt: skip
            _products(species, b, here, plan.cross2, places_c2, found)
