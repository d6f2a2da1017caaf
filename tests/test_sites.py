"""Columns at the atoms, one property at a time: against double loops, differences, symmetries, other lists.

Every test runs over structures of all kinds; `test_site_transform` runs one larger set of columns.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from itertools import combinations, pairwise, permutations

import numpy as np
import pytest
import strict
from ase import Atoms
from ase.build import bulk, diamond100
from ase.neighborlist import neighbor_list
from scipy.spatial.transform import Rotation
from scipy.special import roots_legendre, sph_harm_y

from ase_scatter.compute import threads
from ase_scatter.compute.target import HOST, Target
from ase_scatter.errors import InputError, UnknownElementError
from ase_scatter.scattering import SitesSettings, SitesTransform, transform_from_dict
from ase_scatter.scattering.channels import Channels
from ase_scatter.scattering.sites.columns import KINDS, Field, SiteColumn, Term
from ase_scatter.scattering.sites.host import LEAST_PER_THREAD
from ase_scatter.scattering.wavelets import Wavelet, real_space
from ase_scatter.structures.neighbors import CACHE, SKIN
from ase_scatter.structures.system import System

SMALL = SitesSettings(
    scales=(0.8, 1.2), cutoff=4.2, switch=1.5, first=(2, 1), inner=(1,), outer=(2,), skipped=0, triple=2
)
"""The default exponents: q = 1.5 and q = 2 have branches of their own in the compiled code."""


def rattled(atoms, amount=0.1):
    atoms = atoms.copy()
    atoms.rattle(amount, seed=3)
    return atoms


def sheared():
    """Two atoms in a cell whose heights are all less than the cutoff."""
    atoms = rattled(bulk("SiC", "zincblende", a=4.36))
    strain = np.random.default_rng(1).normal(scale=0.08, size=(3, 3))
    atoms.set_cell(atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
    return atoms


def slab():
    atoms = rattled(diamond100("Si", (1, 1, 3), a=5.43, vacuum=None))
    atoms.center(vacuum=2.0, axis=2)
    atoms.rotate(25, "x", rotate_cell=True)
    return atoms


def wire():
    atoms = Atoms("SiCSi", positions=[[0, 0, 0.3], [1.2, 0.1, 1.9], [0.2, 1.5, 2.8]], cell=[0, 0, 4.0])
    atoms.pbc = (False, False, True)
    atoms.rotate(30, "y", rotate_cell=True)
    return atoms


def molecule():
    return Atoms("SiCC", positions=[[10.0, 0.3, 0.1], [11.5, 0.2, 0.4], [9.7, 1.6, -0.5]])


SYSTEMS = {
    "alloy": lambda: rattled(bulk("SiC", "zincblende", a=4.36).repeat((2, 1, 1))),
    "sheared": sheared,
    "charges": sheared,
    "slab": slab,
    "wire": wire,
    "molecule": molecule,
    "isolated": lambda: Atoms("SiCC", positions=[[0, 0, 0], [9, 0, 0], [0, 30, 0]]),
    "alone": lambda: Atoms("Si", positions=[[1, 2, 3]]),
    "diamond": lambda: bulk("Si", "diamond", 5.43),
    "bcc": lambda: bulk("Mo", "bcc", 3.17, cubic=True),
    "fcc": lambda: bulk("Al", "fcc", 4.05),
}
CROWDED = [name for name in SYSTEMS if name not in ("isolated", "alone")]
CRYSTALS = ["diamond", "bcc", "fcc"]


def make(system, settings=SMALL, channels=Channels.by_species):
    """Calibrated on the structure, shaken: at perfect crystals, and in cells of one atom, fields vanish."""
    elements = ["C", "Si"] if set(system.numbers.tolist()) == {6, 14} else [symbols(system)[0]]
    shaken = atoms_of(system).repeat(2 if len(system) <= 2 and system.pbc.all() else 1)
    shaken.rattle(0.1, seed=8)
    transform = SitesTransform.candidates(settings, channels(elements))
    return transform.calibrated([System.from_atoms(shaken)])


def atoms_of(system):
    return Atoms(numbers=system.numbers, positions=system.positions, cell=system.cell, pbc=system.pbc)


def symbols(system):
    return atoms_of(system).get_chemical_symbols()


def random_weights(transform, system):
    """Weights that bring all columns to about one size."""
    values = np.abs(transform.features(system))
    least = 1e-3 * values.max() or 1.0
    return np.random.default_rng(0).normal(size=transform.n_columns) / np.maximum(values, least)


_CASES: dict[str, tuple] = {}


def case_of(name):
    """A system, its transform and weights."""
    if name not in _CASES:
        system = System.from_atoms(SYSTEMS[name]())
        transform = make(system, channels=Channels.by_charges if name == "charges" else Channels.by_species)
        _CASES[name] = system, transform, random_weights(transform, system)
    return _CASES[name]


@pytest.fixture(params=SYSTEMS)
def case(request):
    return case_of(request.param)


@pytest.fixture(params=CROWDED)
def crowded(request):
    """A case in which atoms have neighbours, and the sizes that its terms would have without cancelling."""
    system, transform, weights = case_of(request.param)
    return system, transform, weights, sizes(system, transform, weights)


def sizes(system, transform, weights):
    """Of energy (eV), of forces (eV/Å) and of strain gradients (eV), as if nothing cancelled.

    At perfect crystals each column's forces are zero: there it is the energy that sets the size.
    """
    values, d_positions, d_strain = transform.jacobian(system)
    energy = np.abs(weights * values).sum()
    forces = np.abs(weights[:, None, None] * d_positions).sum(axis=0).max()
    strain = np.abs(weights[:, None, None] * d_strain).sum(axis=0).max()
    return energy, max(forces, energy / len(system)), max(strain, energy)


def by_arrays(transform, system, weights, device="cpu", dtype="float64"):
    """Energies, forces and symmetric strain gradient by the array code."""
    around = transform._around(system, Target(device, dtype))
    energies, forces, strain = around.evaluate(transform._weights(weights))
    return energies, forces, 0.5 * (strain + strain.T)


def central(function, step):
    """Derivative at 0 by the five-point rule."""
    return (8 * (function(step) - function(-step)) - function(2 * step) + function(-2 * step)) / (12 * step)


def same(a, b):
    """Bit for bit."""
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("energy", "forces", "strain_gradient", "energies")
    )


# ---- against double loops --------------------------------------------------------------------------


def real_harmonics(l, theta, phi):
    """Y_lm (2l+1, n) from SciPy's complex ones, m = −l…l."""
    rows = []
    for m in range(-l, l + 1):
        y = sph_harm_y(l, abs(m), theta, phi) * (-1.0) ** m
        rows.append(y.real if m == 0 else np.sqrt(2) * (y.real if m > 0 else y.imag))
    return np.array(rows)


