"""The command `barrier`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InputError
from .arguments import (
    add_common,
    add_device,
    add_model,
    add_outputs,
    add_structure,
    given,
    new_command,
    numbers,
    positive,
    with_default,
)
from .crystals import NOT_CONVERGED, at_rest
from .files import claim, write_json

LEAST_WIDTH = 9.0
"""Å. Periodic images of a defect in the default supercell are at least this far apart."""

EXAMPLES = """examples:
  ase-scatter barrier Mo Mo                      a vacancy's hop to the nearest neighbour
  ase-scatter barrier Si Si --repeat 3,3,3 --json hop.json --plot hop.png --trajectory hop.traj
  ase-scatter barrier mine.json start.xyz --final end.xyz
  ase-scatter barrier mine.json Si --interstitial Li --from 0.5,0.5,0.5 --to 0.75,0.75,0.75

Energies are in eV and lengths in Å. A path that does not converge is reported as such, written all the same,
and ends with the exit code 1. With --trajectory the same command goes on where it stopped.
"""


def run_barrier(options: argparse.Namespace) -> int:
    """Run the command `barrier`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_barrier` defines.

    Returns
    -------
    int
        The exit code. 1 if the result is not converged.
    """
    from ..calculator import ScatteringCalculator
    from ..model.model import Model
    from ..plotting import barrier_plot
    from ..properties import migration_barrier
    from ..reporting.crystals import barrier_remarks, barrier_table
    from ..structures.named import structure_of

    _require_one_kind(options)
    model = Model.load(options.model)
    structure = structure_of(options.structure)
    written = claim([options.json], options, plots=[options.plot])
    calculator = ScatteringCalculator(model, device=options.device, dtype=options.dtype)

    what, initial, final = _ends(options, structure, calculator)
    barrier = migration_barrier(
        initial,
        final,
        calculator,
        trajectory=options.trajectory,
        progress=not options.quiet,
        **given(options, "images", "fmax", "steps"),
    )
    title = f"{what}, model {model.name}"
    if options.json:
        document = {"model": model.name, "hash": model.hash, "path_of": what, **barrier.to_dict()}
        write_json(options.json, document)
    if options.plot:
        barrier_plot(barrier, options.plot, title=title)
    print(f"{title} {model.hash}, {len(initial)} atoms\n")
    print("\n\n".join([barrier_table(barrier), *barrier_remarks(barrier)]))
    if written:
        print(f"\nwritten: {', '.join(map(str, written))}")
    return 0 if barrier.converged else NOT_CONVERGED


def _require_one_kind(options: argparse.Namespace) -> None:
    """Refuse options of different kinds of paths together."""
    kinds = [name for name in ("hop", "final", "interstitial") if getattr(options, name) is not None]
    if len(kinds) > 1:
        raise InputError(f"--{kinds[0]} and --{kinds[1]} are different paths; give one of them")
    if options.final and options.repeat:
        raise InputError("--repeat does not go with --final: both ends are taken as they are")
    if options.hop and len(options.hop) > 2:
        raise InputError("--hop takes the atom that is taken out and, if you like, the one that hops")
    places = [options.start, options.end]
    if bool(options.interstitial) != all(places) or any(places) != all(places):
        raise InputError("--interstitial goes with --from and --to")
    if any(place is not None and len(place) != 3 for place in places):
        raise InputError("--from and --to take three fractional coordinates each")
    if options.repeat and (len(options.repeat) != 3 or min(options.repeat) < 1):
        raise InputError("--repeat takes three positive numbers")


def _ends(options: argparse.Namespace, structure: Any, calculator: Any) -> tuple[str, Any, Any]:
    """What the path is, in words, and its two ends, not relaxed."""
    from ..properties import hop_end_points, insert_end_points, repetitions
    from ..structures.named import structure_of

    if options.final:
        return f"{options.structure} to {options.final}", structure, structure_of(options.final)
    other = "Give a structure nearer to rest, or both ends of the path (--final)"
    crystal = at_rest(structure, calculator, quiet=options.quiet, otherwise=other).atoms
    supercell = crystal.repeat(options.repeat or repetitions(crystal, LEAST_WIDTH).tolist())
    formula = crystal.get_chemical_formula(empirical=True)
    if options.interstitial:
        places = (crystal.cell.cartesian_positions(place) for place in (options.start, options.end))
        ends = insert_end_points(supercell, options.interstitial, *places)
        return f"{options.interstitial} in {formula}", *ends
    index, *neighbour = options.hop or (0,)
    ends = hop_end_points(supercell, index=index, neighbour=neighbour[0] if neighbour else None)
    return f"Vacancy in {formula}", *ends


def add_barrier(commands: Any) -> None:
    """Add the command `barrier`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    text = "find the barrier of an atom's hop, with error bars"
    command = new_command(commands, "barrier", run_barrier, text, EXAMPLES)
    add_model(command)
    add_structure(command)
    paths = command.add_argument_group("path", "a vacancy's hop to the nearest neighbour, unless given")
    paths.add_argument(
        "--hop",
        type=numbers(int),
        metavar="INDEX[,NEIGHBOUR]",
        help="atoms of the supercell: the one taken out, the one that hops",
    )
    paths.add_argument(
        "--final", metavar="FILE", help="the last structure; STRUCTURE is the first, both as they are"
    )
    paths.add_argument("--interstitial", metavar="ELEMENT", help="insert an atom, which moves")
    for name, dest in (("from", "start"), ("to", "end")):
        paths.add_argument(
            f"--{name}",
            dest=dest,
            type=numbers(float),
            metavar="X,Y,Z",
            help=f"where the interstitial moves {name}, fractional in the cell of STRUCTURE",
        )
    paths.add_argument(
        "--repeat",
        type=numbers(int),
        metavar="A,B,C",
        help=f"cells along each edge (default: the fewest that make it {LEAST_WIDTH:g} Å wide)",
    )
    band = command.add_argument_group("search for the path")
    band.add_argument("--images", type=positive, help=with_default("moving images", 5))
    band.add_argument("--fmax", type=float, help=with_default("largest force left, eV/Å", 0.05))
    band.add_argument("--steps", type=positive, help=with_default("largest number of steps", 300))
    band.add_argument(
        "--trajectory",
        type=Path,
        metavar="FILE",
        help="write the path of every step, or go on from the last one (never overwritten)",
    )
    add_outputs(command, json="write the result", plot="write a figure of the path")
    add_device(command)
    add_common(command)
