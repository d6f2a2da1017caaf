"""Phonons beside dynamical matrices made another way, closed forms, and phonopy's own files."""

from __future__ import annotations

import builtins
import json
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms
from ase.eos import birchmurnaghan
from ase.io import write

from ase_scatter import cli
from ase_scatter.errors import InputError
from ase_scatter.model.committee import Members
from ase_scatter.plotting import expansion_plot, phonon_plot, thermal_plot
from ase_scatter.properties import phonons, quasi_harmonic, relax_cell, repetitions
from ase_scatter.properties.quasiharmonic import lowest_free_energy
from ase_scatter.properties.spectra import lowest_frequency, optical_modes
from ase_scatter.units import GPA

phonopy = pytest.importorskip("phonopy")

LJ = {"sigma": 3.4, "rc": 9.0, "ro": 7.0, "smooth": True}
SCALES = np.array([0.9, 0.97, 1.05, 1.08])
FACTORS = {"energy": 3.0, "force": 2.0, "stress": 4.0}
QUICK = {"mesh": (8, 8, 8), "points": 60}


class Committee(LennardJones):
    """Lennard-Jones potentials whose members differ in depth alone, so that ω² is in proportion."""

    def __init__(self, factors=FACTORS) -> None:
        super().__init__(epsilon=0.0104, **LJ)
        self.factors, self.batches = factors, []

    def evaluate_with_members(self, structures):
        self.batches.append(len(structures))
        pairs = []
        for atoms in structures:
            results = {name: self.get_property(name, atoms) for name in ("energy", "forces", "stress")}
            energy, forces = (np.multiply.outer(SCALES, results[key]) for key in ("energy", "forces"))
            pairs.append((results, Members(energy, None, forces, None, self.factors)))
        return pairs


@pytest.fixture(scope="module")
def argon() -> Atoms:
    return relax_cell(bulk("Ar", a=5.3), LennardJones(epsilon=0.0104, **LJ), fmax=1e-6).atoms


@pytest.fixture(scope="module")
def copper() -> Atoms:
    return relax_cell(bulk("Cu", a=3.6), EMT(), fmax=1e-6).atoms


@pytest.fixture(scope="module")
def committee(argon):
    return phonons(argon, Committee(), supercell=(3, 3, 3), **QUICK)


