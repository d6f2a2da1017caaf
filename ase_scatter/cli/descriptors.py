"""The commands `compare-data` and `judge-descriptor`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .arguments import add_common, add_outputs, add_workers, new_command, positive, require_suffix
from .files import claim, write_json, write_structures

EXAMPLES = """examples:
  ase-scatter compare-data train.extxyz md.traj
  ase-scatter compare-data train.extxyz other.extxyz --model mine.json --plot apart.png --json apart.json
  ase-scatter compare-data train.extxyz pool.extxyz --add add.extxyz

Neither file needs labels. A classifier on the coefficients of the atoms is asked about structures that it has
not seen: an AUC of .5 means that the sets cannot be told apart, 1 that every atom can. "outside" is the share
of atoms beyond what the first set covers (extrapolation grade above 1).
"""


JUDGE_EXAMPLES = """examples:
  ase-scatter judge-descriptor
  ase-scatter judge-descriptor --plot judged.png --json judged.json
  ase-scatter judge-descriptor --setting cutoff=6 --setting triple=0

Columns on sites are judged: how far they change under symmetries, whether they tell pairs of structures
apart that are the same to power spectrum and bispectrum, how smooth they are through the cutoff, µs per atom,
zeros, and kinds of structures.
"""


def run_compare_data(options: argparse.Namespace) -> int:
    """Run the command `compare-data`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_compare_data` defines.

    Returns
    -------
    int
        The exit code.
    """
    from ..descriptors import ScatteringDescriptor
    from ..descriptors.comparison import compare_data
    from ..plotting.descriptors import comparison_plot
    from ..reporting.descriptors import comparison_text
    from ..structures.dataset import read_structures

    if options.add:
        require_suffix(options.add, "the structures to add go to", ".xyz", ".extxyz")
    claim([options.json, options.add], options, plots=[options.plot])
    descriptor = None if options.model is None else ScatteringDescriptor(model=options.model).fit()
    first, second = read_structures(options.first), read_structures(options.second)
    found = compare_data(
        first,
        second,
        descriptor=descriptor,
        folds=options.folds,
        workers=options.workers,
        progress=not options.quiet,
    )
    names = Path(options.first).name, Path(options.second).name
    print(comparison_text(found, *names))
    if options.json:
        write_json(options.json, {"first": options.first, "second": options.second, **found.to_dict()})
    if options.add:
        if found.added:
            write_structures(options.add, [second[k] for k in found.added])
        else:
            print(f"Nothing lies outside, and {options.add} is not written.")
    if options.plot:
        comparison_plot(found, options.plot, names=names)
    return 0


def add_compare_data(commands: Any) -> None:
    """Add the command `compare-data`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    text = "tell two data sets apart: does the first cover the second?"
    command = new_command(commands, "compare-data", run_compare_data, text, EXAMPLES)
    command.add_argument("first", metavar="FIRST", help="structures, such as those of the training")
    command.add_argument("second", metavar="SECOND", help="structures that shall be computed")
    command.add_argument(
        "--model", metavar="MODEL", help="compare by the columns of this model (default: all of order 1)"
    )
    command.add_argument(
        "--folds",
        type=positive,
        default=5,
        help="parts that structures are dealt into (default: %(default)s)",
    )
    command.add_argument(
        "--add", type=Path, metavar="OUT.extxyz", help="write structures that would cover what is outside"
    )
    add_outputs(command, json="write all figures", plot="plot scores, grades and columns")
    add_workers(command, "structures that are transformed at once")
    add_common(command)


def run_judge_descriptor(options: argparse.Namespace) -> int:
    """Run the command `judge-descriptor`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_judge_descriptor` defines.

    Returns
    -------
    int
        The exit code.
    """
    from ..descriptors.criteria import judge
    from ..plotting.descriptors import judgement_plot
    from ..reporting.descriptors import judgement_text

    claim([options.json], options, plots=[options.plot])
    found = judge(dict(options.setting))
    print(judgement_text(found))
    if options.json:
        write_json(options.json, found.to_dict())
    if options.plot:
        judgement_plot(found, options.plot)
    return 0


def _setting(text: str) -> tuple[str, Any]:
    """A name and a value of JSON."""
    name, _, value = text.partition("=")
    return name, json.loads(value)


_setting.__name__ = "NAME=VALUE"  # what argparse calls it in its errors


def add_judge_descriptor(commands: Any) -> None:
    """Add the command `judge-descriptor`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    text = "judge the coefficients by what makes a good descriptor"
    command = new_command(commands, "judge-descriptor", run_judge_descriptor, text, JUDGE_EXAMPLES)
    command.add_argument(
        "--setting",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of sites that is not the recommended one, such as cutoff=6 (Å); repeatable",
    )
    add_outputs(command, json="write all figures", plot="plot who tells which pair apart")
    add_common(command)
