"""The command `md`."""

from __future__ import annotations

import argparse
from math import isfinite
from pathlib import Path
from typing import Any

from ..errors import InputError
from .arguments import (
    add_common,
    add_device,
    add_model,
    add_outputs,
    add_structure,
    new_command,
    numbers,
    positive,
    require_suffix,
)
from .crystals import NOT_CONVERGED
from .files import claim, write_json

EXAMPLES = """examples:
  ase-scatter md Si Si --repeat 2,2,2 --steps 500                                    constant energy
  ase-scatter md Si Si --repeat 2,2,2 --ensemble nvt --temperature 300,900           heated, linear in time
  ase-scatter md Mo Mo --repeat 3,3,3 --ensemble npt --temperature 1000 --pressure 5 --plot mo.png
  ase-scatter md mine.json POSCAR --trajectory run.traj --watch 50 --stop-outside
  ase-scatter md mine.json POSCAR --trajectory run.traj --steps 5000 --restart       goes on up to step 5000

Temperatures are in K, times in fs, the pressure in GPa, energies in eV/atom. Velocities in the file are kept;
atoms at rest get those of the first temperature. A restart takes the settings of the command line, not those
of the first run. --watch prints the largest half-width of a force and the largest extrapolation grade: above
1 an atom is outside the training data. A run that --stop-outside stops has the exit code 1.
"""

LINES = 20
"""Progress lines of a run that is not watched."""


def run_md(options: argparse.Namespace) -> int:
    """Run the command `md`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_md` defines.

    Returns
    -------
    int
        The exit code. 1 if the run was stopped because it left the training data.
    """
    from ..calculator import ScatteringCalculator
    from ..plotting import dynamics_plot
    from ..properties import Sample, molecular_dynamics, repetitions
    from ..reporting.structures import RUN, dynamics_table, sample_line
    from ..structures.named import structure_of

    path = options.trajectory
    if path is not None:
        require_suffix(path, "the trajectory goes to", ".traj")
    if len(options.temperature) > 2:
        raise InputError("--temperature takes one number, or two for a change from the first to the second")
    if options.restart and path is None:
        raise InputError("--restart goes on from a --trajectory; give one")
    claim([options.json, None if options.restart else path], options, plots=[options.plot])
    atoms = structure_of(options.structure)
    if options.repeat is not None:
        atoms = atoms.repeat(repetitions(atoms, options.repeat).tolist())
    calculator = ScatteringCalculator(options.model, device=options.device, dtype=options.dtype)
    title = f"{atoms.get_chemical_formula()}, model {calculator.model.name}"
    print(f"{title} {calculator.model.hash}, {options.ensemble.upper()}\n\n{RUN}", flush=True)
    blocks = -(-options.steps // options.every)
    stride = options.every * -(-blocks // LINES)

    def show(sample: Sample) -> None:
        due = sample.step % stride == 0 or sample.step == options.steps or isfinite(sample.grade)
        if due and not options.quiet:
            print(sample_line(sample, len(atoms)), flush=True)

    found = molecular_dynamics(
        atoms,
        calculator,
        ensemble=options.ensemble,
        thermostat=options.thermostat,
        temperature=(options.temperature[0], options.temperature[-1]),
        pressure=options.pressure,
        timestep=options.timestep,
        steps=options.steps,
        every=options.every,
        damping=options.damping,
        pressure_damping=options.pressure_damping,
        trajectory=path,
        restart=options.restart,
        watch=options.watch,
        stop_outside=options.stop_outside,
        seed=options.seed,
        observe=show,
    )
    print(f"\n{dynamics_table(found, options.ensemble == 'npt')}")
    if options.json:
        model = {"name": calculator.model.name, "hash": calculator.model.hash}
        write_json(options.json, {"model": model, "run": found.to_dict()})
    if options.plot:
        dynamics_plot(found, options.plot, title=title)
    if found.outside:
        grade = found.samples[-1]["grade"]
        print(
            f"STOPPED after {found.samples[-1]['step']} of {options.steps} steps: an atom is outside the "
            f"training data (grade {grade:.2f})"
        )
        return NOT_CONVERGED
    return 0


def add_md(commands: Any) -> None:
    """Add the command `md`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    text = "run molecular dynamics at constant energy, temperature or pressure"
    command = new_command(commands, "md", run_md, text, EXAMPLES)
    add_model(command)
    add_structure(command)
    command.add_argument("--repeat", type=numbers(int), metavar="A,B,C", help="cells along each edge")
    how = command.add_argument_group("run")
    how.add_argument(
        "--ensemble",
        choices=("nve", "nvt", "npt"),
        default="nve",
        help="what is kept constant: energy, temperature, or temperature and pressure (default: %(default)s)",
    )
    how.add_argument(
        "--thermostat",
        choices=("langevin", "bussi"),
        default="langevin",
        help="noise on each atom, or a scaling of all velocities (default: %(default)s)",
    )
    how.add_argument(
        "--temperature",
        type=numbers(float),
        default=(300.0,),
        metavar="K[,K]",
        help="temperature; two numbers: changed linearly (default: 300)",
    )
    how.add_argument(
        "--pressure", type=float, default=0.0, metavar="GPa", help="for npt (default: %(default)s)"
    )
    how.add_argument(
        "--timestep", type=float, default=1.0, metavar="FS", help="time step (default: %(default)s)"
    )
    how.add_argument(
        "--steps", type=positive, default=1000, help="steps of the whole run (default: %(default)s)"
    )
    how.add_argument(
        "--every", type=positive, default=10, help="steps between samples and frames (default: %(default)s)"
    )
    how.add_argument(
        "--damping",
        type=float,
        default=100.0,
        metavar="FS",
        help="relaxation time of the thermostat (default: %(default)s)",
    )
    how.add_argument(
        "--pressure-damping",
        type=float,
        default=1000.0,
        metavar="FS",
        help="relaxation time of the barostat (default: %(default)s)",
    )
    how.add_argument("--seed", type=int, default=0, help="of the random numbers (default: %(default)s)")
    how.add_argument("--trajectory", type=Path, metavar="FILE.traj", help="write frames that ASE reads")
    how.add_argument("--restart", action="store_true", help="go on from the last frame of --trajectory")
    watched = command.add_argument_group("uncertainty")
    watched.add_argument(
        "--watch", type=int, default=0, metavar="N", help="ask the committee every N steps (default: never)"
    )
    watched.add_argument(
        "--stop-outside", action="store_true", help="stop where an atom is outside the training data"
    )
    add_outputs(command, json="write all samples", plot="plot temperature and energies")
    add_device(command)
    add_common(command)
