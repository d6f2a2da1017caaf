"""Which structures of a pool would teach most: against brute force, and against random choice."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from ase_scatter import InputError, UnknownElementError, fit
from ase_scatter.structures.dataset import Frame
from ase_scatter.structures.system import System
from ase_scatter.training.active_learning import _greedy, select_structures
from ase_scatter.training.settings import FitSettings

SITES = {"first": (3, 1), "inner": (), "outer": (), "triple": 2, "exponents2": ()}
SETTINGS = FitSettings(sites=SITES, columns=40, members=0)


def copper(seed, rattle, scale=1.0):
    atoms = bulk("Cu", "fcc", 3.6 * scale, cubic=True)
    atoms.rattle(rattle, seed=seed)
    atoms.calc = EMT()
    return Frame(System.from_atoms(atoms), atoms.get_potential_energy(), atoms.get_forces())


def test_greedy_choice_is_that_of_brute_force():
    rng = np.random.default_rng(0)
    offered = [rng.normal(size=(3, 8)) * rng.uniform(0.3, 3.0) for _ in range(12)]
    information = 0.1 * np.eye(8)
    choice = _greedy(information.copy(), offered, 12, 0.0, False)
    left = list(range(12))
    for k, gain, doubt, remaining in zip(
        choice.chosen, choice.gains, choice.doubts, choice.largest_doubt, strict=True
    ):
        before = np.linalg.slogdet(information)[1]
        gains = {i: np.linalg.slogdet(information + offered[i].T @ offered[i])[1] - before for i in left}
        assert k == max(gains, key=gains.get)
        assert gain == pytest.approx(gains[k], rel=1e-8)
        covariance = np.linalg.inv(information)
        assert doubt == pytest.approx(np.sqrt(np.trace(offered[k] @ covariance @ offered[k].T) / 3), rel=1e-6)
        information = information + offered[k].T @ offered[k]
        left.remove(k)
        covariance = np.linalg.inv(information)
        doubts = [np.sqrt(np.trace(offered[i] @ covariance @ offered[i].T) / 3) for i in left]
        assert remaining == pytest.approx(max(doubts, default=0.0), rel=2e-3)
    assert sorted(choice.chosen) == list(range(12))


def test_it_stops_when_what_is_left_teaches_little():
    rng = np.random.default_rng(1)
    offered = [10 * rng.normal(size=(4, 5)) for _ in range(30)]
    choice = _greedy(1e-3 * np.eye(5), offered, 30, 0.5, False)
    assert choice.enough
    assert len(choice.chosen) < 15
    assert choice.largest_doubt[-1] < 0.5 <= choice.largest_doubt[-2]
    all_of_them = _greedy(1e-3 * np.eye(5), offered, 3, 0.5, False)
    assert not all_of_them.enough
    assert all_of_them.chosen == choice.chosen[:3]


@pytest.fixture(scope="module")
def pool():
    """Mostly small rattles, a few large ones and strained ones: the rare kind is what is to be learnt."""
    frames = [copper(k, 0.03) for k in range(40)]
    frames += [copper(100 + k, 0.25, 0.94 + 0.03 * (k % 5)) for k in range(10)]
    return frames


@pytest.fixture(scope="module")
def start(pool):
    return fit(pool[:6], settings=SETTINGS, progress=False, workers=1).model


def test_it_finds_the_structures_unlike_the_known_ones(pool, start):
    systems = [frame.system for frame in pool]
    choice = select_structures(start, systems, known=systems[:6], count=6)
    assert sum(k >= 40 for k in choice.chosen) >= 5
    again = select_structures(start, systems, known=systems[:6], count=6, workers=2)
    assert again.chosen == choice.chosen
    # What is known is not chosen before what is not.
    assert not set(choice.chosen) & set(range(6))


@pytest.mark.filterwarnings("ignore:the data look wrong")  # one frame unlike all others
def test_chosen_structures_teach_more_than_random_ones(pool, start):
    systems = [frame.system for frame in pool]
    chosen = select_structures(start, systems, known=systems[:6], count=8).chosen
    test = [copper(500 + k, 0.25, 0.94 + 0.03 * (k % 5)) for k in range(10)]

    def error(picked):
        known = [pool[k] for k in sorted({*range(6), *picked})]
        table = fit(known, test=test, settings=SETTINGS, progress=False, workers=1).errors
        return table["test"]["all"]["force_mae"]

    rng = np.random.default_rng(0)
    others = [error(rng.choice(np.arange(6, 50), 8, replace=False).tolist()) for _ in range(3)]
    assert error(chosen) < 0.8 * np.median(others)


def test_without_known_structures(pool, start):
    assert len(select_structures(start, [frame.system for frame in pool[:10]], count=3).chosen) == 3


def test_what_it_refuses(pool, start):
    with pytest.raises(InputError, match="empty"):
        select_structures(start, [])
    with pytest.raises(InputError, match="at least one"):
        select_structures(start, [pool[0].system], count=0)
    with pytest.raises(UnknownElementError, match="Au"):
        select_structures(start, [System.from_atoms(bulk("Au"))])
