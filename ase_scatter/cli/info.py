"""The command `info`."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import InputError
from .arguments import add_device, add_model, new_command

EXAMPLES = """examples:
  ase-scatter info                 the models that are shipped: elements, accuracy, citation
  ase-scatter info --speed         and how fast they are on this machine (µs/atom)
  ase-scatter info Si              what one of them is (energies in eV, lengths in Å)
  ase-scatter info Si --all        everything that its file says: settings, validation, calibration
  ase-scatter info mine.json --check
"""


def run_info(options: argparse.Namespace) -> int:
    """Run the command `info`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_info` defines.

    Returns
    -------
    int
        The exit code.
    """
    from ..compute.target import Target
    from ..model.model import Model
    from ..model.model_file import shipped_models
    from ..model.self_check import self_check
    from ..reporting.description import describe, everything, list_models, speeds_of

    if options.model is None:
        if options.check:
            raise InputError("name the model that is to be checked")
        models = [Model.load(name) for name in shipped_models()]
        speeds = speeds_of(models, progress=True) if options.speed else None
        print(list_models(models, speeds) if models else "no models are installed")
        return 0
    model = Model.load(options.model)
    print(everything(model) if options.all else describe(model))
    if options.speed:
        speed = speeds_of([model])[model.name]
        print(f"\nspeed  {speed:.0f} µs/atom and step (energy, forces, stress), here and now")
    if options.check:
        deviations = self_check(model, target=Target(options.device))
        listed = ", ".join(f"{name} {value:.0e}" for name, value in deviations.items())
        print(f"\nits own structure comes out as it was saved (relative deviations: {listed})")
    return 0


def add_info(commands: Any) -> None:
    """Add the command `info`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    text = "describe a model, or list those that are shipped"
    command = new_command(commands, "info", run_info, text, EXAMPLES)
    add_model(command, nargs="?")
    command.add_argument("--check", action="store_true", help="recompute the structure it was saved with")
    command.add_argument("--all", action="store_true", help="print everything that the file says")
    command.add_argument("--speed", action="store_true", help="measure µs/atom here")
    add_device(command, dtype=False)
