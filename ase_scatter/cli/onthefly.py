"""The command `onthefly`."""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import InputError
from .arguments import add_common, add_outputs, new_command, numbers, positive, with_default
from .crystals import NOT_CONVERGED
from .files import claim, write_json, write_structures

PROPERTIES = ("barrier", "relax", "elastic", "phonons", "md")

EXAMPLES = """examples:
  ase-scatter onthefly barrier start.xyz end.xyz --reference emt --store run --plot band.png
  ase-scatter onthefly relax POSCAR --cell --reference vasp --reference-options incar.json --store run
  ase-scatter onthefly elastic Si --reference mine:kumagai --tolerance 0.02
  ase-scatter onthefly phonons Si --reference tblite --repeat 4,4,4
  ase-scatter onthefly md Si --repeat 2,2,2 --reference emt --temperature 300,900 --steps 10000 --store run

The property is computed on a potential that learns from the reference while it is used: the reference is
asked only where a force may be off by more than the tolerance (eV/Å). Each of its results is in the store
before anything else happens. The same command with the same store goes on where it was stopped.
"""


def run_onthefly(options: argparse.Namespace) -> int:
    """Run the command `onthefly`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_onthefly` defines.

    Returns
    -------
    int
        The exit code. 1 if the result is not converged.
    """
    from ..onthefly.references import make_reference
    from ..onthefly.session import Session
    from ..structures.named import structure_of

    wanted = 2 if options.property == "barrier" else 1
    if len(options.structures) != wanted:
        raise InputError(
            f"onthefly {options.property} takes {wanted} structure{'s' if wanted > 1 else ''}, "
            f"not {len(options.structures)}"
        )
    if options.plot and options.property != "barrier":
        raise InputError("--plot draws the band of a barrier; leave it out")
    structures = [structure_of(text) for text in options.structures]
    if options.repeat and options.property != "phonons":
        structures = [atoms.repeat(options.repeat) for atoms in structures]
    written = claim([options.json, options.model, options.output], options, plots=[options.plot])
    settings = _read_options(options.reference_options)
    make = partial(make_reference, options.reference, settings)
    executor = ThreadPoolExecutor(options.at_once) if options.at_once > 1 else None
    try:
        session = Session.open(
            make if executor else make(),
            data=options.data,
            store=options.store,
            executor=executor,
            name=f"{options.reference} {json.dumps(settings, sort_keys=True)}",
            progress=not options.quiet,
        )
        found, document, atoms, converged, text = _computed(options, structures, session)
    finally:
        if executor is not None:
            executor.shutdown(cancel_futures=True)
    if options.json:
        write_json(options.json, {"property": options.property, "reference": options.reference, **document})
    if options.output:
        write_structures(options.output, atoms)
    if options.model:
        session.model.save(options.model, overwrite=options.force)
    if options.plot:
        from ..plotting import learned_barrier_plot

        learned_barrier_plot(found, options.plot, title=" to ".join(options.structures))
    print(f"{'' if options.quiet else chr(10)}{text}")
    print(f"calls of the reference: {session.n_reference}, predicted instead: {session.saved}")
    if not converged:
        print("NOT CONVERGED")
    if written:
        print(f"written: {', '.join(map(str, written))}")
    return 0 if converged else NOT_CONVERGED


def _read_options(path: Path | None) -> dict[str, Any]:
    """Keyword arguments of the reference."""
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error})") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} must hold a JSON object, the keyword arguments of the reference")
    return found


