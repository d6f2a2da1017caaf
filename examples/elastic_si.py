"""Elastic constants of silicon with error bars, from strains of a few thousandths.

    python examples/elastic_si.py
    python examples/elastic_si.py --model Si-grid --out elastic.png

Works the same with any ASE calculator in place of ScatteringCalculator, then without error bars.
"""

from __future__ import annotations

import argparse
import sys

from ase.build import bulk

from ase_scatter import InputError, ScatteringCalculator
from ase_scatter.plotting import tensor_plot
from ase_scatter.properties import elastic_constants, relax_cell
from ase_scatter.reporting.tables import measured


def main(arguments: list[str] | None = None) -> int:
    """Relax, strain, print; the exit code."""
    parser = argparse.ArgumentParser(description="Elastic constants of silicon.")
    parser.add_argument("--model", default="Si", help="a shipped name or a file (default: %(default)s)")
    parser.add_argument("--out", metavar="PNG", help="draw the tensor")
    options = parser.parse_args(arguments)
    try:
        calculator = ScatteringCalculator(options.model)
        relaxed = relax_cell(bulk("Si", cubic=True), calculator)
        found = elastic_constants(relaxed.atoms, calculator)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2

    print(f"a = {relaxed.lengths[0]:.4f} Å, space group {found.symmetry.symbol}")
    for title, clamped in (("relaxed ions", False), ("clamped ions", True)):
        constants, bands = found.cubic(clamped=clamped), found.cubic_half_width(clamped=clamped)
        for name in ("c11", "c12", "c44"):
            value = measured(getattr(constants, name), getattr(bands, name, None), ".1f")
            print(f"{name.upper()}, {title}: {value} GPa")
    moduli, bands = found.moduli(), found.moduli_half_width()
    for name in ("bulk", "shear", "young"):
        print(f"{name} modulus: {measured(getattr(moduli, name), getattr(bands, name, None), '.1f')} GPa")
    print(f"stable: {found.stable}; strains small enough: {found.linear}")
    if options.out:
        tensor_plot(found, options.out, title=f"Si, model {options.model}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
