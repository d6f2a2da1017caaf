"""Pairs of different structures that descriptors of few bodies cannot tell apart.

References
----------
.. [1] A. L. Patterson, Phys. Rev. 65, 195 (1944), on homometric sets.
.. [2] S. N. Pozdnyakov et al., Phys. Rev. Lett. 125, 166001 (2020).
.. [3] J. Nigam, S. N. Pozdnyakov, K. K. Huguenin-Dumittan, M. Ceriotti, APL Mach. Learn. 2, 016110 (2024),
   arXiv:2302.14770.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Pair(NamedTuple):
    """Two different surroundings of the first atom.

    Parameters
    ----------
    name : str
        What they are.
    blind : str
        What cannot tell them apart at the first atom: "power spectrum" or "bispectrum".
    one, two : Atoms
        The structures, atom by atom.
    """

    name: str
    blind: str
    one: Atoms
    two: Atoms


def _ring(angles: Sequence[int], n: int, radius: float, height: float = 0.0) -> Floats:
    """Corners of a regular polygon of n."""
    phi = 2 * np.pi * np.asarray(angles) / n
    return np.column_stack([radius * np.cos(phi), radius * np.sin(phi), np.full(len(phi), height)])


def _pair(name: str, blind: str, symbols: str, one: Floats, two: Floats) -> Pair:
    centre = np.zeros((1, 3))
    return Pair(name, blind, *(Atoms(symbols, np.concatenate([centre, points])) for points in (one, two)))


def power_spectrum_pair(radius: float = 1.1, symbols: str = "CH4") -> Pair:
    """Four neighbours on a circle with the same distances and angles: invisible to three bodies.

    They take the corners 0, 1, 3, 4 and 0, 1, 2, 5 of an octagon, which are homometric sets [1]_; as
    surroundings of an atom such sets are discussed in [2]_.

    Parameters
    ----------
    radius : float, default 1.1
        In Å.
    symbols : str, default "CH4"
        The central atom and its four neighbours.

    Returns
    -------
    Pair

    References
    ----------
    .. [1] A. L. Patterson, Phys. Rev. 65, 195 (1944).
    .. [2] S. N. Pozdnyakov et al., Phys. Rev. Lett. 125, 166001 (2020).
    """
    points = (_ring(corners, 8, radius) for corners in ((0, 1, 3, 4), (0, 1, 2, 5)))
    return _pair("four on a circle", "power spectrum", symbols, *points)


def bispectrum_pair(radius: float = 1.5, height: float = 0.9, pole: float = 1.7, symbols: str = "B8") -> Pair:
    """Seven neighbours with the same triplets: invisible to four bodies.

    Three on each of two hexagons, turned against each other so that no mirror exchanges them although their
    triplets are the same, and one on the axis above or below: a pair of the kind of [1]_, here as clusters of
    eight boron atoms as in [2]_.

    Parameters
    ----------
    radius, height, pole : float
        Radius of the hexagons, their distance from the centre, and that of the atom on the axis, in Å.
    symbols : str, default "B8"
        The central atom and its seven neighbours.

    Returns
    -------
    Pair

    References
    ----------
    .. [1] S. N. Pozdnyakov et al., Phys. Rev. Lett. 125, 166001 (2020).
    .. [2] J. Nigam et al., APL Mach. Learn. 2, 016110 (2024), arXiv:2302.14770.
    """
    rings = [_ring((0, 1, 3), 6, radius, height), _ring((0, 2, 5), 6, radius, -height)]
    points = (np.concatenate([*rings, [[0.0, 0.0, sign * pole]]]) for sign in (1.0, -1.0))
    return _pair("two hexagons and a pole", "bispectrum", symbols, *points)


def degenerate_pairs() -> list[Pair]:
    """Pairs of both kinds, of several sizes.

    Returns
    -------
    list of Pair
    """
    pairs = [power_spectrum_pair(r)._replace(name=f"four on a circle, {r} Å") for r in (1.1, 1.5)]
    for radius, height, pole in ((1.5, 0.9, 1.7), (1.3, 1.0, 1.8), (1.7, 0.8, 1.6)):
        name = f"B8, hexagons {radius} Å, ±{height} Å, pole {pole} Å"
        pairs.append(bispectrum_pair(radius, height, pole)._replace(name=name))
    return pairs


def methane(u: float, v: float, sign: int, length: float = 1.1) -> Atoms:
    """A methane molecule of the manifold around a degenerate pair.

    Two hydrogen atoms of the pair leave the plane by u and v; at u = v = 0 the molecules with both signs are
    the pair of `power_spectrum_pair`.

    Parameters
    ----------
    u, v : float
        Angles out of the plane, in rad.
    sign : int
        1 or −1: which of the pair.
    length : float, default 1.1
        Distance between C and H in Å.

    Returns
    -------
    Atoms
    """
    pair = power_spectrum_pair(length)
    atoms: Atoms = (pair.one if sign > 0 else pair.two).copy()
    for k, angle in ((2, u), (3, v)):
        x = atoms.positions[k]
        atoms.positions[k] = np.cos(angle) * x + np.sin(angle) * np.array([0.0, 0.0, length])
    return atoms
