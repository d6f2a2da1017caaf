import numpy as np
import pytest
from ase.data import atomic_numbers

from ase_scatter.errors import InputError, UnknownElementError
from ase_scatter.scattering.channels import Channels, valence_electrons

COUNTS = [("H", 1), ("Li", 1), ("C", 4), ("Si", 4), ("Cl", 7), ("Ar", 8), ("Ti", 4), ("Cu", 11), ("Zn", 12)]
COUNTS += [("Ga", 3), ("Mo", 6), ("Sn", 4), ("W", 6), ("Pb", 4)]


@pytest.mark.parametrize(("symbol", "count"), COUNTS)
def test_valence_electrons(symbol, count):
    assert valence_electrons(atomic_numbers[symbol]) == count


def test_species_and_their_sum():
    channels = Channels.by_species(["Si", "Li", "Si"])
    assert channels.elements == ("Li", "Si")
    assert channels.names == ("Li", "Si", "all")
    expected = [[0, 1, 0], [1, 0, 1], [1, 1, 1]]
    np.testing.assert_array_equal(channels.charges(np.array([14, 3, 14])), expected)
    assert Channels.by_species(["Mo"]).names == ("Mo",)


def test_charges_are_scaled_to_mean_one():
    channels = Channels.by_charges(["Li", "Si"])
    assert channels.names == ("nuclear", "valence", "ionic")
    q = channels.charges(np.array([3, 14]))
    np.testing.assert_allclose(q.mean(axis=1), 1.0)
    np.testing.assert_allclose(q[:, 1] / q[:, 0], [14 / 3, 4.0, 5.0])
    # Hydrogen and helium have no core electrons: that channel would be empty.
    assert Channels.by_charges(["H", "He"]).names == ("nuclear", "valence")


def test_table_of_the_users_own_and_round_trip():
    channels = Channels.from_table({"a": {"C": 1.5}, "b": {"C": -1.0, "O": 2.0}})
    np.testing.assert_array_equal(channels.charges(np.array([8, 6])), [[0.0, 1.5], [2.0, -1.0]])
    assert Channels.from_dict(channels.to_dict()) == channels


def test_unknown_element_is_named_with_the_known_ones():
    with pytest.raises(UnknownElementError, match=r"Au.*Li, Si"):
        Channels.by_species(["Li", "Si"]).charges(np.array([3, 79]))


@pytest.mark.parametrize("table", [{"a": {"Xx": 1.0}}, {"a": {"C": float("nan")}}])
def test_bad_tables(table):
    with pytest.raises(InputError):
        Channels.from_table(table)


@pytest.mark.parametrize("make", [Channels.by_species, Channels.by_charges])
@pytest.mark.parametrize("symbols", [["Xx"], ["Si", "X"], []])
def test_what_is_no_element(make, symbols):
    with pytest.raises(InputError):
        make(symbols)


def test_weights_must_fit_the_names():
    with pytest.raises(InputError, match="shaped"):
        Channels(("C", "O"), ("one",), ((1.0,),))
