"""Columns on the grid and at the atoms, side by side."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import strict  # noqa: F401
from ase import Atoms
from ase.build import bulk

from ase_scatter.compute.target import Target
from ase_scatter.errors import InputError, UnknownElementError
from ase_scatter.scattering import (
    GridSettings,
    GridTransform,
    SitesSettings,
    SitesTransform,
    StackedTransform,
    transform_from_dict,
)
from ase_scatter.scattering.channels import Channels
from ase_scatter.structures.system import System

CHANNELS = Channels.by_species(["C", "Si"])
GRID = GridSettings(scales=(0.8, 1.1), first=(1,), inner=(0,), outer=(0,))
SITES = SitesSettings(scales=(0.8, 1.2), cutoff=3.5, switch=1.5, first=(2,), inner=(1,), outer=(1,), triple=2)


def crystal():
    atoms = bulk("SiC", "zincblende", a=4.36)
    atoms.rattle(0.1, seed=3)
    return System.from_atoms(atoms)


def molecule():
    return System.from_atoms(Atoms("SiCC", positions=[[0, 0.3, 0.1], [1.5, 0.2, 0.4], [-0.3, 1.6, -0.5]]))


@pytest.fixture(scope="module")
def parts():
    found = GridTransform.candidates(GRID, CHANNELS), SitesTransform.candidates(SITES, CHANNELS)
    return tuple(part.calibrated([crystal(), molecule()]) for part in found)


@pytest.fixture(scope="module")
def both(parts):
    return StackedTransform(parts)


@pytest.fixture(scope="module", params=[crystal, molecule])
def system(request):
    return request.param()


@pytest.fixture(scope="module")
def weights(both):
    return np.random.default_rng(0).normal(size=both.n_columns)


def same(a, b):
    """Bit for bit."""
    return (
        a.energy == b.energy
        and np.array_equal(a.forces, b.forces)
        and np.array_equal(a.strain_gradient, b.strain_gradient)
    )


def test_columns_stand_one_part_after_the_other(parts, both):
    grid, sites = parts
    assert both.n_columns == grid.n_columns + sites.n_columns
    assert both.columns == (*grid.columns, *sites.columns)
    labels = [column.label for column in both.columns]
    assert len(set(labels)) == len(labels)
    assert labels[0].startswith("grid")
    assert labels[-1].startswith("sites")
    assert both.elements == ("C", "Si")


def test_it_is_only_what_all_parts_are(parts, both):
    assert not both.per_atom
    assert not both.invariant
    assert both.kind == "both"
    alone = StackedTransform(parts[1:])
    assert alone.per_atom
    assert alone.invariant


@pytest.mark.parametrize(("device", "dtype"), [("cpu", "float64"), ("cpu", "float32"), ("strict", "float64")])
def test_values_are_those_of_the_parts(parts, both, system, weights, device, dtype):
    target = Target(device, dtype)
    grid, sites = parts
    columns = [part.features(system, target) for part in parts]
    assert np.array_equal(both.features(system, target), np.concatenate(columns))
    one = grid.evaluate(system, weights[: grid.n_columns], target)
    two = sites.evaluate(system, weights[grid.n_columns :], target)
    assert same(both.evaluate(system, weights, target), one + two)
    assert one.energy != 0.0
    assert two.energy != 0.0
    jacobians = [part.jacobian(system, target).on_host(target) for part in parts]
    for whole, first, second in zip(both.jacobian(system, target).on_host(target), *jacobians, strict=True):
        assert np.array_equal(whole, np.concatenate([first, second]))


def test_forward_adjoint_and_jacobian_agree(both, system, weights):
    columns, d_positions, d_strain = both.jacobian(system)
    values = both.evaluate(system, weights)
    size = np.abs(columns * weights).sum()
    assert values.energy == pytest.approx(columns @ weights, abs=1e-11 * size)
    np.testing.assert_allclose(
        values.forces, -np.einsum("k,kna->na", weights, d_positions), atol=1e-10 * size
    )
    strain = np.einsum("k,kab->ab", weights, d_strain)
    np.testing.assert_allclose(values.strain_gradient, (strain + strain.T) / 2, rtol=0, atol=1e-9 * size)


def test_energy_is_not_divided_among_atoms(parts, both, system, weights):
    """On the grid it cannot be; at the atoms alone it is."""
    grid, sites = parts
    assert both.evaluate(system, weights).energies is None
    of_sites = weights[grid.n_columns :]
    alone = StackedTransform((sites,)).evaluate(system, of_sites)
    assert np.array_equal(alone.energies, sites.evaluate(system, of_sites).energies)


def test_grids_are_those_of_the_part_that_has_any(parts, both, system, weights):
    grid, sites = parts
    shapes = both.grid_shapes(system)
    assert np.array_equal(shapes, grid.grid_shapes(system))
    assert StackedTransform((sites,)).grid_shapes(system) is None
    assert np.array_equal(StackedTransform((sites, grid)).grid_shapes(system), shapes)
    assert same(both.evaluate(system, weights, Target(grids=shapes)), both.evaluate(system, weights))
    # Other grids reach the part that has them: a little changes, and at the atoms nothing.
    finer = both.features(system, Target(grids=shapes + 4))
    n = grid.n_columns
    assert np.array_equal(finer[:n], grid.features(system, Target(grids=shapes + 4)))
    # Along open directions the grid goes with the box, whatever is given.
    assert np.array_equal(finer[:n], grid.features(system)) == (not system.pbc.any())
    assert np.array_equal(finer[n:], sites.features(system))


def test_subset_over_both_parts(parts, both, system, weights):
    grid, _ = parts
    n = grid.n_columns
    indices = [0, 3, n - 1, n, n + 4, both.n_columns - 1]
    chosen = both.subset(indices)
    assert isinstance(chosen, StackedTransform)
    assert [part.n_columns for part in chosen.parts] == [3, 3]
    assert chosen.columns == tuple(both.columns[i] for i in indices)
    np.testing.assert_allclose(chosen.features(system)[3:], both.features(system)[indices[3:]], rtol=1e-12)
    if system.pbc.all():  # fewer columns may do with a smaller box along open directions
        np.testing.assert_allclose(chosen.features(system), both.features(system)[indices], rtol=1e-12)


def test_subset_drops_parts_of_which_nothing_is_left(parts, both, system):
    grid, sites = parts
    n = grid.n_columns
    assert both.subset([1, 2]) == grid.subset([1, 2])
    assert both.subset([n + 1, n + 5]) == sites.subset([1, 5])
    assert both.subset([n + 1]).per_atom
    one = StackedTransform((*parts, sites)).subset([n, both.n_columns])
    assert [part.kind for part in one.parts] == ["sites", "sites"]
    assert np.array_equal(*one.features(system).reshape(2, 1))


@pytest.mark.parametrize("indices", [[1, 0], [50, 2]])
def test_subset_keeps_the_order(both, indices):
    with pytest.raises(InputError, match="in their own order"):
        both.subset(indices)


def test_files_are_bit_exact(both, system, weights):
    again = transform_from_dict(json.loads(json.dumps(both.to_dict(), allow_nan=False)))
    assert isinstance(again, StackedTransform)
    assert again == both
    assert same(again.evaluate(system, weights), both.evaluate(system, weights))
    assert again.to_dict() == both.to_dict()
    assert [part["kind"] for part in both.to_dict()["parts"]] == ["grid", "sites"]


def test_calibration_is_that_of_the_parts(parts):
    bare = StackedTransform(tuple(replace(part, norms={}) for part in parts))
    assert bare != StackedTransform(parts)
    assert bare.calibrated([crystal(), molecule()]) == StackedTransform(parts)


def test_training_is_that_of_the_parts(parts, both, system):
    grid, sites = parts
    assert both.for_training().parts == (grid.for_training(), sites)
    shapes = both.training_shapes(system, np.random.default_rng(1))
    assert np.array_equal(shapes, grid.training_shapes(system, np.random.default_rng(1)))
    assert StackedTransform((sites,)).training_shapes(system, np.random.default_rng(1)) is None
    assert both.deployed(both.for_training()) == StackedTransform((grid.deployed(grid.for_training()), sites))


def test_refusals(parts, both, system, weights):
    with pytest.raises(InputError, match="same elements"):
        StackedTransform((parts[0], SitesTransform.candidates(SITES, Channels.by_species(["Si"]))))
    for wrong in (weights[:-1], np.append(weights, 1.0), weights[None]):
        with pytest.raises(InputError, match=f"{both.n_columns} columns need as many weights"):
            both.evaluate(system, wrong)
    with pytest.raises(UnknownElementError, match="Ge"):
        both.features(replace(system, numbers=np.full(len(system), 32)))
