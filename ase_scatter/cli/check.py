"""The command `check`."""

from __future__ import annotations

import argparse
from typing import Any

from .arguments import add_common, add_keys, add_outputs, add_workers, keys_of, new_command
from .files import claim, write_json

EXAMPLES = """examples:
  ase-scatter check train.extxyz
  ase-scatter check train.extxyz --strict --json findings.json
  ase-scatter check bulk.extxyz surfaces.extxyz --energy-key REF_energy

Looked for: units (eV and Å, not Hartree, kcal/mol, kbar, Bohr, nm, per atom), signs, stresses that are not
those of the energies, groups of other settings, single labels beyond reason, net forces, structures that
occur twice, compositions that leave the energies of free atoms
open. Frames are counted from 0. `fit` looks for the same.

exit codes: 0; 2 with --strict if the data are very likely wrong.
"""


def run_check(options: argparse.Namespace) -> int:
    """Run the command `check`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_check` defines.

    Returns
    -------
    int
        The exit code.
    """
    from ..reporting.tables import findings_table
    from ..structures.dataset import read_frames
    from ..training.data_checks import check_data
    from ..training.findings import serious

    claim([options.json], options)
    keys = keys_of(options)
    frames = [frame for path in options.data for frame in read_frames(path, **keys)]
    findings = check_data(frames, workers=options.workers, progress=not options.quiet)
    print(findings_table(findings))
    if options.json:
        write_json(options.json, {"findings": [finding.to_dict() for finding in findings]})
    return 2 if options.strict and serious(findings) else 0


def add_check(commands: Any) -> None:
    """Add the command `check`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    text = "look for wrong units, signs and labels in training data"
    command = new_command(commands, "check", run_check, text, EXAMPLES)
    command.add_argument(
        "data", metavar="DATA", nargs="+", help="labelled structures; files count as one set"
    )
    command.add_argument("--strict", action="store_true", help="end with the exit code 2 if data look wrong")
    add_outputs(command, json="write the findings")
    add_keys(command)
    add_workers(command, "threads")
    add_common(command)
