"""The command `benchmark`."""

from __future__ import annotations

import argparse
from typing import Any

from .arguments import add_common, add_model, add_outputs, new_command, numbers, positive
from .files import claim, write_json

NOTHING_MEASURED = 1
"""Exit code."""

EXAMPLES = """examples:
  ase-scatter benchmark Si
  ase-scatter benchmark Si --device cpu,cuda --dtype float64,float32 --sizes 64,1000,8000,64000,1000000
  ase-scatter benchmark Si-grid --sizes 64,216 --batch 10 --json speed.json --plot speed.png
  ase-scatter benchmark mine.json --structure slab.xyz

Atoms move by 0.01 Å along each direction at every step, so that neighbour lists are reused as in molecular
dynamics. Times are medians over the steps. The first step, which makes lists and tables, is told apart;
compilation is left out. A size that does not fit into memory has a row that says so. On a CPU
OMP_NUM_THREADS sets the number of threads, and sites are computed in float64 whatever the dtype. Other
programs that run at the same time disturb the figures.
"""


def run_benchmark(options: argparse.Namespace) -> int:
    """Run the command `benchmark`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_benchmark` defines.

    Returns
    -------
    int
        The exit code. 1 if nothing could be measured.
    """
    from ..model.model import Model
    from ..plotting import benchmark_plot
    from ..reporting.benchmark import benchmark
    from ..structures.named import structure_of

    written = claim([options.json], options, plots=[options.plot])
    model = Model.load(options.model)
    found = benchmark(
        model,
        sizes=options.sizes,
        devices=options.device,
        dtypes=options.dtype,
        structure=None if options.structure is None else structure_of(options.structure),
        steps=options.steps,
        seconds=options.seconds,
        batch=options.batch,
        progress=not options.quiet,
    )
    about = found.machine
    devices = ", ".join(about[d].get("name", d) for d in options.device if d in about)
    where = f"{about['processor']}, threads: {about['threads']}" + (f"; {devices}" if devices else "")
    title = f"model {found.model} {found.hash}"
    if options.json:
        write_json(options.json, found.to_dict())
    if options.plot:
        benchmark_plot(found, options.plot, title=f"{title}; {where}")
    print(f"{title}\n{where}\n")
    print(found.table())
    if written:
        print(f"\nwritten: {', '.join(map(str, written))}")
    return 0 if any(row.timing is not None for row in found.rows) else NOTHING_MEASURED


def add_benchmark(commands: Any) -> None:
    """Add the command `benchmark`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    text = "measure how fast a model is: steps, batches, and what float32 costs in accuracy"
    command = new_command(commands, "benchmark", run_benchmark, text, EXAMPLES)
    add_model(command)
    for name, kind, metavar, default, meaning in (
        ("sizes", int, "N,N,…", (64, 1000, 8000), "about the numbers of atoms"),
        ("device", str, "NAME,…", ("cpu",), "cpu, cuda or both"),
        ("dtype", str, "NAME,…", ("float64",), "float64, float32 or both"),
    ):
        shown = f"{meaning} (default: {','.join(map(str, default))})"
        command.add_argument(f"--{name}", type=numbers(kind), default=default, metavar=metavar, help=shown)
    command.add_argument("--steps", type=positive, default=10, help="timed steps (default: %(default)s)")
    command.add_argument(
        "--seconds",
        type=float,
        default=60.0,
        help="time after which no further step of a size begins, once there are three (default: %(default)s)",
    )
    command.add_argument(
        "--batch",
        type=int,
        default=100,
        metavar="N",
        help="structures evaluated together, 0 for none (default: %(default)s)",
    )
    command.add_argument(
        "--structure",
        metavar="STRUCTURE",
        help="what is repeated: a file that ASE reads, or a name that ase.build.bulk knows (default: the "
        "crystal of the model's first element, with other elements at random places)",
    )
    add_outputs(command, json="write all figures, with the time of every step", plot="plot times over sizes")
    add_common(command)
