"""Validation, committees and their calibration, on moments of data made here and on small fits."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from ase_scatter import ExtrapolationWarning, InputError, Model, ModelFileError, ScatteringCalculator, fit
from ase_scatter.model.committee import Committee
from ase_scatter.model.extrapolation import Domain, Region
from ase_scatter.structures.dataset import Frame
from ase_scatter.structures.system import System
from ase_scatter.training.bagging import members
from ase_scatter.training.coverage import INSIDE, HeldOut
from ase_scatter.training.design_matrix import Problem
from ase_scatter.training.fitting import solve
from ase_scatter.training.least_squares import Regression, whitening
from ase_scatter.training.least_squares import solve as solve_normal
from ase_scatter.training.normal_equations import NormalEquations
from ase_scatter.training.pops import changes, ensemble, kept_out
from ase_scatter.training.rows import Normals, Rows, Sample
from ase_scatter.training.settings import FitSettings
from ase_scatter.training.validation import validate
from ase_scatter.units import to_voigt

N, PARTS = 30, 8
FREE = Regression(np.ones(N + 1), np.array([N]))


def parts_of_data(noise, seed=0, rows=60, true=6):
    """Parts whose targets need `true` of N columns, and a constant; and the rows themselves."""
    rng = np.random.default_rng(seed)
    weights = np.zeros(N + 1)
    weights[rng.choice(N, true, replace=False)] = rng.normal(size=true) + 2.0
    weights[N] = 5.0
    data = []
    for _ in range(PARTS):
        a = np.c_[rng.normal(size=(rows, N)), np.ones(rows)]
        data.append((a, a @ weights + noise * rng.normal(size=rows)))
    return [NormalEquations.of(a, b) for a, b in data], data, weights


def test_validation_finds_the_number_of_columns_and_the_ridge():
    parts, _, true = parts_of_data(noise=3.0, rows=8)
    found = validate(FREE, parts, (1e-6, 0.1, 100.0), N)
    ridge, size = found.best
    assert ridge < 100.0
    assert size <= 12 < N  # 6 are true; 3, 6, 10, 15, … are tried
    assert found.by_ridge[100.0] > 1.5 * found.by_ridge[ridge]
    assert found.by_size[N] > found.by_size[size]
    assert set(np.flatnonzero(true)) >= set(FREE.choose(NormalEquations.summed(parts), ridge, 3).tolist())


def test_validation_is_what_it_says():
    """By hand, from rows instead of moments."""
    parts, data, _ = parts_of_data(noise=1.0)
    found = validate(FREE, parts, (0.01,), 10)
    assert validate(FREE, parts, (0.01,), 10, workers=3).scores == found.scores
    losses = []
    for k, (a, b) in enumerate(data):
        rest_a = np.concatenate([x for i, (x, _) in enumerate(data) if i != k])
        rest_b = np.concatenate([y for i, (_, y) in enumerate(data) if i != k])
        rest = NormalEquations.of(rest_a, rest_b)
        columns = FREE.choose(rest, 0.01, 10)
        inner = rest_a[:, columns]
        penalty = 0.01 * np.square(inner).sum(axis=0) * (columns != N)
        w = np.linalg.solve(inner.T @ inner + np.diag(penalty), inner.T @ rest_b)
        losses.append(np.square(a[:, columns] @ w - b).mean())
    assert found.scores[0.01, 10] == pytest.approx(np.prod(losses) ** (1 / PARTS), rel=1e-9)


def test_members_choose_their_own_columns_and_know_all_the_data():
    parts, _, true = parts_of_data(noise=1.0)
    total = NormalEquations.summed(parts)
    pool = FREE.choose(total, 1e-6, 20)
    weights = members(FREE, parts, 1e-6, pool, 10)
    assert weights.shape == (10, N + 1)
    used = weights[:, :N] != 0
    assert (used.sum(axis=1) == 18).all()
    assert len({tuple(row) for row in used.tolist()}) > 5
    assert set(np.flatnonzero(used.any(axis=0))) <= set(pool.tolist())
    for row, columns in zip(weights, used, strict=True):
        # Refitted on everything: the gradient of the loss over the chosen columns is zero.
        gradient = total.gram @ row - total.moment + FREE.penalty(total, 1e-6) * row
        np.testing.assert_allclose(gradient[:N][columns], 0.0, atol=1e-6 * np.abs(total.moment).max())
    assert np.array_equal(weights, members(FREE, parts, 1e-6, pool, 10, workers=3))
    assert not np.array_equal(weights, members(FREE, parts, 1e-6, pool, 10, seed=1))
    # Bags that were not offered a column miss it: one in twenty.
    np.testing.assert_allclose(weights.mean(axis=0), true, atol=0.8)


def test_of_one_part_nothing_is_left_out():
    parts, _, _ = parts_of_data(noise=1.0)
    whole = [NormalEquations.summed(parts)]
    pool = FREE.choose(whole[0], 1e-6, 20)
    weights = members(FREE, whole, 1e-6, pool, 3)
    assert np.isfinite(weights).all()
    assert (weights[:, :N] != 0).any(axis=1).all()


def test_forced_columns_are_never_penalised_nor_priced_out():
    parts, _, _ = parts_of_data(noise=0.1)
    dear = Regression(np.where(np.arange(N + 1) < 20, np.inf, 1.0), np.array([N]))
    columns = dear.choose(NormalEquations.summed(parts), 1e-6, N)
    assert columns[0] == N
    assert min(columns.tolist()) == 20
    assert FREE.penalty(NormalEquations.summed(parts), 1.0)[N] == 0.0


def normals_of(data):
    """A sample that holds all rows, as forces."""
    samples = [
        Sample(k, Rows({"force": a.astype(np.float32)}, {"force": b})) for k, (a, b) in enumerate(data)
    ]
    return Normals([], samples)


def test_changes_meet_their_row_and_are_the_least():
    """By hand: the minimum of δᵀAδ with xᵀ(w + δ) = b, by Lagrange."""
    parts, data, _ = parts_of_data(noise=1.0)
    total = NormalEquations.summed(parts)
    penalty = FREE.penalty(total, 1e-3)
    weights = solve_normal(total, penalty)
    metric = whitening(total, penalty)
    normal = total.gram + np.diag(penalty)
    np.testing.assert_allclose(metric @ metric.T, np.linalg.inv(normal), atol=1e-12)
    a, b = data[0]
    found, wild = changes(a @ metric, b - a @ weights)
    assert wild == 0
    assert len(found) == 30  # those of larger leverage
    met = [np.abs(a @ (weights + metric @ change) - b).min() for change in found]
    np.testing.assert_allclose(met, 0.0, atol=1e-10)
    leverage = np.einsum("ri,ij,rj->r", a, np.linalg.inv(normal), a)
    first = np.flatnonzero(leverage >= np.median(leverage))[0]
    edge = np.block([[normal, a[[first]].T], [a[[first]], np.zeros((1, 1))]])
    least = np.linalg.solve(edge, np.r_[np.zeros(N + 1), b[first] - a[first] @ weights])[:-1]
    np.testing.assert_allclose(metric @ found[0], least, atol=1e-10)


def test_a_row_that_is_far_off_is_left_out_and_counted():
    rng = np.random.default_rng(0)
    rows, residuals = rng.normal(size=(200, 5)), rng.normal(size=200)
    rows[7] *= 3.0
    residuals[7] = 1e5
    found, wild = changes(rows, residuals)
    assert wild == 1
    assert np.linalg.norm(found, axis=1).max() < 50


def test_members_spread_where_the_form_fails():
    """A parabola fitted by straight lines: bags agree ever more with more data, members never."""
    x = np.linspace(-1, 1, 2000)
    a, b = np.c_[x, np.ones(2000)], x**2
    straight = Regression(np.ones(2), np.array([1]))
    parts = [NormalEquations.of(a[k::8], b[k::8]) for k in range(8)]
    normals = normals_of([(a[k::8], b[k::8]) for k in range(8)])
    columns = np.arange(2)
    found = ensemble(straight, dict(enumerate(parts)), normals, {"force": 1.0}, 1e-9, columns, 40)
    np.testing.assert_allclose(found.members.mean(axis=0), found.weights, atol=1e-12)
    bags = members(straight, parts, 1e-9, np.arange(1), 40)
    spread, error = (a @ found.members.T).std(axis=1), np.abs(a @ found.weights - b)
    assert 0.3 < spread.mean() / error.mean() < 3
    assert (a @ bags.T).std(axis=1).mean() < 0.1 * error.mean()


def test_data_kept_out_are_kept_out():
    parts, data, _ = parts_of_data(noise=1.0)
    settings = {"force": 1.0}, 1e-6, 15, 6
    seen = []
    for round_ in kept_out(FREE, parts, normals_of(data), *settings):
        seen += round_.out
        factors = [100.0 if k in round_.out else 1.0 for k in range(PARTS)]
        spoilt = [part * f for part, f in zip(parts, factors, strict=True)]
        rows = normals_of([(f * a, f * b) for (a, b), f in zip(data, factors, strict=True)])
        (same,) = [r for r in kept_out(FREE, spoilt, rows, *settings) if r.out == round_.out]
        assert np.array_equal(round_.ensemble.members, same.ensemble.members)
        assert np.array_equal(round_.ensemble.weights, same.ensemble.weights)
    assert sorted(seen) == list(range(PARTS))


def test_bands_hold_as_many_errors_as_they_say():
    rng = np.random.default_rng(3)
    spread = np.exp(rng.normal(size=4000))
    predicted = spread * rng.normal(size=(9, 4000))
    predicted += 5.0 * spread * rng.normal(size=4000)
    held = HeldOut.of(predicted.mean(axis=0), predicted, 1)
    assert held.inside(held.factor) == pytest.approx(INSIDE, abs=1e-3)
    assert held.rank_correlation > 0.5
    rows = held.table(held.factor)
    assert sum(row["count"] for row in rows) == 4000
    assert [row["band"] for row in rows] == sorted(row["band"] for row in rows)
    assert all(0.8 < row["inside"] <= 1.0 for row in rows)
    assert HeldOut.of(np.zeros(6), predicted[:, :6], 3).spreads[0] == pytest.approx(
        np.sqrt(np.mean(predicted[:, :3].std(axis=0, ddof=1) ** 2))
    )


def test_members_that_all_agree_are_no_committee():
    with pytest.raises(InputError, match="agree"):
        _ = HeldOut(np.ones(3), np.zeros(3)).factor


# ---- in fits -------------------------------------------------------------------------------------

SITES = {"first": (3, 1), "inner": (1,), "outer": (1,), "triple": 2, "exponents2": (1.0,)}
SETTINGS = FitSettings(sites=SITES, columns=60, folds=8, members=10)


def emt_frames(count, rattle=0.1, seed=0):
    frames = []
    for k in range(count):
        rng = np.random.default_rng(1000 * seed + k)
        atoms = bulk("Cu", "fcc", 3.6, cubic=True)
        atoms.symbols[: rng.integers(1, 4)] = "Ni"
        atoms.set_cell(atoms.cell[:] @ (np.eye(3) + rng.normal(scale=0.02, size=(3, 3))), scale_atoms=True)
        atoms.rattle(rattle * rng.uniform(0.3, 1.0), rng=rng)
        atoms.calc = EMT()
        labels = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        frames.append(Frame(System.from_atoms(atoms), *labels))
    return frames


@pytest.fixture(scope="module")
def result():
    return fit(emt_frames(48), settings=SETTINGS, progress=False, workers=2)


def test_the_model_is_the_mean_of_its_members(result):
    model = result.model
    assert len(model.committee) == 10
    np.testing.assert_allclose(model.weights, model.committee.weights.mean(axis=0), rtol=1e-12)
    (frame,) = emt_frames(1, seed=9)
    each = [model.member(k).evaluate_one(frame.system) for k in range(10)]
    whole = model.evaluate_one(frame.system)
    assert whole.energy == pytest.approx(np.mean([v.energy for v in each]), abs=1e-9)
    np.testing.assert_allclose(whole.forces, np.mean([v.forces for v in each], axis=0), atol=1e-10)
    # The bands, from their definition.
    unsure, factors = model.uncertainty([frame.system])[0], model.committee.factors
    assert unsure.energy == pytest.approx(factors["energy"] * np.std([v.energy for v in each], ddof=1))
    spread = np.sqrt(np.mean(np.std([v.forces for v in each], axis=0, ddof=1) ** 2, axis=1))
    np.testing.assert_allclose(unsure.forces, factors["force"] * spread, rtol=1e-8)
    stresses = [to_voigt(v.strain_gradient) / frame.system.volume for v in each]
    expected = factors["stress"] * np.sqrt(np.mean(np.std(stresses, axis=0, ddof=1) ** 2))
    assert unsure.stress == pytest.approx(expected)
    assert unsure.energies.shape == unsure.grade.shape == (4,)
    # All members together give what each gives alone.
    members = model.members([frame.system])[0]
    np.testing.assert_allclose(members.energy, [v.energy for v in each], rtol=1e-12)
    np.testing.assert_allclose(members.energies.sum(axis=1), members.energy, rtol=1e-12)
    np.testing.assert_allclose(members.forces, [v.forces for v in each], atol=1e-10)
    np.testing.assert_allclose(members.stress, stresses, atol=1e-12)


def test_new_data_of_the_same_kind_lie_in_the_bands(result):
    new = emt_frames(40, seed=5)
    inside = {"energy": [], "force": [], "stress": []}
    for frame in new:
        values, unsure = result.model.evaluate_one(frame.system), result.model.uncertainty([frame.system])[0]
        inside["energy"].append(abs(values.energy - frame.energy) <= unsure.energy)
        inside["force"] += (np.abs(values.forces - frame.forces) <= unsure.forces[:, None]).ravel().tolist()
        stress = to_voigt(values.strain_gradient) / frame.system.volume
        inside["stress"] += (np.abs(stress - frame.stress) <= unsure.stress).tolist()
    for kind, known in inside.items():
        assert 0.55 < np.mean(known) <= 1.0, kind


def test_far_from_the_training_data_it_says_so(result):
    model = result.model
    near, far = emt_frames(1, seed=7)[0].system, emt_frames(1, rattle=0.9, seed=7)[0].system
    assert model.uncertainty([near])[0].grade.max() < 1.5 < model.uncertainty([far])[0].grade.max()
    assert model.uncertainty([far])[0].forces.max() > 3 * model.uncertainty([near])[0].forces.max()


def test_a_single_fit_has_no_error_bars(result):
    single = fit(emt_frames(12), settings=replace(SETTINGS, members=0), progress=False).model
    assert single.committee is None
    with pytest.raises(InputError, match="--members"):
        single.uncertainty(emt_frames(1)[0].system)
    with pytest.raises(InputError, match="committee"):
        ScatteringCalculator(single, warn_above=0.1)
    for wrong in (1, -1):
        with pytest.raises(InputError, match="members"):
            FitSettings(members=wrong)


def test_kinds_without_labels_have_no_bands():
    frames = [replace(frame, stress=None) for frame in emt_frames(16)]
    model = fit(frames, settings=SETTINGS, progress=False).model
    unsure = model.uncertainty([frames[0].system])[0]
    assert unsure.stress is None
    assert np.isfinite(unsure.forces).all()


def test_the_committee_travels(result, tmp_path):
    model = result.model
    model.save(tmp_path / "m.json")
    again = Model.load(tmp_path / "m.json")
    system = emt_frames(1, seed=3)[0].system
    here, there = model.uncertainty([system])[0], again.uncertainty([system])[0]
    assert again.hash == model.hash
    assert there.energy == pytest.approx(here.energy, rel=1e-4)
    np.testing.assert_allclose(there.forces, here.forces, rtol=1e-4)
    np.testing.assert_allclose(there.grade, here.grade, rtol=1e-3)
    text = (tmp_path / "m.json").read_text()
    at = text.index('"factors"')
    (tmp_path / "bad.json").write_text(text[:at] + text[at:].replace('"energy": ', '"energy": 1', 1))
    with pytest.raises(ModelFileError, match="damaged"):
        Model.load(tmp_path / "bad.json")


def test_through_the_calculator(result):
    atoms = bulk("Cu", "fcc", 3.6, cubic=True)
    atoms.symbols[0] = "Ni"
    atoms.rattle(0.05, seed=1)
    atoms.calc = ScatteringCalculator(result.model)
    with pytest.raises(InputError, match="no atoms"):
        atoms.calc.get_uncertainty()
    atoms.get_forces()
    unsure = atoms.calc.get_uncertainty()
    assert unsure.forces.shape == (4,)
    assert atoms.calc.get_uncertainty(atoms).energy == unsure.energy
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atoms.calc = ScatteringCalculator(result.model, warn_above=2 * float(unsure.forces.max()))
        atoms.get_forces()
    atoms.calc = ScatteringCalculator(result.model, warn_above=0.5 * float(unsure.forces.max()))
    with pytest.warns(ExtrapolationWarning, match=r"force on atom \d"):
        atoms.get_forces()
    atoms.calc = ScatteringCalculator(result.model, warn_above=1e6)
    atoms.set_cell(0.75 * atoms.cell[:], scale_atoms=True)
    with pytest.warns(ExtrapolationWarning, match="beyond the training data"):
        atoms.get_forces()
    with pytest.raises(InputError, match="warn_above"):
        ScatteringCalculator(result.model, warn_above=0.0)


def test_other_weights_from_the_same_sums():
    """The sigmas of the settings that are solved with, not those of the design matrix."""
    frames = emt_frames(16)
    given = replace(SETTINGS, sites={**SETTINGS.sites, "cutoff": 4.5}, members=0)
    tight = replace(given, sigma_energy=1e-5)
    problem = Problem(given, ["Cu", "Ni"], frames, 1, False)
    model, _, _ = solve(problem, problem.normals(), tight)
    by_itself = fit(frames, settings=tight, progress=False, workers=1).model
    assert np.array_equal(model.weights, by_itself.weights)
    loose = fit(frames, settings=given, progress=False, workers=1).model
    assert not np.array_equal(model.weights, loose.weights)


def test_frames_of_one_source_stay_together():
    frames = [replace(frame, source=str(k // 3)) for k, frame in enumerate(emt_frames(48))]
    parts = np.array(Problem(SETTINGS, ["Cu", "Ni"], frames, 1, False).part_of)
    for k in range(16):
        assert len(set(parts[3 * k : 3 * k + 3])) == 1
    assert np.bincount(parts).tolist() == [6] * 8


# ---- grades ---------------------------------------------------------------------------------------


def test_grades_grow_with_the_distance():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(5, 40))
    inside = rng.normal(size=(500, 5)) @ mixing + 3.0
    region = Region.of(inside)
    grades = region.grade(inside)
    assert grades.max() == pytest.approx(1.0)
    assert region.grade(inside.mean(axis=0)[None])[0] < 0.2
    outward = 3.0 + 10 * rng.normal(size=(20, 5)) @ mixing
    assert (region.grade(outward) > 1).all()
    # Off the subspace of the training data, however near.
    off = inside[:1] + 0.5 * rng.normal(size=40)
    assert region.grade(off)[0] > 1


def test_grades_do_not_depend_on_units():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 30))
    scale = np.exp(rng.normal(size=30))
    np.testing.assert_allclose(Region.of(x).grade(x), Region.of(x * scale).grade(x * scale), rtol=1e-8)


def test_on_a_grid_one_grade_for_the_structure():
    frames = emt_frames(10)
    grid = {"transform": "grid", "columns": 20}
    from ase_scatter import GridSettings

    settings = FitSettings(
        grid=GridSettings(scales=(0.55, 0.8), first=(2,), exponents2=()), members=4, folds=5, **grid
    )
    model = fit(frames, settings=settings, progress=False).model
    unsure = model.uncertainty([frames[0].system])[0]
    assert unsure.energies is None
    assert len(set(unsure.grade[frames[0].system.numbers == 28].tolist())) == 1
    assert isinstance(model.committee.domain, Domain)


@pytest.mark.parametrize(
    "wrong",
    [
        {"weights": np.ones((1, 3))},
        {"weights": np.full((2, 3), np.nan)},
        {"e0": {"Cu": [1.0]}},
        {"factors": {"energy": -1.0}},
    ],
)
def test_committees_that_make_no_sense(wrong):
    right = {"weights": np.ones((2, 3)), "e0": {"Cu": [1.0, 2.0]}, "factors": {"energy": 2.0}}
    Committee(**right)
    with pytest.raises(InputError):
        Committee(**{**right, **wrong})
