"""Phonons of silicon with phonopy: relax, displace, draw, and hand over to phonopy's own commands.

python examples/phonons_si.py
python examples/phonons_si.py --length 15 --plot si.png --out phonopy-si
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from ase.build import bulk
from ase.units import kB

from ase_scatter import InputError, ScatteringCalculator
from ase_scatter.plotting import phonon_plot
from ase_scatter.properties import phonons, relax_cell

EXPERIMENT = 15.5
"""THz, the optical mode at Γ, which Raman scattering sees (Phys. Rev. 155, 712, 1967)."""


def main(arguments: list[str] | None = None) -> int:
    """Compute, print, write what was asked for; the exit code."""
    parser = argparse.ArgumentParser(description="Phonons of silicon, with error bars.")
    parser.add_argument("--model", default="Si", help="a shipped name or a file (%(default)s)")
    parser.add_argument("--length", type=float, default=10.0, help="edge of the supercell, Å (%(default)s)")
    parser.add_argument("--plot", help="file for bands and density of states")
    parser.add_argument("--out", help="folder for phonopy's files")
    options = parser.parse_args(arguments)
    try:
        run(options.model, options.length, options.plot, options.out)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def run(model: str, length: float, plot: str | None, out: str | None) -> None:
    """Phonons of the relaxed diamond crystal."""
    calculator = ScatteringCalculator(model)
    # The primitive cell is relaxed faster; the supercell is made of the conventional one.
    edge = relax_cell(bulk("Si"), calculator).lengths[0] * np.sqrt(2)
    found = phonons(bulk("Si", a=edge, cubic=True), calculator, supercell=length)

    print(f"a = {edge:.3f} Å, {found.force_sets.forces.shape[1]} atoms in the supercell")
    print("stable" if found.stable else f"UNSTABLE: imaginary up to {found.imaginary:.2f} THz")
    band = "" if found.optical_half_width is None else f" ± {found.optical_half_width[-1]:.2f}"
    print(f"optical mode at Γ: {found.optical[-1]:.2f}{band} THz (experiment: {EXPERIMENT})")
    if found.thermal is not None:
        for kelvin, heat in zip(found.thermal.temperatures, found.thermal.heat_capacity, strict=True):
            if kelvin % 200 == 100:
                print(f"{kelvin:6.0f} K  Cv = {heat / kB:.3f} k_B per atom")
    if plot is not None:
        phonon_plot(found, plot, title=f"Si, model {model}")
    if out is not None:
        for path in found.force_sets.write(out):
            print(f"{path} is for phonopy")


if __name__ == "__main__":
    sys.exit(main())