def _computed(
    options: argparse.Namespace, structures: list[Any], session: Any
) -> tuple[Any, dict[str, Any], list[Any], bool, str]:
    """The result, what JSON gets of it, structures, whether it converged, and a text."""
    from ..onthefly.barrier import learn_barrier
    from ..onthefly.crystals import learn_elastic, learn_phonons
    from ..onthefly.md import learn_md
    from ..onthefly.relax import learn_relax
    from ..reporting.crystals import barrier_table, moduli_table

    tolerance = {"force_tolerance": options.force_tolerance, "max_calls": options.max_calls}
    atoms = structures[0]
    if options.property == "barrier":
        band = learn_barrier(
            atoms, structures[1], session, images=options.images, fmax=options.fmax, **tolerance
        )
        calls = f"calls: {band.n_reference} on the band, {band.n_reference_ends} for the ends"
        text = f"{barrier_table(band)}\n\n{calls}"
        return band, band.to_dict(), list(band.images), band.converged, text
    if options.property == "relax":
        rest = learn_relax(atoms, session, cell=options.cell, fmax=options.fmax, **tolerance)
        text = f"energy {rest.energy:.6f} eV, largest force {rest.max_force:.4f} eV/Å"
        return rest, rest.to_dict(), [rest.atoms], rest.converged, text
    if options.property == "elastic":
        learnt = learn_elastic(atoms, session, tolerance=options.tolerance, **tolerance)
        return learnt, learnt.to_dict(), [learnt.atoms], learnt.converged, moduli_table(learnt.found)
    if options.property == "phonons":
        more: dict[str, Any] = {"supercell": tuple(options.repeat)} if options.repeat else {}
        waves = learn_phonons(
            atoms, session, tolerance=options.tolerance, max_calls=options.max_calls, **more
        )
        text = f"optical frequencies at Γ (THz): {', '.join(f'{f:.3f}' for f in waves.found.optical)}"
        return waves, waves.to_dict(), [waves.atoms], waves.converged, text
    run = learn_md(
        atoms,
        session,
        temperature=(options.temperature[0], options.temperature[-1]),
        steps=options.steps,
        timestep=options.timestep,
        checks=options.checks,
        **tolerance,
    )
    text = f"{run.steps} steps, {run.temperatures[-1]:.0f} K at the end"
    if run.n_checks:
        text += f"; of {run.n_checks} checks {run.inside:.0%} inside, mean error {run.error:.3f} eV/Å"
    return run, run.to_dict(), [run.atoms], run.steps == options.steps, text


def add_onthefly(commands: Any) -> None:
    """Add the command `onthefly`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    text = "compute a property with a few calls of a reference, learning while running"
    command = new_command(commands, "onthefly", run_onthefly, text, EXAMPLES)
    command.add_argument("property", metavar="PROPERTY", choices=PROPERTIES, help=", ".join(PROPERTIES))
    command.add_argument(
        "structures", metavar="STRUCTURE", nargs="+", help="a file or a crystal's name; two for a barrier"
    )
    truth = command.add_argument_group("reference")
    truth.add_argument(
        "--reference",
        required=True,
        metavar="NAME",
        help="emt, vasp, espresso, cp2k, gpaw, tblite … or module:function",
    )
    truth.add_argument(
        "--reference-options", type=Path, metavar="FILE", help="JSON: keyword arguments of the reference"
    )
    truth.add_argument("--store", type=Path, metavar="DIR", help="folder that keeps its results")
    truth.add_argument("--data", metavar="FILE", help="labelled structures to begin with")
    truth.add_argument(
        "--at-once", type=positive, default=1, metavar="N", help=with_default("structures at once", 1)
    )
    how = command.add_argument_group("how exactly")
    how.add_argument(
        "--force-tolerance",
        type=float,
        default=0.1,
        help=with_default("half-width of a force that is trusted, eV/Å", 0.1),
    )
    how.add_argument(
        "--tolerance",
        type=float,
        default=0.02,
        help=with_default("of elastic, phonons: half-width over the value", 0.02),
    )
    how.add_argument(
        "--fmax",
        type=float,
        default=0.05,
        help=with_default("of barrier, relax: largest force left, eV/Å", 0.05),
    )
    how.add_argument(
        "--max-calls", type=positive, default=60, help=with_default("most calls of the reference", 60)
    )
    more = command.add_argument_group("property")
    more.add_argument("--repeat", type=numbers(int), metavar="A,B,C", help="cells along each edge")
    more.add_argument(
        "--images", type=positive, default=5, help=with_default("moving images of a barrier", 5)
    )
    more.add_argument("--cell", action="store_true", help="relax the cell, too")
    more.add_argument(
        "--temperature", type=numbers(float), default=(300.0,), metavar="K[,K]", help="of md (default: 300)"
    )
    more.add_argument("--steps", type=positive, default=1000, help=with_default("of md", 1000))
    more.add_argument(
        "--timestep", type=float, default=1.0, metavar="FS", help=with_default("of md, fs", 1.0)
    )
    more.add_argument(
        "--checks", type=int, default=0, help=with_default("steps of md that the reference checks, too", 0)
    )
    command.add_argument("--model", type=Path, metavar="FILE.json", help="keep the potential")
    command.add_argument("-o", "--output", type=Path, metavar="FILE.extxyz", help="write the structures")
    add_outputs(command, json="write the result", plot="plot the band of a barrier")
    add_common(command)
