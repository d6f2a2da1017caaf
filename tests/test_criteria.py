"""Pairs that power spectrum and bispectrum cannot tell apart, by calculations of their own, and the judge."""

from __future__ import annotations

import json
from itertools import combinations, combinations_with_replacement, permutations

import numpy as np
import pytest
from scipy.special import sph_harm_y

from ase_scatter import cli
from ase_scatter.descriptors.criteria import judge
from ase_scatter.descriptors.degenerate import degenerate_pairs, methane

PAIRS = degenerate_pairs()


def multiplets(points, bodies):
    """Groups of neighbours up to rotation and reflection, as sorted lists of distances.

    Two surroundings with the same pairs (bodies = 2) have the same power spectrum, of any radial functions
    and degree; with the same triplets (bodies = 3) the same bispectrum.

    Parameters
    ----------
    points : ndarray, shape (n, 3)
        Neighbours of an atom in the origin, of one element.
    bodies : int
        Neighbours in a group.

    Returns
    -------
    ndarray, shape (n over bodies, bodies·(bodies + 1)/2)
        Of each group the distances from the centre and among each other in the order of its smallest list,
        groups sorted.
    """
    r = np.linalg.norm(points, axis=1).round(9)
    d = np.linalg.norm(points[:, None] - points, axis=2).round(9)
    rows = [
        min(
            (*(float(r[k]) for k in order), *(float(d[a, b]) for a, b in combinations(order, 2)))
            for order in permutations(group)
        )
        for group in combinations(range(len(points)), bodies)
    ]
    return np.array(sorted(rows))


def spectra(points, l_max=6):
    """Power spectrum and bispectrum by scipy's harmonics, for three Gaussians in r."""
    r = np.linalg.norm(points, axis=1)
    theta, phi = np.arccos(points[:, 2] / r), np.arctan2(points[:, 1], points[:, 0])
    radial = np.exp(-((r - np.array([[1.0], [1.5], [2.0]])) ** 2) / 0.5)
    c = {
        (n, l): np.array([(radial[n] * sph_harm_y(l, m, theta, phi)).sum() for m in range(-l, l + 1)])
        for n in range(3)
        for l in range(l_max + 1)
    }
    power = [
        (c[a, l].conj() @ c[b, l]).real
        for l in range(l_max + 1)
        for a, b in combinations_with_replacement(range(3), 2)
    ]
    # ∫ F F F over a rule of Gauss and Legendre that is exact for it.
    x, w = np.polynomial.legendre.leggauss(2 * l_max)
    azimuth = 2 * np.pi * np.arange(4 * l_max) / (4 * l_max)
    grid = np.arccos(x)[:, None], azimuth[None]
    area = w[:, None] * 2 * np.pi / len(azimuth)
    f = {
        key: np.einsum(
            "m,mtp->tp", v.conj(), [sph_harm_y(key[1], m, *grid) for m in range(-key[1], key[1] + 1)]
        ).real
        for key, v in c.items()
    }
    triples = [
        (f[a] * f[b] * f[d] * area).sum() for a, b, d in combinations_with_replacement(sorted(f)[::2], 3)
    ]
    return np.array(power), np.array(triples)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_pairs_are_what_they_are_said_to_be(pair):
    points = [atoms.positions[1:] for atoms in (pair.one, pair.two)]
    blind = 2 if pair.blind == "power spectrum" else 3
    for bodies in (2, 3, 4):
        one, two = (multiplets(p, bodies) for p in points)
        alike = one.shape == two.shape and np.abs(one - two).max() < 1e-7
        assert alike == (bodies <= blind)  # more bodies tell: the pair is no copy
    (power, triples), (power2, triples2) = map(spectra, points)
    scale = np.abs(triples).max()
    np.testing.assert_allclose(power2, power, atol=1e-12 * np.abs(power).max())
    if pair.blind == "bispectrum":
        np.testing.assert_allclose(triples2, triples, atol=1e-12 * scale)
    else:
        assert np.abs(triples2 - triples).max() > 1e-2 * scale


def test_methane_leaves_the_plane():
    flat, bent = methane(0.0, 0.0, 1), methane(0.2, -0.1, 1)
    assert np.ptp(flat.positions[:, 2]) < 1e-12 < np.ptp(bent.positions[:, 2])
    np.testing.assert_allclose(np.linalg.norm(bent.positions[1:], axis=1), 1.1)


@pytest.fixture(scope="module")
def judged():
    return judge({"first": (4, 2), "triple": 4, "inner": (3,), "outer": (3,), "exponents1": (1.0,)})


def test_who_tells_them_apart(judged):
    """Two bodies fail at the pairs of the power spectrum, three at all; order 2 succeeds."""
    for row in judged.uniqueness:
        if row.family in ("moduli of order 1", "products"):
            assert row.distance < 1e-12
        elif row.family in ("triples", "order 1, all"):
            assert row.told_apart == (row.blind == "power spectrum")
            assert row.told_apart or row.distance < 1e-12
        else:
            assert row.told_apart
    assert judged.methane["products"] < 1e-12 < 1e-3 < judged.methane["order 2"]


def test_other_criteria(judged):
    assert max(judged.invariance.values()) < 1e-12
    path = judged.continuity
    assert max(path.value, path.slope, path.curvature) < 30 * path.spacing
    assert judged.microseconds["derivatives"] > judged.microseconds["features"] > 0
    assert 0.2 < judged.zeros < 0.95
    assert 5 < judged.dimension < judged.n_features
    assert all(judged.general.values())


def test_a_kink_is_seen():
    """Three smooth derivatives at the cutoff are no more when the switch is a hundredth of an Å."""
    sharp = judge({"first": (1,), "triple": 0, "exponents2": (), "exponents1": (2.0,), "switch": 0.02})
    assert sharp.continuity.value > 0.3


def test_the_command(tmp_path, capsys):
    words = ["judge-descriptor", "--setting", "first=[2]", "--setting", "triple=2", "--setting", "outer=[1]"]
    assert cli.main([*words, "--json", f"{tmp_path}/a.json", "--plot", f"{tmp_path}/a.png"]) == 0
    said = capsys.readouterr().out
    for text in ("1 invariance", "2 uniqueness", "4 efficiency", "µs/atom", "molecule yes"):
        assert text in said
    document = json.loads((tmp_path / "a.json").read_text())
    assert {row["family"] for row in document["uniqueness"]} >= {"products", "order 2"}
    assert cli.main(["judge-descriptor", "--setting", "cut=3"]) == 2
    assert "cut" in capsys.readouterr().err
