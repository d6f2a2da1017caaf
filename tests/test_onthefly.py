"""Learning while running: calls of the reference are few, kept, and never made twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

import ase_scatter
from ase_scatter import InputError, LearningCalculator, LearningSettings, learn_barrier
from ase_scatter.onthefly.conformal import Conformal
from ase_scatter.onthefly.learner import Learner
from ase_scatter.onthefly.posterior import Posterior
from ase_scatter.onthefly.session import Session
from ase_scatter.properties import hop_end_points
from ase_scatter.structures.dataset import Frame
from ase_scatter.structures.system import System
from ase_scatter.training.normal_equations import NormalEquations

SETTINGS = LearningSettings(columns=150)


class Counting(EMT):
    """EMT that counts, and does as it is told."""

    def __init__(self, *, fails=(), stress=1.0):
        super().__init__()
        self.calls, self.fails, self.sign = 0, fails, stress

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        if "positions" in system_changes or "cell" in system_changes:
            self.calls += 1
            if self.calls in self.fails:
                raise RuntimeError("SCF not converged")
        super().calculate(atoms, properties, system_changes)
        if "stress" in self.results and system_changes:
            self.results["stress"] = self.sign * self.results["stress"]


def copper(seed=0, amount=0.08, repeat=2) -> Atoms:
    atoms = bulk("Cu", cubic=True).repeat((repeat, 1, 1))
    atoms.rattle(amount, seed=seed)
    return atoms


def frame(atoms) -> Frame:
    atoms = atoms.copy()
    atoms.calc = EMT()
    return Frame(
        System.from_atoms(atoms), atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    )


# ---- the regression --------------------------------------------------------------------------------------


def test_the_posterior_is_that_of_the_formula():
    rng = np.random.default_rng(0)
    rows, truth = rng.normal(size=(40, 12)), rng.normal(size=12)
    target = rows @ truth + 0.5 * rng.normal(size=40)
    size = np.mean(rows**2, axis=0)
    found = Posterior.of(NormalEquations.of(rows, target), size)
    precision = found.beta * rows.T @ rows + found.alpha * np.diag(size)
    np.testing.assert_allclose(found.weights, np.linalg.solve(precision, found.beta * rows.T @ target))
    covariance = np.linalg.inv(precision)
    np.testing.assert_allclose(found.spread(rows) ** 2, np.diag(rows @ covariance @ rows.T))
    assert found.noise == pytest.approx(0.5, rel=0.3)
    draws = found.draws(4000, 0)
    np.testing.assert_allclose(draws.mean(axis=0), found.weights, atol=1e-12)
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.1 * np.abs(covariance).max())
    more = NormalEquations.of(np.concatenate([rows, rows[:3]]), np.concatenate([target, target[:3]]))
    gained = np.linalg.slogdet(found.beta * more.gram + found.alpha * np.diag(size))[1]
    assert found.gain(rows[:3]) == pytest.approx(0.5 * (gained - np.linalg.slogdet(precision)[1]))


def test_factors_follow_the_checks():
    factor = Conformal()
    rng = np.random.default_rng(1)
    for _ in range(40):
        factor.add(3.0 * rng.normal(size=90), np.ones(90))
    assert factor.factor == pytest.approx(3 * 1.645, rel=0.08)
    for _ in range(60):
        factor.add(rng.normal(size=90), np.ones(90))
    assert factor.factor == pytest.approx(1.645, rel=0.08)


def test_frames_are_learnt_one_by_one():
    """Errors fall, nine of ten lie within the half-widths after ten frames, and the model is the learner."""
    frames = [frame(copper(seed)) for seed in range(20)]
    learner = Learner([frames[0].system], SETTINGS)
    errors, inside = [], []
    for k, each in enumerate(frames):
        if k:
            (judged,) = learner.judge([each.system])
            wrong = np.abs(judged.forces - each.forces)
            errors.append(wrong.mean())
            inside.append(np.mean(wrong <= judged.force_half_widths[:, None]))
        began = time.process_time()
        learner.add(each)
        took = time.process_time() - began
    assert np.mean(errors[-5:]) < 0.02 < errors[0]
    assert np.mean(inside[9:]) > 0.85
    assert took < 1.0
    (judged,) = learner.judge([frames[3].system])
    np.testing.assert_allclose(judged.forces, learner.model.evaluate_one(frames[3].system).forces)
    rows = learner.basis.rows(frames[3].system)
    predicted = (rows.matrix @ learner.posterior.weights + rows.known) * rows.sigma
    assert predicted[0] == pytest.approx(judged.energy, abs=1e-6)
    np.testing.assert_allclose(predicted[rows.forces], judged.forces.ravel(), atol=1e-8)
    np.testing.assert_allclose(predicted[rows.stress], judged.stress, atol=1e-9)


def test_what_is_outside_is_seen():
    learner = Learner([frame(copper()).system], SETTINGS)
    for seed in range(4):
        learner.add(frame(copper(seed)))
    near = copper()
    near.positions[1] = near.positions[0] + [1.5, 0, 0]
    assert "1.50 Å apart" in learner.judge([System.from_atoms(near)])[0].outside
    thin = copper()
    thin.set_cell(thin.cell * 1.25, scale_atoms=True)
    assert "few neighbours" in learner.judge([System.from_atoms(thin)])[0].outside
    with pytest.raises(InputError, match="holds Al, which is not among Cu"):
        learner.add(frame(bulk("Al", cubic=True)))


# ---- the calculator and its store ------------------------------------------------------------------------


def test_the_calculator_asks_where_it_is_unsure(tmp_path):
    reference = Counting()
    calculator = LearningCalculator(reference, store=tmp_path / "store", settings=SETTINGS)
    atoms = copper()
    atoms.calc = calculator
    rng = np.random.default_rng(0)
    for _ in range(40):
        atoms.positions += rng.normal(0, 0.02, atoms.positions.shape)
        atoms.get_forces()
    assert calculator.n_reference == reference.calls == len(calculator.dataset)
    assert 1 < calculator.n_reference < 15
    truth = atoms.copy()
    truth.calc = EMT()
    off = np.abs(truth.get_forces() - atoms.get_forces())
    # Nine of ten are promised.
    assert np.mean(off < calculator.force_tolerance) >= 0.8
    assert off.max() < 3 * calculator.force_tolerance
    assert atoms.get_stress() == pytest.approx(truth.get_stress(), abs=0.005)
    assert [event.what for event in calculator.log].count("reference") == calculator.n_reference
    # Another run knows all of it, to the last bit.
    again = LearningCalculator(Counting(), store=tmp_path / "store", settings=SETTINGS)
    atoms.calc = again
    energy = atoms.get_potential_energy()
    assert again.n_reference == 0
    assert energy == pytest.approx(truth.get_potential_energy(), abs=0.02)
    for mine, other in zip(again.dataset, calculator.dataset, strict=True):
        np.testing.assert_array_equal(mine.forces, other.forces)
    assert len(ase_scatter.read_store(tmp_path / "store")) == calculator.n_reference


def test_several_structures_are_asked_about_at_once():
    structures = [copper(seed) for seed in range(6)]
    with ThreadPoolExecutor(2) as executor:
        calculator = LearningCalculator(EMT, settings=SETTINGS, executor=executor)
        found = calculator.evaluate_many(structures)
    assert 1 < calculator.n_reference <= 6
    for atoms, results in zip(structures, found, strict=True):
        assert np.abs(results["forces"] - frame(atoms).forces).max() < 0.15
    members = calculator.evaluate_with_members(structures)[0][1]
    assert len(members) == SETTINGS.members


def test_failures_are_skipped_and_kept(tmp_path):
    session = Session.open(Counting(fails=(2,)), store=tmp_path, settings=SETTINGS)
    found = session.label([copper(0), copper(1), copper(2)], "test")
    assert [each is not None for each in found] == [True, False, True]
    assert "SCF not converged" in session.log[1].note
    # Not repeated in the next run.
    reference = Counting()
    again = Session.open(reference, store=tmp_path, settings=SETTINGS)
    assert again.label([copper(1)], "test") == [None]
    assert reference.calls == 0
    with pytest.raises(InputError, match=r"failed 1 time.*SCF not converged"):
        Session.open(Counting(fails=(1,)), settings=SETTINGS).label([copper(0)], "test")


def test_a_run_that_is_killed_loses_nothing(tmp_path):
    """Killed at a random moment: what is there is whole, and the next run does not repeat it."""
    program = f"""