@lru_cache
def gaunt(a, b, c):
    """∫ Y_am Y_bm' Y_cm'' over all directions, (2a+1, 2b+1, 2c+1), by Gauss times equidistant angles."""
    x, w = roots_legendre(a + b + c + 2)
    phi = 2 * np.pi * np.arange(2 * (a + b + c) + 3) / (2 * (a + b + c) + 3)
    theta, phi = (grid.ravel() for grid in np.meshgrid(np.arccos(x), phi, indexing="ij"))
    areas = np.repeat(w, len(theta) // len(x)) * 2 * np.pi * len(x) / len(theta)
    y = [real_harmonics(l, theta, phi) for l in (a, b, c)]
    return np.einsum("in,jn,kn,n->ijk", *y, areas)


class ByHand:
    """Columns from their definition: loops over atoms and neighbours, c included."""

    def __init__(self, atoms, settings, channels):
        self.atoms, self.settings = atoms, settings
        self.charges = channels.charges(atoms.numbers)
        self.i, self.j, self.vectors = neighbor_list("ijD", atoms, settings.cutoff)
        self.functions: dict = {}
        self.known: dict = {}

    def pair_function(self, wavelet):
        """ψ(r) f_c(r) of every pair, (2l+1, P)."""
        s = self.settings
        if wavelet not in self.functions:
            beta = s.scales[wavelet.scale]
            t = (np.sqrt((self.vectors**2).sum(axis=1)) - s.cutoff + s.switch) / s.switch
            fade = np.where(t <= 0, 1.0, 1 - 10 * t**3 + 15 * t**4 - 6 * t**5)
            # ψ has β^{-3/2} in front, which φ has not; c, of the same fields, takes it out again.
            psi = beta**1.5 * real_space(beta, wavelet.p, wavelet.l, self.vectors)[0]
            self.functions[wavelet] = psi * fade
        return self.functions[wavelet]

    def convolve(self, wavelet, sources):
        """Σ_j sources_j ψ(r_ij) f_c(r_ij), (N, 2l+1)."""
        function = self.pair_function(wavelet)
        total = np.zeros((len(self.atoms), 2 * wavelet.l + 1))
        for pair, (i, j) in enumerate(zip(self.i, self.j, strict=True)):
            for m in range(2 * wavelet.l + 1):
                total[i, m] += sources[j] * function[m, pair]
        return total

    def field(self, key, norms):
        """Ã or B̃, (N, 2l+1)."""
        if key not in self.known:
            if isinstance(key, Field):
                found = self.convolve(key.wavelet, self.charges[key.channel])
            else:
                squares = (self.field(key[0], norms) ** 2).sum(axis=1)
                epsilon2 = self.settings.epsilon2
                found = self.convolve(key[1], np.sqrt(squares + epsilon2) - np.sqrt(epsilon2))
            self.known[key] = found / np.sqrt(norms(key, found))
        return self.known[key]

    def term(self, term, norms):
        """Its values at the atoms."""
        fields = [self.field(f, norms) for f in term.fields]
        if term.second is not None:
            fields[0] = self.field((term.fields[0], term.second), norms)
        if term.exponent is not None:
            epsilon2, q = self.settings.epsilon2, term.exponent
            return ((fields[0] ** 2).sum(axis=1) + epsilon2) ** (q / 2) - epsilon2 ** (q / 2)
        if len(fields) == 2:
            return (fields[0] * fields[1]).sum(axis=1)
        return np.einsum("ijk,ni,nj,nk->n", gaunt(*(f.wavelet.l for f in term.fields)), *fields)


@pytest.mark.parametrize("name", ["alloy", "charges", "wire"])
def test_columns_are_what_they_are_defined_as(name):
    """Calibration included: c is the mean of U² over the atoms that it is calibrated on."""
    atoms = SYSTEMS[name]()
    channels = (Channels.by_charges if name == "charges" else Channels.by_species)(["C", "Si"])
    transform = SitesTransform.candidates(SMALL, channels).calibrated([System.from_atoms(atoms)])
    assert {c.term.kind for c in transform.terms} == set(KINDS)
    by_hand = ByHand(atoms, SMALL, channels)
    means: dict = {}

    def norms(key, values):
        means[key] = (values**2).sum(axis=1).mean()
        return means[key]

    of_term = {term: by_hand.term(term, norms) for term in dict.fromkeys(c.term for c in transform.terms)}
    here = np.array(symbols(System.from_atoms(atoms)))
    expected = np.array([of_term[t][here == transform.elements[k]].sum() for t, k in transform.terms])
    size = np.array([np.abs(of_term[t]).sum() for t, _ in transform.terms])
    found = transform.features(System.from_atoms(atoms))
    np.testing.assert_allclose(found / size, expected / size, rtol=1e-10, atol=1e-10)
    assert np.median(np.abs(expected)) > 0.1
    assert set(means) == set(transform.norms)
    for key, c in transform.norms.items():
        assert c == pytest.approx(means[key], rel=1e-10)


# ---- the ways of computing agree -------------------------------------------------------------------


def test_forward_adjoint_and_jacobian_agree(crowded):
    system, transform, weights, (energy, forces, strain) = crowded
    columns, d_positions, d_strain = transform.jacobian(system)
    np.testing.assert_allclose(transform.features(system), columns, rtol=1e-12, atol=1e-12)
    expected = (
        weights @ columns,
        -np.einsum("k,kna->na", weights, d_positions),
        np.einsum("k,kab->ab", weights, d_strain),
    )
    compiled = transform.evaluate(system, weights)
    arrays = by_arrays(transform, system, weights)
    np.testing.assert_allclose(compiled.energies, arrays[0], atol=1e-12 * energy)
    for values in ((compiled.energy, *tuple(vars(compiled).values())[1:3]), (arrays[0].sum(), *arrays[1:])):
        for value, other, size in zip(values, expected, (energy, forces, strain), strict=True):
            np.testing.assert_allclose(value, other, rtol=0, atol=2e-12 * size)


@pytest.mark.parametrize("name", ["isolated", "alone"])
def test_atoms_without_neighbours_have_nothing(name):
    system, transform, _ = case_of(name)
    weights = np.random.default_rng(0).normal(size=transform.n_columns)
    values = transform.evaluate(system, weights)
    energies, forces, strain = by_arrays(transform, system, weights)
    for part in (*vars(values).values(), energies, forces, strain, *transform.jacobian(system)):
        assert not np.any(part)
    assert values.forces.shape == (len(system), 3)
    assert not transform.features(system).any()


@pytest.mark.parametrize("shell", range(4))
def test_neighbours_right_at_the_cutoff(shell):
    """A crystal turned about, its shells on the cutoff but for rounding: pairs count both ways or neither."""
    atoms = bulk("Al", "fcc", 4.05).repeat((2, 1, 1))
    turn = Rotation.random(rng=np.random.default_rng(shell)).as_matrix()
    atoms.set_cell(atoms.cell[:] @ turn.T, scale_atoms=True)
    atoms.positions[1] += [0.1, -0.2, 0.05]
    atoms.positions += 7.7
    distance = np.sort(neighbor_list("d", atoms, 6.0))
    system = System.from_atoms(atoms)
    for cutoff in (np.nextafter(distance[7 * shell], 0), distance[7 * shell], 4.05, 4.05 * 2**0.5):
        settings = replace(SMALL, cutoff=float(cutoff), exponents1=(1.0,), triple=0)
        transform = make(system, settings)
        weights = random_weights(transform, system)
        _, size, _ = sizes(system, transform, weights)
        forces = transform.evaluate(system, weights).forces
        np.testing.assert_allclose(forces, by_arrays(transform, system, weights)[1], atol=1e-11 * size)
        np.testing.assert_allclose(forces.sum(axis=0), 0.0, atol=1e-11 * size)


# ---- devices and precisions ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sheared", "charges", "slab", "wire", "molecule", "isolated", "bcc"])
@pytest.mark.parametrize(("dtype", "close"), [("float64", 1e-12), ("float32", 2e-5)])
def test_all_of_it_runs_on_arrays_that_are_not_numpys(name, dtype, close):
    system, transform, _ = case_of(name)
    # Unit weights: no column is blown up that symmetry makes nearly zero.
    weights = np.random.default_rng(0).normal(size=transform.n_columns) / transform.n_columns
    energy, forces, strain = (max(1e-3, size) for size in sizes(system, transform, weights))
    here = transform.evaluate(system, weights)
    there = transform.evaluate(system, weights, Target(device="strict", dtype=dtype))
    np.testing.assert_allclose(there.energies, here.energies, rtol=0, atol=close * energy)
    np.testing.assert_allclose(there.forces, here.forces, rtol=0, atol=close * forces)
    np.testing.assert_allclose(there.strain_gradient, here.strain_gradient, rtol=0, atol=close * strain)
    assert there.forces.dtype == there.energies.dtype == np.float64
    columns = transform.features(system)
    largest = max(1.0, np.abs(columns).max())
    for device in ("cpu", "strict"):
        values = transform.features(system, Target(device=device, dtype=dtype))
        np.testing.assert_allclose(values, columns, rtol=0, atol=close * largest)
        for a, b in zip(
            transform.jacobian(system),
            transform.jacobian(system, Target(device=device, dtype=dtype)).on_host(
                Target(device=device, dtype=dtype)
            ),
            strict=True,
        ):
            np.testing.assert_allclose(b, a, rtol=0, atol=close * max(1.0, np.abs(a).max()))


def test_strict_arrays_are_really_used():
    system, transform, weights = case_of("sheared")
    around = transform._around(system, Target("strict", "float32"))
    arrays = (*around.pairs, around.charges, *around.fields())
    assert all(isinstance(array, strict.StrictArray) for array in arrays if array is not None)
    assert around.pairs.vectors.dtype == around.fields()[1].dtype == np.float32
    around.pairs = around.pairs._replace(real=np.ones(around.pairs.real.shape, dtype=np.float32))
    with pytest.raises(TypeError, match="host"):
        around.evaluate(transform._weights(weights))


def test_compiled_code_is_double_whatever_is_asked_for():
    system, transform, weights = case_of("sheared")
    assert same(
        transform.evaluate(system, weights, Target(dtype="float32")),
        transform.evaluate(system, weights),
    )
    with pytest.raises(InputError, match="float16"):
        transform.evaluate(system, weights, Target(dtype="float16"))


# ---- derivatives -----------------------------------------------------------------------------------


def test_forces(crowded):
    """Of every atom along every axis."""
    system, transform, weights, (_, size, _) = crowded
    forces = transform.evaluate(system, weights).forces
    expected = np.zeros_like(forces)
    for index in np.ndindex(forces.shape):

        def energy(step, index=index):
            positions = system.positions.copy()
            positions[index] += step
            return transform.evaluate(replace(system, positions=positions), weights).energy

        expected[index] = -central(energy, 1e-3)
    largest = np.abs(forces).max()
    if largest < 1e-6 * size:  # a perfect crystal, where all forces are zero
        largest = size
    np.testing.assert_allclose(forces, expected, rtol=0, atol=1e-6 * largest)


def strained(system, strain):
    move = np.eye(3) + strain
    return replace(system, positions=system.positions @ move, cell=system.cell @ move)


def test_strain(crowded):
    system, transform, weights, _ = crowded
    gradient = transform.evaluate(system, weights).strain_gradient
    assert np.array_equal(gradient, gradient.T)
    for a, b in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):

        def energy(step, a=a, b=b):
            strain = np.zeros((3, 3))
            strain[a, b] += step / 2
            strain[b, a] += step / 2
            return transform.evaluate(strained(system, strain), weights).energy

        expected = central(energy, 3e-4)
        assert gradient[a, b] == pytest.approx(expected, rel=0, abs=1e-6 * np.abs(gradient).max())


