"""The descriptor: scikit-learn's conventions, pooling, derivatives by finite differences."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

from ase_scatter import InputError, ScatteringCalculator, ScatteringDescriptor

SETTINGS = {"scales": (0.8, 1.4), "cutoff": 4.0, "first": (3, 1), "inner": (1,), "outer": (2,), "triple": 2}


def rattled(seed, symbols="CuAu"):
    atoms = bulk("Cu", "fcc", 3.7, cubic=True)
    atoms.symbols[1::2] = symbols[2:] or symbols
    atoms.rattle(0.1, seed=seed)
    return atoms


@pytest.fixture(scope="module")
def structures():
    return [rattled(seed) for seed in range(8)]


@pytest.fixture(scope="module")
def descriptor(structures):
    return ScatteringDescriptor(settings=SETTINGS).fit(structures)


def same(one, two):
    np.testing.assert_allclose(one, two, rtol=1e-10, atol=1e-12)


def test_rows_of_atoms(descriptor, structures):
    x = descriptor.transform(structures)
    index = descriptor.index(structures)
    assert x.shape == (32, descriptor.n_features_out_)
    assert index.tolist()[5] == [1, 1]
    names = descriptor.get_feature_names_out()
    assert len(set(names)) == len(names) == x.shape[1]
    gold = np.array([name.endswith("at Au") for name in names])
    assert not x[index[:, 1] % 2 == 0][:, gold].any()
    assert np.abs(x[index[:, 1] % 2 == 1][:, gold]).sum(axis=1).min() > 1.0
    same(x, ScatteringDescriptor(settings=SETTINGS, n_jobs=2).fit_transform(structures))


def test_pooling(descriptor, structures):
    x = descriptor.transform(structures).reshape(8, 4, -1)
    for pooling, expected in (("sum", x.sum(1)), ("mean", x.mean(1)), ("element", x.sum(1) / 2)):
        pooled = ScatteringDescriptor(settings=SETTINGS, pooling=pooling).fit(structures)
        same(pooled.transform(structures), expected)
        assert pooled.index(structures).tolist() == [[k, -1] for k in range(8)]


@pytest.mark.parametrize("pooling", ["atom", "element"])
@pytest.mark.parametrize("case", ["crystal", "alloy", "molecule"])
def test_derivatives_by_finite_differences(case, pooling):
    """At a perfect crystal, too, where many fields vanish by symmetry."""
    atoms = {"crystal": bulk("Si", cubic=True), "alloy": rattled(0), "molecule": molecule("CH3OH")}[case]
    descriptor = ScatteringDescriptor(settings=SETTINGS, pooling=pooling)
    moved = atoms.copy()
    moved.rattle(0.1, seed=2)
    descriptor.fit([moved])  # norms of what vanishes in the crystal would be tiny
    found = descriptor.derivatives(atoms)
    n_rows, n_features = found.values.shape
    same(found.values, descriptor.transform([atoms]))
    dense = found.positions.toarray().reshape(n_rows, n_features, len(atoms), 3)
    h = 1e-4
    for j, a in ((0, 0), (1, 2), (len(atoms) - 1, 1)):
        moved = []
        for sign in (1, -1):
            copy = atoms.copy()
            copy.positions[j, a] += sign * h
            moved.append(descriptor.transform([copy]))
        numeric = (moved[0] - moved[1]) / (2 * h)
        np.testing.assert_allclose(dense[:, :, j, a], numeric, atol=1e-5 * max(1, np.abs(numeric).max()))
    for a, b in ((0, 0), (1, 2)):
        strained = []
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[a, b] += 0.5 * sign * h
            strain[b, a] += 0.5 * sign * h
            copy = atoms.copy()
            copy.cell[:] = atoms.cell[:] @ (np.eye(3) + strain)
            copy.positions = atoms.positions @ (np.eye(3) + strain)
            strained.append(descriptor.transform([copy]))
        numeric = (strained[0] - strained[1]) / (2 * h)
        scale = 1e-5 * max(1, np.abs(numeric).max())
        np.testing.assert_allclose(found.strain[:, :, a, b], numeric, atol=scale)


def test_what_is_out_of_reach_is_not_there(descriptor):
    atoms = rattled(0).repeat((6, 1, 1))
    found = descriptor.derivatives(atoms, centres=[3, 1])
    reached, table = found.of_row(0)
    assert 3 in reached
    assert len(reached) < len(atoms)
    assert table.shape == (descriptor.n_features_out_, len(reached), 3)
    every = descriptor.derivatives(atoms)
    rows = descriptor.n_features_out_ * np.array([3, 1])[:, None] + np.arange(descriptor.n_features_out_)
    same(found.positions.toarray(), every.positions.toarray()[rows.ravel()])
    # The sum of all is what the pooled descriptor has.
    total = ScatteringDescriptor(settings=SETTINGS, pooling="sum").fit([rattled(s) for s in range(8)])
    summed = every.positions.toarray().reshape(len(atoms), -1, 3 * len(atoms)).sum(axis=0)
    np.testing.assert_allclose(summed, total.derivatives(atoms).positions.toarray(), atol=1e-9)
    with pytest.raises(InputError, match="among the 24 atoms"):
        descriptor.derivatives(atoms, centres=[24])


def test_of_a_fitted_model():
    calculator = ScatteringCalculator("Si")
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.05, seed=1)
    descriptor = ScatteringDescriptor(model="Si").fit()
    model = calculator.model
    found = descriptor.derivatives(atoms)
    atoms.calc = calculator
    repelled = model.core.evaluate(descriptor_system(atoms)) if model.core else None
    weights = np.tile(model.weights, len(atoms))
    forces = -(found.positions.T @ weights).reshape(-1, 3) + (repelled.forces if repelled else 0.0)
    np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-9)
    with pytest.raises(InputError, match="of its own"):
        ScatteringDescriptor(["Si"], model="Si").fit()


def descriptor_system(atoms):
    from ase_scatter import System

    return System.from_atoms(atoms)


def test_on_a_grid(structures):
    grid = ScatteringDescriptor(transform="grid", pooling="mean", settings={"spacing": 0.6, "orders": 1})
    with pytest.raises(InputError, match="orders"):
        grid.fit(structures)
    grid.set_params(settings={"scales": (1.0, 1.6), "exponents2": ()})
    x = grid.fit_transform(structures[:2])
    twice = grid.transform([structures[0].repeat((1, 1, 2))])
    np.testing.assert_allclose(twice[0], x[0], rtol=1e-2)
    with pytest.raises(InputError, match="no sums over atoms"):
        grid.set_params(pooling="atom").fit(structures)


def test_what_is_refused(structures):
    with pytest.raises(InputError, match="not fitted"):
        ScatteringDescriptor().transform(structures)
    with pytest.raises(InputError, match="hold Au"):
        ScatteringDescriptor(["Cu"]).fit(structures)
    with pytest.raises(InputError, match="pooling must be"):
        ScatteringDescriptor(pooling="max").fit(structures)
    with pytest.raises(InputError, match="no parameter"):
        ScatteringDescriptor().set_params(cutoff=3)
    with pytest.raises(InputError, match="settings"):
        ScatteringDescriptor(settings={"cut": 3}).fit(structures)
    with pytest.raises(InputError, match="needs structures"):
        ScatteringDescriptor().fit([])


def test_pickled(descriptor, structures):
    same(pickle.loads(pickle.dumps(descriptor)).transform(structures), descriptor.transform(structures))


def test_with_scikit_learn(structures):
    """Clone, pipeline, grid search and cross-validation, as any transformer of scikit-learn has them."""
    sklearn = pytest.importorskip("sklearn")
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    blank = ScatteringDescriptor(settings=SETTINGS, pooling="mean")
    copied = sklearn.clone(blank)
    assert copied is not blank
    assert copied.get_params() == blank.get_params()
    assert not hasattr(sklearn.clone(blank.fit(structures)), "transform_")
    energies = []
    for atoms in structures:
        alike = atoms.copy()
        alike.calc = EMT()
        energies.append(alike.get_potential_energy() / len(atoms))
    pipeline = make_pipeline(blank, StandardScaler(), Ridge(1e-3))
    assert len(pipeline[:-1].fit(structures, energies).get_feature_names_out()) == blank.n_features_out_
    search = GridSearchCV(
        pipeline,
        {
            "scatteringdescriptor__settings": [SETTINGS, SETTINGS | {"exponents2": ()}],
            "ridge__alpha": [1e-3, 1.0],
        },
        cv=2,
        error_score="raise",
    ).fit(structures, energies)
    assert np.abs(search.predict(structures) - energies).max() < 0.05
    same(pickle.loads(pickle.dumps(search)).predict(structures), search.predict(structures))


@pytest.mark.parametrize(
    "name",
    [
        "check_do_not_raise_errors_in_init_or_set_params",
        "check_estimator_cloneable",
        "check_estimator_repr",
        "check_estimator_tags_renamed",
        "check_get_params_invariance",
        "check_mixin_order",
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_set_params",
        "check_valid_tag_types",
    ],
)
def test_checks_of_scikit_learn(name):
    """Those that need no tables of numbers, which structures are not."""
    checks = pytest.importorskip("sklearn.utils.estimator_checks")
    getattr(checks, name)("ScatteringDescriptor", ScatteringDescriptor())
