"""Molecular dynamics on potentials with known answers: conservation, ensembles, restarts, stops."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.io import read

from ase_scatter.errors import InputError
from ase_scatter.properties import molecular_dynamics, single_points
from ase_scatter.properties.barostat import rescale_cell
from ase_scatter.units import GPA


class Nothing(Calculator):
    """An ideal gas."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3)), "stress": np.zeros(6)}


class Watched(EMT):
    """EMT with a committee that trusts it less with each look."""

    has_committee = True
    looks = 0

    def get_uncertainty(self, atoms):
        if not isinstance(atoms, Atoms):
            return [self.get_uncertainty(each) for each in atoms]
        self.looks += 1
        n = len(atoms)
        return SimpleNamespace(
            energy=0.1, forces=np.full(n, 0.2), stress=0.3, grade=np.full(n, 0.4 * self.looks)
        )


@pytest.fixture
def copper() -> Atoms:
    return bulk("Cu", cubic=True).repeat((2, 1, 1))


def test_constant_energy(copper):
    before = copper.copy()
    found = molecular_dynamics(copper, EMT(), temperature=600, timestep=2, steps=100)
    assert copper == before
    assert found.finished
    assert found.series("step").tolist() == list(range(0, 101, 10))
    assert found.series("time")[-1] == 200
    assert np.ptp(found.series("total_energy")) < 0.01 * np.ptp(found.series("potential_energy"))
    np.testing.assert_allclose(found.atoms.get_momenta().sum(axis=0), 0, atol=1e-10)
    # Nothing was watched.
    assert np.isnan(found.series("grade")).all()
    json.dumps(found.to_dict(), allow_nan=False)


def test_velocities_are_kept(copper):
    rng = np.random.default_rng(0)
    momenta = rng.normal(size=(8, 3))
    momenta -= momenta.mean(axis=0)
    copper.set_momenta(momenta)
    found = molecular_dynamics(copper, EMT(), steps=1)
    kinetic = found.samples[0]["total_energy"] - found.samples[0]["potential_energy"]
    assert kinetic == pytest.approx(copper.get_kinetic_energy(), rel=1e-12)


@pytest.mark.parametrize("thermostat", ["langevin", "bussi"])
def test_the_temperature_follows_its_target(thermostat):
    gas = Atoms("Ar60", positions=10 * np.random.default_rng(2).random((60, 3)), cell=[10] * 3, pbc=True)
    found = molecular_dynamics(
        gas, Nothing(), ensemble="nvt", thermostat=thermostat, temperature=(200, 800), damping=20, steps=1500
    )
    kelvins = found.series("temperature")
    line = np.linspace(200, 800, len(kelvins))
    # 150 samples, about 1.5 between independent ones; one scatters by √(2/177) = 11 %.
    assert np.mean(kelvins / line) == pytest.approx(1, abs=0.05)
    assert np.std(kelvins / line) == pytest.approx(np.sqrt(2 / 177), rel=0.35)


def test_volumes_of_an_ideal_gas_have_their_distribution():
    """V is distributed as V^N exp(−PV/kT): mean (N + 1) kT/P, variance (N + 1)(kT/P)²."""
    rng = np.random.default_rng(1)
    n, temperature, pressure = 10, 500.0, 10 * GPA
    unit = units.kB * temperature / pressure
    gas = Atoms(f"Ar{n}", cell=np.full(3, (n * unit) ** (1 / 3)), pbc=True)
    gas.calc = Nothing()
    widths = np.sqrt(units.kB * temperature * gas.get_masses())[:, None]
    volumes = []
    for _ in range(12_000):
        gas.set_momenta(widths * rng.normal(size=(n, 3)))
        rescale_cell(gas, pressure, temperature, 0.4, rng)
        volumes.append(gas.get_volume() / unit)
    assert np.mean(volumes) == pytest.approx(n + 1, rel=0.06)
    assert np.var(volumes) == pytest.approx(n + 1, rel=0.25)


def test_the_cell_keeps_its_shape_and_phase_space_its_volume(copper):
    copper.calc = EMT()
    copper.set_momenta(np.random.default_rng(3).normal(size=(8, 3)))
    copper.rattle(0.1, seed=1)
    old, scaled, momenta = copper.cell[:].copy(), copper.get_scaled_positions(), copper.get_momenta()
    rescale_cell(copper, 50 * GPA, 300, 1.0, np.random.default_rng(0))
    scale = copper.cell[0, 0] / old[0, 0]
    assert scale < 0.95
    np.testing.assert_allclose(copper.cell[:], scale * old)
    np.testing.assert_allclose(copper.get_scaled_positions(), scaled)
    np.testing.assert_allclose(copper.get_momenta(), momenta / scale)


