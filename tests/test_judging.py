"""What a fit chooses by itself: offsets of stresses, free atoms, the balance, what compressed solids do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from ase_scatter import FitSettings, fit
from ase_scatter.errors import DataWarning
from ase_scatter.structures.dataset import Frame
from ase_scatter.structures.system import System
from ase_scatter.training.balance import balanced
from ase_scatter.training.compression import scaled, solids
from ase_scatter.training.fitting import predict
from ase_scatter.training.free_atoms import FreeAtoms
from ase_scatter.units import GPA

SITES = {
    "first": (3, 1), "inner": (1,), "outer": (1,), "triple": 2, "exponents2": (1.0,), "cutoff": 4.4,
}  # fmt: skip
SETTINGS = FitSettings(sites=SITES, columns=60, members=0)
VIRIAL = 0.2
"""eV per atom that the stresses have beyond their energies."""


def frame_of(atoms: Atoms, group: str = "") -> Frame:
    atoms.calc = EMT()
    labels = atoms.get_potential_energy(), atoms.get_forces()
    stress = atoms.get_stress() if atoms.pbc.all() else None
    return Frame(System.from_atoms(atoms), *labels, stress, group)


@pytest.fixture(scope="module")
def copper() -> list[Frame]:
    frames = []
    for k in range(32):
        rng = np.random.default_rng(k)
        atoms = bulk("Cu", "fcc", 3.6, cubic=True)
        atoms.set_cell(atoms.cell[:] @ (np.eye(3) + rng.normal(scale=0.02, size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.12, rng=rng)
        frames.append(frame_of(atoms, "hot"))
    return frames


def test_stresses_that_are_not_of_the_energies_are_found(copper: list[Frame]) -> None:
    clean = fit(copper, settings=SETTINGS, progress=False, workers=1)
    assert not clean.validation.notes
    assert not clean.validation.pressures
    off = []
    for frame in copper:
        assert frame.stress is not None
        extra = VIRIAL * len(frame.system) / frame.system.volume
        off.append(replace(frame, stress=frame.stress + extra * np.array([1.0, 1, 1, 0, 0, 0])))
    with pytest.warns(DataWarning, match="pressures are not those of the energies"):
        found = fit(off, test=copper, settings=SETTINGS, progress=False, workers=1)
    density = np.mean([len(frame.system) / frame.system.volume for frame in copper])
    assert found.validation.pressures["hot"] == pytest.approx(-VIRIAL * density / GPA, rel=0.1)
    assert "hot" in found.validation.notes[0]
    # The model has the stresses of its energies.
    assert found.errors["test"]["all"]["stress_mae"] < 0.3 * VIRIAL * density / GPA
    assert found.errors["test"]["all"]["energy_mae"] < 2.0 * clean.errors["train"]["all"]["energy_mae"] + 0.2


def test_compressed_crystals_push_back(copper: list[Frame]) -> None:
    model = fit(copper, settings=SETTINGS, progress=False, workers=1).model
    frame = replace(copper[0], system=System.from_atoms(bulk("Cu", "fcc", 3.6, cubic=True)))
    volumes = np.linspace(1.0, 0.45, 23)
    energies = [p.energy for p in predict(model, [scaled(frame, v).system for v in volumes.tolist()])]
    pressures = -np.diff(energies) / np.diff(volumes)
    assert np.all(np.diff(pressures) > 0)


def test_slabs_and_molecules_are_not_compressed(copper: list[Frame]) -> None:
    slab = bulk("Cu", "fcc", 3.6, cubic=True)
    slab.set_cell([3.6, 3.6, 12.0])
    molecule = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.2]])
    assert all(f.group == "hot" for f in solids([*copper, frame_of(slab, "slab"), frame_of(molecule)]))
    assert solids([frame_of(molecule)]) == []


def molecules() -> list[Frame]:
    frames = []
    for k in range(4):
        atoms = Atoms("CuNiNi", positions=[[0, 0, 0], [0, 0, 2.3 + 0.1 * k], [0, 2.2, 0]])
        frames.append(frame_of(atoms))
    return frames


def test_free_atoms_are_found_among_the_frames() -> None:
    alone = [frame_of(Atoms(symbol, positions=[[0, 0, 0]])) for symbol in ("Cu", "Ni")]
    frames = molecules()
    found, rest = FreeAtoms.of([*frames, *alone], ["Ni", "Cu"])
    assert found.known
    assert rest == frames
    assert found.energies == {"Cu": alone[0].energy, "Ni": alone[1].energy}
    given, rest = FreeAtoms.of([*frames, *alone], ["Ni", "Cu"], {"Cu": 1.0, "Ni": 2.0})
    assert given.energies == {"Cu": 1.0, "Ni": 2.0}
    assert len(rest) == 6


def test_one_composition_says_so() -> None:
    frames = molecules()
    found, rest = FreeAtoms.of(frames, ["Ni", "Cu"])
    assert not found.known
    assert "free atom" in found.note
    assert rest == frames
    per_molecule = found.energies["Cu"] + 2 * found.energies["Ni"]
    assert per_molecule == pytest.approx(np.mean([frame.energy for frame in frames]))
    # In proportion to how many there are.
    assert found.energies["Ni"] == pytest.approx(2 * found.energies["Cu"])
    other = frame_of(Atoms("CuCu", positions=[[0, 0, 0], [0, 0, 2.2]]))
    assert not FreeAtoms.of([*frames, other], ["Ni", "Cu"])[0].note


def test_the_balance_goes_downhill() -> None:
    def judged(sigmas: dict[str, float]) -> float:
        return 1.0 + abs(np.log2(sigmas["energy"] / 0.25)) + abs(np.log2(sigmas["stress"] / 2.0))

    found = balanced({"energy": 1.0, "stress": 1.0, "force": 7.0}, ["energy", "stress"], judged)  # type: ignore[arg-type]
    assert found == {"energy": 0.25, "stress": 2.0, "force": 7.0}
