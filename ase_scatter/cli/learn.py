"""The command `learn`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .arguments import (
    add_common,
    add_device,
    add_keys,
    add_training_set,
    add_workers,
    given,
    keys_of,
    new_command,
    numbers,
    positive,
    require_suffix,
)
from .files import claim, write_json

EXAMPLES = """examples:
  ase-scatter learn train.extxyz --test test.extxyz -o curve.json
  ase-scatter learn train.extxyz --test test.extxyz -o curve.json --sizes 25,50,100 --peer gap

A model is fitted to each of several nested random subsets. Errors are those on TEST: energies in meV/atom,
forces in eV/Å, stresses in GPa. The plot is written beside the data. A peer is trained on the same subsets;
gap needs the package quippy-ase (GAP, SOAP descriptors).
"""


def run_learn(options: argparse.Namespace) -> int:
    """Run the command `learn`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_learn` defines.

    Returns
    -------
    int
        The exit code.
    """
    from ..plotting import learning_plot
    from ..reporting.tables import learning_table
    from ..structures.dataset import read_frames
    from ..training.baselines import peer
    from ..training.learning_curve import Point, learning_curve
    from ..training.settings import FitSettings

    target = options.output
    require_suffix(target, "the curve goes to", ".json")
    plot = target.with_suffix(".png")
    claim([target, plot], options)
    peers = {name.upper(): peer(name) for name in options.peer}
    keys = keys_of(options)
    train, test = read_frames(options.train, **keys), read_frames(options.test, **keys)
    points: list[Point] = []

    def seen(point: Point) -> None:
        points.append(point)
        # What is known is kept, whatever happens to the rest.
        write_json(target, {"points": [p.to_dict() for p in points]})

    learning_curve(
        train,
        test,
        settings=FitSettings(**given(options, "transform", "columns")),
        sizes=options.sizes,
        peers=peers,
        seed=options.seed,
        workers=options.workers,
        device=options.device,
        progress=not options.quiet,
        seen=seen,
    )
    print(learning_table(points))
    learning_plot(points, plot, title=f"{Path(options.train).name}, tested on {Path(options.test).name}")
    print(f"\n{target}, {plot}")
    return 0


def add_learn(commands: Any) -> None:
    """Add the command `learn`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    from ..training.baselines import PEERS
    from ..training.settings import TRANSFORMS

    text = "plot errors against the number of training structures"
    command = new_command(commands, "learn", run_learn, text, EXAMPLES)
    add_training_set(command, test_required=True)
    command.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT.json", help="the curve as data"
    )
    command.add_argument(
        "--sizes",
        type=numbers(int),
        metavar="N,N,…",
        help="numbers of structures (default: all, a half, a quarter, …)",
    )
    command.add_argument(
        "--peer", choices=PEERS, action="append", default=[], help="train this potential too"
    )
    command.add_argument("--transform", choices=TRANSFORMS, help="as in fit (default: sites)")
    command.add_argument("--columns", type=positive, help="largest number of columns")
    command.add_argument("--seed", type=int, default=0, help="of the random subsets (default: %(default)s)")
    add_device(command, dtype=False)
    add_keys(command)
    add_workers(command, "threads")
    add_common(command)
