"""The command `phonons`."""

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
    numbers,
)
from .crystals import NOT_CONVERGED, at_rest
from .files import claim, write_json

EXAMPLES = """examples:
  ase-scatter phonons Si Si                                  a table; the crystal is relaxed first
  ase-scatter phonons Si Si --plot Si.png --json Si.json     bands and density of states, all data
  ase-scatter phonons mine.json POSCAR --supercell 3,3,2 --out phonopy/
  phonopy-load phonopy/phonopy_params.yaml --mesh 30 30 30 -t   go on with phonopy's commands
  ase-scatter phonons Si Si --qha --plot Si.png              thermal expansion too (minutes)

Frequencies are in THz, free energies in meV/atom, entropies and heat capacities in J/K/mol. The plot goes to
FILE, thermal properties to FILE-thermal and thermal expansion to FILE-qha. The exit code is 1 for a crystal
that is not stable.
"""


def run_phonons(options: argparse.Namespace) -> int:
    """Run the command `phonons`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_phonons` defines.

    Returns
    -------
    int
        The exit code.
    """
    from ..calculator import ScatteringCalculator
    from ..plotting import expansion_plot, phonon_plot, thermal_plot
    from ..properties import phonons, quasi_harmonic, repetitions
    from ..properties.force_sets import require_phonopy
    from ..reporting.vibrations import phonon_table, phonon_verdict
    from ..structures.named import structure_of

    require_phonopy()
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    plots, sets = _plots(options), _force_sets(options)
    claim([*sets, options.json], options, plots)

    calculator = ScatteringCalculator(options.model, device=options.device, dtype=options.dtype)
    settings = {
        "supercell": options.supercell or options.length,
        "displacement": options.displacement,
        "progress": not options.quiet,
    }
    atoms, relaxed = structure_of(options.structure), None
    repetitions(atoms, settings["supercell"])  # refuses here what phonons would refuse after the relaxation
    if options.relax:
        other = "Relax it by other means, and give --no-relax"
        relaxed = at_rest(atoms, calculator, quiet=options.quiet, otherwise=other)
        atoms = relaxed.atoms
    found = phonons(atoms, calculator, **settings)
    expansion = quasi_harmonic(atoms, calculator, **settings) if options.qha and found.stable else None

    model = calculator.model
    title = f"{atoms.get_chemical_formula(empirical=True)}, model {model.name}"
    if plots:
        phonon_plot(found, plots[0], title=title)
        if found.thermal is not None:
            thermal_plot(found.thermal, plots[1], title=title)
        if expansion is not None:
            expansion_plot(expansion, plots[2], title=title)
    if options.json is not None:
        document = {
            "model": {"name": model.name, "hash": model.hash},
            "relaxation": None if relaxed is None else relaxed.to_dict(),
            "phonons": found.to_dict(),
            "quasi_harmonic": None if expansion is None else expansion.to_dict(),
        }
        write_json(options.json, document)
    if options.out is not None:
        found.force_sets.write(options.out)
    repeat = "×".join(map(str, found.force_sets.supercell))
    n_atoms = found.force_sets.forces.shape[1]
    print(f"{title} {model.hash}; supercell {repeat}, {n_atoms} atoms\n")
    print(phonon_table(found, expansion))
    print(f"\n{phonon_verdict(found)}")
    return 0 if found.stable else NOT_CONVERGED


def _plots(options: argparse.Namespace) -> list[Path]:
    """Files of bands and density of states, of thermal properties, and of thermal expansion."""
    path = options.plot
    if path is None:
        return []
    others = ["thermal", "qha"] if options.qha else ["thermal"]
    return [path, *(path.with_name(f"{path.stem}-{other}{path.suffix}") for other in others)]


def _force_sets(options: argparse.Namespace) -> list[Path]:
    """Files for phonopy."""
    return [] if options.out is None else [options.out / "phonopy_params.yaml", options.out / "FORCE_SETS"]


def add_phonons(commands: Any) -> None:
    """Add the command `phonons`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    text = "phonons of a crystal: frequencies, stability, thermal properties, thermal expansion"
    command = new_command(commands, "phonons", run_phonons, text, EXAMPLES)
    add_model(command)
    add_structure(command)
    size = command.add_mutually_exclusive_group()
    size.add_argument("--supercell", type=numbers(int), metavar="N,N,N", help="repetitions of the cell")
    size.add_argument(
        "--length",
        type=float,
        default=10.0,
        metavar="Å",
        help="least width of the supercell (default: %(default)s)",
    )
    command.add_argument(
        "--displacement",
        type=float,
        default=0.01,
        metavar="Å",
        help="displacement of the atoms (default: %(default)s)",
    )
    command.add_argument(
        "--relax",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="relax cell and positions first (default: yes)",
    )
    command.add_argument("--qha", action="store_true", help="thermal expansion too (quasi-harmonic)")
    add_outputs(command, json="write all data", plot="draw bands and density of states")
    command.add_argument("--out", type=Path, metavar="DIR", help="write phonopy_params.yaml and FORCE_SETS")
    add_device(command)
    add_common(command)