@pytest.mark.parametrize("shaken", [True, False])
@pytest.mark.parametrize("name", CRYSTALS)
def test_second_derivatives_at_perfect_crystals(name, shaken):
    """Moduli that vanish by symmetry have no kink: forces and stress rise in proportion, however small the
    step. Also where c was set from the crystal itself, from fields that are zero."""
    system = System.from_atoms(SYSTEMS[name]().repeat((1, 1, 2)))
    transform = make(system)
    if not shaken:
        transform = SitesTransform.candidates(SMALL, transform.channels).calibrated([system])
        assert min(transform.norms.values()) > 0
    # Fields that are zero are divided by next to nothing then, and energies bend the sooner.
    steps = (1e-6, 1e-5) if shaken else (1e-8, 1e-7)
    weights = np.random.default_rng(0).normal(size=transform.n_columns) / transform.n_columns
    moves = np.zeros((len(system), 3))
    moves[0] = [0.3, -0.8, 0.5]
    shear = np.array([[0.0, 0.5, 0.0], [0.5, 0.0, 0.2], [0.0, 0.2, 0.3]])

    def along_forces(step):
        moved = replace(system, positions=system.positions + step * moves)
        return -np.sum(transform.evaluate(moved, weights).forces * moves)

    def along_strain(step):
        return np.sum(transform.evaluate(strained(system, step * shear), weights).strain_gradient * shear)

    for rise in (along_forces, along_strain):
        fine, coarse = ((rise(h) - rise(-h)) / (2 * h) for h in steps)
        assert np.isfinite(fine)
        assert abs(fine) > 1e-3
        assert coarse == pytest.approx(fine, rel=1e-4)
        # One-sided, too: a kink would be even in the step.
        ahead, behind = ((rise(h) - rise(0.0)) / h for h in (steps[0], -steps[0]))
        assert ahead == pytest.approx(behind, rel=1e-3)


