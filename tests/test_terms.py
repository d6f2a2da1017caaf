"""Which columns there are at the atoms, and the tables that code loops over."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.special import roots_legendre, sph_harm_y

from ase_scatter.errors import InputError
from ase_scatter.scattering import SitesSettings
from ase_scatter.scattering.harmonics import degree
from ase_scatter.scattering.sites.columns import (
    KINDS,
    MOST_MIXED,
    RICHNESS,
    Field,
    Term,
    _couple,
    candidate_terms,
    required_degree,
)
from ase_scatter.scattering.sites.plan import LEBEDEV_DEGREES, directions_of_rule, make_layout
from ase_scatter.scattering.wavelets import Wavelet, profile

TINY = SitesSettings(
    scales=(0.8, 1.2), cutoff=4.0, first=(1,), inner=(0,), outer=(1,), triple=1,
    exponents1=(1.0, 2.0), exponents2=(2.0,),
)  # fmt: skip


def counts(settings, n_channels=1):
    terms = candidate_terms(settings, n_channels)
    assert len(set(terms)) == len(terms)
    found = Counter(term.kind for term in terms)
    return tuple(found[kind] for kind in ("modulus", "cross", "triple", "modulus2", "cross2"))


# ---- which there are -------------------------------------------------------------------------------


def test_counts_by_hand():
    """Fields: 2 scales × (l = 0, 1). Moduli: 4 × 2 exponents. Cross: one pair of scales per l. Order 2
    without the smallest scale: 1 source, 2 second wavelets; each meets the 2 fields of its l. Triples of
    (0, 0, 0): 4 of two scales; of (0, 1, 1): 2 × 3."""
    assert counts(TINY) == (8, 2, 10, 2, 4)


def test_counts_with_more_of_each():
    # l = 2 as well: triples of (1, 1, 2): 3 pairs of scales × 2; of (0, 2, 2): 2 × 3; of (2, 2, 2): 4.
    assert counts(replace(TINY, first=(2,), triple=2)) == (12, 3, 26, 2, 4)
    assert counts(replace(TINY, first=(2,), triple=1)) == (12, 3, 10, 2, 4)
    assert counts(replace(TINY, first=(2,), triple=0)) == (12, 3, 0, 2, 4)
    # p = 1 with l = 0: one more field per scale; of l = 0 there are 4 fields, 6 pairs. No other kind has it.
    assert counts(replace(TINY, first=(1, 0))) == (12, 7, 10, 2, 4)
    # Both scales convolve again: 2 sources, 4 second wavelets.
    assert counts(replace(TINY, skipped=0)) == (8, 2, 10, 8, 16)
    assert counts(replace(TINY, inner=(1, 0))) == (8, 2, 10, 6, 12)
    assert counts(replace(TINY, exponents2=())) == (8, 2, 10, 0, 0)
    assert counts(replace(TINY, exponents2=(1.0, 1.5, 2.0))) == (8, 2, 10, 6, 4)


def test_the_last_scale_is_never_skipped():
    assert counts(replace(TINY, skipped=5)) == counts(TINY)
    # One scale: 4 moduli, nothing to cross, two triples; one source, two second wavelets, for each one plain
    # field.
    assert counts(replace(TINY, scales=(1.0,))) == (4, 0, 2, 2, 2)


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4, 5])
def test_channels_meet_where_there_are_few(n_channels):
    """In cross alone, where both have p = 0: 2 × 2 scales for each of two l, for each pair of channels."""
    pairs = n_channels * (n_channels - 1) // 2 if n_channels <= MOST_MIXED else 0
    each = np.array(counts(replace(TINY, first=(1, 0))))
    assert counts(replace(TINY, first=(1, 0)), n_channels) == tuple(
        n_channels * each + [0, 8 * pairs, 0, 0, 0]
    )
    mixed = [
        term
        for term in candidate_terms(replace(TINY, first=(1, 0)), n_channels)
        if len({f.channel for f in term.fields}) > 1
    ]
    assert len(mixed) == 8 * pairs
    assert all(term.kind == "cross" and not any(f.wavelet.p for f in term.fields) for term in mixed)


def test_products_are_of_equal_degree():
    settings = SitesSettings(scales=(0.8, 1.2, 1.7), cutoff=5.0)
    for term in candidate_terms(settings, 2):
        if term.kind == "cross":
            assert term.fields[0].wavelet.l == term.fields[1].wavelet.l
            assert term.fields[0] != term.fields[1]
        if term.kind == "cross2":
            assert term.second.l == term.fields[1].wavelet.l
        if term.kind in ("modulus2", "cross2"):
            assert min(term.second.scale, term.fields[0].wavelet.scale) >= settings.skipped
        if term.kind == "triple":
            assert all(f.wavelet.p == 0 and f.wavelet.l <= settings.triple for f in term.fields)
        assert (term.exponent is None) == (term.kind not in ("modulus", "modulus2"))
        assert (term.second is None) == (term.kind not in ("modulus2", "cross2"))


def real_harmonics(l, theta, phi):
    y = [sph_harm_y(l, m, theta, phi) for m in range(l + 1)]
    return np.array([part for m in range(l + 1) for part in ((y[m].real, y[m].imag) if m else (y[0].real,))])


def test_which_three_degrees_couple():
    """The rule against integrals of three harmonics, all m, by Gauss times equidistant angles."""
    x, w = roots_legendre(12)
    angles = 2 * np.pi * np.arange(20) / 20
    theta, phi = (grid.ravel() for grid in np.meshgrid(np.arccos(x), angles, indexing="ij"))
    areas = np.repeat(w, 20) * 2 * np.pi / 20
    y = [real_harmonics(l, theta, phi) for l in range(6)]
    for a, b, c in product(range(6), repeat=3):
        largest = np.abs(np.einsum("in,jn,kn,n->ijk", y[a], y[b], y[c], areas)).max()
        assert largest < 1e-12 or largest > 1e-2
        assert _couple(a, b, c) == (largest > 1e-2)


def test_the_degree_that_triples_need():
    assert required_degree(candidate_terms(TINY, 1)) == 2
    assert required_degree(candidate_terms(replace(TINY, first=(0,)), 1)) == 1
    assert required_degree(candidate_terms(replace(TINY, first=(2,), triple=2), 1)) == 6
    assert required_degree(candidate_terms(replace(TINY, first=(3,), triple=3), 1)) == 8  # not 9: odd
    assert required_degree([]) == 0


# ---- as files hold them ----------------------------------------------------------------------------


def test_terms_survive_json():
    terms = candidate_terms(replace(TINY, first=(2, 1), triple=2, exponents1=(1.0, 1 / 3)), 2)
    assert {term.kind for term in terms} == set(KINDS)
    again = [Term.of_flat(row) for row in json.loads(json.dumps([term.flat() for term in terms]))]
    assert again == terms
    assert [hash(a) for a in again] == [hash(b) for b in terms]
    for term in again:
        assert all(isinstance(f, Field) and isinstance(f.wavelet, Wavelet) for f in term.fields)


def test_a_term_as_it_is_written():
    term = Term("cross2", (Field(1, Wavelet(0, 1, 2)), Field(1, Wavelet(2, 0, 3))), Wavelet(2, 0, 3))
    assert term.flat() == ["cross2", [[1, 0, 1, 2], [1, 2, 0, 3]], [2, 0, 3], None]


def test_a_term_of_an_unknown_kind():
    with pytest.raises(InputError, match=r"'quadruple'.*newer"):
        Term.of_flat(["quadruple", [[0, 0, 0, 0]], None, None])


def test_settings_survive_json():
    settings = replace(TINY, first=(2, 1), exponents1=(1.0, 1 / 3))
    again = SitesSettings.from_dict(json.loads(json.dumps(settings.to_dict())))
    assert again == settings
    assert hash(again) == hash(settings)
    assert isinstance(again.scales, tuple)


# ---- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"scales": ()},
        {"scales": (1.2, 0.8)},
        {"scales": (0.8, 0.8)},
        {"scales": (0.0, 0.8)},
        {"scales": (-1.0,)},
        {"scales": (float("nan"),)},
        {"epsilon2": 0.0},
        {"epsilon2": -1.0},
        {"epsilon2": float("nan")},
        {"cutoff": 2.0},
        {"cutoff": -1.0},
        {"cutoff": float("nan")},
        {"switch": 0.0},
        {"switch": -1.0},
        {"switch": 4.0},
        {"switch": float("nan")},
        {"exponents1": (0.0,)},
        {"exponents2": (1.0, -2.0)},
        {"exponents1": (float("nan"),)},
    ],
    ids=str,
)
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(InputError):
        replace(TINY, **wrong)


def test_a_cutoff_has_to_be_given():
    with pytest.raises(TypeError, match="cutoff"):
        SitesSettings(scales=(1.0,))


@pytest.mark.parametrize("n_elements", [1, 2, 3, 6])
def test_recommended_settings(n_elements):
    settings = SitesSettings.recommended(n_elements, 2.4)
    assert settings.cutoff == 4.8
    assert len(settings.scales) == RICHNESS[min(n_elements, 3)]["n_scales"]
    assert settings.scales[-1] == pytest.approx((0.48 if n_elements == 1 else 0.36) * 4.8, abs=0.01)
    ratios = np.array(settings.scales[1:]) / settings.scales[:-1]
    np.testing.assert_allclose(ratios, RICHNESS[min(n_elements, 3)]["ratio"], rtol=0.02)
    given = SitesSettings.recommended(n_elements, 2.4, cutoff=6.0, first=(1,), scales=(0.5, 0.9))
    assert (given.cutoff, given.first, given.scales) == (6.0, (1,), (0.5, 0.9))
    assert SitesSettings.recommended(n_elements, 0.7).cutoff == 4.5  # short bonds
    assert len(candidate_terms(settings, 1)) > 50


# ---- tables ----------------------------------------------------------------------------------------


RICH = replace(TINY, first=(3, 1), inner=(1,), outer=(2, 0), triple=2, skipped=0)


@pytest.fixture(scope="module")
def layout():
    terms = candidate_terms(RICH, 2)
    norms = {}
    for k, key in enumerate(make_layout(RICH, np.ones((2, 1)), terms, {}).fields):
        norms[key] = 1.0 + k
    for k, key in enumerate(make_layout(RICH, np.ones((2, 1)), terms, {}).pairs):
        norms[key] = 0.1 + k
    return make_layout(RICH, np.array([[1.0, 0.5], [0.0, 2.0]]), terms, norms), terms, norms


def test_every_field_has_its_own_place(layout):
    found, _, _ = layout
    plan = found.plan
    for places, size in ((found.fields, 2 * plan.n_phi), (found.pairs, len(plan.source) * plan.n_outer)):
        taken = [k for at, n in places.values() for k in range(at, at + n)]
        assert len(set(taken)) == len(taken)
        assert max(taken) < size
    assert all(size == 2 * key.wavelet.l + 1 for key, (_, size) in found.fields.items())
    assert all(size == 2 * key[1].l + 1 for key, (_, size) in found.pairs.items())
    assert plan.n_phi == sum(2 * w.l + 1 for w in found.wavelets)
    assert plan.l_max == 3


def test_tables_point_to_what_the_terms_name(layout):
    found, terms, _ = layout
    plan = found.plan
    assert sorted(map(str, terms)) == sorted(str(t) for kind in KINDS for t in found.terms[kind])
    for term, row, q in zip(found.terms["modulus"], plan.modulus, plan.exponent1, strict=True):
        assert (tuple(plan.moduli[row]), q) == (found.fields[term.fields[0]], term.exponent)
    for term, (one, two, size) in zip(found.terms["cross"], plan.cross, strict=True):
        assert [(one, size), (two, size)] == [found.fields[f] for f in term.fields]
    for term, rows in zip(found.terms["triple"], plan.triple, strict=True):
        for field, (at, size, harmonic) in zip(term.fields, plan.sphere[rows], strict=True):
            assert (at, size) == found.fields[field]
            assert harmonic == field.wavelet.l**2
    for field, row in zip(found.sources, plan.source, strict=True):
        assert tuple(plan.moduli[row]) == found.fields[field]
    for term, row, q in zip(found.terms["modulus2"], plan.modulus2, plan.exponent2, strict=True):
        assert (tuple(plan.moduli2[row]), q) == (found.pairs[term.fields[0], term.second], term.exponent)
    for term, (one, two, size) in zip(found.terms["cross2"], plan.cross2, strict=True):
        assert (one, size) == found.pairs[term.fields[0], term.second]
        assert (two, size) == found.fields[term.fields[1]]


def test_norms_are_where_fields_are_used(layout):
    found, _, norms = layout
    for scale, places in ((found.plan.scale_a, found.fields), (found.plan.scale_b, found.pairs)):
        expected = np.zeros(scale.size)
        for key, (at, size) in places.items():
            expected[at : at + size] = norms[key] ** -0.5
        assert np.array_equal(scale.ravel(), expected)


def test_polynomials_are_the_wavelets(layout):
    """Times the solid harmonic of the vector in Å, which has β^l too much, and e^{−s/2}."""
    found, _, _ = layout
    s = np.linspace(0.0, 20.0, 30)
    assert {w.p for w in found.wavelets} == {0, 1}
    for wavelet, row in zip(found.wavelets, found.plan.polynomial, strict=True):
        expected = profile(wavelet.p, wavelet.l, s)[0] * RICH.scales[wavelet.scale] ** -wavelet.l
        np.testing.assert_allclose(
            np.polyval(row[::-1], s) * np.exp(-s / 2), expected, rtol=1e-12, atol=1e-14
        )


def test_polynomials_of_higher_order():
    settings = replace(TINY, first=(1, 1, 1, 1), triple=0, exponents2=())
    found = make_layout(settings, np.ones((1, 1)), candidate_terms(settings, 1), {})
    s = np.linspace(0.0, 12.0, 20)
    for wavelet, row in zip(found.wavelets, found.plan.polynomial, strict=True):
        expected = profile(wavelet.p, wavelet.l, s)[0] * settings.scales[wavelet.scale] ** -wavelet.l
        np.testing.assert_allclose(
            np.polyval(row[::-1], s) * np.exp(-s / 2), expected, rtol=1e-10, atol=1e-13
        )


TRIPLED = {f for t in candidate_terms(TINY, 1) if t.kind == "triple" for f in t.fields}


@pytest.mark.parametrize("exact", range(1, LEBEDEV_DEGREES[-1] + 1))
def test_rules_over_directions_are_exact(exact):
    """All harmonics up to the degree that is asked for integrate to zero, the first one to √(4π)."""
    harmonics, areas = directions_of_rule(exact, exact)
    assert harmonics.shape == ((exact + 1) ** 2, len(areas))
    assert len(areas) % 8 == 0
    integrals = harmonics @ areas
    assert integrals[0] == pytest.approx(np.sqrt(4 * np.pi), rel=1e-12)
    np.testing.assert_allclose(integrals[1:], 0.0, atol=1e-11)


def test_products_of_three_are_exact():
    """With the rule that the terms ask for: orthonormal, and the same with one that is exact for more."""
    settings = replace(TINY, first=(4,), triple=4)
    exact = required_degree(candidate_terms(settings, 1))
    assert exact == 12
    (y, areas), (finer, others) = directions_of_rule(exact, 4), directions_of_rule(29, 4)
    np.testing.assert_allclose(np.einsum("in,jn,n->ij", y, y, areas), np.eye(25), atol=1e-12)
    products = [np.einsum("in,jn,kn,n->ijk", h, h, h, w) for h, w in ((y, areas), (finer, others))]
    np.testing.assert_allclose(*products, atol=1e-12)
    coupled = {(a, b, c) for a, b, c in product(range(5), repeat=3) if _couple(a, b, c)}
    for a, b, c in product(range(5), repeat=3):
        largest = np.abs(products[0][degree(a), degree(b), degree(c)]).max()
        assert (largest > 1e-2) == ((a, b, c) in coupled)


@pytest.mark.parametrize("exact", LEBEDEV_DEGREES)
def test_half_of_the_directions_stand_for_all(exact):
    """Where degrees add up to an even number; products of odd degree would not vanish."""
    whole, areas = directions_of_rule(exact, exact)
    half, doubled = directions_of_rule(exact, exact, half=True)
    assert len(doubled) % 8 == 0
    assert np.count_nonzero(areas) == 2 * np.count_nonzero(doubled)
    even = [k for l in range(0, exact + 1, 2) for k in range(l * l, (l + 1) ** 2)]
    np.testing.assert_allclose((half @ doubled)[even], (whole @ areas)[even], atol=1e-12)
    assert np.abs(half @ doubled)[1:4].max() > 1.0


def test_terms_of_odd_degree_take_all_directions():
    """There are none among the candidates; one that somebody makes is zero, and stays so."""
    one, two = (next(f for f in TRIPLED if f.wavelet.l == l) for l in (0, 1))
    odd = make_layout(TINY, np.ones((1, 1)), [Term("triple", (one, one, two))], {}).plan
    assert np.abs(odd.directions[1:4] @ odd.areas).max() < 1e-12


def test_no_directions_without_triples():
    none = replace(TINY, triple=0)
    plan = make_layout(none, np.ones((1, 1)), candidate_terms(none, 1), {}).plan
    assert plan.directions.shape == (0, 0)
    assert len(plan.areas) == len(plan.sphere) == len(plan.triple) == 0
