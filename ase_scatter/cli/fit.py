"""The command `fit`."""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..compute.files import write_whole
from ..errors import InputError
from .arguments import (
    add_common,
    add_device,
    add_keys,
    add_training_set,
    add_workers,
    both_defaults,
    given,
    keys_of,
    new_command,
    numbers,
    positive,
    require_suffix,
    with_default,
)
from .files import claim, frames_or_path

if TYPE_CHECKING:
    from ..training.settings import FitSettings

COLUMN_OPTIONS = ("scales", "epsilon2", "first", "inner", "outer")
"""Settings of both transforms."""
SITES_OPTIONS = ("cutoff", "switch", "triple")
GRID_OPTIONS = ("band", "spacing", "max_ratio")
FIT_OPTIONS = (
    "channels", "columns", "sigma_energy", "sigma_force", "sigma_stress", "ridge", "folds", "members",
)  # fmt: skip
"""Settings of the fit."""

EXAMPLES = """examples:
  ase-scatter fit train.extxyz -o mine.json
  ase-scatter fit train.extxyz --test test.extxyz -o mine.json --columns 300 --workers 2
  ase-scatter fit train.extxyz -o small.json --cutoff 4.5 --first 4,3 --order 1
  ase-scatter fit train.extxyz -o tuned.json --tune 20
  ase-scatter fit train.extxyz -o grid.json --transform grid --spacing 0.5
  ase-scatter fit train.extxyz -o grid.json --transform grid --device cuda
  ase-scatter fit train.extxyz -o mine.json --executor dask://node1:8786

The files are what ASE reads, with energies (eV) and, where there are any, forces (eV/Å) and stresses
(eV/Å³, positive in tension); info["group"] splits the table of errors. The parity plot is written beside the
model.
"""


def run_fit(options: argparse.Namespace) -> int:
    """Run the command `fit`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_fit` defines.

    Returns
    -------
    int
        The exit code.
    """
    from ..compute.backend import require_device
    from ..plotting import parity_plot
    from ..reporting.tables import error_table
    from ..training.fitting import fit

    require_device(options.device)
    target = options.output
    require_suffix(target, "the model file is named", ".json")
    plot = None if options.no_plot else options.plot or target.with_suffix(".png")
    claim([target, *_search_files(target)[1:]] if options.tune else [target], options, plots=[plot])

    settings = _settings(options)
    if options.tune is not None:
        settings = _tuned(settings, options)
    result = fit(
        frames_or_path(options.train, options),
        test=None if options.test is None else frames_or_path(options.test, options),
        settings=settings,
        name=options.name or target.stem,
        progress=not options.quiet,
        workers=options.workers,
        device=options.device,
        executor=options.executor,
    )
    model = result.model
    model.save(target, overwrite=options.force)
    print(error_table(result.errors))
    for note in result.validation.notes:
        print(f"\nnote: {note}")
    print(f"\nmodel {model.name} {model.hash}: {len(model.weights)} columns, in {target}")
    if plot:
        # Of what the model has not seen, where there is any.
        part = "test" if "test" in result.frames else "train"
        parity_plot(result.predictions[part], result.frames[part], plot, title=f"{model.name}, {part} set")
        print(f"parity plot of the {part} set: {plot}")
    return 0


def _settings(options: argparse.Namespace) -> FitSettings:
    """The settings that the options ask for. Raises InputError for options of the other transform."""
    from ..scattering import GridSettings
    from ..training.settings import FitSettings

    shared = given(options, *COLUMN_OPTIONS)
    if options.order == 1:
        shared["exponents2"] = ()
    own = {"sites": given(options, *SITES_OPTIONS), "grid": given(options, *GRID_OPTIONS)}
    strange = [
        name for kind, names in own.items() if options.transform not in (kind, "both") for name in names
    ]
    if strange:
        listed = ", ".join(f"--{name.replace('_', '-')}" for name in strange)
        raise InputError(f"{listed} does not go with --transform {options.transform}")
    return FitSettings(
        transform=options.transform,
        sites={**shared, **own["sites"]},
        grid=GridSettings(**shared, **own["grid"]),
        core=not options.no_core,
        **given(options, *FIT_OPTIONS),
    )


def _search_files(target: Path) -> list[Path]:
    """Record, table and plot of a search, beside the model."""
    return [target.with_suffix(f".tune.{end}") for end in ("jsonl", "csv", "png")]


