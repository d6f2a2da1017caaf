"""Terms of the compiled passes: an atom's energy from its fields, and the derivatives."""

from __future__ import annotations

import math

from ...compute.compiled import compiled


@compiled
def modulus(x, q, epsilon2):  # type: ignore[no-untyped-def]
    """Evaluate h_q, as `functions.modulus` does.

    Parameters
    ----------
    x : float
        U² + ε².
    q : float
        Exponent.
    epsilon2 : float
        ε².

    Returns
    -------
    value, slope : float
        (U² + ε²)^(q/2) − ε^q, and its derivative with respect to U².
    """
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
def add_rows(n, weights, rows, total):  # type: ignore[no-untyped-def]
    """Sum rows with weights, four at a time: `total` is read and written a quarter as often.

    Parameters
    ----------
    n : int
        Number of columns.
    weights : ndarray, shape (k,)
        Weight of each row.
    rows : ndarray, shape (≥ k, ≥ n)
        The rows.
    total : ndarray, shape (≥ n,)
        Takes the sum.
    """
    for v in range(n):
        total[v] = 0.0
    fours = len(weights) // 4 * 4
    for k in range(0, fours, 4):
        one, two, three, four = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        for v in range(n):
            total[v] += (
                one * rows[k, v] + two * rows[k + 1, v] + three * rows[k + 2, v] + four * rows[k + 3, v]
            )
    for k in range(fours, len(weights)):
        for v in range(n):
            total[v] += weights[k] * rows[k, v]


@compiled
def add_moduli(  # type: ignore[no-untyped-def]
    species, field, gradient, moduli, terms_, exponents, weights, epsilon2, squares, slopes
):
    """Compute the energy of the moduli of a field, and add to its gradient.

    Parameters
    ----------
    species : int
        Element of the atom.
    field : ndarray, shape (n,)
        A or B of the atom.
    gradient : ndarray, shape (n,)
        ∂E/∂field, added to.
    moduli : ndarray of int, shape (n_moduli, 2)
        Where each modulus begins in the field, and its components.
    terms_ : ndarray of int, shape (n_terms,)
        The modulus of each term.
    exponents : ndarray, shape (n_terms,)
        Exponent q of each term.
    weights : ndarray, shape (n_terms, n_elements)
        In eV.
    epsilon2 : float
        ε².
    squares, slopes : ndarray, shape (n_moduli,)
        Work space.

    Returns
    -------
    float
        Energy in eV.
    """
    total = 0.0
    for k in range(len(moduli)):
        at, size = moduli[k, 0], moduli[k, 1]
        square = epsilon2
        for m in range(size):
            square += field[at + m] * field[at + m]
        squares[k] = square
        slopes[k] = 0.0
    for t in range(len(terms_)):
        k = terms_[t]
        value, rise = modulus(squares[k], exponents[t], epsilon2)
        total += weights[t, species] * value
        slopes[k] += weights[t, species] * rise
    for k in range(len(moduli)):
        at, size = moduli[k, 0], moduli[k, 1]
        for m in range(size):
            gradient[at + m] += 2.0 * slopes[k] * field[at + m]
    return total


@compiled
def add_products(species, one, d_one, two, d_two, terms_, weights):  # type: ignore[no-untyped-def]
    """Compute the energy of products of two fields, and add to the gradients of both.

    Parameters
    ----------
    species : int
        Element of the atom.
    one, d_one, two, d_two : ndarray, shape (n,)
        The fields, which may be the same, and ∂E/∂one and ∂E/∂two, added to.
    terms_ : ndarray of int, shape (n_terms, 3)
        Where each term begins in both fields, and its components.
    weights : ndarray, shape (n_terms, n_elements)
        In eV.

    Returns
    -------
    float
        Energy in eV.
    """
    total = 0.0
    for t in range(len(terms_)):
        first, second, size = terms_[t, 0], terms_[t, 1], terms_[t, 2]
        w = weights[t, species]
        value = 0.0
        for m in range(size):
            value += one[first + m] * two[second + m]
            d_one[first + m] += w * two[second + m]
            d_two[second + m] += w * one[first + m]
        total += w * value
    return total


@compiled
def add_triples(species, field, gradient, plan, weights, sphere, d_sphere):  # type: ignore[no-untyped-def]
    """Compute the energy of products of three fields, integrated over directions, and add to the gradient.

    Parameters
    ----------
    species : int
        Element of the atom.
    field : ndarray, shape (n,)
        A of the atom.
    gradient : ndarray, shape (n,)
        ∂E/∂A, added to.
    plan : Plan
        Tables of the transform.
    weights : ndarray, shape (n_terms, n_elements)
        In eV.
    sphere, d_sphere : ndarray, shape (n_fields, n_directions)
        Work space.

    Returns
    -------
    float
        Energy in eV.
    """
    n_directions = len(plan.areas)
    total = 0.0
    for f in range(len(plan.sphere)):
        at, size, harmonic = plan.sphere[f, 0], plan.sphere[f, 1], plan.sphere[f, 2]
        for d in range(n_directions):
            sphere[f, d] = field[at] * plan.directions[harmonic, d]
            d_sphere[f, d] = 0.0
        for m in range(1, size):
            for d in range(n_directions):
                sphere[f, d] += field[at + m] * plan.directions[harmonic + m, d]
    for t in range(len(plan.triple)):
        one, two, three = plan.triple[t, 0], plan.triple[t, 1], plan.triple[t, 2]
        w = weights[t, species]
        if one != two and two != three and one != three:
            for d in range(n_directions):
                x, y, z = sphere[one, d], sphere[two, d], sphere[three, d]
                d_sphere[one, d] += w * y * z
                d_sphere[two, d] += w * x * z
                d_sphere[three, d] += w * x * y
        else:  # vector instructions write to one row at a time
            for d in range(n_directions):
                d_sphere[one, d] += w * sphere[two, d] * sphere[three, d]
            for d in range(n_directions):
                d_sphere[two, d] += w * sphere[one, d] * sphere[three, d]
            for d in range(n_directions):
                d_sphere[three, d] += w * sphere[one, d] * sphere[two, d]
    for f in range(len(plan.sphere)):
        at, size, harmonic = plan.sphere[f, 0], plan.sphere[f, 1], plan.sphere[f, 2]
        value = 0.0
        for d in range(n_directions):
            d_sphere[f, d] *= plan.areas[d]
            value += sphere[f, d] * d_sphere[f, d]
        total += value / 3.0  # a product of three: Euler's theorem
        for m in range(size):
            value = 0.0
            for d in range(n_directions):
                value += d_sphere[f, d] * plan.directions[harmonic + m, d]
            gradient[at + m] += value
    return total
