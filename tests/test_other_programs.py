"""Other programs: phonopy's command, clients on a socket, and what a longer run found."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.socketio import SocketClient, SocketIOCalculator
from ase.optimize import BFGS

from ase_scatter import ScatteringCalculator
from ase_scatter.properties import phonons, relax_cell

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def test_phonopys_command_goes_on_with_the_files(tmp_path):
    pytest.importorskip("phonopy")
    copper = relax_cell(bulk("Cu", cubic=True), EMT()).atoms
    found = phonons(copper, EMT(), supercell=(2, 2, 2), mesh=(5, 5, 5), temperatures=[300.0])
    found.force_sets.write(tmp_path)
    command = Path(sys.executable).with_name("phonopy-load")
    options = ["--mesh", "5", "5", "5", "-t", "--tmin", "300", "--tmax", "300", "--exclude-gamma-acoustic"]
    subprocess.run([command, "phonopy_params.yaml", *options], cwd=tmp_path, check=True, capture_output=True)
    text = (tmp_path / "thermal_properties.yaml").read_text().split("thermal_properties:")[1]
    for name, mine in (("heat_capacity", found.thermal.heat_capacity), ("entropy", found.thermal.entropy)):
        theirs = float(re.search(rf"{name}:\s+(\S+)", text)[1])  # J/mol/K
        np.testing.assert_allclose(theirs, 96485.33 * mine[0], rtol=1e-5)


@pytest.mark.skipif(os.name != "posix", reason="there are no unix sockets")
def test_a_client_on_a_socket():
    """The protocol of i-PI: here ASE is the server, the calculator's forces come through the socket."""
    name = f"ase_scatter_test_{os.getpid()}"
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.05, seed=0)
    mine = atoms.copy()
    mine.calc = ScatteringCalculator("Si")

    def serve() -> None:
        other = atoms.copy()
        other.calc = ScatteringCalculator("Si")
        SocketClient(unixsocket=name).run(other, use_stress=True)

    client = threading.Thread(target=serve, daemon=True)
    with SocketIOCalculator(unixsocket=name) as server:
        client.start()
        atoms.calc = server
        np.testing.assert_allclose(atoms.get_stress(), mine.get_stress(), rtol=0, atol=1e-10)
        with BFGS(atoms, logfile=None) as there, BFGS(mine, logfile=None) as here:
            there.run(fmax=0.05)
            here.run(fmax=0.05)
        np.testing.assert_allclose(atoms.get_potential_energy(), mine.get_potential_energy(), atol=1e-8)
    client.join(10)
    assert not client.is_alive()


def test_outside_programs_got_the_same_numbers():
    found = json.loads((EXAMPLES / "outside_programs.json").read_text(encoding="utf-8"))
    assert set(found) == {"ase", "matcalc", "phonopy", "ipi"}
    assert all(each["agrees"] for each in found.values())
    tests = found["ase"]
    assert tests["passed"] > 350
    assert sum(map(len, tests["failures"].values())) == tests["failed"] < 30
    for each in found.values():
        for pair in each.get("numbers", {}).values():
            np.testing.assert_allclose(pair["theirs"], pair["ours"], rtol=0.02)