# ---- symmetries ------------------------------------------------------------------------------------


def test_energies_of_the_atoms_sum_to_the_energy(crowded):
    system, transform, weights, (size, _, _) = crowded
    values = transform.evaluate(system, weights)
    assert values.energies.shape == (len(system),)
    assert values.energies.sum() == pytest.approx(values.energy, rel=0, abs=1e-12 * size)
    assert values.energy == pytest.approx(transform.features(system) @ weights, rel=0, abs=1e-12 * size)
    np.testing.assert_allclose(values.forces.sum(axis=0), 0.0, atol=1e-10 * size)


def test_energies_are_those_of_the_columns_at_each_atom():
    """An atom has the terms of its own element, at itself."""
    system, transform, weights = case_of("alloy")
    kind = np.array([transform.elements.index(symbol) for symbol in symbols(system)])
    of_term = dict(transform._around(system, HOST).features())
    expected = np.zeros(len(system))
    for w, (term, element) in zip(weights, transform.terms, strict=True):
        expected += w * of_term[term] * (kind == element)
    energies = transform.evaluate(system, weights).energies
    np.testing.assert_allclose(energies, expected, atol=1e-11 * np.abs(expected).max())
    assert np.ptp(expected[kind == 0]) > 1e-3


IDENTITY = np.eye(3)


