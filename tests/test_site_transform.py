"""Sums over atoms: an independent oracle, derivatives, invariances, smoothness, and other people's trap."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import strict  # noqa: F401
from ase import Atoms
from ase.build import bulk, fcc100
from ase.neighborlist import neighbor_list
from scipy.special import roots_legendre

from ase_scatter.compute import threads
from ase_scatter.compute.target import HOST, Target
from ase_scatter.errors import InputError, UnknownElementError
from ase_scatter.scattering import SitesSettings, SitesTransform, transform_from_dict
from ase_scatter.scattering.channels import Channels
from ase_scatter.scattering.harmonics import degree, solid_harmonics
from ase_scatter.scattering.sites import jacobian as sites_jacobian
from ase_scatter.scattering.wavelets import real_space
from ase_scatter.structures.neighbors import CACHE, SKIN
from ase_scatter.structures.system import System

STRICT = Target("strict")

SETTINGS = SitesSettings(
    scales=(0.7, 1.1), cutoff=4.0, switch=1.5, first=(3, 1), inner=(2,), outer=(2,), skipped=0, triple=2
)


def alloy() -> Atoms:
    atoms = bulk("Si", a=5.4, cubic=True)
    atoms.rattle(0.15, seed=3)
    atoms.symbols[::3] = "C"
    return atoms


def molecule(n: int = 5) -> Atoms:
    positions = np.random.default_rng(1).uniform(0, 4, (n, 3)) + 1.5 * np.arange(n)[:, None]
    return Atoms("CSiSiCSi"[:n] if n < 3 else ["C", "Si", "Si", "C", "Si"][:n], positions=0.6 * positions)


def systems() -> dict[str, Atoms]:
    tiny = bulk("Si", a=5.4)
    tiny.set_cell(tiny.cell[:] @ [[1, 0.2, 0], [0, 0.9, 0.1], [0, 0, 1]], scale_atoms=True)
    tiny.rattle(0.1, seed=1)
    slab = fcc100("Si", (2, 2, 2), a=4.6, vacuum=3.0)
    slab.rattle(0.1, seed=2)
    wire = Atoms("SiCSi", [[0, 0, 0], [1.6, 0.4, 0.3], [2.9, -0.6, 0.4]], cell=[4.1, 0, 0], pbc=(1, 0, 0))
    return {
        "alloy": alloy(),
        "sheared, smaller than the cutoff": tiny,
        "slab": slab,
        "wire": wire,
        "molecule": molecule(),
        "alone": Atoms("Si"),
        "diamond": bulk("Si", a=5.4),
        "bcc": bulk("Si", "bcc", 3.1, cubic=True),
        "fcc": bulk("C", "fcc", 3.6, cubic=True),
    }


SYSTEMS = systems()


@pytest.fixture(scope="module")
def transform() -> SitesTransform:
    found = SitesTransform.candidates(SETTINGS, Channels.by_species(["C", "Si"]))
    return found.calibrated([System.from_atoms(SYSTEMS[name]) for name in ("alloy", "molecule")])


@pytest.fixture(scope="module")
def weights(transform) -> np.ndarray:
    return np.random.default_rng(0).normal(size=transform.n_columns) / transform.n_columns


# ---- an oracle ------------------------------------------------------------------------------------


def sphere(n: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Directions (n², 3) and areas of a product rule: Gauss in cos θ, equidistant in φ."""
    x, w = roots_legendre(n)
    phi = 2 * np.pi * np.arange(2 * n) / (2 * n)
    s = np.sqrt(1 - x**2)
    points = np.array(
        [(a * np.cos(p), a * np.sin(p), c) for (a, c), p in product(zip(s, x, strict=True), phi)]
    )
    return points, np.repeat(w, 2 * n) * np.pi / n


