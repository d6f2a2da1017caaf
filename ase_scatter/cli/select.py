"""The command `select`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .arguments import add_common, add_model, add_outputs, add_workers, new_command, positive, require_suffix
from .files import claim, write_json, write_structures

EXAMPLES = """examples:
  ase-scatter select mine.json pool.extxyz --known train.extxyz -o chosen.extxyz
  ase-scatter select mine.json md.traj --known train.extxyz -o chosen.extxyz --count 20 --json chosen.json

The pool needs no labels. The structures are written best first. The choice ends by itself when the largest
doubt that is left is below --until: doubts are in units of the errors that the fit expects. If that
holds at once, no file is written and the exit code is 1.
"""

NOTHING_CHOSEN = 1
"""Exit code."""


def run_select(options: argparse.Namespace) -> int:
    """Run the command `select`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_select` defines.

    Returns
    -------
    int
        The exit code. 1 if no structure would teach the model much.
    """

    from ..model.model import Model
    from ..plotting import choice_plot
    from ..reporting.tables import choice_table
    from ..structures.dataset import read_structures
    from ..structures.system import System
    from ..training.active_learning import select_structures

    target = options.output
    require_suffix(target, "the chosen structures go to", ".xyz", ".extxyz")
    claim([target, options.json], options, plots=[options.plot])
    model = Model.load(options.model)
    pool = read_structures(options.pool)
    known = read_structures(options.known) if options.known else []
    choice = select_structures(
        model,
        [System.from_atoms(atoms) for atoms in pool],
        known=[System.from_atoms(atoms) for atoms in known],
        count=options.count,
        until=options.until,
        workers=options.workers,
        progress=not options.quiet,
    )
    if options.json:
        write_json(options.json, {"model": model.hash, "pool": options.pool, **vars(choice)})
    if not choice.chosen:
        print(
            f"NOTHING CHOSEN, and {target} is not written: the doubt about each of the {len(pool)} "
            f"structures is below {options.until:g} of the errors that the fit expects, so that they would "
            f"teach its {model.transform.n_columns} columns little. A smaller --until takes some all the "
            "same; a model of more columns has more to learn."
        )
        return NOTHING_CHOSEN
    print(choice_table(choice))
    said = "what is left would teach little" if choice.enough else "more would still teach something"
    print(f"\n{len(choice.chosen)} of {len(pool)} structures, in {target}; {said}")
    write_structures(target, [pool[k] for k in choice.chosen])
    if options.plot:
        choice_plot(choice, options.plot, title=f"{Path(options.pool).name}, model {model.name}")
    return 0


def add_select(commands: Any) -> None:
    """Add the command `select`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    from ..training.active_learning import ENOUGH

    text = "choose the structures of a pool that a model would learn most from"
    command = new_command(commands, "select", run_select, text, EXAMPLES)
    add_model(command)
    command.add_argument("pool", metavar="POOL", help="structures to choose from, labelled or not")
    command.add_argument("--known", metavar="TRAIN", help="structures that the model was trained on")
    command.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT.extxyz", help="the chosen structures"
    )
    command.add_argument(
        "--count", type=positive, help="largest number of structures (default: until they teach little)"
    )
    command.add_argument(
        "--until", type=float, default=ENOUGH, help="doubt at which the choice ends (default: %(default)s)"
    )
    add_outputs(command, json="write numbers, gains and doubts", plot="plot gains and doubts")
    add_workers(command, "structures that are evaluated at once")
    add_common(command)
