"""The command `fit`."""

from __future__ import annotations

import argparse
import csv
import io
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..compute.files import write_whole
from ..errors import DataWarning, InputError
from .arguments import (
    add_common,
    add_device,
    add_keys,
    add_workers,
    assigned,
    both_defaults,
    energies,
    given,
    keys_of,
    new_command,
    numbers,
    positive,
    require_suffix,
    with_default,
)
from .files import claim

if TYPE_CHECKING:
    from ..training.fit_file import FitFile
    from ..training.settings import FitSettings

COLUMN_OPTIONS = ("scales", "epsilon2", "first", "inner", "outer")
"""Settings of both transforms."""
SITES_OPTIONS = ("cutoff", "switch", "triple")
GRID_OPTIONS = ("band", "spacing", "max_ratio")
FIT_OPTIONS = (
    "channels", "columns", "sigma_energy", "sigma_force", "sigma_stress", "sigma_atomic", "ridge", "folds",
    "members",
)  # fmt: skip
"""Settings of the fit."""

EXAMPLES = """examples:
  ase-scatter fit train.extxyz -o mine.json
  ase-scatter fit train.extxyz --test test.extxyz -o mine.json --columns 300 --workers 2
  ase-scatter fit bulk.extxyz surfaces.extxyz --test-fraction 0.1 --weight surface=2.5 -o mine.json
  ase-scatter fit train.extxyz -o fast.json --preset fast
  ase-scatter fit mine.fit.toml --force
  ase-scatter fit train.extxyz -o small.json --cutoff 4.5 --first 4,3 --order 1
  ase-scatter fit train.extxyz -o tuned.json --tune 20
  ase-scatter fit train.extxyz -o grid.json --transform grid --spacing 0.5
  ase-scatter fit train.extxyz -o grid.json --transform grid --device cuda
  ase-scatter fit train.extxyz -o mine.json --executor dask://node1:8786

The files are what ASE reads, with energies (eV) and, where there are any, forces (eV/Å) and stresses
(eV/Å³, positive in tension); info["group"] splits the table of errors, info["weight"] weighs a frame. The
parity plot is written beside the model, and so is MODEL.fit.toml, which holds the whole fit:
`ase-scatter fit MODEL.fit.toml` repeats it.
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
    from ..reporting.tables import error_table, findings_table
    from ..structures.dataset import read_frames
    from ..training.fit_file import changed
    from ..training.fitting import fit
    from ..training.splitting import split

    plan = _plan(options)
    require_device(plan.device)
    target = Path(plan.output)
    require_suffix(target, "the model file is named", ".json")
    record = target.with_suffix(".fit.toml")
    repeated = any(Path(file).resolve() == record.resolve() for file in options.train)
    plot = None if options.no_plot else options.plot or target.with_suffix(".png")
    written = [target, *([] if repeated else [record])]
    claim([*written, *_search_files(target)[1:]] if options.tune else written, options, plots=[plot])

    settings = plan.fit_settings()
    if options.tune is not None:
        settings = _tuned(settings, options)
        plan = replace(plan, settings=changed(settings))
    data: dict[str, Any] = {"train": list(plan.train), "test": plan.test}
    if plan.keys or plan.test_fraction is not None:
        data["train"] = [frame for file in plan.train for frame in read_frames(file, **plan.keys)]
        data["test"] = None if plan.test is None else read_frames(plan.test, **plan.keys)
    if plan.test_fraction is not None:
        data["train"], data["test"] = split(data["train"], plan.test_fraction, plan.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # the table says it
        result = fit(
            **data,
            settings=settings,
            name=plan.name,
            progress=not options.quiet,
            workers=plan.workers,
            device=plan.device,
            strict=plan.strict,
            executor=options.executor,
        )
    model = result.model
    model.save(target, overwrite=options.force)
    if not repeated:
        replace(plan, **_beside(plan, target)).write(record)
    if result.findings:
        print(findings_table(result.findings) + "\n")
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


def _plan(options: argparse.Namespace) -> FitFile:
    """The fit that the options ask for, or that the file holds which they name."""
    from ..training.fit_file import FitFile, changed

    files = list(options.train)
    if len(files) == 1 and Path(files[0]).suffix == ".toml":
        plan = FitFile.read(files[0])
        settled = [
            *FIT_OPTIONS,
            *COLUMN_OPTIONS,
            *SITES_OPTIONS,
            *GRID_OPTIONS,
            "transform",
            "preset",
            "order",
        ]
        settled += ["test", "test_fraction", "e0", "weight", "tune"]
        strange = [name for name in settled if getattr(options, name)]
        if strange or options.no_core or keys_of(options):
            raise InputError("options of the fit do not go with a fit file; change it there")
        given_ = {"name": options.name, "workers": options.workers}
        given_["strict"] = options.strict or None
        given_["output"] = None if options.output is None else str(options.output)
        return replace(plan, **{key: value for key, value in given_.items() if value is not None})
    if options.output is None:
        raise InputError("give the name of the model file with -o")
    if options.test is not None and options.test_fraction is not None:
        raise InputError("--test and --test-fraction do not go together; give one of them")
    if any(Path(file).suffix == ".toml" for file in files):
        raise InputError("a fit file goes alone: it names its data itself")
    return FitFile(
        train=tuple(files), test=options.test, test_fraction=options.test_fraction, seed=options.seed,
        output=str(options.output), name=options.name or options.output.stem, device=options.device,
        workers=options.workers, strict=options.strict, keys=keys_of(options),
        settings=changed(_settings(options)),
    )  # fmt: skip


def _beside(plan: FitFile, target: Path) -> dict[str, Any]:
    """The files of a fit as they are named beside the model, with the number of threads that it had."""
    from ..compute import threads

    def named(file: str) -> str:
        return os.path.relpath(file, target.parent)

    return {
        "train": tuple(map(named, plan.train)), "test": None if plan.test is None else named(plan.test),
        "output": target.name, "workers": plan.workers or threads.count(),
    }  # fmt: skip


def _settings(options: argparse.Namespace) -> FitSettings:
    """The settings that the options ask for. Raises InputError for options of the other transform."""
    from ..scattering import GridSettings
    from ..training.settings import FitSettings

    shared = given(options, *COLUMN_OPTIONS)
    if options.order == 1:
        shared["exponents2"] = ()
    own = {"sites": given(options, *SITES_OPTIONS), "grid": given(options, *GRID_OPTIONS)}
    transform = options.transform or FitSettings.transform
    strange = [name for kind, names in own.items() if transform not in (kind, "both") for name in names]
    if strange:
        listed = ", ".join(f"--{name.replace('_', '-')}" for name in strange)
        raise InputError(f"{listed} does not go with --transform {transform}")
    return FitSettings.preset(
        options.preset or "balanced",
        transform=transform,
        sites={**shared, **own["sites"]},
        grid=GridSettings(**shared, **own["grid"]),
        core=not options.no_core,
        e0=options.e0,
        weights=dict(options.weight),
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
        [frame for file in options.train for frame in read_frames(file, **keys_of(options))],
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
    tuning_plot(tuning, plot, title=f"{Path(options.train[0]).name}: {len(tried)} trials")
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
    from ..training.settings import COLUMNS, PRESETS, SIGMAS, TRANSFORMS, FitSettings

    default = FitSettings()
    grid, sites = default.grid, SitesSettings.recommended(1, 2.35)
    text = "fit a potential to energies, forces and stresses"
    command = new_command(commands, "fit", run_fit, text, EXAMPLES)
    command.add_argument(
        "train", metavar="TRAIN", nargs="+", help="labelled structures to fit, or a fit file (MODEL.fit.toml)"
    )
    test = command.add_mutually_exclusive_group()
    test.add_argument("--test", metavar="TEST", help="labelled structures to test on")
    test.add_argument(
        "--test-fraction",
        type=float,
        metavar="F",
        help="test on this part of TRAIN; what is alike stays together",
    )
    command.add_argument("--seed", type=int, default=0, help="of that part (default: %(default)s)")
    command.add_argument("-o", "--output", type=Path, metavar="MODEL.json", help="the model file")
    command.add_argument("--name", help="the model's name (default: that of the file)")
    command.add_argument("--plot", type=Path, metavar="FILE", help="parity plot (default: beside the model)")
    command.add_argument(
        "--strict", action="store_true", help="refuse data that look wrong, as check finds them"
    )
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
        "--preset", choices=tuple(PRESETS), help="settings to begin from (default: balanced)"
    )
    columns.add_argument(
        "--transform",
        choices=TRANSFORMS,
        help="sums over atoms (fast), integrals over space, or the columns of both "
        f"(default: {default.transform})",
    )
    orders = "largest l for p = 0, 1, …"
    for name, kind, value, meaning in (
        ("columns", positive, f"{COLUMNS} per element", "largest number of columns in the model"),
        ("channels", str, default.channels, "densities: auto, species or charges"),
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
    columns.add_argument("--order", type=int, choices=(1, 2), help="highest order (default: 2)")
    columns.add_argument("--no-core", action="store_true", help="no short-range repulsion")

    weights = command.add_argument_group("weights")
    for name, kind, value, meaning in (
        ("sigma-energy", float, "chosen by validation", "expected error of energies, eV/atom"),
        ("sigma-force", float, SIGMAS["force"], "expected error of forces, eV/Å"),
        ("sigma-stress", float, "chosen by validation", "expected error of stresses, GPa"),
        ("sigma-atomic", float, SIGMAS["atomic"], "expected error of energies of single atoms, eV"),
        ("ridge", float, "chosen by validation", "strength of the ridge"),
        ("folds", int, default.folds, "parts of the data for validation"),
        ("members", int, default.members, "members of the committee that gives error bars, 0 for none"),
    ):
        weights.add_argument(f"--{name}", type=kind, help=with_default(meaning, value))
    weights.add_argument(
        "--weight", type=assigned, action="append", default=[], metavar="GROUP=W",
        help="squares of the errors of a group count W times; may be repeated (default: 1)",
    )  # fmt: skip
    weights.add_argument(
        "--e0",
        type=energies,
        metavar="Li=E,…",
        help="energies of the free atoms, eV (default: from the data)",
    )
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
