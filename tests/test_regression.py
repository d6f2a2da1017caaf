import numpy as np
import pytest

from ase_scatter.errors import InputError
from ase_scatter.training.least_squares import select, solve
from ase_scatter.training.normal_equations import NormalEquations

RNG = np.random.default_rng(11)
ROWS = RNG.normal(size=(60, 12)) * np.logspace(0, 3, 12)
TARGETS = RNG.normal(size=60)


def test_moments_give_the_residual():
    moments = NormalEquations.of(ROWS[:40], TARGETS[:40]) + NormalEquations.of(ROWS[40:], TARGETS[40:])
    weights = RNG.normal(size=12)
    assert moments.count == 60
    assert moments.rmse(weights) == pytest.approx(np.sqrt(np.mean((ROWS @ weights - TARGETS) ** 2)))
    rest = moments - NormalEquations.of(ROWS[40:], TARGETS[40:])
    assert rest.count == 40
    np.testing.assert_allclose(rest.gram, ROWS[:40].T @ ROWS[:40], rtol=1e-9)
    heavier = 4.0 * moments
    np.testing.assert_allclose(heavier.moment, (2 * ROWS).T @ (2 * TARGETS))
    assert np.isnan(NormalEquations.empty(12).rmse(weights))


def test_solve_is_ridge_regression():
    moments = NormalEquations.of(ROWS, TARGETS)
    expected = np.linalg.lstsq(ROWS, TARGETS, rcond=None)[0]
    np.testing.assert_allclose(solve(moments, np.zeros(12)), expected, rtol=1e-8)
    penalty = RNG.uniform(0.1, 3.0, size=12)
    stacked = np.vstack([ROWS, np.diag(np.sqrt(penalty))])
    expected = np.linalg.lstsq(stacked, np.append(TARGETS, np.zeros(12)), rcond=None)[0]
    np.testing.assert_allclose(solve(moments, penalty), expected, rtol=1e-8)


def test_solve_leaves_out_what_carries_nothing():
    rows = np.hstack([ROWS, ROWS[:, :1], np.zeros((60, 1))])
    weights = solve(NormalEquations.of(rows, TARGETS), np.zeros(14))
    expected = ROWS @ np.linalg.lstsq(ROWS, TARGETS, rcond=None)[0]
    np.testing.assert_allclose(rows @ weights, expected, atol=1e-6)


def brute_force(rows, targets, n, forced=(), price=None):
    """Orthogonal least squares by refitting every candidate at every step."""
    price = np.ones(rows.shape[1]) if price is None else price

    def residual(columns):
        if not columns:
            return targets @ targets
        fitted = rows[:, columns] @ np.linalg.lstsq(rows[:, columns], targets, rcond=None)[0]
        return np.sum((fitted - targets) ** 2)

    chosen = list(forced)
    while len(chosen) < n:
        before = residual(chosen)
        gains = {
            i: (before - residual([*chosen, i])) / price[i] for i in range(rows.shape[1]) if i not in chosen
        }
        chosen.append(max(gains, key=gains.get))
    return chosen


@pytest.mark.parametrize("forced", [(), (7,), (3, 9)])
@pytest.mark.parametrize("priced", [False, True])
def test_selection_is_greedy_orthogonal_least_squares(forced, priced):
    price = np.linspace(1.0, 9.0, 12) if priced else None
    expected = brute_force(ROWS, TARGETS, 7, forced, price)
    moments = NormalEquations.of(ROWS, TARGETS)
    found = select(moments, np.zeros(12), 7, forced=np.array(forced, dtype=np.int64), price=price)
    assert found.columns.tolist() == expected


def test_selection_under_a_penalty():
    """A penalty is rows of its own: √penalty on the diagonal, with target 0."""
    penalty = np.diag(ROWS.T @ ROWS) * np.linspace(0.0, 2.0, 12)
    rows = np.vstack([ROWS, np.diag(np.sqrt(penalty))])
    expected = brute_force(rows, np.append(TARGETS, np.zeros(12)), 7)
    assert expected != brute_force(ROWS, TARGETS, 7)
    assert select(NormalEquations.of(ROWS, TARGETS), penalty, 7).columns.tolist() == expected


def test_weights_of_every_number_of_columns_come_with_the_selection():
    moments, penalty = NormalEquations.of(ROWS, TARGETS), np.diag(ROWS.T @ ROWS) * 1e-3
    found = select(moments, penalty, 7, forced=np.array([5]))
    for size in (1, 4, 7):
        columns = found.columns[:size]
        expected = solve(moments.columns(columns), penalty[columns])
        np.testing.assert_allclose(found.weights(size), expected, rtol=1e-9)


def test_dependent_columns_are_not_chosen():
    rows = np.hstack([ROWS[:, :3], ROWS[:, :3] @ RNG.normal(size=(3, 4))])
    moments = NormalEquations.of(rows, TARGETS)
    assert len(select(moments, np.zeros(7), 7).columns) == 3
    # Nor when they are forced, or zero.
    rows = np.hstack([ROWS[:, :3], 2 * ROWS[:, :1], np.zeros((60, 1))])
    found = select(NormalEquations.of(rows, TARGETS), np.zeros(5), 5, forced=np.array([0, 3, 4])).columns
    assert found[0] == 0
    assert sorted(found) == [0, 1, 2]


def test_inputs_stay_as_they_are():
    moments = NormalEquations.of(ROWS, TARGETS)
    gram, moment = moments.gram.copy(), moments.moment.copy()
    select(moments, np.ones(12), 5)
    solve(moments, np.ones(12))
    np.testing.assert_array_equal(moments.gram, gram)
    np.testing.assert_array_equal(moments.moment, moment)


def test_columns_of_moments():
    indices = np.array([4, 1])
    part = NormalEquations.of(ROWS, TARGETS).columns(indices)
    expected = NormalEquations.of(ROWS[:, indices], TARGETS)
    np.testing.assert_allclose(part.gram, expected.gram)
    np.testing.assert_allclose(part.moment, expected.moment)
    assert (part.square, part.count) == (expected.square, expected.count)


def test_nothing_to_select():
    with pytest.raises(InputError):
        select(NormalEquations.of(ROWS, TARGETS), np.zeros(12), 0)
