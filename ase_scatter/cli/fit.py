"""The command `fit`."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

from ..errors import InputError
from .common import (
    add_common,
    add_device,
    add_keys,
    both_defaults,
    claim,
    frames_or_path,
    given,
    keys_of,
    new_command,
    numbers,
    positive,
    with_default,
)

SITES_OPTIONS = ("cutoff", "switch", "triple")
GRID_OPTIONS = ("band", "spacing", "max_ratio")

FIT_EXAMPLES = """examples:
  ase-scatter fit train.extxyz -o mine.json
  ase-scatter fit train.extxyz --test test.extxyz -o mine.json --columns 300 --workers 2
  ase-scatter fit train.extxyz -o small.json --cutoff 4.5 --first 4,3 --order 1
  ase-scatter fit train.extxyz -o tuned.json --tune 20
  ase-scatter fit train.extxyz -o grid.json --transform grid --spacing 0.5
  ase-scatter fit train.extxyz -o grid.json --transform grid --device cuda

The files are what ASE reads: energies (eV), and where there are any forces (eV/Å) and stresses
(eV/Å³); info["group"] splits the table of errors. The parity plot is written beside the model.
"""


def run_fit(options: argparse.Namespace) -> None:
    from ..compute.backend import require_device
    from ..plotting import parity_plot, require_format
    from ..reporting.tables import error_table
    from ..scattering import GridSettings
    from ..training.fitting import fit
    from ..training.settings import FitSettings

    require_device(options.device)
    target = Path(options.output)
    if target.suffix != ".json":
        raise InputError(f"the model file is named {target.name}, but its name must end in .json")
    plot = None if options.no_plot else Path(options.plot or target.with_suffix(".png"))
    tuned = [target.with_suffix(f".tune{end}") for end in (".csv", ".png")] if options.tune else []
    claim([target, *([plot] if plot else []), *tuned], options.force)
    if plot:
        require_format(plot)

    shared = given(options, "scales", "epsilon2", "first", "inner", "outer")
    if options.order == 1:
        shared["exponents2"] = ()
    own = {"sites": given(options, *SITES_OPTIONS), "grid": given(options, *GRID_OPTIONS)}
    strange = [
        name for kind, given in own.items() if options.transform not in (kind, "both") for name in given
    ]
    if strange:
        listed = ", ".join(f"--{name.replace('_', '-')}" for name in strange)
        raise InputError(f"{listed} does not go with --transform {options.transform}")
    main_settings = given(
        options,
        "channels",
        "columns",
        "sigma_energy",
        "sigma_force",
        "sigma_stress",
        "ridge",
        "folds",
        "members",
    )
    settings = FitSettings(
        transform=options.transform,
        sites={**shared, **own["sites"]},
        grid=GridSettings(**shared, **own["grid"]),
        core=not options.no_core,
        **main_settings,
    )
    if options.tune is not None:
        settings = _tuned(settings, target, options)
    result = fit(
        frames_or_path(options.train, options),
        test=None if options.test is None else frames_or_path(options.test, options),
        settings=settings,
        name=options.name or target.stem,
        progress=not options.quiet,
        workers=options.workers,
        device=options.device,
    )
    result.model.save(target, overwrite=options.force)
    print(error_table(result.errors))
    for note in result.validation.notes:
        print(f"\nnote: {note}")
    print(
        f"\nmodel {result.model.name} {result.model.hash}: {len(result.model.weights)} columns, in {target}"
    )
    if plot:
        # Of what the model has not seen, where there is any.
        part = "test" if "test" in result.frames else "train"
        title = f"{result.model.name}, {part} set"
        parity_plot(result.predictions[part], result.frames[part], plot, title=title)
        print(f"parity plot of the {part} set: {plot}")


def _tuned(settings: Any, target: Path, options: argparse.Namespace) -> Any:
    """The best settings of a search, whose record, table and plot are written beside the model."""
    from ..plotting import tuning_plot
    from ..reporting.tables import HEADER, rows, text_table
    from ..structures.dataset import read_frames
    from ..training.hyperparameters import tune

    record, table, plot = (target.with_suffix(f".tune{end}") for end in (".jsonl", ".csv", ".png"))
    tuning = tune(
        read_frames(options.train, **keys_of(options)),
        minutes=options.tune,
        settings=settings,
        record=record,
        workers=options.workers,
        device=options.device,
        progress=not options.quiet,
    )
    tried = list(rows(tuning))
    print(text_table(HEADER, tried))
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEADER, *tried])
    tuning_plot(tuning, plot, title=f"{Path(options.train).name}: {len(tried)} trials")
    print(f"\n* is the best; {record}, {table}, {plot}\n")
    return tuning.settings


def add_fit(commands: Any) -> None:
    from ..scattering import SitesSettings
    from ..training.settings import COLUMNS, SIGMAS, TRANSFORMS, FitSettings

    default = FitSettings()
    grid, sites = default.grid, SitesSettings.recommended(1, 2.35)
    text = "fit a potential to energies, forces and stresses"
    command = new_command(commands, "fit", run_fit, text, FIT_EXAMPLES)
    command.add_argument("train", metavar="TRAIN", help="labelled structures to fit")
    command.add_argument("--test", metavar="TEST", help="labelled structures to test on")
    command.add_argument("-o", "--output", required=True, metavar="MODEL.json", help="the model file")
    command.add_argument("--name", help="the model's name (default: that of the file)")
    command.add_argument("--plot", metavar="PNG", help="parity plot (default: beside the model)")
    command.add_argument("--no-plot", action="store_true", help="write no parity plot")

    command.add_argument(
        "--tune",
        type=float,
        metavar="MINUTES",
        help="search hyperparameters first, on parts of TRAIN left out; what was tried goes to "
        "MODEL.tune.jsonl, .csv and .png; a search that was broken off goes on",
    )

    columns = command.add_argument_group("columns")
    columns.add_argument(
        "--transform",
        choices=TRANSFORMS,
        default=default.transform,
        help="sums over atoms (fast), integrals over space, or the columns of both (default: %(default)s)",
    )
    for name, kind, value, meaning in (
        ("columns", positive, f"{COLUMNS} per element", "largest number of columns in the model"),
        ("channels", str, default.channels, "densities: species or charges"),
        ("scales", numbers(float), "four, from the data", "ladder of wavelet scales, Å"),
        ("epsilon2", float, both_defaults(sites.epsilon2, grid.epsilon2), "smoothing of the modulus"),
        ("first", numbers(int), sites.first, "order 1: largest l for p = 0, 1, …"),
        (
            "inner",
            numbers(int),
            both_defaults(sites.inner, grid.inner),
            "order 2, first wavelet: largest l for p = 0, 1, …",
        ),
        (
            "outer",
            numbers(int),
            both_defaults(sites.outer, grid.outer),
            "order 2, second wavelet: largest l for p = 0, 1, …",
        ),
        ("cutoff", float, "chosen by validation", "sites: how far neighbours count, Å"),
        ("switch", float, sites.switch, "sites: over so many Å before the cutoff they fade out"),
        ("triple", int, sites.triple, "sites: largest l of products of three fields, 0 for none"),
        ("spacing", float, grid.spacing, "grid: spacing over the scale"),
        ("band", float, grid.band, "grid: waves up to this number over the scale are kept"),
        ("max-ratio", float, grid.max_ratio, "grid, order 2: largest ratio of the two scales"),
    ):
        columns.add_argument(f"--{name}", type=kind, help=with_default(meaning, value))
    columns.add_argument("--order", type=int, choices=(1, 2), default=2, help="highest order (default: 2)")
    columns.add_argument("--no-core", action="store_true", help="no short-range repulsion")

    weights = command.add_argument_group("weights")
    for name, kind, value, meaning in (
        ("sigma-energy", float, "chosen by validation", "what counts as an error of 1: energy, eV/atom"),
        ("sigma-force", float, SIGMAS["force"], "the same for forces, eV/Å"),
        ("sigma-stress", float, "chosen by validation", "the same for stresses, GPa"),
        ("ridge", float, "chosen by validation", "strength of the ridge"),
        ("folds", int, default.folds, "parts that the data are dealt into for validation"),
        ("members", int, default.members, "members of the committee that gives error bars, 0 for none"),
    ):
        weights.add_argument(f"--{name}", type=kind, help=with_default(meaning, value))
    add_device(command, dtype=False)
    add_keys(command)
    add_common(command, workers="threads", default=None)
