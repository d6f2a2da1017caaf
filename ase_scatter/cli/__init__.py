"""The command `ase-scatter`: reads options, calls the workflows, prints and writes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .._version import __version__
from ..errors import DeviceError, InputError
from . import barrier, benchmark, evaluate, fit, learn, phonons, properties, report, select, tour


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code: 0, 1 for results that are not converged, 2 for what the user can put
    right."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except (InputError, DeviceError) as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"{error.filename or 'a file'} cannot be used: {error.strerror or error}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _refuse(message: str) -> int:
    print(f"ase-scatter: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ase-scatter",
        description="Wavelet scattering potentials: fit them, evaluate them, see what they give.",
        epilog="Each command has its own --help, with examples.",
    )
    parser.add_argument("--version", action="version", version=f"ase-scatter {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (
        tour.add_tour,
        properties.add_elastic,
        properties.add_eos,
        properties.add_vacancy,
        properties.add_surface,
        barrier.add_barrier,
        report.add_report,
        fit.add_fit,
        evaluate.add_evaluate,
        evaluate.add_info,
        select.add_select,
        learn.add_learn,
        phonons.add_phonons,
        benchmark.add_benchmark,
    ):
        add(commands)
    return parser
