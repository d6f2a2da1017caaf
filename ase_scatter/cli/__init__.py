"""The command `ase-scatter`: reads options, calls the library, prints and writes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .._version import __version__
from ..errors import DeviceError, InputError
from . import (
    barrier,
    benchmark,
    check,
    cohesion,
    completion,
    descriptors,
    evaluate,
    fit,
    info,
    kim,
    lammps,
    learn,
    md,
    onthefly,
    phonons,
    properties,
    report,
    select,
    structures,
    tour,
)

UNUSABLE = 2
"""Exit code for what the user can put right; argparse has the same for wrong usage."""

INTERRUPTED = 130
"""Exit code after an interrupt, as shells have it."""

COMMANDS = (
    tour.add_tour,
    structures.add_singlepoint,
    structures.add_relax,
    md.add_md,
    properties.add_elastic,
    properties.add_eos,
    cohesion.add_cohesive,
    properties.add_vacancy,
    properties.add_surface,
    barrier.add_barrier,
    report.add_report,
    check.add_check,
    fit.add_fit,
    evaluate.add_evaluate,
    info.add_info,
    select.add_select,
    learn.add_learn,
    descriptors.add_compare_data,
    descriptors.add_judge_descriptor,
    onthefly.add_onthefly,
    phonons.add_phonons,
    lammps.add_lammps,
    kim.add_kim,
    benchmark.add_benchmark,
    completion.add_completion,
)
"""What adds each command, in the order of the help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after the program's name; by default those of this process.

    Returns
    -------
    int
        The exit code: 0, 1 for results that are not converged, 2 for what the user can put right.

    Raises
    ------
    SystemExit
        For --help, --version and wrong usage.
    """
    options = build_parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (InputError, DeviceError) as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"{error.filename or 'a file'} cannot be used: {error.strerror or error}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the whole command line.

    Returns
    -------
    argparse.ArgumentParser
        The parser. What it parses has an attribute `run`, a function of the options.
    """
    parser = argparse.ArgumentParser(
        prog="ase-scatter",
        description="Wavelet scattering potentials: fit them, evaluate them, compute properties with them.",
        epilog="Each command has its own --help, with examples.",
    )
    parser.add_argument("--version", action="version", version=f"ase-scatter {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in COMMANDS:
        add(commands)
    return parser


def _refuse(message: str) -> int:
    """Say in one line what cannot be done."""
    print(f"ase-scatter: {' '.join(message.split())}", file=sys.stderr)
    return UNUSABLE
