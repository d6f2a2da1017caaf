"""Models that the KIM API runs give what the calculator gives, in ASE and in a LAMMPS with KIM."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.lammps import Prism
from ase.io.lammpsdata import write_lammps_data

from ase_scatter import InputError, Model, ScatteringCalculator, cli
from ase_scatter.engines.kim import install as installer
from ase_scatter.engines.lammps.run import read_thermo

MISSING = [name for name in (installer.MANAGER, "cmake", "c++") if shutil.which(name) is None]
LMP = "/usr/bin/lmp"  # that of Python's package has no KIM


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """A collection of its own, with two models and their driver."""
    if MISSING:
        pytest.skip(f"not installed: {', '.join(MISSING)}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        first = installer.install(Model.load("Si"))
        second = installer.install(Model.load("LiSi"))
        assert not first.driver_was_there
        assert second.driver_was_there
        assert {first.name, second.name, first.driver} <= installer.items()
        yield {"Si": first.name, "LiSi": second.name}


def silicon() -> Atoms:
    """216 atoms, two of them inside the repulsion."""
    atoms = bulk("Si", cubic=True) * (3, 3, 3)
    return disturbed(atoms)


def lithium_silicon() -> Atoms:
    """128 atoms of two elements on a sheared lattice."""
    atoms = bulk("Si", "bcc", 3.6, cubic=True) * (4, 4, 4)
    atoms.symbols = np.random.default_rng(2).choice(["Li", "Si"], len(atoms))
    cell = atoms.cell.array.copy()
    cell[1, 0], cell[2, 0], cell[2, 1] = 1.3, -0.8, 2.0
    atoms.set_cell(cell, scale_atoms=True)
    return disturbed(atoms)


def disturbed(atoms: Atoms) -> Atoms:
    atoms.rattle(0.1, seed=3)
    vector = atoms.get_distance(0, 1, mic=True, vector=True)
    atoms.positions[1] = atoms.positions[0] + 1.5 * vector / np.linalg.norm(vector)
    return atoms


CASES = {"Si": silicon, "LiSi": lithium_silicon}


@pytest.mark.parametrize("name", CASES)
def test_it_gives_what_the_calculator_gives_in_ase(name, collection, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # takes kim.log
    if find_spec("kimpy") is None:
        pytest.skip("not installed: kimpy")
    from ase.calculators.kim import KIM

    atoms = CASES[name]()
    theirs, ours = atoms.copy(), atoms.copy()
    theirs.calc, ours.calc = KIM(collection[name]), ScatteringCalculator(name)
    energy = ours.get_potential_energy()
    assert theirs.get_potential_energy() == pytest.approx(energy, abs=1e-10, rel=1e-14)
    assert np.abs(theirs.get_forces() - ours.get_forces()).max() < 1e-10
    expected = ours.get_stress()
    assert np.abs(theirs.get_stress() - expected).max() < 1e-10 * np.abs(expected).max()


@pytest.mark.parametrize("name", CASES)
def test_it_gives_what_the_calculator_gives_in_lammps(name, collection, tmp_path):
    if not Path(LMP).exists():
        pytest.skip(f"not installed: {LMP}")
    atoms = CASES[name]()
    order = sorted(set(atoms.get_chemical_symbols()))
    write_lammps_data(
        tmp_path / "data", atoms, specorder=order, masses=True, atom_style="atomic", force_skew=True
    )
    (tmp_path / "in.lmp").write_text(
        f"units metal\nnewton on\nread_data data\npair_style kim {collection[name]}\n"
        f"pair_coeff * * {' '.join(order)}\ncompute pe all pe/atom\ncompute st all stress/atom NULL\n"
        "compute sum all reduce sum c_st[1] c_st[2] c_st[3]\n"
        "thermo_style custom step pe pxx pyy pzz pxy pxz pyz c_sum[1] c_sum[2] c_sum[3] vol\n"
        "thermo_modify format float %.17g\ndump d all custom 1 dump id fx fy fz c_pe\n"
        "dump_modify d sort id format float %.17g\nrun 0\n"
    )
    words = [LMP, "-in", "in.lmp"]
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    if Path("/usr/bin/mpirun").exists():
        words = ["/usr/bin/mpirun", "--oversubscribe", "-n", "2", *words]
    done = subprocess.run(
        words, cwd=tmp_path, env=os.environ | root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found = read_thermo(done.stdout)[0]
    value = {key: column[0] for key, column in found.items()}
    atoms.calc = ScatteringCalculator(name)
    energies = atoms.get_potential_energies()
    assert value["PotEng"] == pytest.approx(energies.sum(), abs=1e-10, rel=1e-14)
    rows = np.loadtxt(tmp_path / "dump", skiprows=9)
    prism = Prism(atoms.cell, pbc=atoms.pbc)
    assert np.abs(prism.vector_to_ase(rows[:, 1:4]) - atoms.get_forces()).max() < 1e-10
    assert np.abs(rows[:, 4] - energies).max() < 1e-10
    xx, yy, zz, xy, xz, yz = (value[key] for key in ("Pxx", "Pyy", "Pzz", "Pxy", "Pxz", "Pyz"))
    pressure = prism.tensor2_to_ase(np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]))
    expected = atoms.get_stress(voigt=False)
    assert np.abs(-pressure * units.bar - expected).max() < 1e-7 * np.abs(expected).max()
    atomic = np.array([value[f"c_sum[{k}]"] for k in (1, 2, 3)]) / value["Volume"]
    assert -atomic == pytest.approx([xx, yy, zz], rel=1e-8)


def test_a_name_that_is_taken(collection):
    with pytest.raises(InputError, match="has a model ase_scatter_Si already; name another one"):
        installer.install(Model.load("Si"))


# ---- without the KIM API --------------------------------------------------------------------------------


def test_what_is_missing_is_named(monkeypatch):
    def refusal(*there: str) -> str:
        monkeypatch.setattr(installer.shutil, "which", lambda name: name if name in there else None)
        with pytest.raises(InputError) as refused:
            installer.install(Model.load("Si"))
        return str(refused.value)

    monkeypatch.delenv("CXX", raising=False)
    assert refusal().startswith("kim-api-collections-management was not found: install the KIM API (Debian")
    assert refusal(installer.MANAGER).startswith("cmake, with which the KIM API compiles, was not found")
    assert refusal(installer.MANAGER, "cmake").startswith("no C++ compiler was found: install g++")


def test_sources_are_written(tmp_path, capsys):
    assert cli.main(["kim", "export", "LiSi", "--out", str(tmp_path), "--name", "mine"]) == 0
    driver = installer.driver_name()
    assert f"install user {tmp_path}/{driver}" in capsys.readouterr().out
    assert {file.name for file in (tmp_path / driver).iterdir()} == {
        "CMakeLists.txt", "driver.cpp", "kernels.hpp", "potential.hpp", "vectors.hpp"
    }  # fmt: skip
    assert f'DRIVER_NAME "{driver}"' in (tmp_path / "mine/CMakeLists.txt").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["Si-grid"], "computes on a grid over the whole cell"),
        (["Si", "--name", "a b"], "'a b' is no name for the KIM API: use a letter"),
    ],
)
def test_what_is_refused(words, message, tmp_path, capsys):
    assert cli.main(["kim", "export", *words, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
