"""Cohesive energies: closed forms, refusals, and the command."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from ase_scatter import InputError, Model, ScatteringCalculator, cli
from ase_scatter.properties import cohesive_energy


@pytest.fixture(scope="module")
def knowing():
    """Silicon's potential as if it had been fitted with the energy of the free atom."""
    model = Model.load("Si")
    return replace(model, metadata={"fit": {"free_atoms_known": True}})


def test_of_a_dimer():
    dimer = Atoms("Ar2", positions=[[0, 0, 0], [0, 0, 2 ** (1 / 6)]])
    found = cohesive_energy(dimer, LennardJones(rc=8.0))
    np.testing.assert_allclose(found.energy, 0.5, rtol=1e-4)  # the well, over two atoms
    assert found.free_atoms == {"Ar": 0.0}
    assert found.energy_half_width is None
    assert found.source == "calculator"


def test_of_an_alloy_with_given_atoms():
    alloy = bulk("Cu", cubic=True)
    alloy.symbols[0] = "Au"
    alone = {"Cu": -1.0, "Au": -2.0, "Ag": 5.0}
    found = cohesive_energy(alloy, EMT(), free_atoms=alone)
    alloy.calc = EMT()
    np.testing.assert_allclose(found.energy, (-5.0 - alloy.get_potential_energy()) / 4, rtol=1e-12)
    assert found.free_atoms == {"Au": -2.0, "Cu": -1.0}


def test_a_model_counts_from_its_free_atoms(knowing):
    atoms = bulk("Si")
    calculator = ScatteringCalculator(knowing)
    found = cohesive_energy(atoms, calculator)
    atoms.calc = calculator
    np.testing.assert_allclose(found.energy, knowing.e0["Si"] - atoms.get_potential_energy() / 2, rtol=1e-12)
    assert found.energy_half_width > 0


def test_refusals(knowing):
    with pytest.raises(InputError, match="does not know free atoms"):
        cohesive_energy(bulk("Si"), ScatteringCalculator("Si"))
    with pytest.raises(InputError, match="missing for Si"):
        cohesive_energy(bulk("Si"), ScatteringCalculator("Si"), free_atoms={"Li": 0.0})
    with pytest.raises(InputError, match="finite"):
        cohesive_energy(bulk("Si"), ScatteringCalculator("Si"), free_atoms={"Si": float("nan")})


def test_command(knowing, tmp_path, capsys):
    data = tmp_path / "c.json"
    command = ["cohesive", "Si", "Si", "--no-relax", "--json", str(data)]
    assert cli.main(command) == 2
    said = capsys.readouterr()
    assert "does not know free atoms" in said.err
    assert said.err.count("\n") == 1
    assert not data.exists()
    assert cli.main([*command, "--free-atoms", "Si:1"]) == 2
    assert "Li=-0.2,Si=-0.8" in capsys.readouterr().err
    assert cli.main([*command, "--free-atoms", "Si=-0.8"]) == 0
    assert "free atom of Si (eV)" in capsys.readouterr().out
    assert json.loads(data.read_text())["source"] == "given"
    knowing.save(tmp_path / "mine.json")
    assert cli.main(["cohesive", str(tmp_path / "mine.json"), "Si", "--no-relax"]) == 0
    assert f"{knowing.e0['Si']:.4f}" in capsys.readouterr().out
    assert cli.main(["info", str(tmp_path / "mine.json")]) == 0
    assert "there are cohesive energies" in capsys.readouterr().out
