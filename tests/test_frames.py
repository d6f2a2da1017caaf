"""Reading labelled structures, and refusing those that cannot be trained on."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from ase_scatter.errors import InputError
from ase_scatter.structures.dataset import frames_of, read_frames
from ase_scatter.structures.sampling import typical_bond
from ase_scatter.structures.system import System


def labelled(pbc=True, **results) -> Atoms:
    atoms = Atoms("LiSi", positions=[[0, 0, 0], [1.5, 1.6, 1.7]], cell=np.diag([4, 5, 6]), pbc=pbc)
    values = {
        "energy": -3.25,
        "forces": np.array([[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]]),
        "stress": np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) / 8,
    }
    values |= results
    atoms.calc = SinglePointCalculator(atoms, **values)
    return atoms


@pytest.fixture
def path(tmp_path):
    return tmp_path / "frames.extxyz"


def test_labels_are_read(path):
    first = labelled()
    first.info["group"] = "Elastic"
    write(path, [first, labelled(energy=-1.5)])
    frames = read_frames(path)
    assert [frame.energy for frame in frames] == [-3.25, -1.5]
    assert [frame.group for frame in frames] == ["Elastic", ""]
    assert frames[0].system.numbers.tolist() == [3, 14]
    assert frames[0].forces == pytest.approx(first.calc.results["forces"])
    # xx, yy, zz, yz, xz, xy, sign as in the file.
    assert frames[0].stress == pytest.approx(np.arange(1, 7) / 8)


def test_other_formats_of_ase_are_read(tmp_path):
    write(tmp_path / "frames.traj", [labelled(), labelled()])
    frames = read_frames(str(tmp_path / "frames.traj"))
    assert len(frames) == 2
    assert frames[1].stress == pytest.approx(np.arange(1, 7) / 8)


def test_forces_and_stress_may_be_missing(path):
    write(path, labelled(forces=None, stress=None))
    (frame,) = read_frames(path)
    assert frame.energy == -3.25
    assert frame.forces is None
    assert frame.stress is None


def test_stress_needs_three_periodic_directions(path):
    write(path, labelled(pbc=(True, True, False)))
    (frame,) = read_frames(path)
    assert frame.stress is None
    assert frame.forces is not None


def test_names_of_the_users_own(path):
    atoms = labelled(energy=1.0)
    atoms.info["dft_energy"] = -7.5
    atoms.arrays["dft_forces"] = np.full((2, 3), 0.5)
    matrix = np.array([[1.0, 6.0, 5.0], [6.0, 2.0, 4.0], [5.0, 4.0, 3.0]])
    atoms.info["dft_stress"] = matrix
    write(path, atoms)
    names = {"energy_key": "dft_energy", "forces_key": "dft_forces", "stress_key": "dft_stress"}
    (frame,) = read_frames(path, **names)
    assert frame.energy == -7.5
    assert frame.forces == pytest.approx(np.full((2, 3), 0.5))
    assert frame.stress == pytest.approx(np.arange(1, 7))


def test_a_misspelt_name_is_noticed(path):
    write(path, [labelled(), labelled()])
    with pytest.raises(InputError, match="forces under the name 'DFT_forces'"):
        read_frames(path, forces_key="DFT_forces")
    with pytest.raises(InputError, match=r"frame 0 .*no energy under the name 'Energy'"):
        read_frames(path, energy_key="Energy")


def test_missing_empty_and_foreign_files(tmp_path, path):
    with pytest.raises(InputError, match=r"there is no file .*frames\.extxyz"):
        read_frames(path)
    with pytest.raises(InputError, match="there is no file"):
        read_frames(tmp_path)
    path.touch()
    with pytest.raises(InputError, match="empty"):
        read_frames(path)
    path.write_text("this is\nnot a structure\n")
    with pytest.raises(InputError, match="cannot be read"):
        read_frames(path)


def test_a_truncated_file_is_refused(path):
    write(path, [labelled(), labelled()])
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    with pytest.raises(InputError, match="cannot be read"):
        read_frames(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"energy": None}, "no energy"),
        ({"energy": float("nan")}, "energy holds values that are not finite"),
        ({"forces": np.array([[0, 0, 0], [0, np.nan, 0]])}, "forces holds values that are not"),
        ({"stress": np.array([0, 0, 0, 0, 0, np.inf])}, "stress holds values that are not finite"),
    ],
    ids=["no energy", "energy", "forces", "stress"],
)
def test_frames_that_cannot_be_used_are_named(path, change, message):
    write(path, [labelled(), labelled(), labelled(**change)])
    with pytest.raises(InputError, match=f"frame 2 of .*{message}"):
        read_frames(path)


def test_wrong_shapes_are_named(path):
    atoms = labelled()
    atoms.arrays["dft_forces"] = np.zeros((2, 2))
    atoms.info["dft_energy"] = np.zeros(2)
    atoms.info["dft_stress"] = np.zeros(5)
    write(path, [atoms, atoms])
    with pytest.raises(InputError, match=r"frame 0 .*forces is shaped \(2, 2\).*\(2, 3\)"):
        read_frames(path, forces_key="dft_forces")
    with pytest.raises(InputError, match=r"frame 0 .*energy is shaped \(2,\)"):
        read_frames(path, energy_key="dft_energy")
    with pytest.raises(InputError, match=r"frame 0 .*stress is shaped \(5,\)"):
        read_frames(path, stress_key="dft_stress")
    atoms.info["dft_energy"] = "high"
    write(path, atoms)
    with pytest.raises(InputError, match="not made of numbers"):
        read_frames(path, energy_key="dft_energy")


def test_structures_that_no_model_could_evaluate_are_named(path):
    broken = labelled()
    broken.positions[1] = broken.positions[0]
    write(path, [labelled(), broken])
    with pytest.raises(InputError, match=r"frame 1 .*same place"):
        read_frames(path)


def test_forces_are_not_left_out_without_a_word(path):
    atoms = Atoms("LiSi", positions=[[0, 0, 0], [1.5, 1.6, 1.7]], cell=np.diag([4, 5, 6]), pbc=True)
    atoms.info["dft_energy"], atoms.arrays["dft_forces"] = -1.5, np.full((2, 3), 0.5)
    write(path, [atoms, atoms])
    with pytest.raises(InputError, match=r"forces under the name 'forces', but 'dft_forces'"):
        read_frames(path, energy_key="dft_energy")
    found = read_frames(path, energy_key="dft_energy", forces_key="dft_forces")
    assert (found[0].forces == 0.5).all()
    assert read_frames(path, energy_key="dft_energy", forces_key="")[0].forces is None
    # What is not named like forces is no label.
    atoms.arrays["momenta"] = atoms.arrays.pop("dft_forces")
    assert frames_of(iter([atoms]), energy_key="dft_energy")[0].forces is None


@pytest.mark.parametrize("label", ["energy", "forces", "stress"])
def test_labels_beyond_reason(label):
    atoms = labelled()
    atoms.calc.results[label] = np.full_like(np.asarray(atoms.calc.results[label], dtype=float), 1e308)
    with pytest.raises(InputError, match=f"the {label} holds values above 1e.12"):
        frames_of([atoms])


def test_data_without_bonds():
    alone, pair = (System.from_atoms(atoms) for atoms in (Atoms("Si"), labelled()))
    with pytest.raises(InputError, match="no two atoms of the data are nearer"):
        typical_bond([alone] * 3)
    assert typical_bond([alone] * 50 + [pair] + [alone] * 50) == pytest.approx(2.4, abs=0.4)
    molecule = System.from_atoms(Atoms("Si2", [[0, 0, 0], [0.235, 0, 0]]))
    with pytest.raises(InputError, match="positions must be in Å"):
        typical_bond([molecule])
