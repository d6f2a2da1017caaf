"""Columns do not change below the shortest distances of the training data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_scatter.compute.target import HOST
from ase_scatter.scattering import SitesSettings, SitesTransform
from ase_scatter.scattering.channels import Channels
from ase_scatter.scattering.sites.plan import HELD, clamp
from ase_scatter.structures.system import System

SETTINGS = SitesSettings(
    scales=(0.7, 1.1), cutoff=4.0, first=(3, 1), inner=(1,), outer=(2,), triple=2, exponents1=(1.0, 2.0)
)
CLOSEST = ((1.9, 2.2), (2.2, 2.6))


def crowded() -> System:
    """Some pairs where columns are as always, some where they come to rest, some where they rest."""
    atoms = bulk("SiC", "zincblende", a=4.5, cubic=True)
    atoms.rattle(0.25, seed=3)
    return System.from_atoms(atoms)


@pytest.fixture(scope="module")
def transform() -> SitesTransform:
    found = SitesTransform.candidates(SETTINGS, Channels.by_species(["C", "Si"])).calibrated([crowded()])
    return replace(found, closest=CLOSEST)


def test_clamp_is_smooth_and_stops() -> None:
    closest = np.full(2001, 2.0)
    r = np.linspace(1.0, 3.0, 2001)
    f, rise = clamp(r, closest)
    np.testing.assert_allclose(np.gradient(f, r)[1:-1], rise[1:-1], atol=2e-3)
    assert np.array_equal(f[r > 2.0], r[r > 2.0])
    assert np.all(f[r < 2.0 * (1 - HELD)] == 2.0 * (1 - 0.5 * HELD))


def test_derivatives_where_columns_come_to_rest(transform: SitesTransform) -> None:
    system = crowded()
    weights = np.random.default_rng(0).normal(size=transform.n_columns)
    found = transform.evaluate(system, weights)
    h = 1e-4

    def energy(positions: np.ndarray, cell: np.ndarray = system.cell) -> float:
        return transform.evaluate(replace(system, positions=positions, cell=cell), weights).energy

    for atom, axis in ((0, 0), (3, 1), (6, 2)):
        step = np.zeros_like(system.positions)
        step[atom, axis] = h
        slope = (energy(system.positions + step) - energy(system.positions - step)) / (2 * h)
        assert found.forces[atom, axis] == pytest.approx(-slope, rel=1e-5, abs=1e-5)
    strain = np.zeros((3, 3))
    strain[0, 1] = strain[1, 0] = 0.5 * h
    up, down = np.eye(3) + strain, np.eye(3) - strain
    slope = energy(system.positions @ up, system.cell @ up) - energy(
        system.positions @ down, system.cell @ down
    )
    assert found.strain_gradient[0, 1] == pytest.approx(slope / (2 * h), rel=1e-5, abs=1e-5)


def test_arrays_and_jacobian_say_the_same(transform: SitesTransform) -> None:
    system = crowded()
    weights = np.random.default_rng(1).normal(size=transform.n_columns)
    compiled = transform.evaluate(system, weights)
    in_arrays = transform._around(system, HOST).evaluate(transform._weights(weights))
    np.testing.assert_allclose(in_arrays[1], compiled.forces, atol=1e-9 * np.abs(compiled.forces).max())
    strain = 0.5 * (in_arrays[2] + in_arrays[2].T)
    np.testing.assert_allclose(strain, compiled.strain_gradient, atol=1e-9 * np.abs(strain).max())
    values, d_positions, d_strain = transform.jacobian(system)
    assert values @ weights == pytest.approx(compiled.energy, rel=1e-10)
    forces = -np.einsum("c,cna->na", weights, d_positions)
    np.testing.assert_allclose(forces, compiled.forces, atol=1e-9 * np.abs(forces).max())
    jacobian_strain = np.einsum("c,cab->ab", weights, d_strain)
    np.testing.assert_allclose(jacobian_strain, compiled.strain_gradient, atol=1e-9 * np.abs(strain).max())


def test_dimer_feels_nothing_at_rest(transform: SitesTransform) -> None:
    weights = np.random.default_rng(2).normal(size=transform.n_columns)
    at = [
        transform.evaluate(System.from_atoms(Atoms("SiSi", positions=[[0, 0, 0], [0, 0, r]])), weights)
        for r in (0.5, 1.5, 2.0)
    ]
    assert at[0].energy == pytest.approx(at[2].energy, rel=1e-12)
    assert np.abs(at[1].forces).max() < 1e-10
    again = SitesTransform.from_dict(transform.to_dict())
    assert again.closest == CLOSEST
