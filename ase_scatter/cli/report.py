"""The command `report`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..compute.files import write_whole
from .arguments import add_common, add_device, add_keys, add_model, add_workers, keys_of, new_command
from .files import claim

EXAMPLES = """examples:
  ase-scatter report Si
  ase-scatter report Si --data Si_test.extxyz -o si.html      with parity plots and a test of the error bars
  ase-scatter report mine.json --data test.extxyz --no-crystals
  ase-scatter report mine.json --against other.extxyz --against defects.extxyz --no-crystals

The page has errors (meV/atom, eV/Å, GPa), lattice parameters (Å), elastic constants (GPa), vacancies (eV) and
phonons (THz). It needs no other file to be shown.
"""


def run_report(options: argparse.Namespace) -> int:
    """Run the command `report`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_report` defines.

    Returns
    -------
    int
        The exit code.
    """
    from ..descriptors.transferability import transferability
    from ..model.model import Model
    from ..plotting.descriptors import transfer_section
    from ..plotting.potential_page import potential_sections
    from ..reporting.descriptors import transfer_text
    from ..reporting.page import page
    from ..reporting.potential import examine
    from ..structures.dataset import read_frames

    target = options.output or Path(f"{Path(options.model).stem}.html")
    claim([target], options)
    model = Model.load(options.model)
    found = examine(
        model,
        {path: read_frames(path, **keys_of(options)) for path in options.data},
        crystals=not options.no_crystals,
        device=options.device,
        dtype=options.dtype,
        workers=options.workers,
        progress=not options.quiet,
    )
    sections = potential_sections(found)
    for path in options.against:
        frames = read_frames(path, **keys_of(options))
        transfer = transferability(
            model, frames, name=Path(path).name, device=options.device, dtype=options.dtype,
            workers=options.workers, progress=not options.quiet,
        )  # fmt: skip
        sections.append(transfer_section(transfer))
        print(transfer_text(transfer))
    citation = model.metadata.get("citation", "no citation in the model file")
    text = page(f"Potential {model.name}", f"{model.hash} · {citation}", sections)
    write_whole(target, text)
    print(f"{target}: {', '.join(section.title for section in sections)}")
    return 0


def add_report(commands: Any) -> None:
    """Add the command `report`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    text = "write one page with everything about a potential"
    command = new_command(commands, "report", run_report, text, EXAMPLES)
    add_model(command)
    command.add_argument(
        "--data",
        metavar="FILE",
        action="append",
        default=[],
        help="labelled structures; may be given several times",
    )
    command.add_argument(
        "--against",
        metavar="FILE",
        action="append",
        default=[],
        help="labelled structures unlike the training: errors by group, beside the warnings (grade, "
        "half-width) that the model gave; may be given several times",
    )
    command.add_argument(
        "-o", "--output", type=Path, metavar="OUT.html", help="the page (default: MODEL.html)"
    )
    command.add_argument("--no-crystals", action="store_true", help="no crystals, vacancies and phonons")
    add_device(command)
    add_keys(command)
    add_workers(command, "structures that are evaluated at once")
    add_common(command)
