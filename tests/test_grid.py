"""The grid transform: closed forms, derivatives, symmetries."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scipy.fft
from ase import Atoms
from ase.build import bulk, diamond100
from scipy.spatial.transform import Rotation

from ase_scatter.compute.target import Target
from ase_scatter.errors import InputError, UnknownElementError
from ase_scatter.scattering import GridSettings, GridTransform, transform_from_dict
from ase_scatter.scattering.channels import Channels
from ase_scatter.scattering.grid import arrays
from ase_scatter.scattering.grid.columns import Column, Path
from ase_scatter.scattering.grid.plane_waves import Level
from ase_scatter.scattering.grid.strains import StrainSums
from ase_scatter.scattering.wavelets import Wavelet, real_space
from ase_scatter.structures.system import System

SMALL = GridSettings(scales=(0.7, 1.0), first=(3, 1), inner=(2,), outer=(1, 0))


def make(system, settings=SMALL):
    elements = ["C", "Si"] if set(system.numbers.tolist()) <= {6, 14} else ["Al", "Mo"]
    shaken = system.positions + np.random.default_rng(8).normal(scale=0.15, size=system.positions.shape)
    systems = [replace(system, positions=shaken)]
    return GridTransform.candidates(settings, Channels.by_species(elements)).calibrated(systems)


def rattled(atoms, amount=0.1):
    atoms = atoms.copy()
    atoms.rattle(amount, seed=3)
    return atoms


def sheared():
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
    "alloy": lambda: rattled(bulk("AlMo", "cesiumchloride", a=3.0)),
    "sheared": sheared,
    "slab": slab,
    "wire": wire,
    "molecule": molecule,
    "diamond": lambda: bulk("Si", "diamond", 5.43),
    "bcc": lambda: bulk("Mo", "bcc", 3.17, cubic=True),
    "fcc": lambda: bulk("Al", "fcc", 4.05),
}


@pytest.fixture(params=SYSTEMS, scope="module")
def case(request):
    """A system, its transform, weights that bring all columns to one size, and frozen grids."""
    system = System.from_atoms(SYSTEMS[request.param]())
    transform = make(system)
    values = np.abs(transform.features(system))
    weights = np.random.default_rng(0).normal(size=transform.n_columns) / np.maximum(
        values, 1e-3 * values.max()
    )
    return system, transform, weights, transform.grid_shapes(system)


def central(function, step):
    """Derivative at 0 by the five-point rule."""
    return (8 * (function(step) - function(-step)) - function(2 * step) + function(-2 * step)) / (12 * step)


# ---- closed forms ----------------------------------------------------------------------------------


def one_path(p, l, exponent=2.0, beta=0.7):
    """Order 1 alone, of one wavelet, with a band so wide that the window does nothing."""
    settings = GridSettings(scales=(beta,), band=40.0, spacing=0.12, exponents2=())
    column = Column(Path(0, Wavelet(0, p, l)), exponent)
    return GridTransform(settings, Channels.by_species(["Si"]), (column,), {})


@pytest.mark.parametrize(("p", "l"), [(0, 0), (1, 0), (0, 2), (1, 1)])
def test_one_atom_has_the_norm_of_its_wavelets(p, l):
    atom = System.from_atoms(Atoms("Si", positions=[[0.1, 0.2, 0.3]], cell=[9.0] * 3, pbc=True))
    # ∫ Σ_m ψ_lm² = 2l + 1; the window at band 40 takes 1e-5 away.
    assert one_path(p, l).features(atom)[0] == pytest.approx(2 * l + 1, rel=3e-4)


@pytest.mark.parametrize("distance", [0.8, 1.7, 2.6])
def test_two_atoms_overlap_like_gaussians(distance):
    beta = 0.7
    pair = System.from_atoms(Atoms("Si2", positions=[[0, 0, 0], [0, 0, distance]], cell=[10.0] * 3, pbc=True))
    expected = 2 + 2 * np.exp(-((distance / beta) ** 2) / 4)
    assert one_path(0, 0, beta=beta).features(pair)[0] == pytest.approx(expected, rel=1e-4)


def test_order_1_by_sums_in_real_space():
    """Every exponent, by brute force: fields summed over atoms and images on another grid."""
    atoms = rattled(bulk("Si", "diamond", 5.43))
    epsilon2, beta = 0.5, 0.7
    n = 26
    fractions = np.stack(np.meshgrid(*[np.arange(n) / n] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    points = fractions @ atoms.cell[:]
    images = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    field = 0.0
    for position in atoms.positions:
        for image in images @ atoms.cell[:]:
            vectors = points - position - image
            near = np.linalg.norm(vectors, axis=1) < 7 * beta
            part = np.zeros((5, len(points)))
            part[:, near] = real_space(beta, 0, 2, vectors[near])[0]
            field = field + part
    squares = (field**2).sum(axis=0)
    for exponent in (1.0, 1.5, 2.0, 3.0):
        rise = (squares + epsilon2) ** (exponent / 2) - epsilon2 ** (exponent / 2)
        expected = rise.mean() * atoms.get_volume()
        value = one_path(0, 2, exponent).features(System.from_atoms(atoms))[0]
        assert value == pytest.approx(expected, rel=2e-4)


def test_order_2_by_convolution():
    """g from order 1 on a fine grid, convolved with the second wavelet by a plain FFT."""
    atoms = rattled(bulk("Si", "diamond", 5.43, cubic=True))
    system = System.from_atoms(atoms)
    settings = GridSettings(scales=(0.7, 1.0), band=5.0, spacing=0.3)
    path = Path(0, Wavelet(0, 0, 1), Wavelet(1, 0, 1))
    columns = (Column(path, 1.0), Column(path, 2.0))
    transform = GridTransform(settings, Channels.by_species(["Si"]), columns, {})
    n = 40
    k = np.fft.fftfreq(n, 1 / n) * 2 * np.pi / atoms.cell[0, 0]
    waves = np.stack(np.meshgrid(k, k, k, indexing="ij"), axis=-1).reshape(-1, 3)
    density = np.exp(-1j * waves @ system.positions.T).sum(axis=1)

    def convolve(source, beta):
        from ase_scatter.scattering.wavelets import fourier_space

        psi = np.where(
            np.linalg.norm(waves, axis=1) < 5.0 / beta, fourier_space(beta, 0, 1, waves, 5.0)[0], 0
        )
        fields = [np.fft.ifftn((source * p).reshape(n, n, n)).real for p in psi]
        return sum(f**2 for f in fields) * (n**3 / system.volume) ** 2

    g = np.sqrt(convolve(density, 0.7) + 0.5) - np.sqrt(0.5)
    inner = np.fft.fftn(g).ravel() * system.volume / n**3
    squares = convolve(inner, 1.0)
    expected = [(np.sqrt(squares + 0.5) - np.sqrt(0.5)).mean(), squares.mean()]
    np.testing.assert_allclose(transform.features(system), np.array(expected) * system.volume, rtol=1e-5)


# ---- derivatives -----------------------------------------------------------------------------------


def test_forces(case):
    system, transform, weights, shapes = case
    forces = transform.evaluate(system, weights, Target(grids=shapes)).forces
    # What the columns would give without cancelling: at perfect crystals the forces are zero.
    scale = np.abs(transform.features(system, Target(grids=shapes)) * weights).sum() / len(system)
    atom = len(system) - 1
    for axis in range(3):

        def energy(step, axis=axis):
            positions = system.positions.copy()
            positions[atom, axis] += step
            moved = replace(system, positions=positions)
            return float(transform.features(moved, Target(grids=shapes)) @ weights)

        assert forces[atom, axis] == pytest.approx(-central(energy, 2e-3), abs=1e-8 * scale)

    # All atoms at once.
    direction = np.random.default_rng(4).normal(size=system.positions.shape)

    def along(step):
        moved = replace(system, positions=system.positions + step * direction)
        return float(transform.features(moved, Target(grids=shapes)) @ weights)

    work = -np.sum(forces * direction)
    assert work == pytest.approx(central(along, 1e-3), rel=1e-6, abs=1e-9 * scale)


def test_strain(case):
    system, transform, weights, shapes = case
    gradient = transform.evaluate(system, weights, Target(grids=shapes)).strain_gradient
    for a, b in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):

        def energy(step, a=a, b=b):
            strain = np.zeros((3, 3))
            strain[a, b] += step / 2
            strain[b, a] += step / 2
            move = np.eye(3) + strain
            strained = replace(system, positions=system.positions @ move, cell=system.cell @ move)
            return float(transform.features(strained, Target(grids=shapes)) @ weights)

        assert gradient[a, b] == pytest.approx(central(energy, 1e-3), abs=1e-6 * np.abs(gradient).max())


@pytest.mark.parametrize("name", ["diamond", "bcc", "fcc"])
def test_curvature_at_perfect_crystals(name):
    """Elastic constants and phonons are smooth where fields vanish by symmetry."""
    atoms = SYSTEMS[name]()
    if name == "fcc":
        atoms = atoms.repeat((1, 1, 2))  # one atom alone would not move against others
    system = System.from_atoms(atoms)
    transform = make(system)
    weights = np.random.default_rng(0).normal(size=transform.n_columns) / transform.n_columns
    shapes = transform.grid_shapes(system)
    shear = np.array([[0.0, 0.5, 0.0], [0.5, 0.0, 0.2], [0.0, 0.2, 0.3]])
    moves = np.zeros((len(system), 3))
    moves[0] = [0.3, -0.8, 0.5]

    def strained(step):
        move = np.eye(3) + step * shear
        return replace(system, positions=system.positions @ move, cell=system.cell @ move)

    def displaced(step):
        return replace(system, positions=system.positions + step * moves)

    def slope(at, change, step):
        values = transform.evaluate(at(step), weights, Target(grids=shapes))
        if at is displaced:
            return -np.sum(values.forces * change)
        # d/ds of (1 + s·shear): the strain rate in the strained frame.
        return np.sum(values.strain_gradient * (change @ np.linalg.inv(np.eye(3) + step * change)))

    for at, change in ((strained, shear), (displaced, moves)):
        fine, coarse = (central(lambda s, at=at, c=change: slope(at, c, s), h) for h in (1e-3, 4e-3))
        assert abs(fine) > 1e-3
        assert coarse == pytest.approx(fine, rel=1e-5)
        energies = [energy_of(transform, at(h), weights, shapes) for h in (-1e-2, -5e-3, 0.0, 5e-3, 1e-2)]
        by_energy = np.array([-1, 16, -30, 16, -1]) @ energies / (12 * 5e-3**2)
        assert by_energy == pytest.approx(fine, rel=1e-3)


def test_forward_adjoint_and_jacobian_agree(case):
    system, transform, weights, shapes = case
    values = transform.evaluate(system, weights, Target(grids=shapes))
    jacobian = transform.jacobian(system, Target(grids=shapes))
    np.testing.assert_allclose(transform.features(system, Target(grids=shapes)), jacobian.values, rtol=1e-12)
    assert values.energy == pytest.approx(jacobian.values @ weights, rel=1e-10)
    forces = -np.einsum("nja,n->ja", jacobian.d_positions, weights)
    np.testing.assert_allclose(values.forces, forces, atol=1e-9)
    strain = np.einsum("nab,n->ab", jacobian.d_strain, weights)
    np.testing.assert_allclose(values.strain_gradient, (strain + strain.T) / 2, atol=1e-8)


def test_float32_is_close(case):
    system, transform, _, shapes = case
    # Unit weights: no column is blown up that symmetry makes nearly zero.
    weights = np.ones(transform.n_columns)
    full = transform.evaluate(system, weights, Target(grids=shapes))
    half = transform.evaluate(system, weights, Target(dtype="float32", grids=shapes))
    size = transform.features(system, Target(grids=shapes)).sum() / len(system)
    assert half.energy == pytest.approx(full.energy, rel=1e-5)
    assert half.forces.dtype == np.float64
    np.testing.assert_allclose(half.forces, full.forces, atol=3e-6 * size)


# ---- symmetries ------------------------------------------------------------------------------------


def energy_of(transform, system, weights, shapes=None):
    return float(transform.features(system, Target(grids=shapes)) @ weights)


def test_rotation_of_atoms_and_cell(case):
    system, transform, weights, shapes = case
    if not system.pbc.all():
        pytest.skip("open directions turn against the grid; see test_open_systems_turn")
    turn = Rotation.random(rng=np.random.default_rng(2)).as_matrix()
    turned = replace(system, positions=system.positions @ turn.T, cell=system.cell @ turn.T)
    expected = transform.evaluate(system, weights, Target(grids=shapes))
    values = transform.evaluate(turned, weights, Target(grids=shapes))
    assert values.energy == pytest.approx(expected.energy, rel=1e-10)
    np.testing.assert_allclose(values.forces, expected.forces @ turn.T, atol=1e-9)
    np.testing.assert_allclose(values.strain_gradient, turn @ expected.strain_gradient @ turn.T, atol=1e-8)


def test_open_systems_turn():
    system = System.from_atoms(molecule())
    transform = make(system)
    turn = Rotation.random(rng=np.random.default_rng(2)).as_matrix()
    turned = replace(system, positions=system.positions @ turn.T)
    np.testing.assert_allclose(transform.features(turned), transform.features(system), rtol=2e-3)


def test_permutation_and_lattice_shifts(case):
    system, transform, weights, shapes = case
    order = np.random.default_rng(5).permutation(len(system))
    shifts = np.random.default_rng(6).integers(-3, 4, size=(len(system), 3)) * system.pbc
    moved = replace(
        system, numbers=system.numbers[order], positions=(system.positions + shifts @ system.cell)[order]
    )
    expected = energy_of(transform, system, weights, shapes)
    assert energy_of(transform, moved, weights, shapes) == pytest.approx(expected, rel=1e-10)
    permuted = replace(system, numbers=system.numbers[order], positions=system.positions[order])
    assert energy_of(transform, permuted, weights, shapes) == pytest.approx(expected, rel=1e-10)


def test_open_directions_do_not_see_where_the_structure_is(case):
    system, transform, weights, _ = case
    if system.pbc.all():
        pytest.skip("periodic in all directions")
    normals = transform.grids.box(system).normals
    there = replace(system, positions=system.positions + np.array([1.23, -4.5, 0.7]) @ normals.T @ normals)
    expected = transform.evaluate(system, weights)
    values = transform.evaluate(there, weights)
    assert values.energy == pytest.approx(expected.energy, rel=1e-10)
    np.testing.assert_allclose(values.forces, expected.forces, atol=1e-8)
    np.testing.assert_allclose(values.forces.sum(axis=0) @ normals.T, 0.0, atol=1e-10)


def test_supercell_is_so_many_cells():
    atoms = rattled(bulk("Si", "diamond", 5.43))
    small, large = System.from_atoms(atoms), System.from_atoms(atoms.repeat(2))
    transform = make(small)
    shapes = transform.grid_shapes(small)
    weights = np.random.default_rng(0).normal(size=transform.n_columns)
    one = transform.evaluate(small, weights, Target(grids=shapes))
    all_eight = transform.evaluate(large, weights, Target(grids=2 * shapes))
    np.testing.assert_allclose(
        transform.features(large, Target(grids=2 * shapes)),
        8 * transform.features(small, Target(grids=shapes)),
        rtol=1e-8,
    )
    assert all_eight.energy == pytest.approx(8 * one.energy, rel=1e-8)
    np.testing.assert_allclose(all_eight.forces, np.tile(one.forces, (8, 1)), atol=1e-9)
    np.testing.assert_allclose(all_eight.strain_gradient, 8 * one.strain_gradient, rtol=1e-8, atol=1e-8)


def test_rigid_translation():
    """Nothing for q = 2 at order 1, whose integral the grid does exactly; little for the others."""
    system = System.from_atoms(rattled(bulk("Si", "diamond", 5.43)))
    settings = replace(SMALL, exponents1=(1.0, 2.0))
    transform = GridTransform.candidates(settings, Channels.by_species(["Si"])).calibrated([system])
    exact = np.array([path.second is None and q == 2.0 for path, q in transform.paths])
    expected = transform.features(system)
    for seed in range(3):
        shift = np.random.default_rng(seed).uniform(0.0, 1.0, size=3)
        values = transform.features(replace(system, positions=system.positions + shift))
        np.testing.assert_allclose(values[exact], expected[exact], rtol=1e-11)
        np.testing.assert_allclose(values, expected, rtol=3e-3)


def test_given_vacuum_does_not_matter_along_open_directions():
    atoms = slab()
    system = System.from_atoms(atoms)
    transform = make(system)
    more = replace(system, cell=system.cell * [[1.0], [1.0], [2.0]])
    np.testing.assert_array_equal(transform.features(more), transform.features(system))
    none = replace(system, cell=system.cell * [[1.0], [1.0], [0.0]])
    np.testing.assert_array_equal(transform.features(none), transform.features(system))


def test_padding_keeps_images_away():
    """An open direction gives what a periodic one gives with far more vacuum."""
    system = System.from_atoms(Atoms("Si2", positions=[[0, 0, 0], [0, 0, 2.3]]))
    transform = make(system)
    box = transform.grids.box(system)
    wide = replace(
        system, positions=box.place(system.positions), cell=2 * box.vectors, pbc=np.array([True] * 3)
    )
    shapes = 2 * transform.grid_shapes(system)
    np.testing.assert_allclose(
        transform.features(wide, Target(grids=shapes)),
        transform.features(system),
        rtol=1e-5,
        atol=1e-6,
    )


def test_periodic_vacuum_adds_nothing():
    """A slab that is periodic along its normal as well, with twice the vacuum."""
    atoms = rattled(diamond100("Si", (1, 1, 3), a=5.43, vacuum=8.0))
    atoms.pbc = True
    system = System.from_atoms(atoms)
    transform = make(system)
    shapes = transform.grid_shapes(system)
    more = replace(system, cell=system.cell * [[1.0], [1.0], [2.0]])
    twice = transform.features(more, Target(grids=shapes * [1, 1, 2]))
    np.testing.assert_allclose(twice, transform.features(system, Target(grids=shapes)), rtol=1e-6, atol=1e-7)


def test_fewer_columns_in_a_smaller_box():
    """Columns of short reach alone get less vacuum, and see their images no more for it."""
    system = System.from_atoms(molecule())
    transform = make(system)
    values = transform.features(system)
    for index in (
        0,
        1,
        2,
        next(i for i, (p, q) in enumerate(transform.paths) if p.first.scale == 1 and q == 2),
    ):
        part = transform.subset([index])
        assert part.grids.padding < transform.grids.padding
        assert part.features(system)[0] == pytest.approx(values[index], rel=1e-4)


def test_a_box_that_grows_by_a_step():
    """Energy and forces as a molecule is stretched past the length where its box gets longer."""

    def pair(distance):
        return System.from_atoms(Atoms("Si2", positions=[[0, 0, 0], [0, 0, distance]]))

    transform = make(pair(2.3))
    weights = np.random.default_rng(0).normal(size=transform.n_columns)
    padding, step = transform.grids.padding, transform.grids.step
    edge = np.ceil((2.3 + padding) / step) * step - padding
    before, after = pair(edge - 1e-9), pair(edge + 1e-9)
    assert np.all(transform.grids.box(after).steps >= transform.grids.box(before).steps)
    assert transform.grids.box(after).volume > transform.grids.box(before).volume
    one, two = (transform.evaluate(system, weights) for system in (before, after))
    size = np.abs(transform.features(before) * weights).sum()
    assert two.energy == pytest.approx(one.energy, abs=1e-7 * size)
    np.testing.assert_allclose(two.forces, one.forces, atol=1e-7 * size)


def test_molecules_far_apart_add():
    atoms = Atoms("Si2", positions=[[0, 0, 0], [0, 0, 2.3]])
    both = atoms.copy()
    # A whole number of steps apart, so that both sit alike on the grid.
    transform = make(System.from_atoms(atoms))
    step = transform.grids.step
    both.positions += [16 * step, 0, 0]
    both += atoms
    one, two = (System.from_atoms(a) for a in (atoms, both))
    np.testing.assert_allclose(transform.features(two), 2 * transform.features(one), rtol=2e-3, atol=1e-4)


def test_same_bits_twice(case):
    system, transform, weights, _ = case
    first, second = transform.evaluate(system, weights), transform.evaluate(system, weights)
    assert first.energy == second.energy
    assert np.array_equal(first.forces, second.forces)


# ---- what it consists of ---------------------------------------------------------------------------


def test_subset_and_file(case):
    system, transform, _, _ = case
    indices = [0, 5, transform.n_columns - 1, 7]
    part = transform.subset(indices)
    np.testing.assert_allclose(part.features(system), transform.features(system)[indices], rtol=1e-12)
    again = transform_from_dict(part.to_dict())
    assert again == part
    assert np.array_equal(again.features(system), part.features(system))


def test_calibration_makes_the_mean_square_one():
    system = System.from_atoms(rattled(bulk("Si", "diamond", 5.43)))
    transform = GridTransform.candidates(SMALL, Channels.by_species(["C", "Si"])).calibrated([system])
    q2 = [
        i for i, column in enumerate(transform.paths) if column.exponent == 2.0 and column.path.channel == 1
    ]
    assert len(q2) > 10
    np.testing.assert_allclose(transform.features(system)[q2] / system.volume, 1.0, rtol=1e-9)


def test_calibration_on_a_perfect_crystal_has_no_zeros():
    system = System.from_atoms(bulk("Mo", "bcc", 3.17))
    transform = GridTransform.candidates(SMALL, Channels.by_species(["Mo"])).calibrated([system])
    norms = np.array(list(transform.norms.values()))
    assert np.isfinite(transform.features(system)).all()
    assert norms.min() > 0


def test_labels_tell_columns_apart():
    transform = GridTransform.candidates(SMALL, Channels.by_species(["Si", "C"]))
    labels = [column.label for column in transform.columns]
    assert len(set(labels)) == len(labels) == transform.n_columns
    assert labels[0] == "grid S1[C; β=0.7 p=0 l=0; q=1]"
    assert all(path.second is None or path.second.scale >= path.first.scale for path, _ in transform.paths)


def test_grid_frozen_too_coarse_is_refused():
    system = System.from_atoms(bulk("Si", "diamond", 5.43))
    transform = make(system)
    shapes = transform.grid_shapes(system)
    larger = replace(system, cell=2 * system.cell, positions=2 * system.positions)
    with pytest.raises(InputError, match="too coarse"):
        transform.features(larger, Target(grids=shapes))
    with pytest.raises(InputError, match="grid_shape"):
        transform.features(system, Target(grids=shapes[0]))


def test_unknown_element_is_named():
    system = System.from_atoms(bulk("Si"))
    with pytest.raises(UnknownElementError, match="Ge"):
        make(system).features(replace(system, numbers=np.array([14, 32])))


@pytest.mark.parametrize(
    "wrong",
    [
        {"scales": (1.0, 0.5)},
        {"scales": (-1.0,)},
        {"scales": (float("nan"),)},
        {"epsilon2": 0.0},
        {"epsilon2": float("nan")},
        {"band": float("nan")},
        {"spacing": 0.0},
        {"exponents1": (0.0,)},
    ],
)
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(InputError):
        GridSettings(**wrong)


def test_wrong_number_of_weights():
    system = System.from_atoms(bulk("Si"))
    with pytest.raises(InputError, match="weights"):
        make(system).evaluate(system, np.ones(3))


# ---- several rows of weights ---------------------------------------------------------------------------


@pytest.fixture
def n_ffts(monkeypatch):
    """Number of fields that were transformed, counted along the last axis."""
    counted = {"rfft": 0, "irfft": 0}

    def count(name):
        function = getattr(scipy.fft, name)

        def call(array, *arguments, **keywords):
            counted[name] += len(array)
            return function(array, *arguments, **keywords)

        monkeypatch.setattr(scipy.fft, name, call)

    count("rfft")
    count("irfft")
    return counted


def test_overlaps_are_summed_as_far_as_there_is_room(monkeypatch):
    """They are contracted once for each scale and degree, or wavelet by wavelet."""
    system = System.from_atoms(SYSTEMS["sheared"]())
    transform = make(system)
    rows = np.random.default_rng(6).normal(size=(2, transform.n_columns))
    rows[0, ::3] = 0.0
    contracted = []
    strain = Level.strain

    def counted(*given):
        contracted[-1] += 1
        return strain(*given)

    monkeypatch.setattr(Level, "strain", counted)
    found = []
    for held in (1 << 23, 3000, 0):
        contracted.append(0)
        monkeypatch.setattr(arrays, "StrainSums", partial(StrainSums, held=held))
        found.append([row.strain_gradient for row in transform.sample(system).evaluate(rows)])
    least, some, most = contracted
    degrees = [(i, l) for i, orders in transform.tree.orders.items() for l in {l for _, l in orders}]
    assert len(degrees) == least < some < most
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-11, atol=1e-12 * np.abs(found).max())


@pytest.mark.parametrize("n_rows", [2, 5])
def test_rows_together_are_the_rows_one_by_one(case, n_rows):
    """Fewer rows than exponents and more, with columns that no row or only some rows weigh."""
    system, transform, weights, _ = case
    rng = np.random.default_rng(5)
    rows = weights * rng.normal(size=(n_rows, transform.n_columns))
    rows[:, rng.random(transform.n_columns) < 0.2] = 0.0
    rows[0, ::3] = 0.0
    together = transform.sample(system).evaluate(rows)
    assert len(together) == n_rows
    for row, found in zip(rows, together, strict=True):
        size = np.abs(row * transform.features(system)).sum()
        (alone,) = transform.sample(system).evaluate(row[None])
        assert found.energy == pytest.approx(alone.energy, abs=1e-12 * size)
        np.testing.assert_allclose(found.forces, alone.forces, atol=1e-12 * size)
        np.testing.assert_allclose(found.strain_gradient, alone.strain_gradient, atol=1e-11 * size)


def test_rows_share_the_fields(n_ffts):
    """Fields are made once; order 2 comes back once per column, and order 1 once per row."""
    system = System.from_atoms(SYSTEMS["alloy"]())
    settings = replace(SMALL, scales=(0.7,), exponents1=(1.0,), first=(1,), inner=(1,), outer=(1,))
    transform = make(system, settings)
    n_inner = len(transform.channels.names) * 2  # every modulus goes on
    fields1 = len(transform.channels.names) * (1 + 3)
    fields2 = n_inner * (1 + 3)

    def count(n_rows):
        n_ffts.update(rfft=0, irfft=0)
        transform.sample(system).evaluate(np.ones((n_rows, transform.n_columns)))
        return n_ffts["irfft"], n_ffts["rfft"]

    assert transform.n_columns == n_inner * (1 + 2 * 2)
    assert count(1) == (fields1 + fields2 + n_inner, n_inner + fields2 + fields1)
    # Two exponents per path: with two rows either way is the same.
    assert count(2) == (fields1 + fields2 + 2 * n_inner, n_inner + 2 * fields2 + 2 * fields1)
    assert count(9) == (fields1 + fields2 + 9 * n_inner, n_inner + 2 * fields2 + 9 * fields1)
