"""What the atom-centred transform's code loops over: flat tables made from terms, once per model.

Wavelets stand in one list, those of the second convolution first; the functions φ_λm of a pair stand in
that order, 2l+1 for each. A is (channels, n_phi), B is (sources, n_outer); offsets count in their
flattened forms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import binom, gammaln

from ..harmonics import degree, solid_harmonics
from ..wavelets import Wavelet, normalisation
from .columns import KINDS, Field, SitesSettings, Term, required_degree

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HELD = 0.15
"""Over so much of its closest distance a pair's functions come to rest."""
LEBEDEV_DEGREES = (3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)


class Plan(NamedTuple):
    """Tables for loops over atoms and pairs: NumPy arrays and numbers only.

    Parameters
    ----------
    cutoff, switch : float
        In Å.
    epsilon2 : float
        ε².
    closest : ndarray, shape (n_elements, n_elements)
        Distances in Å below which the functions of pairs are held (see `clamp`); 0 for none.
    l_max : int
        Largest l of all wavelets.
    betas : ndarray, shape (n_scales,)
        The ladder of β in Å.
    scale, l, offset : ndarray of int, shape (n_wavelets,)
        Of each wavelet its scale, its degree, and where its functions begin among the n_phi.
    polynomial : ndarray, shape (n_wavelets, p_max + 1)
        Coefficients in x² of what multiplies e^(−x²/2) and the solid harmonic of the vector in Å.
    n_outer_wavelets, n_outer : int
        Number of wavelets of the second convolution, which come first, and of their functions.
    n_phi : int
        Number of pair functions φ_λm.
    charges : ndarray, shape (n_channels, n_elements)
        q_c(Z).
    scale_a : ndarray, shape (n_channels, n_phi)
        1/√c where A is used, else 0.
    scale_b : ndarray, shape (n_sources, n_outer)
        The same for B.
    moduli : ndarray of int, shape (n, 2)
        Offset in A and size of the fields that moduli are taken of.
    modulus : ndarray of int, shape (n_terms,)
        Row of `moduli` for each modulus.
    exponent1 : ndarray, shape (n_terms,)
        Exponent of each modulus.
    cross : ndarray of int, shape (n_terms, 3)
        Offsets in A of both fields, and their size.
    sphere : ndarray of int, shape (n, 3)
        Offset in A, size and first harmonic of the fields in triple products.
    triple : ndarray of int, shape (n_terms, 3)
        Rows of `sphere`.
    directions : ndarray, shape (n_harmonics, n_directions)
        Harmonics in the directions of a Lebedev rule.
    areas : ndarray, shape (n_directions,)
        Weights of the rule; their sum is 4π.
    source : ndarray of int, shape (n_sources,)
        Row of `moduli` of each field that is convolved again.
    moduli2 : ndarray of int, shape (n, 2)
        Offset in B and size of the fields that moduli are taken of.
    modulus2 : ndarray of int, shape (n_terms,)
        Row of `moduli2` for each modulus.
    exponent2 : ndarray, shape (n_terms,)
        Exponent of each modulus.
    cross2 : ndarray of int, shape (n_terms, 3)
        Offset in B, offset in A, and size.
    """

    cutoff: float
    switch: float
    epsilon2: float
    closest: Floats
    l_max: int
    betas: Floats
    scale: Ints
    l: Ints
    offset: Ints
    polynomial: Floats
    n_outer_wavelets: int
    n_outer: int
    n_phi: int
    charges: Floats
    scale_a: Floats
    scale_b: Floats
    moduli: Ints
    modulus: Ints
    exponent1: Floats
    cross: Ints
    sphere: Ints
    triple: Ints
    directions: Floats
    areas: Floats
    source: Ints
    moduli2: Ints
    modulus2: Ints
    exponent2: Floats
    cross2: Ints


class Layout(NamedTuple):
    """A plan, and where everything is in it.

    Parameters
    ----------
    plan : Plan
        The tables.
    terms : dict of str to list of Term
        For each kind the terms in the order of the plan's tables.
    wavelets : list of Wavelet
        In the order of the plan.
    fields : dict of Field to (int, int)
        Offset in A and size of every field.
    sources : list of Field
        Fields whose g is convolved again.
    pairs : dict of (Field, Wavelet) to (int, int)
        Offset in B and size of every source and second wavelet.
    """

    plan: Plan
    terms: dict[str, list[Term]]
    wavelets: list[Wavelet]
    fields: dict[Field, tuple[int, int]]
    sources: list[Field]
    pairs: dict[tuple[Field, Wavelet], tuple[int, int]]