def _tuned(settings: FitSettings, options: argparse.Namespace) -> FitSettings:
    """The best settings of a search, whose record, table and plot are written."""
    from tqdm import tqdm

    from ..plotting import tuning_plot
    from ..reporting.tables import TRIAL_COLUMNS, text_table, trial_rows
    from ..structures.dataset import read_frames
    from ..training.hyperparameters import Trial, tune

    def told(trial: Trial, better: bool) -> None:
        if not options.quiet:
            mark = "better" if better else "no better"
            tqdm.write(f"score {trial.score:.4f} ({mark}): {trial.changes or 'as given'}")

    record, table, plot = _search_files(options.output)
    tuning = tune(
        read_frames(options.train, **keys_of(options)),
        minutes=options.tune,
        settings=settings,
        record=record,
        workers=options.workers,
        device=options.device,
        progress=not options.quiet,
        seen=told,
    )
    tried = trial_rows(tuning)
    print(text_table(TRIAL_COLUMNS, tried))
    rows = io.StringIO(newline="")
    csv.writer(rows).writerows([TRIAL_COLUMNS, *tried])
    write_whole(table, rows.getvalue())
    tuning_plot(tuning, plot, title=f"{Path(options.train).name}: {len(tried)} trials")
    print(f"\n* is the best; {record}, {table}, {plot}\n")
    return tuning.settings


def add_fit(commands: Any) -> None:
    """Add the command `fit`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    from ..scattering import SitesSettings
    from ..training.settings import COLUMNS, SIGMAS, TRANSFORMS, FitSettings

    default = FitSettings()
    grid, sites = default.grid, SitesSettings.recommended(1, 2.35)
    text = "fit a potential to energies, forces and stresses"
    command = new_command(commands, "fit", run_fit, text, EXAMPLES)
    add_training_set(command)
    command.add_argument(
        "-o", "--output", type=Path, required=True, metavar="MODEL.json", help="the model file"
    )
    command.add_argument("--name", help="the model's name (default: that of the file)")
    command.add_argument("--plot", type=Path, metavar="FILE", help="parity plot (default: beside the model)")
    command.add_argument("--no-plot", action="store_true", help="write no parity plot")
    command.add_argument(
        "--tune",
        type=float,
        metavar="MINUTES",
        help="search hyperparameters first, on parts of TRAIN left out; all trials go to MODEL.tune.jsonl, "
        ".csv and .png; a search that was interrupted goes on",
    )

    columns = command.add_argument_group("columns")
    columns.add_argument(
        "--transform",
        choices=TRANSFORMS,
        default=default.transform,
        help="sums over atoms (fast), integrals over space, or the columns of both (default: %(default)s)",
    )
    orders = "largest l for p = 0, 1, …"
    for name, kind, value, meaning in (
        ("columns", positive, f"{COLUMNS} per element", "largest number of columns in the model"),
        ("channels", str, default.channels, "densities: species or charges"),
        ("scales", numbers(float), "four, from the data", "ladder of wavelet scales, Å"),
        ("epsilon2", float, both_defaults(sites.epsilon2, grid.epsilon2), "smoothing of the modulus"),
        ("first", numbers(int), sites.first, f"order 1: {orders}"),
        ("inner", numbers(int), both_defaults(sites.inner, grid.inner), f"order 2, first wavelet: {orders}"),
        ("outer", numbers(int), both_defaults(sites.outer, grid.outer), f"order 2, second wavelet: {orders}"),
        ("cutoff", float, "chosen by validation", "sites: cutoff radius, Å"),
        ("switch", float, sites.switch, "sites: width of the smooth switch below the cutoff, Å"),
        ("triple", int, sites.triple, "sites: largest l of products of three fields, 0 for none"),
        ("spacing", float, grid.spacing, "grid: spacing over the scale"),
        ("band", float, grid.band, "grid: cutoff of the plane waves, times the scale"),
        ("max-ratio", float, grid.max_ratio, "grid, order 2: largest ratio of the two scales"),
    ):
        columns.add_argument(f"--{name}", type=kind, help=with_default(meaning, value))
    columns.add_argument("--order", type=int, choices=(1, 2), default=2, help="highest order (default: 2)")
    columns.add_argument("--no-core", action="store_true", help="no short-range repulsion")

    weights = command.add_argument_group("weights")
    for name, kind, value, meaning in (
        ("sigma-energy", float, "chosen by validation", "expected error of energies, eV/atom"),
        ("sigma-force", float, SIGMAS["force"], "expected error of forces, eV/Å"),
        ("sigma-stress", float, "chosen by validation", "expected error of stresses, GPa"),
        ("ridge", float, "chosen by validation", "strength of the ridge"),
        ("folds", int, default.folds, "parts of the data for validation"),
        ("members", int, default.members, "members of the committee that gives error bars, 0 for none"),
    ):
        weights.add_argument(f"--{name}", type=kind, help=with_default(meaning, value))
    add_device(command, dtype=False)
    add_keys(command)
    add_workers(command, "threads")
    command.add_argument(
        "--executor",
        metavar="WHERE",
        help="where the design matrix is made: processes:N, dask://HOST:PORT (dask.distributed) or "
        "mpi (mpiexec -n 3 python -m mpi4py.futures -m ase_scatter fit …); the model is the same "
        "(default: threads of this process)",
    )
    add_common(command)
