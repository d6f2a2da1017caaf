"""The command `cohesive`."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import InputError
from .arguments import add_common, add_device, add_model, add_outputs, add_structure, new_command
from .crystals import at_rest
from .files import claim, write_json

EXAMPLES = """examples:
  ase-scatter cohesive mine.json Si                              the model was fitted with free atoms
  ase-scatter cohesive Si Si --free-atoms Si=-0.83               their energies from your own calculation
  ase-scatter cohesive mine.json molecule.xyz --no-relax

The cohesive energy is that of the free atoms less that of the structure, in eV/atom, with the half-width of
its 90 % interval. The crystal is relaxed first. A model that was fitted without free atoms does not know
their energies, and says so; give those of the method that the training data were computed with, in eV.
"""


def run_cohesive(options: argparse.Namespace) -> int:
    """Run the command `cohesive`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_cohesive` defines.

    Returns
    -------
    int
        The exit code.
    """
    from ..calculator import ScatteringCalculator
    from ..properties import cohesive_energy
    from ..reporting.tables import value_table
    from ..structures.named import structure_of

    claim([options.json], options)
    atoms = structure_of(options.structure)
    calculator = ScatteringCalculator(options.model, device=options.device, dtype=options.dtype)
    given = None if options.free_atoms is None else energies(options.free_atoms)
    if given is None and not calculator.knows_free_atoms:
        cohesive_energy(atoms, calculator)  # refuses, before anything is relaxed
    if not options.no_relax:
        atoms = at_rest(
            atoms, calculator, quiet=options.quiet, otherwise="Give --no-relax to take it as it is."
        ).atoms
    found = cohesive_energy(atoms, calculator, free_atoms=given)
    model = calculator.model
    print(f"{atoms.get_chemical_formula()}, model {model.name} {model.hash}\n")
    rows: list[tuple[str, float | None, float | None, str]] = [
        ("cohesive energy (eV/atom)", found.energy, found.energy_half_width, ".4f"),
        *((f"free atom of {symbol} (eV)", value, None, ".4f") for symbol, value in found.free_atoms.items()),
    ]
    print(value_table(rows))
    if options.json:
        write_json(options.json, {"model": {"name": model.name, "hash": model.hash}, **found.to_dict()})
    return 0


def energies(text: str) -> dict[str, float]:
    """Parse energies by chemical symbol.

    Parameters
    ----------
    text : str
        Such as "Li=-0.2,Si=-0.8".

    Returns
    -------
    dict of str to float

    Raises
    ------
    InputError
        If the text is none.
    """
    try:
        pairs = [part.split("=") for part in text.split(",")]
        return {symbol.strip(): float(value) for symbol, value in pairs}
    except ValueError:
        raise InputError(f"--free-atoms takes energies such as Li=-0.2,Si=-0.8, not {text!r}") from None


def add_cohesive(commands: Any) -> None:
    """Add the command `cohesive`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    text = "what it costs to take a structure apart into free atoms"
    command = new_command(commands, "cohesive", run_cohesive, text, EXAMPLES)
    add_model(command)
    add_structure(command)
    command.add_argument(
        "--free-atoms",
        metavar="El=eV,…",
        help="energies of the free atoms (default: what the model knows of them)",
    )
    command.add_argument("--no-relax", action="store_true", help="take the structure as it is")
    add_outputs(command, json="write everything as data")
    add_device(command)
    add_common(command)