def check(transform, weights, system, expected, order=slice(None), turn=IDENTITY):
    """That values are the expected ones, atoms in another order and turned."""
    energy, forces, strain = sizes(system, transform, weights)
    values = transform.evaluate(system, weights)
    assert values.energy == pytest.approx(expected.energy, rel=0, abs=1e-10 * energy)
    np.testing.assert_allclose(values.energies, expected.energies[order], rtol=0, atol=1e-10 * energy)
    np.testing.assert_allclose(values.forces, expected.forces[order] @ turn.T, rtol=0, atol=1e-10 * forces)
    np.testing.assert_allclose(
        values.strain_gradient, turn @ expected.strain_gradient @ turn.T, rtol=0, atol=1e-10 * strain
    )


def test_translation(crowded):
    system, transform, weights, _ = crowded
    expected = transform.evaluate(system, weights)
    for shift in ([0.37, -0.2, 0.11], [-31.0, 12.3, 50.1]):
        check(transform, weights, replace(system, positions=system.positions + shift), expected)


@pytest.mark.parametrize("sign", [1, -1])
def test_rotation_and_reflection_of_atoms_and_cell(crowded, sign):
    system, transform, weights, _ = crowded
    turn = sign * Rotation.random(rng=np.random.default_rng(2)).as_matrix()
    turned = replace(system, positions=system.positions @ turn.T, cell=system.cell @ turn.T)
    check(transform, weights, turned, transform.evaluate(system, weights), turn=turn)


def test_permutation_and_lattice_shifts(crowded):
    system, transform, weights, _ = crowded
    expected = transform.evaluate(system, weights)
    order = np.random.default_rng(5).permutation(len(system))
    shifts = np.random.default_rng(6).integers(-3, 4, size=(len(system), 3)) * system.pbc
    permuted = replace(system, numbers=system.numbers[order], positions=system.positions[order])
    check(transform, weights, permuted, expected, order)
    shifted = replace(system, positions=system.positions + shifts @ system.cell)
    check(transform, weights, shifted, expected)


def test_other_cells_of_the_same_lattice():
    system, transform, weights = case_of("sheared")
    other = replace(system, cell=np.array([[1, 1, 0], [0, 1, -2], [0, 0, 1]]) @ system.cell)
    check(transform, weights, other, transform.evaluate(system, weights))


@pytest.mark.parametrize("name", ["sheared", "charges", *CRYSTALS])
def test_supercell_is_so_many_cells(name):
    system, transform, weights = case_of(name)
    large = System.from_atoms(atoms_of(system).repeat(2))
    one, all_eight = (transform.evaluate(s, weights) for s in (system, large))
    energy, forces, strain = sizes(system, transform, weights)
    assert all_eight.energy == pytest.approx(8 * one.energy, rel=0, abs=1e-10 * 8 * energy)
    np.testing.assert_allclose(all_eight.energies, np.tile(one.energies, 8), rtol=0, atol=1e-10 * energy)
    np.testing.assert_allclose(all_eight.forces, np.tile(one.forces, (8, 1)), rtol=0, atol=1e-10 * forces)
    difference = all_eight.strain_gradient - 8 * one.strain_gradient
    np.testing.assert_allclose(difference, 0.0, rtol=0, atol=1e-10 * 8 * strain)
    columns = transform.features(system)
    np.testing.assert_allclose(transform.features(large), 8 * columns, rtol=1e-10, atol=1e-10)


def test_structures_out_of_reach_add():
    molecules = molecule(), molecule()
    molecules[1].rotate(40, "y")
    molecules[1].positions += [0, 0, 60]
    system, transform, weights = case_of("molecule")
    both = System.from_atoms(molecules[0] + molecules[1])
    np.testing.assert_allclose(
        transform.features(both), 2 * transform.features(system), rtol=1e-10, atol=1e-10
    )
    given = replace(system, cell=np.diag([3.0, 4.0, 5.0]))
    assert same(transform.evaluate(given, weights), transform.evaluate(system, weights))


# ---- the cutoff ------------------------------------------------------------------------------------


def trimer(distance):
    """A bond of 2 Å, and an atom on the far side that one of its ends sees, or no longer sees."""
    return System.from_atoms(Atoms("CSiSi", positions=[[0, 0, 0], [-2, 0, 0], [distance, 0.0, 0.0]]))


