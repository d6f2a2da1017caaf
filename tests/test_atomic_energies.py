"""Energies of single atoms as labels."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from ase_scatter.errors import InputError
from ase_scatter.model.model import Model
from ase_scatter.reporting.tables import error_table
from ase_scatter.structures.dataset import Frame, frames_of, read_frames
from ase_scatter.structures.system import System
from ase_scatter.training.fitting import fit
from ase_scatter.training.settings import FitSettings

SITES = {"scales": (0.8, 1.6), "first": (2, 1), "cutoff": 4.0, "triple": 0, "exponents2": ()}
SETTINGS = FitSettings(
    sites=SITES, members=0, folds=3, ridge=1e-12, columns=400, core=False, dtype="float64", sigma_atomic=0.05
)


def cells(count):
    """Few atoms of copper and nickel, displaced."""
    found = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        atoms = bulk("Cu", "fcc", 3.6, cubic=True)
        atoms.symbols[: rng.integers(1, 4)] = "Ni"
        atoms.rattle(0.15, rng=rng)
        found.append(atoms)
    return found


@pytest.fixture(scope="module")
def local():
    """A model whose energies are exactly local, and frames that it labelled."""
    atoms = cells(60)
    systems = [System.from_atoms(each) for each in atoms]
    channels = SETTINGS.make_channels(["Cu", "Ni"])
    transform = SETTINGS.candidates(channels, systems).calibrated(systems)
    weights = 0.1 * np.random.default_rng(1).normal(size=transform.n_columns)
    model = Model("local", transform, weights, {"Cu": -3.0, "Ni": -5.0})
    frames = []
    for system in systems:
        energies = model.evaluate_one(system).energies
        frames.append(Frame(system, float(energies.sum()), atomic_energies=energies))
    return model, frames


def unlabelled(frames):
    return [replace(frame, atomic_energies=None) for frame in frames]


def test_a_local_model_is_recovered(local):
    """Totals do not determine it; the energies of their atoms do, with the zero of each element."""
    _, frames = local
    mae = {}
    for name, train in (("both", frames[:56]), ("totals", unlabelled(frames[:56]))):
        mae[name] = fit(train, test=frames[56:], settings=SETTINGS).errors["test"]["all"]["atomic_mae"]
    spread = np.std(np.concatenate([frame.atomic_energies for frame in frames]))
    assert mae["both"] < 0.04 * spread
    assert mae["totals"] > spread


def test_their_sigma_counts(local):
    """Loose ones leave the atoms to the totals."""
    _, frames = local
    rng = np.random.default_rng(5)
    noisy = []
    for frame in frames:
        noise = rng.normal(size=len(frame.system))
        noisy.append(replace(frame, atomic_energies=frame.atomic_energies + noise - noise.mean()))
    mae = [
        fit(noisy, settings=replace(SETTINGS, sigma_energy=1e-3, sigma_atomic=sigma)).errors["train"]["all"]
        for sigma in (1e-3, 10.0)
    ]
    assert mae[0]["atomic_mae"] < mae[1]["atomic_mae"]
    assert mae[0]["energy_mae"] > mae[1]["energy_mae"]


def test_with_committee_free_atoms_and_core(local):
    """Error bars are calibrated for them too; known energies of free atoms and a core are taken off."""
    _, frames = local
    settings = replace(SETTINGS, members=4, core=True, e0={"Cu": -3.0, "Ni": -5.0})
    result = fit(frames, settings=settings)
    assert result.model.committee.factors["atomic"] > 0
    assert result.model.e0 == {"Cu": -3.0, "Ni": -5.0}
    energies = result.predictions["train"][0].energies
    assert energies.sum() == pytest.approx(result.predictions["train"][0].energy)
    assert result.errors["train"]["all"]["atomic_mae"] < 0.05
    assert "A MAE (eV)" in error_table(result.errors)


def test_no_atoms_on_a_grid(local):
    _, frames = local
    for transform in ("grid", "both"):
        with pytest.raises(InputError, match=r"no energies of single atoms .*atomic-energies-key"):
            fit(frames, settings=replace(SETTINGS, transform=transform))


def test_they_sum_to_the_energy(local):
    frames = local[1][:20]
    wrong = [*frames, replace(frames[0], energy=frames[0].energy + 1.0)]
    with pytest.raises(InputError, match=r"atomic energies of frame 20 sum to -0.25 eV/atom more"):
        fit(wrong, settings=SETTINGS)


def test_files(tmp_path):
    (atoms,) = cells(1)
    atoms.calc = SinglePointCalculator(atoms, energy=-8.0)
    atoms.arrays["atomic_energies"] = atoms.arrays["parts"] = np.array([-1.0, -2.0, -2.0, -3.0])
    write(tmp_path / "a.extxyz", atoms)
    (frame,) = read_frames(tmp_path / "a.extxyz")
    assert frame.atomic_energies.tolist() == [-1.0, -2.0, -2.0, -3.0]
    assert read_frames(tmp_path / "a.extxyz", atomic_energies_key="")[0].atomic_energies is None
    assert read_frames(tmp_path / "a.extxyz", atomic_energies_key="parts")[0].atomic_energies is not None
    with pytest.raises(InputError, match="no frame has usable atomic energies under the name 'part'"):
        frames_of([atoms], atomic_energies_key="part")
    atoms.arrays["atomic_energies"] = np.zeros((4, 3))
    with pytest.raises(InputError, match=r"frame 0: the atomic.energies is shaped \(4, 3\)"):
        frames_of([atoms])
