"""Fits on small data: Cu–Ni cells with EMT, made here."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from ase_scatter.compute.target import Target
from ase_scatter.errors import InputError
from ase_scatter.model.model import Model
from ase_scatter.model.self_check import self_check
from ase_scatter.scattering import GridSettings, SitesSettings, SitesTransform, StackedTransform
from ase_scatter.scattering.grid.columns import default_scales
from ase_scatter.structures.dataset import Frame
from ase_scatter.structures.system import System
from ase_scatter.training.design_matrix import LARGEST_SHIFT, Problem
from ase_scatter.training.fitting import fit, predict
from ase_scatter.training.parts import parts_of
from ase_scatter.training.settings import FitSettings
from ase_scatter.units import GPA, to_voigt

GRID = GridSettings(scales=(0.55, 0.8), first=(3, 1), inner=(2,), outer=(1,))
SETTINGS = FitSettings(transform="grid", grid=GRID, columns=40)


def frames_of(make, calculator, count, group=""):
    frames = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        atoms = make(rng)
        atoms.set_cell(atoms.cell[:] @ (np.eye(3) + rng.normal(scale=0.02, size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.08, rng=rng)
        atoms.calc = calculator()
        frames.append(
            Frame(
                System.from_atoms(atoms),
                atoms.get_potential_energy(),
                atoms.get_forces(),
                atoms.get_stress(),
                group,
            )
        )
    return frames


def alloy(rng):
    atoms = bulk("Cu", "fcc", 3.6, cubic=True)
    atoms.symbols[: rng.integers(0, 5)] = "Ni"
    return atoms


@pytest.fixture(scope="module")
def emt():
    return frames_of(alloy, EMT, 24, "alloy")


@pytest.fixture(scope="module")
def result(emt):
    return fit(emt[:18], test=emt[18:], settings=SETTINGS, progress=False, name="CuNi", workers=2)


def test_errors_and_predictions(result, emt):
    table = result.errors["test"]
    assert set(table) == {"all", "alloy"}
    assert table["all"]["n_frames"] == 6
    spread = np.std([frame.energy / 4 for frame in emt]) * 1000
    assert table["all"]["energy_mae"] < spread / 10
    forces = np.concatenate([frame.forces.ravel() for frame in emt[18:]])
    assert table["all"]["force_mae"] < np.abs(forces).mean() / 5
    predicted = np.concatenate([p.forces.ravel() for p in result.predictions["test"]])
    assert table["all"]["force_mae"] == pytest.approx(np.abs(predicted - forces).mean())
    assert result.model.transform.n_columns <= result.validation.best[1] <= 40
    assert result.model.elements == ("Ni", "Cu")


def test_a_refit_is_the_same_bit_for_bit(result, emt):
    again = fit(emt[:18], settings=SETTINGS, progress=False, name="CuNi", workers=2)
    assert np.array_equal(again.model.weights, result.model.weights)
    assert again.model.hash == result.model.hash


SITES = {"first": (3, 1), "inner": (1,), "outer": (1,), "triple": 2, "exponents2": (1.0,)}
ON_SITES = FitSettings(sites=SITES, columns=80)


@pytest.fixture(scope="module")
def on_sites(emt):
    return fit(emt[:18], test=emt[18:], settings=ON_SITES, progress=False, name="CuNi", workers=2)


def test_a_fit_on_sites(on_sites, result, emt):
    model = on_sites.model
    assert isinstance(model.transform, SitesTransform)
    assert 10 < model.transform.n_columns <= 80
    # About as good as the grid: EMT is short-ranged.
    assert on_sites.errors["test"]["all"]["force_mae"] < 1.4 * result.errors["test"]["all"]["force_mae"]
    again = fit(emt[:18], settings=ON_SITES, progress=False, name="CuNi", workers=1)
    assert again.model.hash == model.hash
    settings = FitSettings(**model.metadata["fit"]["settings"])
    assert settings == replace(ON_SITES, sites=settings.sites)
    assert settings.sites == {**SITES, "cutoff": model.transform.cutoff}
    self_check(model)


def test_sites_settings_are_recommended_from_the_data(on_sites, emt):
    settings = on_sites.model.transform.settings
    bond = 3.6 / np.sqrt(2)
    assert 1.6 * bond < settings.cutoff < 2.2 * bond
    assert len(settings.scales) == 3
    assert settings.first == (3, 1)
    own = SitesSettings(cutoff=4.0, scales=(0.8, 1.4), first=(2,), inner=(), outer=(), triple=0)
    model = fit(emt[:8], settings=replace(ON_SITES, sites=own), progress=False).model
    assert model.transform.settings == own
    assert SitesSettings.recommended(1, 2.0).first != SitesSettings.recommended(5, 2.0).first


def test_a_fit_on_both_measures(result, on_sites, emt):
    settings = replace(ON_SITES, transform="both", grid=GRID, columns=60)
    both = fit(emt[:18], test=emt[18:], settings=settings, progress=False, workers=2)
    transform = both.model.transform
    assert isinstance(transform, StackedTransform)
    assert {part.kind for part in transform.parts} == {"sites", "grid"}
    assert transform.n_columns <= 60
    least = min(r.errors["test"]["all"]["force_mae"] for r in (result, on_sites))
    assert both.errors["test"]["all"]["force_mae"] < 1.7 * least
    self_check(both.model)


def test_the_ridge_is_the_best_on_frames_left_out(emt):
    settings = replace(SETTINGS, ridges=(1e-8, 1.0))
    chosen = fit(emt[:12], settings=settings, progress=False, workers=1)
    scores = chosen.validation.by_ridge
    best = min(scores, key=scores.get)
    assert best == chosen.validation.best[0]
    assert max(scores.values()) > 1.4 * scores[best]  # mean absolute errors, whose squares differ by 2
    by_hand = fit(emt[:12], settings=replace(SETTINGS, ridge=best), progress=False, workers=1)
    assert np.array_equal(chosen.model.weights, by_hand.model.weights)
    assert chosen.validation.by_size == by_hand.validation.by_size


def test_errors_fall_as_columns_are_added(emt):
    errors = []
    for columns in (5, 15, 45):
        settings = replace(SETTINGS, columns=columns, thrift=0.0)
        table = fit(emt[:18], settings=settings, progress=False).errors["train"]["all"]
        errors.append(table["force_rmse"])
    assert errors[0] > 1.1 * errors[1] > 1.2 * errors[2]


def test_the_model_travels(result, emt, tmp_path):
    result.model.save(tmp_path / "CuNi.json")
    model = Model.load(tmp_path / "CuNi.json")
    (values,) = predict(model, [emt[20].system])
    assert values.energy == result.predictions["test"][2].energy
    self_check(model)
    about = model.metadata["fit"]
    assert about["data"]["train"] == {"frames": 18, "atoms": 72}
    assert FitSettings(**{**about["settings"], "grid": GRID}) == SETTINGS


def test_labels_of_a_scattering_model_are_recovered(result, emt, monkeypatch):
    """Labels made by a model with the same columns: all that is left is discretisation and ridge.

    The model does not follow Murnaghan's equation of state, so that rows for compressed solids stand in the
    way of so few frames; they must not make up more than what the columns cannot describe.
    """
    teacher = result.model
    labelled = []
    for frame, values in zip(emt, predict(teacher, [f.system for f in emt]), strict=True):
        labelled.append(replace(frame, energy=values.energy, forces=values.forces, stress=values.stress))
    settings = replace(SETTINGS, columns=10_000, ridges=(1e-12,))
    original = result.errors["test"]["all"]["force_mae"]

    def recovered():
        tables = fit(labelled[:18], test=labelled[18:], settings=settings, progress=False).errors
        return tables["test"]["all"]["force_mae"]

    assert recovered() < 0.7 * original
    monkeypatch.setattr("ase_scatter.training.fitting.prior_rows", lambda *_: None)
    assert recovered() < 0.2 * original


def test_free_atom_energies(emt):
    given = {"Cu": 1.0, "Ni": 2.0}
    model = fit(emt, settings=replace(SETTINGS, e0=given), progress=False).model
    assert model.e0 == {"Ni": 2.0, "Cu": 1.0}
    with pytest.raises(InputError, match="Ni"):
        fit(emt, settings=replace(SETTINGS, e0={"Cu": 1.0}), progress=False)


def test_free_atom_energies_by_least_squares(emt):
    """Energies moved by a constant per element move E0 by it, and nothing else."""
    extra = {29: 0.7, 28: -1.9}
    moved = [replace(f, energy=f.energy + sum(extra[z] for z in f.system.numbers.tolist())) for f in emt]
    settings = replace(SETTINGS, ridge=1e-7)
    before = fit(emt, settings=settings, progress=False).model
    after = fit(moved, settings=settings, progress=False).model
    assert before.transform == after.transform
    assert after.e0["Cu"] - before.e0["Cu"] == pytest.approx(0.7, abs=1e-4)
    assert after.e0["Ni"] - before.e0["Ni"] == pytest.approx(-1.9, abs=1e-4)
    np.testing.assert_allclose(after.weights, before.weights, rtol=1e-3, atol=1e-5)


def test_loss_is_the_one_that_is_written_down(emt):
    """The normal equations against rows made here, from the Jacobian of the same transform."""
    frames = emt[:3]
    settings = replace(SETTINGS, dtype="float64", core=False, folds=2)
    problem = Problem(settings, ["Cu", "Ni"], frames, 1, False)
    rows = problem.rows((1, frames[1]))
    kinds = ("energy", "net", "force", "stress")
    assert [len(rows.target[kind]) for kind in kinds] == [1, 3, 12, 6]
    matrix = np.concatenate([rows.matrix[kind] / settings.sigmas[kind] for kind in kinds])
    target = np.concatenate([rows.target[kind] / settings.sigmas[kind] for kind in kinds])
    assert matrix.shape == (22, problem.n + 3)
    weights = np.random.default_rng(0).normal(size=problem.n) / problem.n
    e0 = np.array([-0.3, 0.4])  # Ni, Cu
    pressure = 0.2  # a virial of stresses alone, eV per atom
    start = [problem.free_atoms.energies[symbol] for symbol in ("Ni", "Cu")]
    residual = matrix @ np.concatenate([weights, e0 - start, [pressure]]) - target
    rng = np.random.default_rng(1)
    system = frames[1].system
    system = replace(system, positions=system.positions + rng.uniform(0.0, LARGEST_SHIFT, size=3))
    shapes = problem.transform.training_shapes(system, rng)
    values = problem.transform.evaluate(system, weights, Target(grids=shapes))
    energy = values.energy + sum({28: -0.3, 29: 0.4}[z] for z in system.numbers.tolist())
    virial = values.strain_gradient + 4 * pressure * np.eye(3)
    sigmas = settings.sigmas
    expected = [
        [(energy - frames[1].energy) / 4 / sigmas["energy"]],
        values.forces.sum(axis=0) / 4 / sigmas["net"],
        (values.forces - frames[1].forces).ravel() / sigmas["force"],
        (to_voigt(virial) / system.volume - frames[1].stress) / sigmas["stress"] / GPA,
    ]
    np.testing.assert_allclose(residual, np.concatenate(expected), rtol=1e-7, atol=1e-7)


def test_every_frame_is_in_one_fold_and_groups_are_spread():
    system = System.from_atoms(bulk("Cu"))
    frames = [Frame(system, 0.0, None, None, group) for group in "aaaaaabbbbbb"]
    folds = np.array(parts_of(frames, 3))
    for group in (folds[:6], folds[6:]):
        assert np.bincount(group, minlength=3).tolist() == [2, 2, 2]
    # Groups of one frame each do not all lie in the first fold.
    singles = [replace(frame, group=str(i)) for i, frame in enumerate(frames)]
    assert np.bincount(parts_of(singles, 3)).tolist() == [4, 4, 4]


def test_test_frames_do_not_change_the_model(result, emt):
    model = fit(emt[:18], test=emt[20:], settings=SETTINGS, progress=False, name="CuNi", workers=1).model
    assert np.array_equal(model.weights, result.model.weights)


def test_elements_of_the_test_set_are_checked(emt):
    strange = replace(emt[0], system=replace(emt[0].system, numbers=np.full(4, 79)))
    with pytest.raises(InputError, match=r"test set.*Au"):
        fit(emt[:6], test=[strange], settings=SETTINGS, progress=False)


def test_frames_may_lack_forces_and_stress(emt):
    bare = [replace(frame, forces=None, stress=None) for frame in emt[::2]] + list(emt[1::2])
    table = fit(bare, settings=SETTINGS, progress=False).errors["train"]["all"]
    assert table["force_mae"] < 0.1
    energies = [replace(frame, forces=None, stress=None) for frame in emt]
    table = fit(energies, settings=SETTINGS, progress=False).errors["train"]["all"]
    assert "force_mae" not in table


@pytest.mark.parametrize("channels", ["charges", {"one": {"Cu": 1.0, "Ni": 0.7}, "two": {"Ni": 1.0}}])
def test_channels_of_other_kinds(emt, channels):
    model = fit(emt[:12], settings=replace(SETTINGS, channels=channels), progress=False).model
    assert len(model.transform.channels.names) in (2, 3)


def test_lennard_jones_with_default_scales():
    def crystal(rng):
        return bulk("Ar", "fcc", 1.7, cubic=True)

    frames = frames_of(crystal, lambda: LennardJones(sigma=1.1, rc=2.2, smooth=True), 10)
    scales = default_scales([frame.system for frame in frames])
    assert len(scales) == 4
    assert scales[0] == pytest.approx(1.7 / np.sqrt(2) / 4.7, rel=0.15)
    settings = FitSettings(transform="grid", grid=replace(GRID, scales=()), columns=30, core=False)
    result = fit(frames, settings=settings, progress=False)
    assert result.model.transform.settings.scales == scales
    spread = 1000 * np.std([frame.energy / 4 for frame in frames])
    assert result.errors["train"]["all"]["energy_rmse"] < 0.05 * spread


def test_too_little_data(emt):
    with pytest.raises(InputError, match="two frames"):
        fit(emt[:1], settings=SETTINGS, progress=False)
    with pytest.raises(InputError, match="no frames"):
        fit([], settings=SETTINGS, progress=False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sigma_force": 0.0},
        {"sigma_energy": -1},
        {"sigma_net": float("nan")},
        {"columns": 0},
        {"folds": 1},
        {"ridge": -1.0},
        {"ridges": ()},
        {"ridges": (1e-8, -1e-8)},
        {"dtype": "float16"},
        {"transform": "waves"},
    ],
)
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(InputError):
        FitSettings(**wrong)


def test_unknown_channels(emt):
    with pytest.raises(InputError, match="species"):
        fit(emt, settings=replace(SETTINGS, channels="spin"), progress=False)
    with pytest.raises(InputError, match="Ni"):
        fit(emt, settings=replace(SETTINGS, channels={"one": {"Cu": 1.0}}), progress=False)


def test_labels_that_cannot_be_fitted(emt):
    nan = float("nan")
    for bad in (replace(emt[1], energy=nan), replace(emt[1], forces=np.full((4, 3), nan))):
        with pytest.raises(InputError, match=r"frame 1 .*not finite"):
            fit([emt[0], bad, emt[2]], settings=SETTINGS, progress=False)
    slab = replace(emt[1], system=replace(emt[1].system, pbc=np.array([True, True, False])))
    with pytest.raises(InputError, match="frame 1 has a stress"):
        fit([emt[0], slab, emt[2]], settings=SETTINGS, progress=False)


def test_no_columns_left(emt):
    settings = replace(SETTINGS, grid=replace(GRID, first=(), exponents2=()))
    with pytest.raises(InputError, match="no columns"):
        fit(emt, settings=settings, progress=False)
