"""The command `benchmark`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InputError
from .common import add_common, claim, new_command, numbers, positive, structure_of, write_json

NOTHING_MEASURED = 1
"""Exit code."""

BENCHMARK_EXAMPLES = """examples:
  ase-scatter benchmark Si
  ase-scatter benchmark Si --device cpu,cuda --dtype float64,float32 --sizes 64,1000,8000,64000,1000000
  ase-scatter benchmark Si-grid --sizes 64,216 --batch 10 --json speed.json --plot speed.png
  ase-scatter benchmark mine.json --structure slab.xyz

Atoms move by 0.01 Å and direction at every step, so that neighbour lists are reused as in molecular dynamics.
Medians of the steps are told; the first step, which makes lists and tables, is told apart, and what
compiles is left out. What does not fit into memory is told in the table. On a CPU OMP_NUM_THREADS sets how
many threads are used, and sites are computed in float64 whatever the dtype. Other programs that run at the
same time disturb the figures.
"""


def run_benchmark(options: argparse.Namespace) -> int:
    from ..model.model import Model
    from ..plotting import benchmark_plot, require_format
    from ..reporting.benchmark import benchmark

    written = [Path(path) for path in (options.json, options.plot) if path]
    claim(written, options.force)
    if options.plot:
        require_format(options.plot)
    if min(options.sizes) < 1 or options.batch < 0 or not options.seconds > 0:
        raise InputError("sizes and seconds must be positive, a batch cannot have fewer than 0 structures")
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
        write_json(Path(options.json), found.to_dict())
    if options.plot:
        benchmark_plot(found, options.plot, title=f"{title}; {where}")
    print(f"{title}\n{where}\n")
    print(_tables(found))
    if written:
        print(f"\nwritten: {', '.join(str(path) for path in written)}")
    return 0 if any(row.timing is not None for row in found.rows) else NOTHING_MEASURED


def _tables(found: Any) -> str:
    """Steps, batches and differences, as a text."""
    from ..reporting.tables import MISSING, text_table

    rows = []
    problems = {}
    for row in found.rows:
        cells = [f"{row.device} {row.dtype}", str(row.n_atoms)]
        if row.timing is None:
            rows.append([*cells, "does not fit", *[MISSING] * 6])
            problems[f"{row.device} {row.dtype}, {row.n_atoms} atoms"] = row.problem
            continue
        t = row.timing
        times = (t.median, min(t.times), max(t.times), t.first)
        cells += [f"{1e3 * seconds:.4g}" for seconds in times]
        cells += [f"{t.atom_steps:.3g}", f"{t.lists}/{len(t.times)}", f"{row.memory / 1e6:.0f}"]
        rows.append(cells)
    header = ["energy, forces, stress", "atoms", "ms/step", "fastest", "slowest", "first step"]
    texts = [text_table([*header, "atom-steps/s", "lists/steps", "peak memory (MB)"], rows)]

    rows = []
    for (device, dtype), b in found.batches.items():
        if isinstance(b, str):
            problems[f"{device} {dtype}, batch"] = b
            continue
        values = b.to_dict()
        cells = [f"{device} {dtype}", f"{b.n_structures} × {b.n_atoms}"]
        cells += [f"{values[key]:.4g}" for key in ("one_by_one_ms", "together_ms")]
        rows.append([*cells, f"{b.ratio:.2f}"])
    if rows:
        texts.append(text_table(["batches", "atoms", "ms each, one by one", "together", "ratio"], rows))

    rows = []
    for (device, dtype), d in found.differences.items():
        if isinstance(d, str):
            problems[f"{device} {dtype}, differences"] = d
            continue
        cells = [f"{device} {dtype}", f"{1e3 * d.energy:.1e}", f"{d.force:.1e}", f"{d.stress:.1e}"]
        rows.append([*cells, f"{d.force_scale:.2f}"])
    if rows:
        columns = ["energy (meV/atom)", "forces (eV/Å)", "stress (eV/Å³)", "largest force"]
        texts.append(text_table(["off from cpu float64 by", *columns], rows))
    if problems:
        texts.append("\n".join(f"{what}: {problem}" for what, problem in problems.items()))
    return "\n\n".join(texts)


def add_benchmark(commands: Any) -> None:
    text = "measure how fast a model is: steps, batches, and what float32 costs in accuracy"
    command = new_command(commands, "benchmark", run_benchmark, text, BENCHMARK_EXAMPLES)
    command.add_argument("model", metavar="MODEL", help="a shipped name or a model file")
    command.add_argument(
        "--sizes",
        type=numbers(int),
        default=(64, 1000, 8000),
        metavar="N,N,…",
        help="about so many atoms (default: 64,1000,8000)",
    )
    command.add_argument(
        "--device",
        type=numbers(str),
        default=("cpu",),
        metavar="NAME,…",
        help="cpu, cuda or both (default: cpu)",
    )
    command.add_argument(
        "--dtype",
        type=numbers(str),
        default=("float64",),
        metavar="NAME,…",
        help="float64, float32 or both (default: float64)",
    )
    command.add_argument("--steps", type=positive, default=10, help="timed steps (default: %(default)s)")
    command.add_argument(
        "--seconds",
        type=float,
        default=60.0,
        help="a size ends after so long, with three steps at least (default: %(default)s)",
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
        "crystal of the model's first element, other elements dealt out on it)",
    )
    command.add_argument("--json", metavar="FILE", help="write all figures, of every step too")
    command.add_argument("--plot", metavar="FILE", help="plot times over sizes (.png, .pdf or .svg)")
    add_common(command)
