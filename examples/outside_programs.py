"""Do other programs run with the calculator, and do they get its numbers?

    pip install matcalc ipi 'ase-scatter[phonons]' pytest
    python examples/outside_programs.py                     all of them, into examples/outside_programs.json
    python examples/outside_programs.py --only ipi          one anew; the others stay in the file

ase       ASE's own tests that use its EMT calculator, with a scattering model in its place (ase_stand_in.py)
matcalc   relaxation, elastic constants and energy-volume curve of silicon, beside those of this package
phonopy   `phonopy-load` reads the files of `ase-scatter phonons --out`; its heat capacity and entropy
ipi       i-PI moves 64 silicon atoms at constant energy; an ASE client on a unix socket gives the forces

The exit code is 1 if a program gets other numbers than this package.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.socketio import SocketClient
from ase.geometry import cell_to_cellpar

from ase_scatter import ScatteringCalculator
from ase_scatter.compute.files import write_whole
from ase_scatter.properties import elastic_constants, energy_volume, phonons, relax_cell

OUTPUT = Path(__file__).with_suffix(".json")
NOT_CALLED = ("gui", "emt", "cli", "plumed", "dftd3", "ts09", "test_plugins")
"""Parts of names of ASE's tests that are about EMT's own numbers, or about other programs."""
OF_EMT = {
    "an energy, distance, modulus or number of steps of EMT": (
        "test_restart_consistent", "test_relaxation_old", "test_relaxation_symopt", "test_optimizer",
        "test_new_optimizer_frechet", "test_restart", "test_Au2Ag", "test_rattle_supercell_old",
        "test_elasticity_tensor", "test_fire", "test_preconlbfgs", "test_dimer_method", "test_eos",
        "test_hcp",
    ),
    "compared with EMT in another process, where nothing takes its place": (
        "test_subprocess_calculator_emt", "test_subprocess_calculator_optimize",
    ),
    "the cutoff that EMT has as an attribute": ("test_forceqmmm",),
    "the columns that EMT's results have in a file": ("test_basic_functionality",),
    "differences are asked to be exact to 1e-7; of a stress near zero 2e-10 eV/Å³ are more": ("test_fd",),
}  # fmt: skip
"""Why tests fail with another calculator than EMT."""


# ---- ASE's own tests -----------------------------------------------------------------------------------


def ase_tests(folder: Path) -> dict[str, Any]:
    """Run ASE's tests that use EMT with a scattering model in its place; why some fail."""
    import ase.test
    from ase_stand_in import STAND_IN, make_stand_in

    model = folder / "stand_in.json"
    make_stand_in(model)
    tests = [
        str(path)
        for path in sorted(Path(ase.test.__file__).parent.rglob("test_*.py"))
        if re.search(r"import EMT|'emt'", path.read_text(encoding="utf-8"))
        and not any(part in str(path) for part in (f"{os.sep}gui{os.sep}", f"{os.sep}emt{os.sep}"))
        and not any(part in path.parts or part in path.stem for part in NOT_CALLED)
    ]
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {STAND_IN: str(model), "MPLBACKEND": "Agg", "PYTHONPATH": paths}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "ase_stand_in", "-p", "no:cacheprovider"]
    subprocess.run([*command, "--junitxml=found.xml", *tests], cwd=folder, env=environment, check=False)
    outcomes: dict[str, list[str]] = {"passed": [], "other elements": [], "skipped": [], "failed": []}
    for case in ET.parse(folder / "found.xml").iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        wrong = case.find("failure") if case.find("failure") is not None else case.find("error")
        if wrong is None:
            outcomes["passed" if case.find("skipped") is None else "skipped"].append(name)
        elif "does not know" in (wrong.text or ""):
            outcomes["other elements"].append(name)
        else:
            outcomes["failed"].append(f"{name}: {(wrong.get('message') or '').splitlines()[0][:150]}")
    counts = {key: len(names) for key, names in outcomes.items()}
    reasons = {reason: [f for f in outcomes["failed"] if test_of(f) in of] for reason, of in OF_EMT.items()}
    explained = sum(map(len, reasons.values()))
    agrees = counts["passed"] > 0 and explained == counts["failed"]
    return {"files": len(tests), **counts, "failures": reasons, "agrees": agrees}


