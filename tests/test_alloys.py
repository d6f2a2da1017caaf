"""Fits of several elements: shared channels, a pool of columns, and what no data show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from ase_scatter import FitSettings
from ase_scatter.scattering.channels import Channels
from ase_scatter.structures.dataset import Frame
from ase_scatter.structures.system import System
from ase_scatter.training import pool, unseen
from ase_scatter.training.design_matrix import Problem
from ase_scatter.training.sketch import Sketch

ELEMENTS = ("Ni", "Pt")
SITES = {
    "first": (2,), "inner": (1,), "outer": (1,), "triple": 1, "exponents2": (1.0,), "cutoff": 4.4,
}  # fmt: skip
SETTINGS = FitSettings(sites=SITES, columns=40, members=0)


def frame_of(atoms: Atoms) -> Frame:
    atoms.calc = EMT()
    return Frame(System.from_atoms(atoms), atoms.get_potential_energy(), atoms.get_forces(), None, "")


@pytest.fixture(scope="module")
def binaries() -> list[Frame]:
    frames = []
    for k in range(24):
        rng = np.random.default_rng(k)
        atoms = bulk("Pd", "fcc", 3.9, cubic=True)
        atoms.symbols[:] = rng.choice(ELEMENTS, 4)
        atoms.rattle(0.08, rng=rng)
        frames.append(frame_of(atoms))
    return frames


@pytest.fixture(scope="module")
def problem(binaries: list[Frame]) -> Problem:
    return Problem(SETTINGS, ELEMENTS, binaries, 1, False)


def test_groups_and_periods_make_channels() -> None:
    found = FitSettings().make_channels(["W", "Nb", "Mo", "Ta"])
    assert found.elements == ("Nb", "Mo", "Ta", "W")
    assert found.names == ("all", "group", "period")
    assert found.weights == ((1, 1, 1, 1), (-1, 1, -1, 1), (-1, -1, 1, 1))
    # Fewer, or such as are not told apart, keep channels of their own.
    for others in (["Li", "Si"], ["H", "C", "N", "O"]):
        assert Channels.by_kinship(others) == Channels.by_species(others)


def test_a_pool_is_taken_of_many_columns(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pool.pooled(problem) is problem
    monkeypatch.setattr(pool, "LARGE", 50)
    monkeypatch.setattr(pool, "POOL", 30)
    asked: list[list[int]] = []
    narrowed = Problem.narrowed
    monkeypatch.setattr(Problem, "narrowed", lambda self, k: asked.append(list(k)) or narrowed(self, k))
    small = pool.pooled(problem)
    (kept,) = asked
    # So many beside the energies of the free atoms.
    assert small.n == len(kept) == 30
    assert small.width == problem.width - problem.n + 30
    for frame in problem.frames[:4]:
        mine, theirs = small.rows((0, frame)).matrix["force"], problem.rows((0, frame)).matrix["force"]
        assert np.allclose(mine[:, :30], theirs[:, kept], atol=1e-4)


def test_a_sketch_repels_and_has_the_right_forces(problem: Problem) -> None:
    sketch = Sketch.of(problem.frames, problem.elements, problem.free_atoms.energies)
    size = np.mean([np.abs(frame.forces).mean() for frame in problem.frames])
    assert sketch.errors[1] < 0.5 * size
    system = problem.frames[3].system
    _, forces = sketch.evaluate(system)
    for sign in (1, -1):
        positions = system.positions.copy()
        positions[1, 2] += sign * 1e-4
        energy = sketch.evaluate(replace(system, positions=positions))[0]
        forces[1, 2] += sign * energy / 2e-4
    assert abs(forces[1, 2]) < 1e-5
    for one in ELEMENTS:
        for other in ELEMENTS:
            pair = [
                sketch.evaluate(System.from_atoms(Atoms([one, other], [[0, 0, 0], [0, 0, r]])), False)[0]
                for r in (1.5, 2.0, 2.5)
            ]
            assert pair[0] > pair[1] > pair[2]


def test_what_no_data_show_repels(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unseen, "FRAMES", 4)
    monkeypatch.setattr(unseen, "CELLS", 20)
    rows = unseen.unseen_rows(problem)
    assert rows is not None
    regression = problem.regression()
    weights = regression.weights(rows, 1e-8, regression.choose(rows, 1e-8, 60))
    for a, one in enumerate(problem.elements):
        for b, other in enumerate(problem.elements):
            near = problem.closest[a, b]
            for x in (0.8, 0.9, 1.0):
                pair = System.from_atoms(Atoms([one, other], [[0, 0, 0], [0, 0, x * near]]))
                found = problem.rows((0, Frame(pair, 0.0, np.zeros((2, 3)), None, "")))
                forces = (found.matrix["force"] @ weights - found.target["force"]).reshape(2, 3)
                assert forces[0, 2] < 0 < forces[1, 2]


def test_molecules_have_no_such_rows(binaries: list[Frame]) -> None:
    alone = [replace(f, system=replace(f.system, pbc=np.array([False] * 3))) for f in binaries]
    assert unseen.unseen_rows(Problem(SETTINGS, ELEMENTS, alone, 1, False)) is None
