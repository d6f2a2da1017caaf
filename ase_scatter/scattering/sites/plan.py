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
from scipy.integrate import lebedev_rule
from scipy.special import binom, gammaln

from ..harmonics import degree, solid_harmonics
from ..wavelets import Wavelet, normalisation
from .columns import KINDS, Field, SitesSettings, Term, required_degree

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEBEDEV_DEGREES = (3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)


class Plan(NamedTuple):
    """Tables for the kernels, all NumPy arrays or numbers.

    cutoff, switch (Å), epsilon2. l_max: of all wavelets. betas: (n_scales,) in Å. scale, l, offset:
    (n_wavelets,) of each wavelet. polynomial: (n_wavelets, p_max + 1), coefficients in x² of what
    multiplies e^(−x²/2) and the solid harmonic of the vector in Å. n_outer_wavelets, n_outer, n_phi.
    charges: (n_channels, n_elements). scale_a: (n_channels, n_phi), 1/√c where A is used, else 0.
    scale_b: (n_sources, n_outer), the same for B.
    moduli: (n, 2) offset and size in A. modulus: (n, 1) row of moduli; exponent1.
    cross: (n, 3) two offsets and a size. sphere: (n, 3) offset, size, first harmonic of the fields on
    the sphere; triple: (n, 3) rows of sphere. directions: (n_harmonics, n_directions); areas.
    source: (n_sources,) row of moduli. moduli2: (n, 2) offset and size in B. modulus2, exponent2.
    cross2: (n, 3) offset in B, offset in A, size.
    """

    cutoff: float
    switch: float
    epsilon2: float
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

    terms: kind → the terms in the order of the plan's tables. wavelets: in the order of the plan.
    fields: (offset, size) in A of every field. sources: fields whose g is convolved again. pairs:
    (offset, size) in B of every (source, second wavelet).
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
) -> Layout:
    """Tables for these distinct terms.

    charges: (n_channels, n_elements). norms: c of each field and of each (field, second wavelet); 1
    where there is none.
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
    directions, areas = directions_of_rule(required_degree(by_kind["triple"]), widest)
    plan = Plan(
        cutoff=float(settings.cutoff),
        switch=float(settings.switch),
        epsilon2=float(settings.epsilon2),
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


def directions_of_rule(exact: int, l_max: int) -> tuple[Floats, Floats]:
    """Harmonics (n_harmonics, n_directions) and areas of a Lebedev rule exact for this degree."""
    if exact == 0:
        return np.zeros((0, 0)), np.zeros(0)
    points, areas = lebedev_rule(next(d for d in LEBEDEV_DEGREES if d >= exact))
    # Padded with directions of no area to a multiple of 8, for the sake of vector instructions.
    points = np.pad(points, ((0, 0), (0, -points.shape[1] % 8)), mode="edge")
    harmonics, _ = solid_harmonics(np.ascontiguousarray(points.T), l_max)
    assert degree(l_max).stop == len(harmonics)
    padded = np.pad(np.asarray(areas, dtype=np.float64), (0, points.shape[1] - len(areas)))
    return np.ascontiguousarray(harmonics), padded
