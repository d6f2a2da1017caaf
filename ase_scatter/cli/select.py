"""The command `select`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InputError
from .common import add_common, claim, new_command, positive, write_json

SELECT_EXAMPLES = """examples:
  ase-scatter select mine.json pool.extxyz --known train.extxyz -o chosen.extxyz
  ase-scatter select mine.json md.traj --known train.extxyz -o chosen.extxyz --count 20 --json chosen.json

No labels are needed in the pool. The structures are written best first; the choice ends by itself when what
is left would teach little: where what the training leaves open is below half of what counts as an error.
"""


def run_select(options: argparse.Namespace) -> None:
    """Choose, print, write."""
    from ase.io import write

    from ..model.model import Model
    from ..plotting import choice_plot, require_format
    from ..reporting.tables import text_table
    from ..structures.dataset import read_structures
    from ..structures.system import System
    from ..training.active_learning import select_structures

    target = Path(options.output)
    if target.suffix not in (".xyz", ".extxyz"):
        raise InputError(f"the chosen structures go to {target.name}, but its name must end in .extxyz")
    claim([Path(p) for p in (target, options.json, options.plot) if p], options.force)
    if options.plot:
        require_format(options.plot)
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
    rows = [
        [str(k + 1), str(number), f"{gain:.1f}", f"{doubt:.2f}", f"{left:.2f}"]
        for k, (number, gain, doubt, left) in enumerate(
            zip(choice.chosen, choice.gains, choice.doubts, choice.largest_doubt, strict=True)
        )
    ]
    heads = ["", "structure", "information (nats)", "its doubt", "largest doubt left"]
    print(text_table(heads, rows))
    said = "what is left would teach little" if choice.enough else "more would still teach something"
    print(f"\n{len(choice.chosen)} of {len(pool)} structures, in {target}; {said}")
    if choice.chosen:
        write(target, [pool[k] for k in choice.chosen], format="extxyz")
    if options.json:
        write_json(Path(options.json), {"model": model.hash, "pool": str(options.pool), **vars(choice)})
    if options.plot:
        choice_plot(choice, options.plot, title=f"{Path(options.pool).name}, model {model.name}")


def add_select(commands: Any) -> None:
    """Its options."""
    from ..training.active_learning import ENOUGH

    text = "choose the structures of a pool that a model would learn most from"
    command = new_command(commands, "select", run_select, text, SELECT_EXAMPLES)
    command.add_argument("model", metavar="MODEL", help="a shipped name or a model file")
    command.add_argument("pool", metavar="POOL", help="structures to choose from, labelled or not")
    command.add_argument("--known", metavar="TRAIN", help="structures that the model was trained on")
    command.add_argument("-o", "--output", required=True, metavar="OUT.extxyz", help="the chosen structures")
    command.add_argument("--count", type=positive, help="so many at most (default: until they teach little)")
    command.add_argument(
        "--until", type=float, default=ENOUGH, help="doubt, over the noise, to stop at (default: %(default)s)"
    )
    command.add_argument("--json", metavar="OUT.json", help="write numbers, gains and doubts")
    command.add_argument("--plot", metavar="PNG", help="plot gains and doubts")
    add_common(command, workers="structures that are evaluated at once", default=None)