def by_hand(transform: SitesTransform, atoms: Atoms) -> np.ndarray:
    """The columns from their definition, pair by pair, with ASE's neighbours."""
    s, channels = transform.settings, transform.channels
    charges = channels.charges(atoms.numbers)
    i, j, vectors = neighbor_list("ijD", atoms, s.cutoff)
    r = np.linalg.norm(vectors, axis=1)
    t = np.clip((r - (s.cutoff - s.switch)) / s.switch, 0, 1)
    fade = 1 - 10 * t**3 + 15 * t**4 - 6 * t**5

    def convolve(wavelet, sources):
        beta = s.scales[wavelet.scale]
        psi, _ = real_space(beta, wavelet.p, wavelet.l, vectors)
        total = np.zeros((len(atoms), 2 * wavelet.l + 1))
        np.add.at(total, i, (beta**1.5 * psi * fade * sources[j]).T)
        return total

    a, b = {}, {}
    for term in {c.term for c in transform.terms}:
        for f in term.fields:
            a[f] = convolve(f.wavelet, charges[f.channel]) / np.sqrt(transform.norms[f])
    for term in {c.term for c in transform.terms if c.term.second}:
        f, second = term.fields[0], term.second
        g = np.sqrt((a[f] ** 2).sum(axis=1) + s.epsilon2) - np.sqrt(s.epsilon2)
        b[f, second] = convolve(second, g) / np.sqrt(transform.norms[f, second])
    directions, areas = sphere()
    harmonics, _ = solid_harmonics(directions, 4)

    def value(term):
        if term.kind in ("modulus", "modulus2"):
            field = a[term.fields[0]] if term.second is None else b[term.fields[0], term.second]
            q = term.exponent
            return ((field**2).sum(axis=1) + s.epsilon2) ** (q / 2) - s.epsilon2 ** (q / 2)
        if term.kind in ("cross", "cross2"):
            field = a[term.fields[0]] if term.second is None else b[term.fields[0], term.second]
            return (field * a[term.fields[1]]).sum(axis=1)
        f = [a[field] @ harmonics[degree(field.wavelet.l)] for field in term.fields]
        return (f[0] * f[1] * f[2]) @ areas

    symbols = np.array(atoms.get_chemical_symbols())
    return np.array(
        [value(c.term)[(symbols == transform.elements[c.element])].sum() for c in transform.terms]
    )


@pytest.mark.parametrize("name", ["alloy", "molecule"])
def test_columns_are_what_they_are_defined_as(transform, name):
    expected = by_hand(transform, SYSTEMS[name])
    found = transform.features(System.from_atoms(SYSTEMS[name]))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
    assert {c.term.kind for c in transform.terms} == {"modulus", "cross", "triple", "modulus2", "cross2"}
    assert (np.abs(expected) > 1e-8).mean() > 0.8  # few are zero, for want of neighbours of one element


# ---- the ways of computing agree ----------------------------------------------------------------------


@pytest.mark.parametrize("name", SYSTEMS)
def test_compiled_array_code_and_jacobian_agree(transform, weights, name):
    system = System.from_atoms(SYSTEMS[name])
    values, d_positions, d_strain = transform.jacobian(system)
    compiled = transform.evaluate(system, weights)
    energies, forces, strain = transform._around(system, HOST).evaluate(transform._weights(weights))
    # What symmetry makes zero is a sum in another order here and there.
    np.testing.assert_allclose(transform.features(system), values, rtol=1e-12, atol=1e-14)
    assert compiled.energy == pytest.approx(weights @ values, rel=1e-12, abs=1e-14)
    np.testing.assert_allclose(compiled.energies, energies, rtol=1e-12, atol=1e-14)
    scale = max(1e-3, np.abs(forces).max())
    np.testing.assert_allclose(compiled.forces, forces, atol=1e-12 * scale)
    np.testing.assert_allclose(-np.einsum("k,kna->na", weights, d_positions), forces, atol=1e-12 * scale)
    largest = max(1e-3, np.abs(strain).max())
    np.testing.assert_allclose(compiled.strain_gradient, 0.5 * (strain + strain.T), atol=1e-12 * largest)
    np.testing.assert_allclose(
        np.einsum("k,kab->ab", weights, d_strain), compiled.strain_gradient, atol=1e-12 * largest
    )


@pytest.mark.parametrize("name", ["alloy", "slab"])
def test_arrays_that_are_not_numpys(transform, weights, name):
    system = System.from_atoms(SYSTEMS[name])
    here, there = (transform.evaluate(system, weights, Target(device=device)) for device in ("cpu", "strict"))
    assert there.energy == pytest.approx(here.energy, rel=1e-12)
    np.testing.assert_allclose(there.forces, here.forces, atol=1e-13)
    np.testing.assert_allclose(transform.features(system, STRICT), transform.features(system))
    for one, two in zip(
        transform.jacobian(system),
        transform.jacobian(system, STRICT).on_host(STRICT),
        strict=True,
    ):
        np.testing.assert_allclose(two, one, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["alloy", "sheared, smaller than the cutoff"])
def test_derivatives_do_not_depend_on_blocks(transform, name, monkeypatch):
    system = System.from_atoms(SYSTEMS[name])
    whole = transform.jacobian(system)
    monkeypatch.setattr(sites_jacobian, "BLOCK", 2)
    monkeypatch.setattr(sites_jacobian, "DEVICE_BLOCK", 1.0)  # one atom
    for device in ("cpu", "strict"):
        for one, two in zip(
            whole,
            transform.jacobian(system, Target(device=device)).on_host(Target(device=device)),
            strict=True,
        ):
            np.testing.assert_allclose(two, one, rtol=1e-10, atol=1e-12)


