"""The command `tour`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .common import add_common, add_device, claim, new_command, positive, write_json

DEFAULT_MODEL = "Si"

TOUR_EXAMPLES = """examples:
  ase-scatter tour                               the shipped silicon model, into tour-Si/
  ase-scatter tour --model Mo --out mo           another shipped model
  ase-scatter tour --model mine.json --element W --images 5
"""


def run_tour(options: argparse.Namespace) -> None:
    from ..model.model import Model
    from ..plotting import tour_figures
    from ..plotting.base import DPI
    from ..reporting.tour import element_of, tour

    model = Model.load(options.model)
    element_of(model, options.element)
    out = Path(options.out or f"tour-{model.name}")
    names = ("tour.json", "energy-volume.png", "elastic.png", "barrier.png")
    data = out / names[0]
    out.mkdir(parents=True, exist_ok=True)
    claim([out / name for name in names], options.force)

    result = tour(
        model,
        element=options.element,
        device=options.device,
        dtype=options.dtype,
        images=options.images,
        progress=not options.quiet,
    )
    for name, figure in tour_figures(result).items():
        figure.savefig(out / f"{name}.png", dpi=DPI)
    write_json(data, result.to_dict())
    print(f"{result.element} ({result.structure}) with model {model.name} {model.hash}\n")
    print(result.table())
    print(f"\n{result.seconds:.0f} s; {', '.join(names)} are in {out}")


def add_tour(commands: Any) -> None:
    text = "relax, strain and break a crystal with a model, beside published values"
    command = new_command(commands, "tour", run_tour, text, TOUR_EXAMPLES)
    command.add_argument(
        "--model", default=DEFAULT_MODEL, help="a shipped name or a file (default: %(default)s)"
    )
    command.add_argument("--out", metavar="DIR", help="folder for plots and data (default: tour-MODEL)")
    command.add_argument("--element", help="which of the model's elements (default: its only one)")
    command.add_argument(
        "--images", type=positive, default=5, help="moving images of the band (default: %(default)s)"
    )
    add_device(command)
    add_common(command)