def test_of(failure: str) -> str:
    """Name of the test in the description of a failure."""
    return failure.split("::")[1].split(":")[0].split("[")[0]


# ---- matcalc -------------------------------------------------------------------------------------------


def matcalc_runs(folder: Path) -> dict[str, Any]:
    """Elastic constants and an energy-volume curve by matcalc."""
    from matcalc import ElasticityCalc, EOSCalc, RelaxCalc

    calculator = ScatteringCalculator("Si")
    relaxed = relax_cell(bulk("Si"), calculator, fmax=1e-4).atoms
    mine = elastic_constants(relaxed, calculator)
    curve = energy_volume(relaxed, calculator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = RelaxCalc(calculator, fmax=1e-4).calc(bulk("Si"))
        tensor = ElasticityCalc(
            calculator, fmax=1e-3, relax_deformed_structures=True, units_GPa=True,
            norm_strains=(-0.005, 0.005), shear_strains=(-0.005, 0.005),
        ).calc(relaxed)  # fmt: skip
        eos = EOSCalc(calculator, fmax=1e-3, max_abs_strain=0.03).calc(relaxed)
    pairs = {
        "volume per atom (Å³)": (found["volume"] / 2, relaxed.get_volume() / 2, 1e-3),
        "bulk modulus from stresses (GPa)": (tensor["bulk_modulus_vrh"], mine.moduli().bulk, 0.02),
        "shear modulus from stresses (GPa)": (tensor["shear_modulus_vrh"], mine.moduli().shear, 0.02),
        "bulk modulus from energies (GPa)": (eos["bulk_modulus_bm"], curve.bulk_modulus, 0.03),
    }
    return compared(pairs)


# ---- phonopy -------------------------------------------------------------------------------------------


def phonopy_load(folder: Path) -> dict[str, Any]:
    """`phonopy-load` on files that this package wrote."""
    calculator = ScatteringCalculator("Si")
    relaxed = relax_cell(bulk("Si", cubic=True), calculator).atoms
    found = phonons(relaxed, calculator, supercell=10.0, mesh=(11, 11, 11), temperatures=[300.0])
    found.force_sets.write(folder)
    options = ["--mesh", "11", "11", "11", "-t", "--tmin", "300", "--tmax", "300", "--exclude-gamma-acoustic"]
    subprocess.run(
        ["phonopy-load", "phonopy_params.yaml", *options], cwd=folder, check=True, stdout=subprocess.DEVNULL
    )
    text = (folder / "thermal_properties.yaml").read_text(encoding="utf-8")

    def value(name: str) -> float:
        return float(re.search(rf"{name}:\s+(\S+)", text.split("thermal_properties:")[1]).group(1))  # type: ignore[union-attr]

    joule = 96485.33212  # J/mol in eV
    thermal = found.thermal  # per atom; phonopy's are those of the primitive cell of two
    capacity, entropy = joule * 2 * thermal.heat_capacity[0], joule * 2 * thermal.entropy[0]
    return compared(
        {
            "heat capacity at 300 K (J/mol/K)": (value("heat_capacity"), capacity, 1e-4),
            "entropy at 300 K (J/mol/K)": (value("entropy"), entropy, 1e-4),
        }
    )


# ---- i-PI ----------------------------------------------------------------------------------------------

INPUT = """<simulation verbosity='low'>
 <output prefix='run'>
  <properties stride='10' filename='out'>
   [step, conserved{{electronvolt}}, potential{{electronvolt}}]
  </properties>
  <trajectory filename='pos' stride='{steps}' format='xyz' cell_units='angstrom'>
   positions{{angstrom}}
  </trajectory>
 </output>
 <total_steps>{steps}</total_steps>
 <prng><seed>1</seed></prng>
 <ffsocket mode='unix' name='driver' pbc='false'><address>{address}</address></ffsocket>
 <system>
  <initialize nbeads='1'>
   <file mode='xyz'>start.xyz</file><velocities mode='thermal' units='kelvin'>600</velocities>
  </initialize>
  <forces><force forcefield='driver'/></forces>
  <motion mode='dynamics'><dynamics mode='nve'><timestep units='femtosecond'>1</timestep></dynamics></motion>
 </system>
</simulation>
"""


def ipi(folder: Path, steps: int = 500) -> dict[str, Any]:
    """I-PI with an ASE client on a unix socket."""
    calculator = ScatteringCalculator("Si")
    atoms = relax_cell(bulk("Si", cubic=True), calculator).atoms.repeat(2)
    address = f"ase_scatter_{os.getpid()}"
    (folder / "input.xml").write_text(INPUT.format(steps=steps, address=address), encoding="utf-8")
    (folder / "start.xyz").write_text(xyz(atoms), encoding="utf-8")
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(["i-pi", "input.xml"], cwd=folder, stdout=log, stderr=log)
        try:
            waited(lambda: Path(f"/tmp/ipi_{address}").exists())
            atoms.calc = calculator
            SocketClient(unixsocket=address).run(atoms, use_stress=True)
            server.wait(60)
        finally:
            server.kill()
    rows = np.loadtxt(folder / "run.out")
    last = positions(next(iter(sorted(folder.glob("run.pos*")))))
    there = atoms.copy()
    there.positions = last
    there.calc = calculator
    time = rows[:, 0] / 1000
    drift = 1000 * np.polyfit(time, rows[:, 1], 1)[0] / len(atoms)
    found = compared({"energy of the last structure (eV)": (rows[-1, 2], there.get_potential_energy(), 1e-6)})
    return found | {
        "steps": steps,
        "drift_meV_per_atom_per_ps": round(float(drift), 4),
        "agrees": bool(found["agrees"] and abs(drift) < 0.1),
    }


def xyz(atoms: Atoms) -> str:
    """The file that i-PI starts from."""
    cell = " ".join(f"{x:.10f}" for x in cell_to_cellpar(atoms.cell[:]))
    pairs = zip(atoms.symbols, atoms.positions.tolist(), strict=True)
    rows = [f"{symbol} {x:.10f} {y:.10f} {z:.10f}" for symbol, (x, y, z) in pairs]
    heading = f"# CELL(abcABC): {cell} positions{{angstrom}} cell{{angstrom}}"
    return "\n".join([str(len(atoms)), heading, *rows]) + "\n"


def positions(path: Path) -> np.ndarray:
    """Positions (Å) of the last frame that i-PI wrote."""
    lines = path.read_text(encoding="utf-8").splitlines()
    n = int(lines[0])
    return np.array([[float(x) for x in line.split()[1:4]] for line in lines[-n:]])


def waited(true: Callable[[], bool], seconds: float = 120.0) -> None:
    """Return when it is true."""
    from time import monotonic, sleep

    end = monotonic() + seconds
    while not true():
        if monotonic() > end:
            raise TimeoutError("the other program did not start")
        sleep(0.1)


# ---- all -----------------------------------------------------------------------------------------------


def compared(pairs: dict[str, tuple[float, float, float]]) -> dict[str, Any]:
    """Numbers of the other program and of this package, which may differ by a part of the latter."""
    rows = {
        name: {"theirs": round(float(one), 6), "ours": round(float(other), 6)}
        for name, (one, other, _) in pairs.items()
    }
    agrees = all(abs(one - other) <= part * abs(other) for one, other, part in pairs.values())
    return {"numbers": rows, "agrees": bool(agrees)}


PROGRAMS: dict[str, tuple[Callable[[Path], dict[str, Any]], str]] = {
    "ase": (ase_tests, "ase"),
    "matcalc": (matcalc_runs, "matcalc"),
    "phonopy": (phonopy_load, "phonopy"),
    "ipi": (ipi, "ipi"),
}


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that goes away."""
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(arguments: list[str] | None = None) -> int:
    """Run and report; the exit code."""
    parser = argparse.ArgumentParser(description="Run other programs with the calculator.")
    parser.add_argument("--only", action="append", choices=PROGRAMS, help="this program; again for more")
    parser.add_argument("--json", type=Path, default=OUTPUT, help="results (%(default)s)")
    options = parser.parse_args(arguments)
    results = json.loads(options.json.read_text(encoding="utf-8")) if options.json.exists() else {}
    for name in options.only or PROGRAMS:
        run, package = PROGRAMS[name]
        with scratch() as folder:
            found = run(folder)
        results[name] = {"version": importlib.metadata.version(package), **found}
        print(name, json.dumps(results[name], indent=1, ensure_ascii=False), flush=True)
        write_whole(options.json, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    return int(not all(results[name]["agrees"] for name in options.only or PROGRAMS))


if __name__ == "__main__":
    sys.exit(main())