def test_an_atom_crosses_the_cutoff():
    """Energy and forces change by next to nothing within 1e-6 Å. Of the pairs that move only the one at
    the cutoff is in reach: other changes of the forces there are none."""
    settings = replace(SMALL, cutoff=4.2)
    transform = SitesTransform.candidates(settings, Channels.by_species(["C", "Si"]))
    transform = transform.calibrated([trimer(2.4)])
    weights = np.random.default_rng(0).normal(size=transform.n_columns) / transform.n_columns
    weights /= np.abs(transform.evaluate(trimer(2.4), weights).forces).max()
    edge = [transform.evaluate(trimer(4.2 + d), weights) for d in (-1e-6, -5e-7, 5e-7, 1e-6)]
    for one, two in pairwise(edge):
        assert np.abs(two.forces - one.forces).max() < 1e-6
        assert abs(two.energy - one.energy) < 1e-12
    assert np.abs(edge[0].forces).max() > 0.01
    assert not edge[-1].forces[2].any()
    # The force at the far atom falls as the square of what is left: its slope, a second derivative of the
    # energy, goes to zero as well.
    far = [transform.evaluate(trimer(4.2 - h), weights).forces[2, 0] for h in (2e-2, 1e-2, 5e-3)]
    assert far[0] / far[1] == pytest.approx(4.0, rel=0.1)
    assert far[1] / far[2] == pytest.approx(4.0, rel=0.05)


def test_the_factor_of_the_cutoff():
    """f_c = 1 − 10 t³ at the start of the switch and 10 (1−t)³ at its end: there its first two
    derivatives are zero. By the array code and, through the energy, by the compiled code."""
    settings = SitesSettings(
        scales=(1.5,), cutoff=4.0, switch=1.5, first=(0,), exponents1=(2.0,), exponents2=()
    )
    term = Term("modulus", (Field(0, Wavelet(0, 0, 0)),), exponent=2.0)
    transform = SitesTransform(settings, Channels.by_species(["Si"]), (SiteColumn(term, 0),), {})

    def factor(r):
        system = System.from_atoms(Atoms("SiSi", positions=[[0, 0, 0], [0.6 * r, 0, 0.8 * r]]))
        psi = 1.5**1.5 * real_space(1.5, 0, 0, system.positions[1:])[0][0, 0]
        energy = transform.evaluate(system, np.ones(1)).energy  # 2 (f_c ψ)²
        found = transform._around(system, HOST).fields()[1][0, 0] / psi
        assert np.sqrt(0.5 * max(0.0, energy)) / psi == pytest.approx(found, abs=1e-7)
        return found

    assert [factor(1.0), factor(2.4)] == pytest.approx([1.0, 1.0], rel=1e-12)
    assert factor(3.25) == pytest.approx(0.5, rel=1e-12)
    for t in (0.01, 0.02):
        rest = 10 * t**3 - 15 * t**4 + 6 * t**5
        assert 1.0 - factor(2.5 + 1.5 * t) == pytest.approx(rest, rel=1e-7)
        assert factor(4.0 - 1.5 * t) == pytest.approx(rest, rel=1e-7)
    assert factor(4.0 + 1e-9) == 0.0


def test_messages_go_as_far_as_two_cutoffs_and_no_farther():
    """Order 1 ends at one cutoff, order 2 at two."""

    def chain(end):
        return System.from_atoms(Atoms("Si3", positions=[[0, 0, 0], [2.4, 0, 0], [end, 0, 0]]))

    transform = SitesTransform.candidates(SMALL, Channels.by_species(["Si"])).calibrated([chain(4.4)])
    values = [
        {term: v[0] for term, v in transform._around(chain(end), HOST).features()}
        for end in (4.4, 4.8, 6.7, 7.0)
    ]
    second = {term for term in values[0] if term.second is not None}
    for term, found in values[0].items():
        others = [v[term] for v in values[1:]]
        if term not in second:
            assert others == [found] * 3
        assert others[1] == others[2]
    assert sum(abs(values[0][term] - values[1][term]) > 1e-3 for term in second) > len(second) // 2
    # The far atom feels no more of it than the first one does.
    assert not transform.evaluate(chain(6.7), np.ones(transform.n_columns)).forces[2].any()


# ---- bit for bit -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many():
    """Enough atoms for two threads, few columns."""
    atoms = rattled(bulk("SiC", "zincblende", a=4.36, cubic=True).repeat((3, 3, 1)))
    system = System.from_atoms(atoms)
    assert len(system) >= 2 * LEAST_PER_THREAD
    settings = replace(SMALL, scales=(1.0,), first=(2,), inner=(1,), outer=(1,))
    transform = make(system, settings)
    return system, transform, random_weights(transform, system)


def displaced(system, seed):
    """By nearly half of the skin, every atom in another direction."""
    step = np.random.default_rng(seed).normal(size=system.positions.shape)
    step *= 0.49 * SKIN / np.linalg.norm(step, axis=1)[:, None]
    return replace(system, positions=system.positions + step)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_same_bits_whatever_list_serves(many, n_threads):
    system, transform, weights = many
    with threads.limited(n_threads):
        CACHE.clear()
        fresh = transform.evaluate(system, weights)
        columns = transform.features(system)
        for seed in range(3):
            CACHE.clear()
            CACHE.neighbors(displaced(system, seed), transform.cutoff)
            built = CACHE.built
            assert same(transform.evaluate(system, weights), fresh)
            assert np.array_equal(transform.features(system), columns)
            assert CACHE.built == built


def test_the_same_bits_with_more_threads_and_twice(many):
    system, transform, weights = many
    results = []
    for n_threads in (1, 2, 2, 1, 3):
        with threads.limited(n_threads):
            results.append(transform.evaluate(system, weights))
        # Another structure in between, so that work space holds other things.
        transform.evaluate(displaced(system, 1), -3.0 * weights)
    assert all(same(result, results[0]) for result in results)


