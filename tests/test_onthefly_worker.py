"""A reference in an interpreter of its own, behind ASE's socket; EMT stands for GPAW."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.socketio import SocketIOCalculator
from ase.io import write

from ase_scatter import LearningSettings, learn_relax, read_store

WORKER = Path(__file__).resolve().parents[1] / "examples" / "onthefly_worker.py"


def test_a_worker_computes_what_is_asked_for(tmp_path):
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=0)
    write(tmp_path / "start.xyz", atoms)
    socket = f"ase_scatter_test_{os.getpid()}"
    (tmp_path / "options.json").write_text('{"asap_cutoff": true}')
    command = [
        sys.executable, str(WORKER), str(tmp_path / "start.xyz"), "--socket", socket,
        "--calculator", "ase.calculators.emt:EMT", "--options", str(tmp_path / "options.json"),
    ]  # fmt: skip
    with SocketIOCalculator(unixsocket=socket, timeout=60) as reference:
        assert Path(f"/tmp/ipi_{socket}").exists()
        worker = subprocess.Popen(command)
        try:
            found = learn_relax(
                atoms,
                reference,
                fmax=0.02,
                store=tmp_path / "store",
                settings=LearningSettings(columns=150),
                reference_name="EMT of another interpreter",
            )
        finally:
            reference.close()
            for _ in range(100):
                if worker.poll() is not None:
                    break
                time.sleep(0.1)
            else:
                worker.kill()
    assert worker.wait() == 0
    assert found.converged
    frames = read_store(tmp_path / "store")
    assert len(frames) == found.n_reference
    last = bulk("Cu", cubic=True)
    last.positions, last.calc = frames[-1].system.positions, EMT(asap_cutoff=True)
    np.testing.assert_allclose(frames[-1].forces, last.get_forces(), atol=1e-8)
    np.testing.assert_allclose(frames[-1].stress, last.get_stress(), atol=1e-8)