@pytest.mark.parametrize(
    "how",
    [
        {"ensemble": "nve"},
        {"ensemble": "nvt", "thermostat": "langevin", "temperature": (300, 600)},
        {"ensemble": "nvt", "thermostat": "bussi"},
        {"ensemble": "npt", "thermostat": "bussi", "pressure": 3.0, "pressure_damping": 200},
    ],
    ids=lambda how: "-".join(map(str, how.values())),
)
def test_a_run_that_goes_on_is_the_run_without_a_stop(copper, tmp_path, how):
    class Stop(Exception):
        pass

    def stop(sample):
        if sample.step == 30:
            raise Stop

    copper.rattle(0.05, seed=2)
    whole = molecular_dynamics(copper, EMT(), steps=60, **how)
    path = tmp_path / "run.traj"
    with pytest.raises(Stop):
        molecular_dynamics(copper, EMT(), steps=60, trajectory=path, observe=stop, **how)
    rest = molecular_dynamics(copper, EMT(), steps=60, trajectory=path, restart=True, **how)
    # EMT sums over neighbours in an order that depends on where its list was made.
    exact = {"rtol": 0, "atol": 1e-10}
    np.testing.assert_allclose(rest.atoms.positions, whole.atoms.positions, **exact)
    np.testing.assert_allclose(rest.atoms.cell[:], whole.atoms.cell[:], **exact)
    assert [s["step"] for s in rest.samples] == [s["step"] for s in whole.samples]
    np.testing.assert_allclose(rest.series("total_energy"), whole.series("total_energy"), **exact)
    frames = read(path, ":")
    assert len(frames) == 7
    assert frames[-1].get_potential_energy() == rest.samples[-1]["potential_energy"]
    assert frames[-1].get_temperature() == pytest.approx(whole.samples[-1]["temperature"])
    if how["ensemble"] == "npt":
        assert frames[-1].get_volume() < 0.99 * copper.get_volume()
    # All steps are there: nothing more happens.
    again = molecular_dynamics(copper, EMT(), steps=60, trajectory=path, restart=True, **how)
    assert again.finished
    assert len(read(path, ":")) == 7


def test_a_watched_run_stops_outside(copper):
    how = {"steps": 100, "every": 5, "watch": 10}
    found = molecular_dynamics(copper, Watched(), stop_outside=True, **how)
    assert found.outside
    assert not found.finished
    # 0.4, 0.8, 1.2: the third look.
    assert found.samples[-1]["step"] == 20
    assert found.samples[-1]["force_half_width"] == 0.2
    assert np.isnan(found.samples[1]["grade"])
    found = molecular_dynamics(copper, Watched(), **how)
    assert found.finished
    assert not found.outside


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"ensemble": "nvt", "temperature": 0}, "positive"),
        ({"temperature": (300, 400)}, "constant energy"),
        ({"ensemble": "nph"}, "ensemble"),
        ({"watch": 10}, "committee"),
        ({"watch": 15}, "multiple"),
        ({"timestep": 0}, "timestep"),
        ({"restart": True}, "trajectory"),
        ({"restart": True, "trajectory": "nowhere.traj"}, "no trajectory"),
    ],
)
def test_what_makes_no_run(copper, how, message):
    with pytest.raises(InputError, match=message):
        molecular_dynamics(copper, EMT(), **how)


def test_a_trajectory_of_something_else(copper, tmp_path):
    path = tmp_path / "other.traj"
    copper.write(path)
    with pytest.raises(InputError, match="not written by"):
        molecular_dynamics(copper, EMT(), trajectory=path, restart=True)
    molecular_dynamics(copper, EMT(), trajectory=path, steps=10)
    with pytest.raises(InputError, match="other atoms"):
        molecular_dynamics(copper[:6], EMT(), trajectory=path, restart=True)


def test_a_run_that_blows_up(copper):
    class Broken(Nothing):
        def calculate(self, *args, **kwargs):
            super().calculate(*args, **kwargs)
            self.results["energy"] = np.nan

    with pytest.raises(InputError, match="smaller time step"):
        molecular_dynamics(copper, Broken(), steps=10)


def test_single_points(copper):
    copper.rattle(0.1, seed=0)
    molecule = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.3]])
    crystal, open_ = single_points([copper, molecule], Watched())
    copper.calc = EMT()
    assert crystal.energy == copper.get_potential_energy()
    np.testing.assert_array_equal(crystal.forces, copper.get_forces())
    np.testing.assert_array_equal(crystal.stress, copper.get_stress())
    assert open_.stress is None
    assert [found.grade.max() for found in (crystal, open_)] == [0.4, 0.8]
    assert single_points([molecule], EMT())[0].grade is None
