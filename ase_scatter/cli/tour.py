"""The command `tour`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .arguments import add_common, add_device, new_command, positive
from .crystals import NOT_CONVERGED
from .files import claim, write_json

DEFAULT_MODEL = "Si"

FILES = ("tour.json", "energy-volume.png", "elastic.png", "barrier.png")
"""What is written into the folder."""

EXAMPLES = """examples:
  ase-scatter tour                               the shipped silicon model, into tour-Si/
  ase-scatter tour --model Mo --out mo           another shipped model
  ase-scatter tour --model mine.json --element W --images 5

Lengths are in Å, elastic constants in GPa and energies in eV, each with the half-width of its 90 % interval
where the model has a committee. The exit code is 1 if a result is not converged or the crystal not stable.
"""


def run_tour(options: argparse.Namespace) -> int:
    """Run the command `tour`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_tour` defines.

    Returns
    -------
    int
        The exit code.
    """
    from ..model.model import Model
    from ..plotting import tour_figures
    from ..plotting.base import written
    from ..reporting.tour import element_of, tour

    model = Model.load(options.model)
    element_of(model, options.element)
    out = options.out or Path(f"tour-{model.name}")
    out.mkdir(parents=True, exist_ok=True)
    claim([out / name for name in FILES], options)

    result = tour(
        model,
        element=options.element,
        device=options.device,
        dtype=options.dtype,
        images=options.images,
        progress=not options.quiet,
    )
    for name, figure in tour_figures(result).items():
        written(figure, out / f"{name}.png")
    write_json(out / FILES[0], result.to_dict())
    print(f"{result.element} ({result.structure}) with model {model.name} {model.hash}\n")
    print(result.table())
    print(f"\n{result.seconds:.0f} s; {', '.join(FILES)} are in {out}")
    return 0 if result.elastic.stable and not result.unconverged() else NOT_CONVERGED


def add_tour(commands: Any) -> None:
    """Add the command `tour`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    text = "relax, strain and break a crystal with a model, and compare with published values"
    command = new_command(commands, "tour", run_tour, text, EXAMPLES)
    command.add_argument(
        "--model", default=DEFAULT_MODEL, help="a shipped name or a model file (default: %(default)s)"
    )
    command.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for plots and data (default: tour-MODEL)"
    )
    command.add_argument("--element", help="which of the model's elements (default: its only one)")
    command.add_argument(
        "--images",
        type=positive,
        default=5,
        help="moving images of the vacancy's hop (default: %(default)s)",
    )
    add_device(command)
    add_common(command)
