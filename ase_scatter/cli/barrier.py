"""The command `barrier`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InputError
from .common import (
    add_common,
    add_device,
    at_rest,
    claim,
    given,
    new_command,
    numbers,
    positive,
    structure_of,
    with_default,
    write_json,
)

LEAST_WIDTH = 9.0
"""Å. Periodic images of a defect in the default supercell are at least this far apart."""

NOT_CONVERGED = 1
"""Exit code."""

BARRIER_EXAMPLES = """examples:
  ase-scatter barrier Mo Mo                      a vacancy's hop to the nearest neighbour
  ase-scatter barrier Si Si --repeat 3,3,3 --json hop.json --plot hop.png --trajectory hop.traj
  ase-scatter barrier mine.json start.xyz --final end.xyz
  ase-scatter barrier LiSi Si --interstitial Li --from 0.5,0.5,0.5 --to 0.75,0.75,0.75

A band that is not converged is told, written nevertheless, and ends with the exit code 1. With --trajectory
the same command goes on where it stopped.
"""


def run_barrier(options: argparse.Namespace) -> int:
    from ..calculator import ScatteringCalculator
    from ..model.model import Model
    from ..plotting import barrier_plot, require_format
    from ..properties import migration_barrier

    _require_one_kind(options)
    model = Model.load(options.model)
    structure = structure_of(options.structure)
    written = [Path(path) for path in (options.json, options.plot) if path]
    if options.plot:
        require_format(options.plot)
    claim(written, options.force)
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
        write_json(Path(options.json), document)
    if options.plot:
        barrier_plot(barrier, options.plot, title=title)
    print(f"{title} {model.hash}, {len(initial)} atoms\n")
    print(_tables(barrier))
    if barrier.mapping is not None:
        print("\nthe atoms of the last structure were matched to those of the first")
    if barrier.intermediate is not None:
        print(
            f"\nimage {barrier.intermediate} is more stable than both ends, so that this is not one hop; the "
            "band of the barriers is that of the least certain image"
        )
    if not barrier.converged:
        print(
            f"\nNOT CONVERGED after {barrier.steps} steps: forces of {barrier.max_force:.3f} eV/Å are left, "
            "or an end is not relaxed; the barrier is not to be relied on"
        )
    if written:
        print(f"\nwritten: {', '.join(str(path) for path in written)}")
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
    from ..properties import hop_end_points, insert_end_points

    if options.final:
        return f"{options.structure} to {options.final}", structure, structure_of(options.final)
    other = "Give a structure nearer to rest, or both ends of the path (--final)"
    crystal = at_rest(structure, calculator, quiet=options.quiet, otherwise=other).atoms
    supercell = crystal.repeat(options.repeat or _repeats(crystal))
    if options.interstitial:
        places = (crystal.cell.cartesian_positions(place) for place in (options.start, options.end))
        name = f"{options.interstitial} in {crystal.get_chemical_formula(empirical=True)}"
        return name, *insert_end_points(supercell, options.interstitial, *places)
    index, *neighbour = options.hop or (0,)
    ends = hop_end_points(supercell, index=index, neighbour=neighbour[0] if neighbour else None)
    return f"Vacancy in {crystal.get_chemical_formula(empirical=True)}", *ends


def _repeats(crystal: Any) -> tuple[int, ...]:
    """Cells along each edge of the smallest supercell that is wide enough."""
    import numpy as np

    widths = 1 / np.linalg.norm(crystal.cell.reciprocal(), axis=1)
    return tuple(int(np.ceil(LEAST_WIDTH / width)) for width in widths)


def _tables(barrier: Any) -> str:
    """The images and the two barriers, as a text."""
    from ..reporting.tables import number, text_table

    bands = barrier.energies_half_width
    rows = [
        [
            str(i),
            f"{s:.3f}",
            f"{e:z.4f}",
            number(None if bands is None else bands[i], ".4f"),
        ]
        for i, (s, e) in enumerate(zip(barrier.path, barrier.energies - barrier.energies[0], strict=True))
    ]
    images = text_table(["image", "path (Å)", "energy (eV)", "± 90 %"], rows)
    heights = text_table(
        ["barrier (eV)", "highest image", "± 90 %", "from the fit"],
        [
            [
                name,
                f"{getattr(barrier, name):.4f}",
                number(getattr(barrier, f"{name}_half_width"), ".4f"),
                f"{getattr(barrier, f'fitted_{name}'):.4f}",
            ]
            for name in ("forward", "backward")
        ],
    )
    return f"{images}\n\n{heights}"


def add_barrier(commands: Any) -> None:
    text = "find the barrier of an atom's hop, with error bars"
    command = new_command(commands, "barrier", run_barrier, text, BARRIER_EXAMPLES)
    command.add_argument("model", metavar="MODEL", help="a shipped name or a file")
    command.add_argument(
        "structure",
        metavar="STRUCTURE",
        help="a crystal: a file that ASE reads, or a name that ase.build.bulk knows",
    )
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
    paths.add_argument("--interstitial", metavar="ELEMENT", help="put an atom in, which moves")
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
        help=f"cells along each edge (default: as few as make it {LEAST_WIDTH:g} Å wide)",
    )
    band = command.add_argument_group("band")
    band.add_argument("--images", type=positive, help=with_default("moving images", 5))
    band.add_argument("--fmax", type=float, help=with_default("largest force left, eV/Å", 0.05))
    band.add_argument("--steps", type=positive, help=with_default("most steps", 300))
    band.add_argument(
        "--trajectory", metavar="FILE", help="write all bands, or go on from the last one (never overwritten)"
    )
    command.add_argument("--json", metavar="FILE", help="write the result")
    command.add_argument("--plot", metavar="FILE", help="write a figure of the path (.png, .pdf or .svg)")
    add_device(command)
    add_common(command)