def make_layout(
    settings: SitesSettings,
    charges: Floats,
    terms: Sequence[Term],
    norms: Mapping[Any, float],
    closest: Sequence[Sequence[float]] = (),
) -> Layout:
    """Make the tables for some terms.

    Parameters
    ----------
    settings : SitesSettings
        Hyperparameters.
    charges : ndarray, shape (n_channels, n_elements)
        Weights of the elements in each channel.
    terms : sequence of Term
        Distinct terms.
    norms : mapping of Field or (Field, Wavelet) to float
        The normalisation c of fields of order 1 and 2; 1 where none is given.
    closest : sequence of sequence of float
        Distances in Å of each pair of elements below which its functions are held; empty for none.

    Returns
    -------
    Layout
        The tables.
    """
    by_kind: dict[str, list[Term]] = {kind: [t for t in terms if t.kind == kind] for kind in KINDS}
    outer = sorted({t.second for t in terms if t.second is not None})
    used = {f.wavelet for t in terms for f in t.fields}
    wavelets = outer + sorted(used - set(outer))
    sizes = np.array([2 * w.l + 1 for w in wavelets], dtype=np.int64)
    offset = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    n_phi, n_outer = int(offset[-1]), int(offset[len(outer)])
    where = {w: (int(o), 2 * w.l + 1) for w, o in zip(wavelets, offset, strict=False)}

    # Fields in the order of their place in A, so that what is used together stands together.
    fields = {
        f: (f.channel * n_phi + where[f.wavelet][0], where[f.wavelet][1])
        for f in sorted({f for t in terms for f in t.fields}, key=lambda f: (f.channel, f.wavelet))
    }
    order2 = by_kind["modulus2"] + by_kind["cross2"]
    sources = sorted({t.fields[0] for t in order2}, key=lambda f: (f.channel, f.wavelet))
    pairs = {
        (f, w): (sources.index(f) * n_outer + where[w][0], where[w][1])
        for f, w in sorted({(t.fields[0], t.second) for t in order2 if t.second is not None},
                           key=lambda pair: (sources.index(pair[0]), pair[1]))
    }  # fmt: skip

    scale_a = np.zeros((len(charges), n_phi))
    for f, (start, size) in fields.items():
        scale_a.reshape(-1)[start : start + size] = norms.get(f, 1.0) ** -0.5
    scale_b = np.zeros((len(sources), n_outer))
    for pair, (start, size) in pairs.items():
        scale_b.reshape(-1)[start : start + size] = norms.get(pair, 1.0) ** -0.5

    squared = list(dict.fromkeys([t.fields[0] for t in by_kind["modulus"]] + sources))
    squared2 = list(dict.fromkeys((t.fields[0], t.second) for t in by_kind["modulus2"] if t.second))
    turned = list(dict.fromkeys(f for t in by_kind["triple"] for f in t.fields))
    widest = max((f.wavelet.l for f in turned), default=0)
    even = all(sum(f.wavelet.l for f in t.fields) % 2 == 0 for t in by_kind["triple"])
    directions, areas = directions_of_rule(required_degree(by_kind["triple"]), widest, half=even)
    plan = Plan(
        cutoff=float(settings.cutoff),
        switch=float(settings.switch),
        epsilon2=float(settings.epsilon2),
        closest=np.array(closest if closest else np.zeros(2 * charges.shape[1:]), dtype=np.float64),
        l_max=max((w.l for w in wavelets), default=0),
        betas=np.array(settings.scales, dtype=np.float64),
        scale=np.array([w.scale for w in wavelets], dtype=np.int64),
        l=np.array([w.l for w in wavelets], dtype=np.int64),
        offset=offset[:-1],
        polynomial=_polynomials(wavelets, settings.scales),
        n_outer_wavelets=len(outer),
        n_outer=n_outer,
        n_phi=n_phi,
        charges=np.array(charges, dtype=np.float64),
        scale_a=scale_a,
        scale_b=scale_b,
        moduli=_table([fields[f] for f in squared], 2),
        modulus=np.array([squared.index(t.fields[0]) for t in by_kind["modulus"]], dtype=np.int64),
        exponent1=np.array([t.exponent for t in by_kind["modulus"]], dtype=np.float64),
        cross=_table([(fields[t.fields[0]][0], *fields[t.fields[1]]) for t in by_kind["cross"]], 3),
        sphere=_table([(*fields[f], f.wavelet.l**2) for f in turned], 3),
        triple=_table([[turned.index(f) for f in t.fields] for t in by_kind["triple"]], 3),
        directions=directions,
        areas=areas,
        source=np.array([squared.index(f) for f in sources], dtype=np.int64),
        moduli2=_table([pairs[pair] for pair in squared2], 2),
        modulus2=np.array(
            [squared2.index((t.fields[0], t.second)) for t in by_kind["modulus2"] if t.second],
            dtype=np.int64,
        ),
        exponent2=np.array([t.exponent for t in by_kind["modulus2"]], dtype=np.float64),
        cross2=_table(
            [
                (pairs[t.fields[0], t.second][0], *fields[t.fields[1]])
                for t in by_kind["cross2"]
                if t.second is not None
            ],
            3,
        ),
    )
    return Layout(plan, by_kind, wavelets, fields, sources, pairs)


