"""The commands `kim install` and `kim export`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from .arguments import add_model, new_command

EXAMPLES = """examples:
  ase-scatter kim install Si               compile and install: the KIM API has a model ase_scatter_Si
  ase-scatter kim export Si --out folder   write what it compiles, for another machine

In ASE:     atoms.calc = ase.calculators.kim.KIM("ase_scatter_Si")
In LAMMPS:  pair_style kim ase_scatter_Si
            pair_coeff * * Si

Energies are in eV, lengths in Å.
"""

INSTALL = """examples:
  ase-scatter kim install Si
  ase-scatter kim install mine.json --name my_potential --force
"""

EXPORT = """examples:
  ase-scatter kim export Si --out folder --march x86-64-v3
"""


def run_kim_install(options: argparse.Namespace) -> int:
    """Run the command `kim install`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_kim` defines.

    Returns
    -------
    int
        The exit code.
    """
    from ..engines.kim.install import install
    from ..model.model import Model

    begin = time.perf_counter()
    model = Model.load(options.model)
    made = install(
        model,
        options.name,
        collection=options.collection,
        march=options.march,
        force=options.force,
        note=print,
    )
    print(f"{made.name}: {model.name}, hash {model.hash} ({time.perf_counter() - begin:.0f} s)")
    print(f"in ASE:    KIM({made.name!r})")
    print(f"in LAMMPS: pair_style kim {made.name}")
    print(f"           pair_coeff * * {' '.join(model.elements)}")
    return 0


def run_kim_export(options: argparse.Namespace) -> int:
    """Run the command `kim export`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_kim` defines.

    Returns
    -------
    int
        The exit code.
    """
    from ..engines.kim.install import MANAGER, write_sources
    from ..model.model import Model

    model = Model.load(options.model)
    for folder in write_sources(model, options.out, options.name, march=options.march):
        print(f"{MANAGER} install user {folder}")
    return 0


def add_kim(commands: Any) -> None:
    """Add the command `kim`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    text = "make potentials models of the KIM API, for ASE, LAMMPS and others"
    group = new_command(commands, "kim", run_kim_install, text, EXAMPLES)
    inner = group.add_subparsers(required=True, metavar="COMMAND")
    install = new_command(inner, "install", run_kim_install, "compile and install a potential", INSTALL)
    export = new_command(inner, "export", run_kim_export, "write what the KIM API compiles", EXPORT)
    for command in (install, export):
        add_model(command)
        command.add_argument(
            "--name", help="its name for the KIM API (default: ase_scatter_ and the model's)"
        )
        command.add_argument(
            "--march",
            default="native",
            metavar="NAME",
            help="processor that it is for, as the compiler names them (default: native)",
        )
    install.add_argument(
        "--collection",
        choices=("user", "environment", "system"),
        default="user",
        help="where it is installed (default: user)",
    )
    install.add_argument("--force", action="store_true", help="replace a model of that name")
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for it")