def test_the_same_bits_twice(case):
    system, transform, weights = case
    first = transform.evaluate(system, weights)
    assert same(transform.evaluate(system, weights), first)
    CACHE.clear()
    assert same(transform.evaluate(system, weights), first)


# ---- environments that distances and angles cannot tell apart ---------------------------------------


def manifold(sign):
    """Neighbours A, B, B′ and C± of a centre, at one distance: Pozdnyakov et al., Phys. Rev. Lett. 125,
    166001 (2020), fig. 1 (b).

    B and B′ are each other's image under half a turn about z, and so are C+ and C−; with A at right angles
    to them in the plane, A·C+ = A·C−. So C− is to B and B′ what C+ is to B′ and B: the distances between
    the neighbours, and the angles seen from the centre, are the same, but not which belong together.
    """
    a, b, c = np.array([0.7, -0.4, 0.5]), np.array([0.8, 0.0, -0.3]), np.array([0.4, 0.7, 0.2])
    half_turn = np.array([-1.0, -1.0, 1.0])
    assert a[:2] @ c[:2] == pytest.approx(0.0)
    around = np.array([a, b, b * half_turn, c if sign > 0 else c * half_turn])
    return around / np.linalg.norm(around, axis=1)[:, None]


def circle(sign):
    """Fig. 1 (a) of the same: angles of 45, 45, 90, 135, 135 and 180 degrees. (Sets of eighths of a turn
    with the same differences: Patterson, Phys. Rev. 65, 195 (1944).)"""
    angles = np.pi / 4 * np.array((0, 1, 3, 4) if sign > 0 else (0, 1, 2, 5))
    return np.c_[np.cos(angles), np.sin(angles), np.zeros(4)]


PAIRS = {"manifold": manifold, "circle": circle}


def at_centre(directions, transform):
    """Kind → values of its terms at the centre of an environment."""
    system = System.from_atoms(Atoms("CSi4", positions=np.vstack([np.zeros(3), 1.9 * directions])))
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for term, values in transform._around(system, HOST).features():
        found[term.kind].append(values[0])
    return {kind: np.array(values) for kind, values in found.items()}


@pytest.mark.parametrize("name", PAIRS)
def test_environments_that_distances_and_angles_do_not_tell_apart(name):
    one, two = (PAIRS[name](sign) for sign in (1, -1))
    # They are the same to pairs and triplets …
    assert sorted((one @ one.T)[np.triu_indices(4, 1)]) == pytest.approx(
        sorted((two @ two.T)[np.triu_indices(4, 1)]), abs=1e-12
    )
    # … but no rotation or reflection takes one to the other: that would keep all products, in some order.
    orders = [list(order) for order in permutations(range(4))]
    assert min(np.abs((two @ two.T)[o][:, o] - one @ one.T).max() for o in orders) > 0.1

    transform = SitesTransform.candidates(
        replace(SMALL, first=(6, 2), triple=4), Channels.by_species(["C", "Si"])
    )
    # The calibration is by another structure, so that it knows nothing of them.
    transform = transform.calibrated([case_of("alloy")[0]])
    columns, others = at_centre(one, transform), at_centre(two, transform)
    apart = {kind: np.abs(others[kind] - columns[kind]) / np.abs(columns[kind]).max() for kind in columns}
    # Distances and the power spectrum at the centre, mixed scales and radial orders included, agree.
    assert max(apart["modulus"].max(), apart["cross"].max()) < 1e-10
    # That is not for want of resolution: a neighbour moved a little along the sphere is seen.
    moved = two.copy()
    moved[3] += 0.05 * np.cross(moved[3], [0.0, 0.0, 1.0])
    moved[3] /= np.linalg.norm(moved[3])
    seen = at_centre(moved, transform)
    assert np.abs(seen["modulus"] - columns["modulus"]).max() > 1e-3 * columns["modulus"].max()
    assert np.abs(seen["cross"] - columns["cross"]).max() > 1e-3 * np.abs(columns["cross"]).max()
    # Order 2 tells them apart: the neighbours have other neighbours each.
    for kind in ("modulus2", "cross2"):
        assert apart[kind].max() > 1e-2
        assert (apart[kind] > 1e-4).sum() > 10
    # So do products of three: here the triangles that neighbours form differ, too.
    triangles = [
        sorted(
            tuple(sorted((d @ d.T)[i, j] for i, j in combinations(three, 2)))
            for three in combinations(range(4), 3)
        )
        for d in (one, two)
    ]
    assert np.abs(np.subtract(*triangles)).max() > 0.1
    assert apart["triple"].max() > 1e-2


# ---- what it consists of ---------------------------------------------------------------------------