import numpy as np
from tests.test_onthefly import Counting, Session, SETTINGS, copper
session = Session.open(Counting(), store={str(tmp_path / "store")!r}, name="EMT", settings=SETTINGS)
for seed in range(1000):
    session.label([copper(seed)], "test")
"""
    run = subprocess.Popen([sys.executable, "-c", program], cwd=os.getcwd())
    frames = tmp_path / "store" / "frames"
    deadline = time.monotonic() + 120
    while len(list(frames.glob("*.json"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    known = len(list(frames.glob("*.json")))
    assert known >= 4
    assert not [path for path in frames.iterdir() if path.suffix != ".json"]
    reference = Counting()
    session = Session.open(reference, store=tmp_path / "store", name="EMT", settings=SETTINGS)
    for seed in range(known):
        session.label([copper(seed)], "test")
    assert reference.calls == 0
    assert len(session.dataset) == known


def test_stores_that_cannot_be_used(tmp_path):
    Session.open(EMT(), store=tmp_path / "a", settings=SETTINGS)
    with pytest.raises(InputError, match=r"results of another reference.*name PBE"):
        Session.open(EMT(), store=tmp_path / "a", name="PBE")
    with pytest.raises(InputError, match="another reference"):
        Session.open(EMT(asap_cutoff=True), store=tmp_path / "a")
    (tmp_path / "b" / "frames").mkdir(parents=True)
    (tmp_path / "b" / "frames" / "000001.json").write_text("{}")
    with pytest.raises(InputError, match=r"no reference\.json says whose"):
        Session.open(EMT(), store=tmp_path / "b")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Session.open(EMT(), store=tmp_path / "file")
    (tmp_path / "a" / "frames" / "000001.json").write_text('{"numbers": [1]}')
    with pytest.raises(InputError, match="damaged"):
        Session.open(EMT(), store=tmp_path / "a")
    with pytest.raises(InputError, match="is no store"):
        ase_scatter.read_store(tmp_path)


class NoForces(Calculator):
    implemented_properties = ["energy"]  # noqa: RUF012


def test_references_that_cannot_be_used():
    with pytest.raises(InputError, match="NoForces has no forces; learning needs both"):
        LearningCalculator(NoForces())
    with pytest.raises(InputError, match="must be a calculator of ASE"):
        LearningCalculator("emt")
    session = Session.open(Counting(stress=-1.0), settings=SETTINGS)
    session.label([copper()], "test")
    larger = copper()
    larger.set_cell(larger.cell * 1.01, scale_atoms=True)
    with pytest.raises(InputError, match="stress of the reference has the wrong sign"):
        session.label([larger], "test")
    Session.open(Counting(), settings=SETTINGS).label([copper(), larger], "test")


# ---- properties ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hop():
    return hop_end_points(bulk("Cu", cubic=True).repeat(2))


def test_a_barrier_takes_few_calls(hop, tmp_path):
    """31 copper atoms: the barrier of EMT within 5 meV."""
    reference = Counting()
    options = {"images": 1, "store": tmp_path, "settings": SETTINGS}
    found = learn_barrier(*hop, reference, **options)
    assert found.converged
    assert found.n_reference <= 8
    assert found.n_reference_ends <= 8
    assert reference.calls == found.n_reference + found.n_reference_ends
    # migration_barrier(*hop, EMT(), images=3), which takes 51 calls.
    assert found.forward == pytest.approx(0.7615, abs=0.005)
    assert found.labelled[0]
    assert found.labelled[1]
    json.dumps(found.to_dict(), allow_nan=False)
    # The same again, with the last result lost, computes that one alone.
    sorted((tmp_path / "frames").iterdir())[-1].unlink()
    again = Counting()
    same = learn_barrier(*hop, again, **options)
    assert again.calls == 1
    assert same.forward == pytest.approx(found.forward, abs=1e-9)
    assert same.n_reference == found.n_reference


def test_paths_that_cannot_be_found(hop):
    initial, final = hop
    other, rough = final.copy(), initial.copy()
    other.numbers[0] = 47
    rough.rattle(0.1, seed=0)
    with pytest.raises(InputError, match="different atoms"):
        learn_barrier(initial, other, EMT())
    with pytest.raises(InputError, match="is no minimum"):
        learn_barrier(rough, final, EMT(), ends="given", settings=SETTINGS)


def test_elastic_constants_and_relaxation_take_few_calls():
    crystal = bulk("Cu", a=3.65, cubic=True)
    found = ase_scatter.learn_elastic(crystal, EMT(), settings=LearningSettings(columns=300))
    assert found.converged
    assert found.n_reference <= 20
    from ase_scatter.properties import elastic_constants, relax_cell

    rest = relax_cell(crystal, EMT()).atoms
    plain = elastic_constants(rest, EMT())
    scale = np.maximum(np.abs(plain.tensor), 0.1 * np.abs(plain.tensor).max())
    assert (np.abs(found.found.tensor - plain.tensor) / scale).max() < 0.03
    relaxed = ase_scatter.learn_relax(crystal, EMT(), cell=True, fmax=0.01, settings=SETTINGS)
    assert relaxed.converged
    np.testing.assert_allclose(relaxed.lengths, rest.cell.lengths(), rtol=2e-3)


def test_a_soft_molecule_comes_to_rest():
    """From a structure near its minimum a flat potential is learnt: the radius holds the first steps back."""
    chain = Atoms("Cu5", [[2.3 * k, 0.05 * (-1) ** k, 0.01 * k] for k in range(5)])
    reference = Counting()
    found = ase_scatter.learn_relax(chain, reference, fmax=0.02, settings=SETTINGS)
    chain.calc = EMT()
    assert found.converged
    assert reference.calls == found.n_reference <= 15
    assert found.energy < chain.get_potential_energy()
    walk = Session.open(Counting(), settings=SETTINGS)
    start = found.atoms.copy()
    start.rattle(0.001, seed=0)
    ase_scatter.learn_relax(start, walk, fmax=0.001, settings=SETTINGS)
    first, second = walk.dataset[:2]
    forces = np.linalg.norm(first.forces, axis=1).max()
    gone = np.linalg.norm(second.system.positions - first.system.positions, axis=1).max()
    assert 0 < gone < forces / 2.0 + 0.01


def test_dynamics_take_few_calls():
    found = ase_scatter.learn_md(
        copper(0, 0.02),
        Counting(),
        temperature=(300.0, 900.0),
        steps=200,
        timestep=2.0,
        checks=10,
        settings=SETTINGS,
    )
    assert found.steps == 200
    assert found.n_reference < 30
    assert found.n_checks == 10
    assert found.inside > 0.8
    assert found.error < 0.05
    with pytest.raises(InputError, match="must be positive"):
        ase_scatter.learn_md(copper(), EMT(), temperature=-1.0)
