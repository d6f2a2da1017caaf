"""The ZBL repulsion: closed form, derivatives, and the ends of its switch."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list

from ase_scatter.errors import InputError
from ase_scatter.model.model import Model
from ase_scatter.model.repulsion import ZBLRepulsion
from ase_scatter.structures.neighbors import CACHE
from ase_scatter.structures.system import System

PBC = [
    (True, True, True),
    (True, True, False),
    (False, True, False),
    (False, False, False),
]


def dimer(r: float, symbols: str = "LiSi") -> System:
    direction = np.array([1.0, 2.0, -2.0]) / 3.0
    return System.from_atoms(Atoms(symbols, positions=[np.zeros(3), r * direction]))


def zbl_by_hand(z1: int, z2: int, r: float) -> float:
    """The published formula, term by term, in eV and Å (e²/4πε₀ = 14.3996 eV Å)."""
    x = r * (z1**0.23 + z2**0.23) / 0.46850
    phi = 0.18175 * np.exp(-3.19980 * x) + 0.50986 * np.exp(-0.94229 * x)
    phi += 0.28022 * np.exp(-0.40290 * x) + 0.02817 * np.exp(-0.20162 * x)
    return 14.3996454 * z1 * z2 / r * phi


def moved(system: System, positions=None, strain=None) -> System:
    positions = system.positions if positions is None else positions
    deform = np.eye(3) if strain is None else np.eye(3) + strain
    return System(system.numbers, positions @ deform.T, system.cell @ deform.T, system.pbc)


@pytest.mark.parametrize("r", [0.1, 0.4, 0.8])
def test_dimer_closed_form_inside(r):
    core = ZBLRepulsion(("Li", "Si"), r_inner=0.9, r_outer=2.0)
    assert core.evaluate(dimer(r)).energy == pytest.approx(zbl_by_hand(3, 14, r), rel=1e-8)


def test_dimer_closed_form_within_the_switch():
    core = ZBLRepulsion(("Li", "Si"), r_inner=0.9, r_outer=2.0)
    # Halfway the switch is 1/2; at a quarter 1 − 10/64 + 15/256 − 6/1024.
    for t, switch in ((0.5, 0.5), (0.25, 1 - 10 / 64 + 15 / 256 - 6 / 1024)):
        r = 0.9 + t * 1.1
        expected = switch * zbl_by_hand(3, 14, r)
        assert core.evaluate(dimer(r)).energy == pytest.approx(expected, rel=1e-8)


def test_zero_beyond_r_outer():
    core = ZBLRepulsion(("Li", "Si"))
    r_outer = core.r_outer[0, 1]
    for r in (r_outer + 1e-12, r_outer + 1e-6, r_outer + 0.3, 50.0):
        values = core.evaluate(dimer(r))
        assert values.energy == 0.0
        assert not values.forces.any()
        assert not values.strain_gradient.any()
    assert core.evaluate(dimer(r_outer - 0.05)).energy > 0.0


def test_ranges_are_those_of_the_pair():
    r_outer = np.array([[3.0, 1.0], [1.0, 2.0]])
    core = ZBLRepulsion(("Li", "Si"), r_inner=0.5, r_outer=r_outer)
    assert core.evaluate(dimer(1.5, "Li2")).energy > 0
    assert core.evaluate(dimer(1.5, "SiSi")).energy > 0
    assert core.evaluate(dimer(1.5, "LiSi")).energy == 0
    assert core.evaluate(dimer(2.5, "Li2")).energy > 0
    assert core.evaluate(dimer(2.5, "SiSi")).energy == 0


@pytest.mark.parametrize(
    "atoms",
    [
        bulk("Li", "bcc", a=3.44),
        bulk("Si", a=5.43),
        bulk("Mo", a=3.16),
        bulk("W", a=3.17),
        bulk("Cu", a=3.61),
        bulk("NaCl", "rocksalt", a=5.64),
        bulk("C", a=3.567),
    ],
    ids=str,
)
def test_silent_at_bonding_distances(atoms):
    atoms.rattle(0.02, seed=1)
    core = ZBLRepulsion(sorted(set(atoms.get_chemical_symbols())))
    values = core.evaluate(System.from_atoms(atoms))
    assert values.energy == 0.0
    assert not values.forces.any()


@pytest.mark.parametrize("end", ["inner", "outer"])
def test_two_continuous_derivatives_at_the_ends(end):
    core = ZBLRepulsion(("Li", "Si"), r_inner=0.9, r_outer=2.0)
    at = {"inner": 0.9, "outer": 2.0}[end]

    def slope(r):
        return -core.evaluate(dimer(r)).forces[1] @ np.array([1.0, 2.0, -2.0]) / 3.0

    def curvature(r, h=1e-6):
        return (slope(r + h) - slope(r - h)) / (2 * h)

    scale = abs(curvature(1.3))
    for gap in (1e-3, 1e-4):
        # A continuous quantity's jump across the end shrinks with the gap.
        assert abs(slope(at + gap) - slope(at - gap)) < 40 * gap * scale
        assert abs(curvature(at + gap) - curvature(at - gap)) < 100 * gap * scale


@pytest.mark.parametrize("pbc", PBC, ids=str)
def test_forces_and_strain_gradient_by_finite_differences(crystal, pbc):
    crystal.pbc = pbc
    system = System.from_atoms(crystal)
    core = ZBLRepulsion(("Li", "Si"), r_inner=0.8, r_outer=3.1)
    values = core.evaluate(system)
    h = 1e-5
    numerical = np.empty((len(system), 3))
    for k in np.ndindex(numerical.shape):
        step = np.zeros_like(numerical)
        step[k] = h
        up, down = (core.evaluate(moved(system, system.positions + s)) for s in (step, -step))
        numerical[k] = -(up.energy - down.energy) / (2 * h)
    assert np.abs(values.forces).max() > 0.1
    assert values.forces == pytest.approx(numerical, abs=1e-6 * np.abs(numerical).max())

    gradient = np.empty((3, 3))
    for a, b in np.ndindex(3, 3):
        strain = np.zeros((3, 3))
        strain[a, b] += h / 2
        strain[b, a] += h / 2
        up, down = (core.evaluate(moved(system, strain=s)) for s in (strain, -strain))
        gradient[a, b] = (up.energy - down.energy) / (2 * h)
    assert np.abs(gradient).max() > 0.1
    assert values.strain_gradient == pytest.approx(gradient, abs=1e-6 * np.abs(gradient).max())


@pytest.mark.parametrize("pbc", PBC, ids=str)
def test_pairs_agree_with_ase(crystal, pbc):
    """All pairs with their images, atoms outside the cell and rows of open directions at zero."""
    crystal.pbc = pbc
    crystal.positions[::2] += crystal.cell[0] * pbc[0] - 2 * crystal.cell[1] * pbc[1]
    cell = crystal.cell[:]
    cell[~np.array(pbc)] = 0.0
    crystal.set_cell(cell)
    core = ZBLRepulsion(("Li", "Si"), r_inner=9.0, r_outer=9.5)
    expected = 0.0
    for i, j, r in zip(*neighbor_list("ijd", crystal, 9.0), strict=True):
        expected += 0.5 * zbl_by_hand(int(crystal.numbers[i]), int(crystal.numbers[j]), r)
    shell = neighbor_list("d", crystal, 9.5)
    tail = zbl_by_hand(14, 14, 9.0) * np.count_nonzero(shell > 9.0)
    energy = core.evaluate(System.from_atoms(crystal)).energy
    assert expected - 1e-7 * expected <= energy <= expected * (1 + 1e-7) + tail


def test_round_trip_is_exact(crystal):
    core = ZBLRepulsion(("Li", "Si"), r_outer=[[2.1, 1.9], [1.9, 1.7]])
    again = ZBLRepulsion.from_dict(core.to_dict())
    assert again.elements == core.elements
    system = System.from_atoms(crystal)
    assert again.evaluate(system).energy == core.evaluate(system).energy


@pytest.mark.parametrize(
    "arguments",
    [
        {"elements": ()},
        {"elements": ("Si", "Si")},
        {"elements": ("Q",)},
        {"elements": ("Si",), "r_inner": 2.0, "r_outer": 1.0},
        {"elements": ("Si",), "r_inner": -1.0},
        {"elements": ("Si",), "r_outer": float("nan")},
        {"elements": ("Li", "Si"), "r_outer": [1.0, 2.0]},
        {"elements": ("Li", "Si"), "r_outer": [[1.0, 2.0], [3.0, 1.0]]},
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(InputError):
        ZBLRepulsion(**arguments)


def test_unknown_element_and_kind_are_refused():
    with pytest.raises(InputError, match="Si"):
        ZBLRepulsion(("Si",)).evaluate(dimer(1.0))
    with pytest.raises(InputError, match="lennard"):
        ZBLRepulsion.from_dict({"kind": "lennard-jones"})


def test_the_repulsion_sets_in_whatever_was_computed_before():
    """Two atoms come nearer step by step: a list at hand spares the search, and changes no bit."""
    model = Model.load("Si")
    atoms = bulk("Si", cubic=True)
    energies = []
    for fresh in (False, True):
        moving = atoms.copy()
        found = []
        for _ in range(30):
            moving.positions[1] += 0.04 * (moving.positions[0] - moving.positions[1])
            if fresh:
                CACHE.clear()
            found.append(model.evaluate_one(System.from_atoms(moving)).energy)
        energies.append(found)
    assert energies[0] == energies[1]
    nearest = np.linalg.norm(moving.positions[1] - moving.positions[0])
    assert nearest < model.core.cutoff