def test_subset_has_the_same_columns(case):
    system, transform, weights = case
    indices = np.random.default_rng(4).permutation(transform.n_columns)[: transform.n_columns // 3].tolist()
    part = transform.subset(indices)
    assert part.columns == tuple(transform.columns[i] for i in indices)
    np.testing.assert_allclose(
        part.features(system), transform.features(system)[indices], rtol=1e-12, atol=1e-12
    )
    for whole, of_part in zip(transform.jacobian(system), part.jacobian(system), strict=True):
        np.testing.assert_allclose(of_part, whole[indices], rtol=0, atol=1e-12 * max(1, np.abs(whole).max()))
    alone = np.zeros(transform.n_columns)
    alone[indices] = weights[indices]
    values, expected = part.evaluate(system, weights[indices]), transform.evaluate(system, alone)
    size = np.abs(transform.features(system) * alone).sum()
    np.testing.assert_allclose(values.energies, expected.energies, rtol=0, atol=1e-11 * size)
    np.testing.assert_allclose(values.forces, expected.forces, rtol=0, atol=1e-11 * size)


@pytest.mark.parametrize("kind", KINDS)
def test_one_kind_of_columns_alone(kind):
    """Tables of the others are empty then; what is not needed is left out."""
    system, transform, weights = case_of("alloy")
    chosen = [k for k, c in enumerate(transform.terms) if c.term.kind == kind]
    part = transform.subset(chosen)
    plan = part._layout.plan
    assert (len(plan.source) == 0) == (kind not in ("modulus2", "cross2"))
    assert (len(plan.areas) == 0) == (kind != "triple")
    energy, forces, strain = sizes(system, part, weights[chosen])
    values = part.evaluate(system, weights[chosen])
    energies, expected, expected_strain = by_arrays(part, system, weights[chosen])
    np.testing.assert_allclose(values.energies, energies, rtol=0, atol=1e-12 * energy)
    np.testing.assert_allclose(values.forces, expected, rtol=0, atol=1e-12 * forces)
    np.testing.assert_allclose(values.strain_gradient, expected_strain, rtol=0, atol=1e-12 * strain)
    np.testing.assert_allclose(
        part.features(system), transform.features(system)[chosen], rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("name", ["alloy", "charges", "bcc"])
def test_files_are_bit_exact(name):
    system, transform, weights = case_of(name)
    again = transform_from_dict(json.loads(json.dumps(transform.to_dict(), allow_nan=False)))
    assert again == transform
    assert again.norms == transform.norms
    assert same(again.evaluate(system, weights), transform.evaluate(system, weights))
    assert np.array_equal(again.features(system), transform.features(system))
    assert again.to_dict() == transform.to_dict()


def test_labels_tell_columns_apart(case):
    _, transform, _ = case
    labels = [column.label for column in transform.columns]
    assert len(set(labels)) == len(labels) == transform.n_columns
    assert all(column.cost > 0 for column in transform.columns)


def test_labels_are_for_people():
    labels = [column.label for column in case_of("alloy")[1].columns]
    for label in (
        "sites S1 modulus[C β=0.8 p=0 l=0; q=1] at C",
        "sites S1 modulus[all β=1.2 p=1 l=1; q=1.5] at Si",
        "sites S1 cross[C β=0.8 p=0 l=2 · Si β=1.2 p=0 l=2] at C",
        "sites S1 triple[Si β=0.8 p=0 l=1 · Si β=0.8 p=0 l=1 · Si β=1.2 p=0 l=2] at Si",
        "sites S2 modulus2[Si β=0.8 p=0 l=1 → β=1.2 p=0 l=2; q=2] at C",
        "sites S2 cross2[Si β=0.8 p=0 l=1 → β=1.2 p=0 l=2 · Si β=0.8 p=0 l=2] at C",
    ):
        assert label in labels


def test_face_of_the_transform():
    system, transform, _ = case_of("alloy")
    assert transform.kind == "sites"
    assert transform.per_atom
    assert transform.invariant
    assert transform.elements == ("C", "Si")
    assert transform.cutoff == SMALL.cutoff
    assert transform.grid_shapes(system) is None
    assert transform.training_shapes(system, np.random.default_rng(0)) is None
    assert transform.for_training() is transform


def test_calibration_is_the_mean_over_all_atoms():
    """Of several structures, by number of atoms."""
    systems = [case_of(name)[0] for name in ("alloy", "molecule")]
    transform = SitesTransform.candidates(
        replace(SMALL, exponents1=(2.0,), exponents2=(2.0,)), Channels.by_species(["C", "Si"])
    ).calibrated(systems)
    squares = [k for k, c in enumerate(transform.terms) if c.term.exponent is not None]
    values = sum(transform.features(system) for system in systems)[squares].reshape(-1, 2).sum(axis=1)
    np.testing.assert_allclose(values / sum(map(len, systems)), 1.0, rtol=1e-10)


# ---- refusals --------------------------------------------------------------------------------------


def test_wrong_number_of_weights():
    system, transform, weights = case_of("alloy")
    for wrong in (weights[1:], np.append(weights, 0.0), weights[:, None], 1.0):
        for device in ("cpu", "strict"):
            with pytest.raises(InputError, match=f"{transform.n_columns} columns need as many weights"):
                transform.evaluate(system, wrong, Target(device=device))


def test_unknown_element_is_named():
    system, transform, weights = case_of("alloy")
    foreign = replace(system, numbers=np.where(np.arange(len(system)) == 1, 32, system.numbers))
    for use in (
        transform.features,
        transform.jacobian,
        lambda s: transform.evaluate(s, weights),
        lambda s: transform.calibrated([s]),
    ):
        with pytest.raises(UnknownElementError, match="Ge"):
            use(foreign)


def test_no_columns_at_all():
    with pytest.raises(InputError, match="no columns"):
        SitesTransform.candidates(replace(SMALL, first=(), inner=()), Channels.by_species(["Si"]))


def test_unknown_device_is_refused():
    system, transform, weights = case_of("alloy")
    with pytest.raises(InputError, match="tpu"):
        transform.evaluate(system, weights, Target(device="tpu"))
