"""The command `learn`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InputError
from .common import (
    add_common,
    add_device,
    add_keys,
    claim,
    given,
    keys_of,
    new_command,
    numbers,
    positive,
    write_json,
)

LEARN_EXAMPLES = """examples:
  ase-scatter learn train.extxyz --test test.extxyz -o curve.json
  ase-scatter learn train.extxyz --test test.extxyz -o curve.json --sizes 25,50,100 --peer gap

Each size is fitted anew, to nested random subsets. The plot is written beside the data. A peer is trained on
the same subsets; gap needs the package quippy-ase (GAP, SOAP descriptors).
"""


def run_learn(options: argparse.Namespace) -> None:
    """Fit, print as points come in, write."""
    from ..plotting import learning_plot
    from ..reporting.tables import ERROR_COLUMNS, number, text_table
    from ..structures.dataset import read_frames
    from ..training.baselines import peer
    from ..training.learning_curve import Point, learning_curve
    from ..training.settings import FitSettings

    target = Path(options.output)
    if target.suffix != ".json":
        raise InputError(f"the curve goes to {target.name}, but its name must end in .json")
    plot = target.with_suffix(".png")
    claim([target, plot], options.force)
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
    shown = {key: column for key, column in ERROR_COLUMNS.items() if key in points[0].errors}
    heads = ["", "frames", "atoms", *(f"{name} ({unit})" for name, unit, _ in shown.values()), "s"]
    rows = [
        [
            p.name,
            str(p.n_frames),
            str(p.n_atoms),
            *(number(p.errors.get(key), form) for key, (_, _, form) in shown.items()),
            f"{p.seconds:.0f}",
        ]
        for p in points
    ]
    print(text_table(heads, rows))
    learning_plot(points, plot, title=f"{Path(options.train).name}, tested on {Path(options.test).name}")
    print(f"\n{target}, {plot}")


def add_learn(commands: Any) -> None:
    """Its options."""
    from ..training.baselines import PEERS
    from ..training.settings import TRANSFORMS

    text = "plot errors against the number of training structures"
    command = new_command(commands, "learn", run_learn, text, LEARN_EXAMPLES)
    command.add_argument("train", metavar="TRAIN", help="labelled structures to fit")
    command.add_argument("--test", metavar="TEST", required=True, help="labelled structures to test on")
    command.add_argument("-o", "--output", required=True, metavar="OUT.json", help="the curve as data")
    command.add_argument(
        "--sizes", type=numbers(int), help="numbers of structures (default: all, a half, a quarter, …)"
    )
    command.add_argument("--peer", choices=PEERS, action="append", default=[], help="train this one too")
    command.add_argument("--transform", choices=TRANSFORMS, help="(default: sites)")
    command.add_argument("--columns", type=positive, help="largest number of columns")
    command.add_argument("--seed", type=int, default=0, help="of the subsets (default: %(default)s)")
    add_device(command, dtype=False)
    add_keys(command)
    add_common(command, workers="threads", default=None)