def test_single_precision(transform, weights):
    system = System.from_atoms(SYSTEMS["alloy"])
    double, single = (
        transform.evaluate(system, weights, Target(device="strict", dtype=d)) for d in ("float64", "float32")
    )
    assert single.energy == pytest.approx(double.energy, rel=1e-4)
    np.testing.assert_allclose(single.forces, double.forces, atol=1e-4 * np.abs(double.forces).max())


# ---- derivatives ------------------------------------------------------------------------------------------


def slope(function, step: float) -> float:
    near, far = (function(h) - function(-h) for h in (step, 2 * step))
    return (8 * near - far) / (12 * step)


@pytest.mark.parametrize("name", SYSTEMS)
def test_forces_and_stress_are_slopes(transform, weights, name):
    atoms = SYSTEMS[name]
    values = transform.evaluate(System.from_atoms(atoms), weights)
    rng = np.random.default_rng(0)
    along = rng.normal(size=(len(atoms), 3))
    strain = rng.normal(size=(3, 3))
    strain += strain.T

    def moved(h):
        copy = atoms.copy()
        copy.positions += h * along
        return transform.evaluate(System.from_atoms(copy), weights).energy

    def strained(h):
        copy = atoms.copy()
        matrix = np.eye(3) + h * strain
        copy.positions = copy.positions @ matrix
        copy.cell = atoms.cell[:] @ matrix
        return transform.evaluate(System.from_atoms(copy), weights).energy

    scale = max(0.02, np.abs(values.forces).max())
    assert slope(moved, 1e-3) == pytest.approx(-(values.forces * along).sum(), abs=1e-6 * scale)
    scale = max(0.02, np.abs(values.strain_gradient).max())
    assert slope(strained, 3e-4) == pytest.approx((values.strain_gradient * strain).sum(), abs=1e-6 * scale)


@pytest.mark.parametrize("name", ["diamond", "bcc", "fcc"])
def test_second_derivatives_exist_at_perfect_crystals(transform, weights, name):
    """Moduli that are zero by symmetry have no kink: force constants do not depend on the step."""
    atoms = SYSTEMS[name].repeat(2)

    def force(h):
        copy = atoms.copy()
        copy.positions[0] += [h, 0.3 * h, -0.2 * h]
        return transform.evaluate(System.from_atoms(copy), weights).forces[0, 0]

    constants = [(force(h) - force(-h)) / (2 * h) for h in (1e-5, 1e-4)]
    assert constants[0] == pytest.approx(constants[1], rel=1e-3)


# ---- what must not change the energy ----------------------------------------------------------------------


def test_invariances(transform, weights):
    atoms = SYSTEMS["alloy"]
    values = transform.evaluate(System.from_atoms(atoms), weights)
    assert values.energies.sum() == pytest.approx(values.energy, rel=1e-13)
    order = np.random.default_rng(0).permutation(len(atoms))
    moved = atoms[order]
    moved.positions += [0.3, -7.0, 1.9]
    moved.positions += np.random.default_rng(1).integers(-2, 3, (len(atoms), 3)) @ atoms.cell[:]
    again = transform.evaluate(System.from_atoms(moved), weights)
    np.testing.assert_allclose(again.energies, values.energies[order], rtol=1e-10)
    np.testing.assert_allclose(again.forces, values.forces[order], atol=1e-12)
    turned = atoms.copy()
    turned.rotate(33.0, (1, 2, 3), rotate_cell=True)
    rotation = np.linalg.solve(atoms.cell[:], turned.cell[:])
    again = transform.evaluate(System.from_atoms(turned), weights)
    assert again.energy == pytest.approx(values.energy, rel=1e-10)
    np.testing.assert_allclose(again.forces, values.forces @ rotation, atol=1e-12)
    many = transform.evaluate(System.from_atoms(atoms.repeat(2)), weights)
    assert many.energy == pytest.approx(8 * values.energy, rel=1e-12)


def test_atoms_cross_the_cutoff_smoothly(transform):
    weights = np.random.default_rng(0).normal(size=transform.n_columns)
    ends = [
        Atoms("SiSi", [[0, 0, 0], [r, 0, 0]]) for r in (2.0, *(SETTINGS.cutoff + np.linspace(-2e-6, 2e-6, 5)))
    ]
    scale = np.abs(transform.evaluate(System.from_atoms(ends[0]), weights).forces).max()
    forces = [transform.evaluate(System.from_atoms(a), weights / scale).forces[0, 0] for a in ends[1:]]
    assert np.abs(np.diff(forces)).max() < 1e-6
    assert forces[-1] == 0.0
    # A force that falls at least as the square of the distance to the cutoff has a continuous slope there.
    near, nearer = (
        transform.evaluate(System.from_atoms(Atoms("SiSi", [[0, 0, 0], [4.0 - h, 0, 0]])), weights)
        for h in (0.02, 0.01)
    )
    assert abs(near.forces[0, 0]) > 3.6 * abs(nearer.forces[0, 0]) > 0


