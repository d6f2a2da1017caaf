"""Structures chosen by what they would teach, against structures chosen at random.

    python examples/active_learning.py --data DIR --out active

DIR holds Si_train.extxyz and Si_test.extxyz (PBE-DFT data of Zuo et al. 2020). A potential is fitted to a few
random structures; those that `select_structures` picks from the rest are added, or as many random ones, and
the errors of both on the test file are printed and plotted.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from ase_scatter import FitSettings, Frame, InputError, fit, read_frames
from ase_scatter.plotting import learning_plot
from ase_scatter.reporting.tables import text_table
from ase_scatter.training.active_learning import select_structures
from ase_scatter.training.learning_curve import Point

SETTINGS = FitSettings(columns=300, members=0, ridges=(1e-9, 1e-7, 1e-5))


def main(arguments: list[str] | None = None) -> int:
    """Choose, fit, compare; the exit code."""
    parser = argparse.ArgumentParser(description="Active learning against random choice.")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the reference data")
    parser.add_argument("--out", type=Path, required=True, metavar="NAME", help="NAME.json and NAME.png")
    parser.add_argument("--element", default="Si", help="(%(default)s)")
    parser.add_argument("--start", type=int, default=20, help="structures to begin with (%(default)s)")
    parser.add_argument("--add", default="10,20,40", help="structures to add (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="random choices (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="threads (%(default)s)")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    options = parser.parse_args(arguments)
    try:
        train = read_frames(options.data / f"{options.element}_train.extxyz")
        test = read_frames(options.data / f"{options.element}_test.extxyz")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    more = [int(part) for part in options.add.split(",")]
    how = {"workers": options.workers, "progress": not options.quiet}

    def errors_with(picked: list[int], name: str) -> Point:
        frames: list[Frame] = [train[k] for k in sorted(picked)]
        table = fit(frames, test=test, settings=SETTINGS, **how).errors["test"]["all"]
        point = Point(name, len(frames), sum(len(f.system) for f in frames), table, 0.0)
        print(f"{name}, {len(frames)} structures: {table['force_mae']:.4f} eV/Å", flush=True)
        return point

    order = np.random.default_rng(0).permutation(len(train)).tolist()
    first, rest = order[: options.start], order[options.start :]
    begin = fit([train[k] for k in sorted(first)], settings=replace(SETTINGS), **how).model
    choice = select_structures(
        begin,
        [train[k].system for k in rest],
        known=[train[k].system for k in first],
        count=max(more),
        until=1e-9,
        **how,
    )
    points = [errors_with(first, "chosen")]
    points.append(replace(points[0], name="random"))
    for count in more:
        points.append(errors_with(first + [rest[k] for k in choice.chosen[:count]], "chosen"))
        repeats = []
        for seed in range(options.repeats):
            others = np.random.default_rng(1 + seed).permutation(rest)[:count].tolist()
            repeats.append(errors_with(first + others, "random"))
        mean = {key: float(np.mean([p.errors[key] for p in repeats])) for key in repeats[0].errors}
        points.append(replace(repeats[0], errors=mean))
    rows = [
        [p.name, str(p.n_frames), f"{p.errors['energy_mae']:.2f}", f"{p.errors['force_mae']:.4f}"]
        for p in points
    ]
    print(text_table(["", "structures", "E MAE (meV/atom)", "F MAE (eV/Å)"], rows))
    data = {"points": [p.to_dict() for p in points], "doubt left": choice.largest_doubt}
    options.out.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n")
    learning_plot(points, options.out.with_suffix(".png"), title=f"{options.element}: chosen against random")
    return 0


if __name__ == "__main__":
    sys.exit(main())
