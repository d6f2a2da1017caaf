"""matscipy builds what planes slide over; the calculator gives the energies: a γ line of molybdenum.

    pip install matscipy
    python examples/with_matscipy.py                              (110) along [-111], 7 images, seconds
    python examples/with_matscipy.py --images 15 --layers 5 --json found.json

Half of a crystal is shifted over the other half along the Burgers vector of screw dislocations; atoms relax
along the normal. The maximum, the unstable stacking-fault energy, is what slip costs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ase import units
from ase.build import bulk
from matscipy.gamma_surface import StackingFault

from ase_scatter import ScatteringCalculator
from ase_scatter.properties import relax_cell


def gamma_line(images: int = 7, layers: int = 4) -> dict[str, Any]:
    """Fault energies (J/m²) over one Burgers vector."""
    calculator = ScatteringCalculator("Mo")
    length = float(relax_cell(bulk("Mo", cubic=True), calculator).lengths[0])
    fault = StackingFault(length, [1, 1, 0], [-1, 1, 1], crystalstructure="bcc", symbol="Mo")
    fault.generate_images(images, z_reps=layers)
    fault.relax_images(calculator, ftol=0.01)
    energies = np.ravel(fault.get_energy_densities(calculator)) / (units.J / units.m**2)
    energies -= energies[0]
    return {
        "atoms": len(fault.images[0]),
        "energies (J/m²)": [round(float(energy), 3) for energy in energies],
        "unstable stacking fault (J/m²)": round(float(energies.max()), 3),
    }


def main(arguments: list[str] | None = None) -> int:
    """Compute and report; the exit code."""
    parser = argparse.ArgumentParser(description="A γ line of molybdenum, built by matscipy.")
    parser.add_argument("--images", type=int, default=7, help="along the line (%(default)s)")
    parser.add_argument("--layers", type=int, default=4, help="cells along the normal (%(default)s)")
    parser.add_argument("--json", type=Path, help="write the results")
    options = parser.parse_args(arguments)
    found = gamma_line(options.images, options.layers)
    for name, value in found.items():
        print(f"{name:<32} {value}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