# ---- what pairs and triplets cannot tell apart


def test_degenerate_environments_are_told_apart(transform):
    """Four neighbours on a circle, in two ways with the same distances and the same six angles (45, 45, 90,
    135, 135, 180 degrees): fig. 1 (a) of Pozdnyakov et al., Phys. Rev. Lett. 125, 166001 (2020)."""

    def environment(eighths):
        angles = np.pi / 4 * np.array(eighths)
        around = 1.9 * np.c_[np.cos(angles), np.sin(angles), 0 * angles]
        return Atoms("CSi4", np.vstack([[0, 0, 0], around]))

    pair = [environment(e) for e in ((0, 1, 3, 4), (0, 1, 2, 5))]
    seen_from_the_centre = [
        sorted(round(a.get_angle(i, 0, j), 8) for i in range(1, 5) for j in range(1, i)) for a in pair
    ]
    assert seen_from_the_centre[0] == pytest.approx([45, 45, 90, 135, 135, 180])
    assert seen_from_the_centre[1] == pytest.approx(seen_from_the_centre[0])
    ours: dict[str, list[float]] = {}
    one, two = (transform._around(System.from_atoms(a), HOST).features() for a in pair)
    for (term, values), (again, others) in zip(one, two, strict=True):
        assert term == again
        ours.setdefault(term.kind, []).append(abs(values[0] - others[0]) / max(1e-3, abs(values[0])))
    # Moduli and products of two of order 1 know distances and angles at the centre, and no more.
    assert max(ours["modulus"]) < 1e-10
    assert max(ours["cross"]) < 1e-10
    # Order 2 knows what the neighbours see. (Products of three know the triangles of neighbours.)
    assert max(ours["modulus2"]) > 0.01
    assert max(ours["cross2"]) > 0.01
    assert max(ours["triple"]) > 0.01


# ---- reproducible ------------------------------------------------------------------------------------------


def test_the_same_bit_for_bit_whatever_list_and_threads(transform, weights):
    atoms = SYSTEMS["alloy"].repeat((3, 2, 2))
    system = System.from_atoms(atoms)
    CACHE.clear()
    fresh = transform.evaluate(system, weights)
    CACHE.clear()
    before = replace(system, positions=system.positions + 0.2 * SKIN * np.array([1.0, -1.0, 0.5]))
    before.positions[::2] -= 0.1 * SKIN
    transform.evaluate(before, weights)
    built = CACHE.built
    results = []
    for n in (1, 2, 3):
        with threads.limited(n):
            results.append(transform.evaluate(system, weights))
    assert CACHE.built == built
    for other in results:
        assert np.array_equal(other.forces, fresh.forces)
        assert np.array_equal(other.energies, fresh.energies)
        assert np.array_equal(other.strain_gradient, fresh.strain_gradient)


def test_files(transform, weights):
    chosen = transform.subset(range(0, transform.n_columns, 7))
    again = transform_from_dict(json.loads(json.dumps(chosen.to_dict())))
    assert again == chosen
    system = System.from_atoms(SYSTEMS["alloy"])
    one, two = (t.evaluate(system, weights[::7]) for t in (chosen, again))
    assert np.array_equal(one.forces, two.forces)
    np.testing.assert_allclose(
        chosen.features(system), transform.features(system)[::7], rtol=1e-12, atol=1e-13
    )
    labels = [c.label for c in transform.columns]
    assert len(set(labels)) == len(labels)
    assert "sites S1 modulus[C β=0.7 p=0 l=0; q=1] at C" in labels
    assert any("→" in label and label.endswith("at Si") for label in labels)


def test_refusals(transform, weights):
    system = System.from_atoms(SYSTEMS["alloy"])
    with pytest.raises(InputError, match="as many weights"):
        transform.evaluate(system, weights[1:])
    with pytest.raises(UnknownElementError, match="Ge"):
        transform.evaluate(System.from_atoms(Atoms("Ge")), weights)
    for wrong in ({"cutoff": 1.0}, {"epsilon2": 0.0}, {"scales": ()}, {"scales": (2.0, 1.0)}):
        with pytest.raises(InputError):
            replace(SETTINGS, **wrong)
    empty = replace(SETTINGS, first=(), inner=(), outer=())
    with pytest.raises(InputError, match="no columns"):
        SitesTransform.candidates(empty, Channels.by_species(["Si"]))


def test_charges_as_channels(weights):
    transform = SitesTransform.candidates(SETTINGS, Channels.by_charges(["C", "Si"]))
    expected = by_hand(transform.calibrated([System.from_atoms(alloy())]), alloy())
    found = transform.calibrated([System.from_atoms(alloy())]).features(System.from_atoms(alloy()))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