def clamp(r: Floats, closest: Floats) -> tuple[Floats, Floats]:
    """Find at which distance the functions of a pair are taken.

    It is r down to the closest distance in the training data. Below, it comes to rest over `HELD` of that
    distance, with two continuous derivatives, so that steep functions are not followed to where nothing was
    learnt: there the repulsion acts.

    Parameters
    ----------
    r : ndarray
        Distances in Å, any shape.
    closest : ndarray
        The closest distances in Å of the pairs' elements, of the same shape; 0 for none.

    Returns
    -------
    held : ndarray
        The distances in Å at which functions are taken.
    slope : ndarray
        Their derivatives with respect to r.
    """
    width = HELD * closest
    t = np.clip((r - closest) / np.where(width > 0, width, 1.0) + 1.0, 0.0, 1.0)
    held = closest - width * (0.5 - t**3 + 0.5 * t**4)
    return np.where(r < closest, held, r), np.where(r < closest, t * t * (3.0 - 2.0 * t), 1.0)


def _table(rows: Sequence[Sequence[int]], width: int) -> Ints:
    return np.array(rows, dtype=np.int64).reshape(len(rows), width)


def _polynomials(wavelets: Sequence[Wavelet], scales: Sequence[float]) -> Floats:
    """K_pl L_p^{(l+1/2)}(x²) β^{−l} as coefficients of powers of x²."""
    table = np.zeros((len(wavelets), 1 + max((w.p for w in wavelets), default=0)))
    for row, w in zip(table, wavelets, strict=True):
        for k in range(w.p + 1):
            # L_p^(a)(s) = Σ_k (−1)^k binom(p + a, p − k) s^k / k!
            row[k] = (-1.0) ** k * binom(w.p + w.l + 0.5, w.p - k) / np.exp(gammaln(k + 1))
        row *= normalisation(w.p, w.l) * scales[w.scale] ** -w.l
    return table


def directions_of_rule(exact: int, l_max: int, half: bool = False) -> tuple[Floats, Floats]:
    """Tabulate harmonics in the directions of a Lebedev rule.

    Parameters
    ----------
    exact : int
        Degree up to which the rule integrates exactly; 0 gives no directions.
    l_max : int
        Largest degree of the harmonics.
    half : bool
        Whether one of two opposite directions stands for both, as it may for products of even degree.

    Returns
    -------
    harmonics : ndarray, shape ((l_max + 1)², n_directions)
        Y_lm; the number of directions is a multiple of 8.
    areas : ndarray, shape (n_directions,)
        Weights of the rule, 0 for directions that pad it.
    """
    if exact == 0:
        return np.zeros((0, 0)), np.zeros(0)
    from scipy.integrate import lebedev_rule  # its import takes longer than all of this package

    points, areas = lebedev_rule(next(d for d in LEBEDEV_DEGREES if d >= exact))
    if half:  # the rules are symmetric under inversion
        x, y, z = np.round(points, 9)
        upper = (z > 0) | ((z == 0) & ((y > 0) | ((y == 0) & (x > 0))))
        points, areas = points[:, upper], 2.0 * areas[upper]
    # Padded with directions of no area to a multiple of 8, for the sake of vector instructions.
    points = np.pad(points, ((0, 0), (0, -points.shape[1] % 8)), mode="edge")
    harmonics, _ = solid_harmonics(np.ascontiguousarray(points.T), l_max)
    assert degree(l_max).stop == len(harmonics)
    padded = np.pad(np.asarray(areas, dtype=np.float64), (0, points.shape[1] - len(areas)))
    return np.ascontiguousarray(harmonics), padded
