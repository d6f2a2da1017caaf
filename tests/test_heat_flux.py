"""The heat flux: by its definition, and as LAMMPS computes it."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from test_lammps import alloy, made_up, plugin, script  # noqa: F401

from ase_scatter import InputError, Model, System
from ase_scatter.engines.lammps.run import read_thermo, run
from ase_scatter.properties import heat_flux
from ase_scatter.properties.heat_flux import flux_virials_of


def cluster() -> Atoms:
    """Seven atoms, some of them neighbours of neighbours only, two in the repulsion's range."""
    rng = np.random.default_rng(4)
    chain = np.array(
        [[0, 0, 0], [2.4, 0.3, 0], [4.5, 1.4, 0.4], [6.9, 1.2, 1.5], [1.0, 2.2, 0.3], [0.9, 0.9, -1]]
    )
    atoms = Atoms("SiLiSiLiSiLi", chain)
    atoms.rattle(0.05, rng=rng)
    return atoms


@pytest.mark.parametrize(
    "model", ["LiSi", made_up(("Li", "Si"), first=(2,), inner=(1,), outer=(1,))], ids=str
)
def test_virials_are_those_of_the_definition(model):
    """W_k = −Σ_i (R_k − R_i) ⊗ ∂E_i/∂R_k, differentiated numerically."""
    model = Model.load(model) if isinstance(model, str) else model
    atoms, step = cluster(), 1e-4
    system = System.from_atoms(atoms)
    energies, virials = flux_virials_of(model, system)
    assert energies == pytest.approx(model.evaluate_one(system).energies)
    positions, expected = atoms.positions.copy(), np.zeros((len(atoms), 3, 3))
    for k in range(len(atoms)):
        for axis in range(3):
            ends = []
            for sign in (1, -1):
                atoms.positions[k, axis] = positions[k, axis] + sign * step
                ends.append(model.evaluate_one(System.from_atoms(atoms)).energies)
                atoms.positions[k, axis] = positions[k, axis]
            slope = (ends[0] - ends[1]) / (2 * step)
            expected[k, :, axis] = -(positions[k] - positions).T @ slope
    assert np.abs(virials - expected).max() < 1e-6 * np.abs(expected).max()


def test_virials_add_up_to_the_systems():
    system = System.from_atoms(alloy(["Li", "Si"], 3.6, 2))
    model = Model.load("LiSi")
    found = model.evaluate_one(system).strain_gradient
    assert np.abs(flux_virials_of(model, system)[1].sum(axis=0) + found).max() < 1e-9 * np.abs(found).max()


def test_a_whole_crystal_that_moves_carries_its_enthalpy():
    """J = (E + kinetic energy) v + W v for a common velocity v, with W the virial of the system."""
    model, atoms = Model.load("Si"), bulk("Si", cubic=True, a=5.3)
    atoms.rattle(0.1, seed=1)
    velocity = np.array([0.001, 0.002, -0.003])
    atoms.set_velocities(np.tile(velocity / units.fs, (len(atoms), 1)))
    found = model.evaluate_one(System.from_atoms(atoms))
    expected = (found.energy + atoms.get_kinetic_energy()) * velocity - found.strain_gradient @ velocity
    assert heat_flux(model, atoms).total == pytest.approx(expected, rel=1e-10)


def test_grids_are_refused():
    with pytest.raises(InputError, match="computes on a grid and has no energies of single atoms"):
        heat_flux(Model.load("Si-grid"), bulk("Si"))


@pytest.mark.parametrize(("name", "ranks"), [("Si", 1), ("LiSi", 4)])
def test_lammps_finds_the_same(name, ranks, plugin, tmp_path):  # noqa: F811
    atoms = bulk("Si", cubic=True) * (3, 3, 3) if name == "Si" else alloy(["Li", "Si"], 3.6, 2)
    atoms.rattle(0.1, seed=2)
    if name != "Si":
        atoms.set_cell(np.diag([26.0, 26.0, 28.0]), scale_atoms=True)  # LAMMPS turns other cells
    model = Model.load(name)
    atoms.set_velocities(np.random.default_rng(5).normal(size=(len(atoms), 3)) * 0.01 / units.fs)
    tail = (
        "compute ke all ke/atom\ncompute pe all pe/atom\ncompute st all centroid/stress/atom NULL virial\n"
        "compute j all heat/flux ke pe st\nthermo_style custom step c_j[*]\n"
        "thermo_modify format float %.17g\nrun 0"
    )
    masses = dict(zip(atoms.get_chemical_symbols(), atoms.get_masses().tolist(), strict=True))
    lines = [f"mass {k + 1} {masses[symbol]!r}" for k, symbol in enumerate(sorted(masses))]
    path = script(tmp_path, atoms, model, plugin, extra="\n".join(lines), tail=tail)
    with (tmp_path / "data").open("a") as data:
        data.write("\n\nVelocities\n\n")
        for k, velocity in enumerate((atoms.get_velocities() * 1e3 * units.fs).tolist()):
            data.write(f"{k + 1} {' '.join(map(repr, velocity))}\n")
    found = read_thermo(run(path, ranks=ranks, folder=tmp_path))[0]
    total, convective = (
        np.array([found[f"c_j[{k + 1}]"][0] for k in which]) for which in ((0, 1, 2), (3, 4, 5))
    )
    flux = heat_flux(model, atoms)
    assert convective == pytest.approx(1e3 * flux.convective, rel=1e-6)
    assert total - convective == pytest.approx(1e3 * flux.virial, rel=1e-6)
