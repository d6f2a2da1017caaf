"""Elastic constants with clamped ions, at each potential's own lattice, beside those of its data.

    python examples/elastic_clamped.py             all shipped potentials
    python examples/elastic_clamped.py --model Si-grid --strain 0.0025

Clamped ions follow the strain as it is. Where the crystal's symmetry keeps them in place anyway (C11 and
C12 always, and C44 but for diamond) that makes no difference.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from ase.build import bulk

from ase_scatter import InputError, Model, ScatteringCalculator, shipped_models
from ase_scatter.properties import elastic_constants, relax_cell
from ase_scatter.reporting.tables import number, text_table


def clamped_constants(model: Model, strain: float = 0.005) -> dict[str, float]:
    """a (Å) and C11, C12, C44 with clamped ions (GPa) of an element's cubic crystal."""
    calculator = ScatteringCalculator(replace(model, committee=None))  # bands are not asked for
    relaxed = relax_cell(bulk(model.elements[0], cubic=True), calculator)
    if not relaxed.converged:
        raise InputError(f"the crystal of {model.name} does not relax")
    constants = elastic_constants(relaxed.atoms, calculator, strain=strain).cubic(clamped=True)
    return {
        "a": float(relaxed.lengths[0]),
        "C11": constants.c11,
        "C12": constants.c12,
        "C44_clamped": constants.c44,
    }


def reference_constants(model: Model) -> dict[str, float]:
    """The same of the model's data, as far as known."""
    known = dict(model.metadata.get("reference", {}).get("properties", {}))
    if len(bulk(model.elements[0], cubic=True)) != 8 and "C44" in known:
        known.setdefault("C44_clamped", known["C44"])  # nothing relaxes but in diamond
    return known


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(description="Elastic constants with clamped ions.")
    parser.add_argument("--model", action="append", help="a shipped name or a file (default: all shipped)")
    parser.add_argument("--strain", type=float, default=0.005, help="size of the strains (%(default)s)")
    options = parser.parse_args(arguments)
    rows = []
    try:
        for model in [Model.load(name) for name in options.model or shipped_models()]:
            values, known = clamped_constants(model, options.strain), reference_constants(model)
            for source, row in ((model.name, values), ("  DFT of its data", known)):
                cells = [number(row.get(name), ".1f") for name in ("C11", "C12", "C44_clamped")]
                rows.append([source, number(row.get("a"), ".3f"), *cells])
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(text_table(["clamped ions", "a (Å)", "C11 (GPa)", "C12 (GPa)", "C44 (GPa)"], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