def exact_frequencies(conventional: Atoms, basis: int, calculator, wave) -> np.ndarray:
    """THz, from D(k) of a cubic crystal by central differences; wave: Cartesian, in 2π/a.

    basis: the crystal's first atoms, one of each lattice. In a supercell that the wave fits into, the sum
    over atoms is that over the infinite crystal.
    """
    supercell, length = conventional.repeat(2), conventional.cell[0, 0]
    apart = [supercell.get_distances(i, range(len(supercell)), mic=True, vector=True) for i in range(basis)]
    same = [np.abs(2 * d / length - np.round(2 * d / length)).max(axis=1) < 1e-6 for d in apart]
    matrix = np.zeros((3 * basis, 3 * basis), dtype=complex)
    for row in range(3 * basis):
        forces = []
        for step in (1e-3, -1e-3):
            atoms = supercell.copy()
            atoms.positions[row // 3, row % 3] += step
            forces.append(calculator.get_forces(atoms).copy())
        phases = np.exp(2j * np.pi / length * apart[row // 3] @ np.array(wave))
        blocks = phases[:, None] * (forces[1] - forces[0]) / 2e-3
        matrix[row] = np.concatenate([blocks[rows].sum(axis=0) for rows in same])
    values = np.linalg.eigvalsh((matrix + matrix.conj().T) / 2 / conventional.get_masses()[0])
    return np.sign(values) * np.sqrt(np.abs(values)) / (2 * np.pi) * 1000 * units.fs


# ---- frequencies -----------------------------------------------------------------------------------

CRYSTALS = {
    "fcc": ("Cu", 3.6, 1, EMT(), {"X": (1, 0, 0), "L": (0.5, 0.5, 0.5)}),
    "bcc": (
        "Fe",
        3.1,
        1,
        LennardJones(sigma=2.4, rc=5.2, ro=4.0, smooth=True),
        {"H": (1, 0, 0), "N": (0.5, 0.5, 0)},
    ),
    "diamond": (
        "Si",
        5.4,
        2,
        LennardJones(sigma=2.1, rc=5.0, ro=4.0, smooth=True),
        {"G": (0, 0, 0), "X": (1, 0, 0), "L": (0.5, 0.5, 0.5)},
    ),
}


@pytest.mark.parametrize("kind", CRYSTALS)
@pytest.mark.parametrize("cubic", [True, False], ids=["conventional", "primitive, turned"])
def test_special_points_are_where_their_names_say(kind, cubic):
    symbol, length, basis, calculator, points = CRYSTALS[kind]
    conventional = bulk(symbol, a=length, cubic=True)
    atoms = bulk(symbol, a=length, cubic=cubic)
    if not cubic:
        atoms.rotate(40, (1, 2, 3), rotate_cell=True)
    found = phonons(
        atoms,
        calculator,
        supercell=(2, 2, 2) if cubic else (4, 4, 4),
        path="".join(points),
        points=10,
        mesh=(2, 2, 2),
        displacement=1e-3,
        stressed=True,
    )
    assert [label for label, _ in found.labels] == list(points)
    for label, place in found.labels:
        here = int(np.abs(found.distances - place).argmin())
        expected = exact_frequencies(conventional, basis, calculator, points[label])
        np.testing.assert_allclose(found.frequencies[here], expected, rtol=2e-3, atol=2e-3)


def test_acoustic_modes_are_zero_at_gamma_and_no_imaginary_ones(copper):
    found = phonons(copper, EMT(), supercell=(4, 4, 4), **QUICK)
    assert found.stable
    assert found.imaginary < 0.01
    assert found.gamma.shape == (3,)
    assert np.abs(found.gamma).max() < 1e-3
    assert found.optical.shape == (0,)
    assert found.labels[0] == ("G", 0.0)
    assert found.frequencies_half_width is None
    assert found.force_sets.forces.shape == (1, 64, 3)
    # Each frequency of the density of states is a mode: three in a primitive cell.
    assert np.trapezoid(found.dos, found.dos_frequencies) == pytest.approx(3, rel=0.02)


@pytest.mark.parametrize("name", ["a primitive cell", "two of them", "disturbed within the tolerance"])
def test_phonons_do_not_depend_on_the_cell(copper, name):
    atoms = copper.copy()
    repeat = (4, 4, 4)
    if name == "two of them":
        atoms, repeat = copper.repeat((2, 1, 1)), (2, 4, 4)
    elif name.startswith("disturbed"):
        atoms = copper.repeat((2, 1, 1))
        repeat = (2, 4, 4)
        atoms.rattle(1e-4, seed=0)
    found = phonons(atoms, EMT(), supercell=repeat, **QUICK)
    assert len(found.primitive) == 1
    assert len(found.force_sets.forces) == 1
    reference = phonons(copper, EMT(), supercell=(4, 4, 4), **QUICK)
    np.testing.assert_allclose(found.frequencies, reference.frequencies, atol=5e-3)


def test_unstable_crystals_are_told():
    # Pairs that attract each other have no bcc crystal: it shears into fcc.
    calculator = LennardJones(sigma=2.4, rc=5.2, ro=4.0, smooth=True)
    atoms = relax_cell(bulk("Fe", a=2.9), calculator, fmax=1e-6).atoms
    found = phonons(atoms, calculator, supercell=(3, 3, 3), **QUICK)
    assert not found.stable
    assert found.imaginary > 1
    assert found.imaginary == pytest.approx(-found.frequencies.min(), rel=0.3)
    assert found.thermal is None
    assert np.abs(found.imaginary_at).max() > 0.05
    assert "unstable" in "".join(text.get_text() for text in phonon_plot(found).findobj(mpl.text.Text))
    with pytest.raises(InputError, match=r"at a strain of .* unstable.*imaginary"):
        quasi_harmonic(atoms, calculator, supercell=(3, 3, 3), mesh=(8, 8, 8))


def test_translations_at_gamma_are_no_instability_but_soft_optical_modes_are():
    assert optical_modes(np.array([-5.0, -1e-3, 0.0, 1e-3])).tolist() == [0]
    origin, elsewhere = np.array([0.0, 1.0, 0.0]), np.array([0.1, 0.0, 0.0])
    assert lowest_frequency(origin, np.array([-0.3, 0.0, 0.1, 4.0])) == 4.0
    assert lowest_frequency(origin, np.array([-5.0, -1e-3, 0.0, 1e-3])) == -5.0
    assert lowest_frequency(elsewhere, np.array([-0.3, 0.0, 0.1, 4.0])) == -0.3


# ---- thermal properties ----------------------------------------------------------------------------


def test_thermal_properties_of_many_oscillators(argon):
    kelvin = np.array([0.0, 20.0, 21.0, 22.0, 5000.0])
    found = phonons(
        argon, Committee(), supercell=(3, 3, 3), mesh=(15, 15, 15), points=10, temperatures=kelvin
    )
    thermal = found.thermal
    # Dulong and Petit, less the three modes of 15³ wave vectors that are translations.
    assert thermal.heat_capacity[-1] == pytest.approx(3 * units.kB * (1 - 15**-3), rel=1e-4)
    assert thermal.heat_capacity[0] == 0
    # Zero-point energy: half a quantum in each mode of the density of states.
    quantum = units._hplanck * 1e12 / units._e
    zero = np.trapezoid(found.dos * found.dos_frequencies, found.dos_frequencies) * quantum / 2
    assert thermal.free_energy[0] == pytest.approx(zero, rel=0.01)
    assert thermal.entropy[2] == pytest.approx(
        -(thermal.free_energy[3] - thermal.free_energy[1]) / 2, rel=1e-3
    )
    assert thermal.heat_capacity[2] == pytest.approx(
        21 * (thermal.entropy[3] - thermal.entropy[1]) / 2, rel=1e-3
    )


def test_thermal_properties_are_per_atom():
    calculator = LennardJones(sigma=2.9, epsilon=0.1, rc=9.0, ro=6.0, smooth=True)
    atoms = relax_cell(bulk("Mg", a=3.2), calculator, keep="nothing", fmax=1e-5).atoms
    found = phonons(atoms, calculator, supercell=(3, 3, 2), **QUICK, temperatures=[9000])
    assert found.stable
    assert found.optical.shape == (3,)
    assert found.labels[1][0] == "M"
    assert found.thermal.heat_capacity[0] == pytest.approx(3 * units.kB, rel=2e-3)


# ---- committees ------------------------------------------------------------------------------------


def test_half_widths_are_the_spread_of_the_members(argon, committee):
    spread = FACTORS["force"] * np.sqrt(SCALES).std(ddof=1)
    np.testing.assert_allclose(
        committee.frequencies_half_width, spread * np.abs(committee.frequencies), rtol=1e-3, atol=1e-4
    )
    assert committee.gamma_half_width.shape == (3,)
    assert committee.unstable_members == 0
    alone = [
        phonons(argon, LennardJones(epsilon=0.0104 * scale, **LJ), supercell=(3, 3, 3), **QUICK)
        for scale in SCALES
    ]
    for field in ("free_energy", "entropy", "heat_capacity"):
        values = np.array([getattr(member.thermal, field) for member in alone])
        expected = FACTORS["force"] * values.std(axis=0, ddof=1)
        assert expected.max() > 0
        np.testing.assert_allclose(getattr(committee.thermal, f"{field}_half_width"), expected, rtol=1e-6)


def test_supercells_are_one_batch(argon):
    calculator = Committee()
    found = phonons(argon, calculator, supercell=(3, 3, 3), **QUICK)
    assert calculator.batches == [1 + len(found.force_sets.forces)]


def test_without_labels_of_forces_the_half_widths_are_nan(argon):
    found = phonons(argon, Committee({"energy": 1.0}), supercell=(2, 2, 2), **QUICK)
    assert np.isnan(found.frequencies_half_width).all()
    assert np.isfinite(found.frequencies).all()


# ---- thermal expansion -----------------------------------------------------------------------------


def oscillators(quanta: np.ndarray, kelvin: np.ndarray) -> np.ndarray:
    """(3, …) free energy (eV), entropy and heat capacity (eV/K) of three oscillators; quanta in eV."""
    heat = units.kB * np.maximum(kelvin, 1e-3)
    y = np.minimum(quanta / heat, 500)
    n = 1 / np.expm1(y)
    free = quanta / 2 + heat * np.log1p(-np.exp(-y))
    return 3 * np.array([free, units.kB * (y * n - np.log1p(-np.exp(-y))), units.kB * y**2 * n * (1 + n)])


def test_grueneisen_solid_expands_as_grueneisen_says():
    # Quanta ~ V^(−γ) in a lattice with a Birch–Murnaghan curve: 3 α = γ C / (V B), Cp / Cv = 1 + 3 α γ T.
    gamma, quantum = 1.7, 0.02
    volumes, kelvin = np.linspace(9.7, 10.9, 9), np.array([0.0, 50.0, 200.0, 400.0])
    energies = birchmurnaghan(volumes, 0.0, 0.6, 4.5, 10.0)
    quanta = quantum * (volumes[:, None] / 10) ** -gamma
    found = lowest_free_energy(volumes, energies, oscillators(quanta, kelvin).swapaxes(0, 1), kelvin)
    _, _, capacity = oscillators(quantum * (found.volume / 10) ** -gamma, kelvin)
    expansion = gamma * capacity / found.volume / (found.bulk_modulus * GPA) / 3
    assert found.volume[0] > 10.01
    np.testing.assert_allclose(found.expansion, expansion, rtol=2e-3, atol=1e-12)
    np.testing.assert_allclose(
        found.heat_capacity, capacity * (1 + 3 * gamma * found.expansion * kelvin), rtol=2e-3, atol=1e-12
    )


def test_static_lattice_has_its_ownlowest_free_energy():
    volumes = np.linspace(9.7, 10.9, 9)
    energies = birchmurnaghan(volumes, -2.0, 0.6, 4.5, 10.0)
    found = lowest_free_energy(volumes, energies, np.zeros((9, 3, 1)), np.zeros(1))
    assert found.volume == pytest.approx(10.0, rel=1e-9)
    assert found.bulk_modulus * GPA == pytest.approx(0.6, rel=1e-6)
    assert found.gibbs == pytest.approx(-2.0, rel=1e-9)
    outside = lowest_free_energy(volumes[3:], energies[3:], np.zeros((6, 3, 1)), np.zeros(1))
    assert np.isnan(outside.volume).all()


def test_thermal_expansion_of_copper(copper):
    found = quasi_harmonic(copper, EMT(), supercell=(3, 3, 3), mesh=(8, 8, 8), points=5)
    kelvin = found.temperatures
    numeric = np.gradient(found.volume, kelvin) / found.volume / 3
    np.testing.assert_allclose(found.expansion[5:-1], numeric[5:-1], rtol=0.02, atol=2e-8)
    entropy = -np.gradient(found.gibbs, kelvin)
    np.testing.assert_allclose(
        found.heat_capacity[8:-5], (kelvin * np.gradient(entropy, kelvin))[8:-5], rtol=0.02, atol=2e-7
    )
    # Zero-point motion swells the crystal; heat softens it.
    assert found.volume[0] > copper.get_volume()
    assert found.bulk_modulus[0] > found.bulk_modulus[-1]
    np.testing.assert_allclose(found.lengths[:, 0] ** 3 / np.sqrt(2), found.volume, rtol=1e-6)
    assert found.volume_half_width is None
    json.dumps(found.to_dict(), allow_nan=False)
    with pytest.raises(InputError, match=r"at 900 K the free energy has no minimum between"):
        quasi_harmonic(
            copper,
            EMT(),
            strains=(-0.01, 0.005),
            points=5,
            supercell=(3, 3, 3),
            mesh=(8, 8, 8),
            temperatures=[100, 900],
        )


def test_thermal_expansion_has_half_widths(argon):
    settings = {"supercell": (2, 2, 2), "mesh": (4, 4, 4), "points": 5, "temperatures": [5.0, 25.0]}
    found = quasi_harmonic(argon, Committee(), strains=(-0.01, 0.05), **settings)
    alone = [
        quasi_harmonic(argon, LennardJones(epsilon=0.0104 * scale, **LJ), strains=(-0.01, 0.05), **settings)
        for scale in SCALES
    ]
    assert found.failed_members == 0
    for field, factor in (
        ("volume", 4.0),
        ("bulk_modulus", 4.0),
        ("expansion", 2.0),
        ("heat_capacity", 2.0),
    ):
        values = np.array([getattr(member, field) for member in alone])
        expected = factor * values.std(axis=0, ddof=1)
        np.testing.assert_allclose(getattr(found, f"{field}_half_width"), expected, rtol=1e-4)


# ---- files, figures, refusals ----------------------------------------------------------------------


def test_phonopy_goes_on_with_the_files(copper, tmp_path):
    found = phonons(copper, EMT(), supercell=(3, 3, 3), **QUICK)
    yaml, forces = found.force_sets.write(tmp_path / "new")
    assert (yaml.name, forces.name) == ("phonopy_params.yaml", "FORCE_SETS")
    loaded = phonopy.load(yaml, log_level=0)
    np.testing.assert_allclose(loaded.run_qpoints(found.path).frequencies, found.frequencies, atol=1e-4)
    apart = phonopy.load(
        unitcell=loaded.unitcell,
        supercell_matrix=loaded.supercell_matrix,
        primitive_matrix=loaded.primitive_matrix,
        force_sets_filename=forces,
        log_level=0,
    )
    np.testing.assert_allclose(apart.run_qpoints(found.path).frequencies, found.frequencies, atol=1e-4)


def test_figures(committee, argon, tmp_path):
    figure = phonon_plot(committee, tmp_path / "p.png", title="Ar")
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert ticks[:2] == ["Γ", "X"]
    assert any("|" in tick for tick in ticks)
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 2]
    assert sum(len(line.get_xdata()) for line in lines) == committee.frequencies.size
    thermal_plot(committee.thermal, tmp_path / "t.png")
    settings = {"supercell": (2, 2, 2), "mesh": (4, 4, 4), "points": 5, "temperatures": [5.0, 25.0]}
    expansion_plot(quasi_harmonic(argon, Committee(), **settings), tmp_path / "q.png")
    for name in ("p", "t", "q"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_results_are_data_that_json_can_hold(committee):
    written = json.loads(json.dumps(committee.to_dict(), allow_nan=False))
    assert written["thermal"]["temperatures"][-1] == 1000
    assert np.shape(written["force_sets"]["forces"]) == committee.force_sets.forces.shape


def test_supercells_reach_a_length():
    atoms = bulk("Si", a=5.0, cubic=True)
    assert repetitions(atoms, 10.0).tolist() == [2, 2, 2]
    assert repetitions(atoms, 10.1).tolist() == [3, 3, 3]
    assert repetitions(bulk("Mg"), 10.0).tolist() == [4, 4, 2]
    # A cell so skewed that an edge is much longer than the next image is far.
    skewed = Atoms("Si", cell=[[5, 0, 0], [20, 5, 0], [0, 0, 5]], pbc=True)
    supercell = skewed.repeat(repetitions(skewed, 10.0))
    images = np.array([n for n in np.ndindex(9, 9, 9) if n != (4, 4, 4)]) - 4
    assert np.linalg.norm(images @ supercell.cell[:], axis=1).min() >= 10.0
    for wrong in (0.0, (2, 2), (2, 2, 0), (2.5, 2, 2)):
        with pytest.raises(InputError, match="supercell"):
            repetitions(atoms, wrong)


def test_what_has_no_phonons_is_refused(copper, monkeypatch):
    with pytest.raises(InputError, match="crystal"):
        phonons(Atoms("Cu"), EMT())
    with pytest.raises(InputError, match=r"stress of up to .* relax its cell first"):
        phonons(bulk("Cu", a=3.7), EMT())
    rattled = copper.repeat(2)
    rattled.rattle(0.05, seed=0)
    # Constraints hide forces; phonons do not heed them.
    rattled.set_constraint(FixAtoms(range(8)))
    with pytest.raises(InputError, match=r"forces of up to .* relax the crystal"):
        phonons(rattled, EMT())
    mirrored = copper.copy()
    mirrored.set_cell(mirrored.cell[[1, 0, 2]], scale_atoms=False)
    with pytest.raises(InputError, match="left-handed"):
        phonons(mirrored, EMT())
    isotopes = copper.repeat((2, 1, 1))
    isotopes.set_masses([63.0, 65.0])
    with pytest.raises(InputError, match="differ in mass"):
        phonons(isotopes, EMT())
    for wrong, said in (
        ({"displacement": 0.0}, "displacement"),
        ({"mesh": (8, 8)}, "mesh"),
        ({"temperatures": [-1.0]}, "temperatures"),
        ({"points": 1}, "two points"),
        ({"path": "GQ"}, "none of"),
    ):
        with pytest.raises(InputError, match=said):
            phonons(copper, EMT(), **{"supercell": (2, 2, 2), **wrong})

    class Broken(EMT):
        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
            super().calculate(atoms, properties, system_changes)
            if len(self.atoms) > 1:
                self.results["forces"] = self.results["forces"] * np.nan

    with pytest.raises(InputError, match="not finite"):
        phonons(copper, Broken(), supercell=(2, 2, 2))

    usual = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("phonopy"):
            raise ImportError(name)
        return usual(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pip install 'ase-scatter\[phonons\]'"):
        phonons(copper, EMT())


# ---- the command -----------------------------------------------------------------------------------


@pytest.fixture
def emt(monkeypatch):
    """EMT in place of a model that took long to fit."""

    def stand_in(model, **settings):
        calculator = EMT()
        calculator.model = SimpleNamespace(name=model, hash="0123")
        return calculator

    monkeypatch.setattr("ase_scatter.calculator.ScatteringCalculator", stand_in)


def test_command(emt, tmp_path, capsys):
    data, plot, out = tmp_path / "cu.json", tmp_path / "cu.png", tmp_path / "phonopy"
    command = [
        "phonons",
        "some",
        "Cu",
        "--length",
        "7",
        "--quiet",
        "--json",
        data,
        "--plot",
        plot,
        "--out",
        out,
    ]
    command = [str(word) for word in command]
    assert cli.main([*command, "--qha"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "supercell 2×2×2, 32 atoms" in said.out
    assert "No imaginary modes" in said.out
    assert "linear expansion at 300 K" in said.out
    found = json.loads(data.read_text())
    assert found["phonons"]["stable"] is True
    assert found["relaxation"]["converged"] is True
    assert len(found["quasi_harmonic"]["expansion"]) == 101
    for name in ("cu.png", "cu-thermal.png", "cu-qha.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert phonopy.load(out / "phonopy_params.yaml", log_level=0).force_constants is not None
    assert cli.main(command) == 2
    assert "--force" in capsys.readouterr().err


def test_command_tells_of_an_unstable_crystal(emt, tmp_path, capsys):
    file, plot = tmp_path / "bcc.vasp", tmp_path / "bcc.png"
    write(file, bulk("Cu", "bcc", a=2.87))
    command = ["phonons", "some", str(file), "--supercell", "4,4,4", "--quiet", "--qha", "--plot", str(plot)]
    assert cli.main(command) == 1
    said = capsys.readouterr().out
    assert "UNSTABLE: imaginary frequencies up to" in said
    assert "expansion" not in said
    assert plot.exists()
    assert not (tmp_path / "bcc-qha.png").exists()


def test_command_refuses_in_one_line(emt, capsys):
    for words, said in (
        (["nowhere.cif"], "a file that ASE reads"),
        (["Cu", "--no-relax"], "relax"),
        (["Cu", "--supercell", "2,2"], "three whole numbers"),
        (["Cu", "--plot", "x.doc"], ".png"),
    ):
        assert cli.main(["phonons", "some", *words, "--quiet"]) == 2
        captured = capsys.readouterr()
        assert said in captured.err
        assert captured.err.count("\n") == 1
