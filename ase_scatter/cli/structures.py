"""The commands `singlepoint` and `relax`: structures as they are, and at rest."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .arguments import (
    add_common,
    add_device,
    add_model,
    add_outputs,
    add_structure,
    new_command,
    positive,
    require_suffix,
)
from .crystals import NOT_CONVERGED
from .files import claim, write_json, write_structures

SINGLEPOINT_EXAMPLES = """examples:
  ase-scatter singlepoint Si Si
  ase-scatter singlepoint Mo frames.extxyz --json frames.json -o labelled.extxyz

Energies are in eV, forces in eV/Å, the pressure in GPa (stresses in files: eV/Å³, positive in tension), with
the half-widths of their 90 % intervals. An extrapolation grade above 1 says that an atom is outside the
training data.
"""
RELAX_EXAMPLES = """examples:
  ase-scatter relax Si start.xyz -o relaxed.extxyz
  ase-scatter relax Mo Mo --cell --fmax 0.001 -o mo.extxyz          the cell too, which keeps its symmetry
  ase-scatter relax mine.json POSCAR --cell nothing --optimizer fire

Energies are in eV, forces in eV/Å, the pressure in GPa. The file written holds energy, forces and stress. The
exit code is 1 if the tolerance is not reached; the last structure is written all the same.
"""

OPTIMIZERS = {
    "bfgs": "BFGS",
    "lbfgs": "LBFGS",
    "fire": "FIRE",
    "fire2": "FIRE2",
    "gpmin": "GPMin",
    "mdmin": "MDMin",
}
"""Word → class of `ase.optimize`."""


def run_singlepoint(options: argparse.Namespace) -> int:
    """Run the command `singlepoint`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_singlepoint` defines.

    Returns
    -------
    int
        The exit code.
    """
    from ..calculator import ScatteringCalculator
    from ..properties import single_points
    from ..reporting.structures import single_point_table
    from ..structures.dataset import read_structures
    from ..structures.named import structure_of

    _claim_structure(options)
    name = options.structure
    structures = read_structures(name) if Path(name).is_file() else [structure_of(name)]
    calculator = ScatteringCalculator(options.model, device=options.device, dtype=options.dtype)
    found = single_points(structures, calculator)
    print(single_point_table(found))
    if options.json:
        model = {"name": calculator.model.name, "hash": calculator.model.hash}
        write_json(options.json, {"model": model, "structures": [each.to_dict() for each in found]})
    if options.output:
        write_structures(options.output, [each.atoms for each in found])
    return 0


def run_relax(options: argparse.Namespace) -> int:
    """Run the command `relax`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_relax` defines.

    Returns
    -------
    int
        The exit code. 1 if the tolerance is not reached.
    """
    from ase import optimize

    from ..calculator import ScatteringCalculator
    from ..properties import relax_cell, relax_positions, single_points
    from ..reporting.structures import relaxation_table
    from ..structures.named import structure_of

    _claim_structure(options)
    atoms = structure_of(options.structure)
    calculator = ScatteringCalculator(options.model, device=options.device, dtype=options.dtype)
    how = {
        "fmax": options.fmax,
        "steps": options.steps,
        "optimizer": getattr(optimize, OPTIMIZERS[options.optimizer]),
        "progress": not options.quiet,
    }
    if options.cell is None:
        found = relax_positions(atoms, calculator, **how)
    else:
        found = relax_cell(atoms, calculator, keep=options.cell, **how)
    (point,) = single_points([found.atoms], calculator)
    model = calculator.model
    print(f"{found.atoms.get_chemical_formula()}, model {model.name} {model.hash}, {found.steps} steps\n")
    print(relaxation_table(found, point))
    if options.json:
        document = {"model": {"name": model.name, "hash": model.hash}, "converged": found.converged}
        write_json(options.json, {**document, "steps": found.steps, "relaxed": point.to_dict()})
    if options.output:
        write_structures(options.output, [point.atoms])
    if not found.converged:
        print(f"NOT CONVERGED: {options.fmax:g} eV/Å was not reached in {options.steps} steps")
    return 0 if found.converged else NOT_CONVERGED


def _claim_structure(options: argparse.Namespace) -> None:
    """Refuse what could not be written afterwards."""
    if options.output is not None:
        require_suffix(options.output, "the structure goes to", ".xyz", ".extxyz")
    claim([options.output, options.json], options)


def add_singlepoint(commands: Any) -> None:
    """Add the command `singlepoint`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    text = "energies, forces and stresses of structures as they are, with error bars"
    command = new_command(commands, "singlepoint", run_singlepoint, text, SINGLEPOINT_EXAMPLES)
    add_model(command)
    add_structure(command, "; of a file all structures")
    _add_rest(command, "write the structures with energy, forces and stress")


def add_relax(commands: Any) -> None:
    """Add the command `relax`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    text = "relax positions, or cell and positions"
    command = new_command(commands, "relax", run_relax, text, RELAX_EXAMPLES)
    add_model(command)
    add_structure(command)
    command.add_argument(
        "--cell",
        nargs="?",
        choices=("symmetry", "shape", "nothing"),
        const="symmetry",
        help="relax the cell too, and keep its symmetry (if no word is given), its shape, or nothing",
    )
    command.add_argument(
        "--fmax",
        type=float,
        default=0.01,
        metavar="eV/Å",
        help="largest force that may be left (default: %(default)s)",
    )
    command.add_argument(
        "--steps", type=positive, default=500, help="largest number of steps (default: %(default)s)"
    )
    command.add_argument(
        "--optimizer", choices=OPTIMIZERS, default="bfgs", help="of ASE (default: %(default)s)"
    )
    _add_rest(command, "write the relaxed structure with energy, forces and stress")


def _add_rest(command: argparse.ArgumentParser, output: str) -> None:
    command.add_argument("-o", "--output", type=Path, metavar="OUT.extxyz", help=output)
    add_outputs(command, json="write everything as data")
    add_device(command)
    add_common(command)
