"""The command `ase-scatter`: reads options, calls the workflows, prints and writes."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from . import __version__
from .errors import DeviceError, InputError

DEFAULT_MODEL = "Si"

SITES_OPTIONS = ("cutoff", "switch", "triple")
GRID_OPTIONS = ("band", "spacing", "max_ratio")

TOUR_EXAMPLES = """examples:
  ase-scatter tour                               the shipped silicon model, into tour-Si/
  ase-scatter tour --model Mo --out mo           another shipped model
  ase-scatter tour --model mine.json --element W --images 5
"""
FIT_EXAMPLES = """examples:
  ase-scatter fit train.extxyz -o mine.json
  ase-scatter fit train.extxyz --test test.extxyz -o mine.json --columns 300 --workers 2
  ase-scatter fit train.extxyz -o small.json --cutoff 4.5 --first 4,3 --order 1
  ase-scatter fit train.extxyz -o grid.json --transform grid --spacing 0.5

The files are what ASE reads: energies (eV), and where there are any forces (eV/Å) and stresses
(eV/Å³); info["group"] splits the table of errors. The parity plot is written beside the model.
"""
EVALUATE_EXAMPLES = """examples:
  ase-scatter evaluate Si test.extxyz
  ase-scatter evaluate mine.json test.extxyz --json out.json --plot parity.png
  ase-scatter evaluate Si structure.cif --json out.json      without labels: only values
"""
INFO_EXAMPLES = """examples:
  ase-scatter info                 the models that are shipped
  ase-scatter info Si              what one is
  ase-scatter info mine.json --check
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code: 0, or 2 for what the user can put right."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (InputError, DeviceError) as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"{error.filename or 'a file'} cannot be used: {error.strerror or error}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _refuse(message: str) -> int:
    print(f"ase-scatter: {' '.join(message.split())}", file=sys.stderr)
    return 2


# ---- commands ------------------------------------------------------------------------------------


def _tour(options: argparse.Namespace) -> None:
    from .model import Model
    from .plotting import barrier_plot, elastic_plot, eos_plot
    from .tour import element_of, references_of, tour

    model = Model.load(options.model)
    element_of(model, options.element)
    out = Path(options.out or f"tour-{model.name}")
    names = ("tour.json", "energy-volume.png", "elastic.png", "barrier.png")
    data, curve, elastic, barrier = (out / name for name in names)
    out.mkdir(parents=True, exist_ok=True)
    _claim([data, curve, elastic, barrier], options.force)

    result = tour(
        model,
        element=options.element,
        device=options.device,
        dtype=options.dtype,
        images=options.images,
        workers=options.workers,
        progress=not options.quiet,
    )
    references = references_of(model)
    title = f"{result.element}, model {model.name}"
    length = references.get("DFT", {}).get("a")
    volume = None if length is None else length**3 / result.curve.n_atoms
    eos_plot(result.curve, curve, reference_volume=volume, title=title)
    shown = {"C11": "C11", "C12": "C12", "C44": "C44", "C44_clamped": "C44\n(clamped ions)"}
    sources = {model.name: result.values(), **references}
    elastic_plot(
        {
            source: {label: values.get(name) for name, label in shown.items()}
            for source, values in sources.items()
        },
        elastic,
        title=title,
    )
    heights = {source: values.get("vacancy_migration") for source, values in references.items()}
    barrier_plot(
        result.barrier,
        barrier,
        references={source: height for source, height in heights.items() if height is not None},
        title=f"Vacancy hop, {title}",
    )
    _write_json(data, result.to_dict())
    print(f"{result.element} ({result.structure}) with model {model.name} {model.hash}\n")
    print(result.table())
    print(f"\n{result.seconds:.0f} s; {', '.join(names)} are in {out}")


def _fit(options: argparse.Namespace) -> None:
    from .fit import fit
    from .plotting import parity_plot, require_format
    from .report import error_table
    from .settings import FitSettings
    from .transforms import GridSettings

    target = Path(options.output)
    if target.suffix != ".json":
        raise InputError(f"the model file is named {target.name}, but its name must end in .json")
    plot = None if options.no_plot else Path(options.plot or target.with_suffix(".png"))
    _claim([target, *([plot] if plot else [])], options.force)
    if plot:
        require_format(plot)

    shared = _given(options, "scales", "epsilon2", "first", "inner", "outer")
    if options.order == 1:
        shared["exponents2"] = ()
    own = {"sites": _given(options, *SITES_OPTIONS), "grid": _given(options, *GRID_OPTIONS)}
    strange = [
        name for kind, given in own.items() if options.transform not in (kind, "both") for name in given
    ]
    if strange:
        listed = ", ".join(f"--{name.replace('_', '-')}" for name in strange)
        raise InputError(f"{listed} does not go with --transform {options.transform}")
    main_settings = _given(
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
    result = fit(
        _frames(options.train, options),
        test=None if options.test is None else _frames(options.test, options),
        settings=settings,
        name=options.name or target.stem,
        progress=not options.quiet,
        workers=options.workers,
    )
    result.model.save(target, overwrite=options.force)
    print(error_table(result.errors))
    print(
        f"\nmodel {result.model.name} {result.model.hash}: {len(result.model.weights)} columns, in {target}"
    )
    if plot:
        # Of what the model has not seen, where there is any.
        part = "test" if "test" in result.frames else "train"
        title = f"{result.model.name}, {part} set"
        parity_plot(result.predictions[part], result.frames[part], plot, title=title)
        print(f"parity plot of the {part} set: {plot}")


def _evaluate(options: argparse.Namespace) -> None:
    from threadpoolctl import threadpool_limits

    from .fit import predict
    from .metrics import errors
    from .model import Model
    from .plotting import parity_plot, require_format
    from .report import error_table

    _claim([Path(path) for path in (options.json, options.plot) if path], options.force)
    if options.plot:
        require_format(options.plot)
    model = Model.load(options.model)
    frames, systems = _structures(options)
    if options.plot and not frames:
        raise InputError(f"{options.file} holds no energies, so that there is nothing to plot")
    with threadpool_limits(1):  # the cores are taken by structures that are evaluated side by side
        predictions = predict(
            model,
            systems,
            device=options.device,
            dtype=options.dtype,
            progress=not options.quiet,
            workers=options.workers,
        )
    tables = {Path(options.file).stem: errors(predictions, frames)} if frames else {}
    if frames:
        print(error_table(tables))
    else:
        print(f"{options.file} holds no energies; there are no errors to tell")
        for index, (system, prediction) in enumerate(zip(systems, predictions, strict=True)):
            per_atom = prediction.energy / len(system)
            print(f"structure {index}: {prediction.energy:.6f} eV ({per_atom:.6f} eV/atom)")
    if options.json:
        values = [
            {
                "energy": prediction.energy,
                "forces": prediction.forces.tolist(),
                "stress": None if prediction.stress is None else prediction.stress.tolist(),
            }
            for prediction in predictions
        ]
        about = {"name": model.name, "hash": model.hash}
        units = {
            "energy": "eV",
            "forces": "eV/Angstrom",
            "stress": "eV/Angstrom^3, xx yy zz yz xz xy, positive in tension",
        }
        document = {
            "model": about,
            "file": str(options.file),
            "units": units,
            "errors": tables,
            "frames": values,
        }
        _write_json(Path(options.json), document)
    if options.plot:
        parity_plot(predictions, frames, options.plot, title=f"{model.name} on {Path(options.file).name}")


def _info(options: argparse.Namespace) -> None:
    from .model import Model, shipped_models

    if options.model is None:
        if options.check:
            raise InputError("name the model that is to be checked")
        print("\n".join(shipped_models()) or "no models are installed")
        return
    model = Model.load(options.model)
    print(model.describe())
    if options.check:
        deviations = model.check_golden(device=options.device)
        listed = ", ".join(f"{name} {value:.0e}" for name, value in deviations.items())
        print(f"\nits own structure comes out as it was saved (relative deviations: {listed})")


# ---- files ---------------------------------------------------------------------------------------


def _claim(paths: Iterable[Path], force: bool) -> None:
    """Refuse, before any work is done, what could not be written after it."""
    for path in paths:
        if path.is_dir():
            raise InputError(f"{path} is a directory; give the name of a file")
        if path.exists() and not force:
            raise InputError(f"{path} exists already; choose another name, or overwrite it with --force")
        if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
            raise InputError(f"{path} cannot be written: {path.parent} is no folder that you may write to")


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _keys(options: argparse.Namespace) -> dict[str, str]:
    return _given(options, "energy_key", "forces_key", "stress_key")


def _frames(path: str, options: argparse.Namespace) -> Any:
    """What `fit` is given: the path, whose checksum it keeps, unless labels have other names."""
    from .frames import read_frames

    keys = _keys(options)
    return read_frames(path, **keys) if keys else path


def _structures(options: argparse.Namespace) -> tuple[list[Any], list[Any]]:
    """Labelled frames (none if the file has no energies) and the systems of all structures."""
    from ase.io import read

    from .frames import read_frames
    from .system import System

    keys = _keys(options)
    energy = keys.get("energy_key", "energy")
    try:
        structures = read(options.file, index=":", do_not_split_by_at_sign=True)
    except Exception:
        structures = None  # read_frames says what is wrong with the file
    if structures and not keys:
        results = [atoms.calc.results if atoms.calc is not None else {} for atoms in structures]
        labelled = (
            energy in atoms.info or energy in found for atoms, found in zip(structures, results, strict=True)
        )
        if not any(labelled):
            return [], [System.from_atoms(atoms) for atoms in structures]
    frames = read_frames(options.file, **keys)
    return frames, [frame.system for frame in frames]


# ---- options -------------------------------------------------------------------------------------


def _given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The options that were given; the others keep the defaults of what they are passed to."""
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _numbers(kind: type) -> Any:
    def parse(text: str) -> tuple[Any, ...]:
        return tuple(kind(part) for part in text.split(","))

    parse.__name__ = f"comma-separated {kind.__name__}"  # what argparse calls it in its errors
    return parse


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


_positive.__name__ = "positive integer"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ase-scatter",
        description="Wavelet scattering potentials: fit them, evaluate them, see what they give.",
        epilog="Each command has its own --help, with examples.",
    )
    parser.add_argument("--version", action="version", version=f"ase-scatter {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_add_tour, _add_fit, _add_evaluate, _add_info):
        add(commands)
    return parser


def _command(commands: Any, name: str, run: Any, text: str, examples: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def _add_tour(commands: Any) -> None:
    text = "relax, strain and break a crystal with a model, beside published values"
    command = _command(commands, "tour", _tour, text, TOUR_EXAMPLES)
    command.add_argument(
        "--model", default=DEFAULT_MODEL, help="a shipped name or a file (default: %(default)s)"
    )
    command.add_argument("--out", metavar="DIR", help="folder for plots and data (default: tour-MODEL)")
    command.add_argument("--element", help="which of the model's elements (default: its only one)")
    command.add_argument(
        "--images", type=_positive, default=5, help="moving images of the band (default: %(default)s)"
    )
    _add_device(command)
    _add_common(command, workers="images of the band that are evaluated at once")


def _add_fit(commands: Any) -> None:
    from .settings import TRANSFORMS, FitSettings
    from .transforms import SitesSettings

    default = FitSettings()
    grid, sites = default.grid, SitesSettings.recommended(1, 2.35)
    text = "fit a potential to energies, forces and stresses"
    command = _command(commands, "fit", _fit, text, FIT_EXAMPLES)
    command.add_argument("train", metavar="TRAIN", help="labelled structures to fit")
    command.add_argument("--test", metavar="TEST", help="labelled structures to test on")
    command.add_argument("-o", "--output", required=True, metavar="MODEL.json", help="the model file")
    command.add_argument("--name", help="the model's name (default: that of the file)")
    command.add_argument("--plot", metavar="PNG", help="parity plot (default: beside the model)")
    command.add_argument("--no-plot", action="store_true", help="write no parity plot")

    columns = command.add_argument_group("columns")
    columns.add_argument(
        "--transform",
        choices=TRANSFORMS,
        default=default.transform,
        help="sums over atoms (fast), integrals over space, or the columns of both (default: %(default)s)",
    )
    for name, kind, value, meaning in (
        ("columns", _positive, default.columns, "largest number of columns in the model"),
        ("channels", str, default.channels, "densities: species or charges"),
        ("scales", _numbers(float), "four, from the data", "ladder of wavelet scales, Å"),
        ("epsilon2", float, _two(sites.epsilon2, grid.epsilon2), "smoothing of the modulus"),
        ("first", _numbers(int), sites.first, "order 1: largest l for p = 0, 1, …"),
        (
            "inner",
            _numbers(int),
            _two(sites.inner, grid.inner),
            "order 2, first wavelet: largest l for p = 0, 1, …",
        ),
        (
            "outer",
            _numbers(int),
            _two(sites.outer, grid.outer),
            "order 2, second wavelet: largest l for p = 0, 1, …",
        ),
        ("cutoff", float, "twice a bond", "sites: how far neighbours count, Å"),
        ("switch", float, sites.switch, "sites: over so many Å before the cutoff they fade out"),
        ("triple", int, sites.triple, "sites: largest l of products of three fields, 0 for none"),
        ("spacing", float, grid.spacing, "grid: spacing over the scale"),
        ("band", float, grid.band, "grid: waves up to this number over the scale are kept"),
        ("max-ratio", float, grid.max_ratio, "grid, order 2: largest ratio of the two scales"),
    ):
        columns.add_argument(f"--{name}", type=kind, help=_with_default(meaning, value))
    columns.add_argument("--order", type=int, choices=(1, 2), default=2, help="highest order (default: 2)")
    columns.add_argument("--no-core", action="store_true", help="no short-range repulsion")

    weights = command.add_argument_group("weights")
    for name, kind, value, meaning in (
        ("sigma-energy", float, default.sigma_energy, "what counts as an error of 1: energy, eV/atom"),
        ("sigma-force", float, default.sigma_force, "the same for forces, eV/Å"),
        ("sigma-stress", float, default.sigma_stress, "the same for stresses, GPa"),
        ("ridge", float, "chosen by validation", "strength of the ridge"),
        ("folds", int, default.folds, "parts that the data are dealt into for validation"),
        ("members", int, default.members, "members of the committee that gives error bars, 0 for none"),
    ):
        weights.add_argument(f"--{name}", type=kind, help=_with_default(meaning, value))
    _add_keys(command)
    _add_common(command, workers="threads", default=None)


def _add_evaluate(commands: Any) -> None:
    text = "evaluate a model on the structures of a file"
    command = _command(commands, "evaluate", _evaluate, text, EVALUATE_EXAMPLES)
    command.add_argument("model", metavar="MODEL", help="a shipped name or a model file")
    command.add_argument("file", metavar="FILE", help="structures that ASE reads, labelled or not")
    command.add_argument("--json", metavar="OUT.json", help="write energies, forces and stresses")
    command.add_argument("--plot", metavar="PNG", help="write a parity plot")
    _add_device(command)
    _add_keys(command)
    _add_common(command, workers="structures that are evaluated at once", default=None)


def _add_info(commands: Any) -> None:
    text = "say what a model is, or which ones are shipped"
    command = _command(commands, "info", _info, text, INFO_EXAMPLES)
    command.add_argument("model", metavar="MODEL", nargs="?", help="a shipped name or a model file")
    command.add_argument("--check", action="store_true", help="recompute the structure it was saved with")
    command.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: %(default)s)")


def _add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: %(default)s)")
    command.add_argument(
        "--dtype", choices=("float64", "float32"), default="float64", help="(default: %(default)s)"
    )


def _add_keys(command: argparse.ArgumentParser) -> None:
    labels = command.add_argument_group("labels", "names of the labels, where they are not ASE's own")
    for name in ("energy", "forces", "stress"):
        labels.add_argument(f"--{name}-key", metavar="NAME", help=_with_default(f"of the {name}", name))


def _add_common(command: argparse.ArgumentParser, *, workers: str, default: int | None = 1) -> None:
    shown = "one per core" if default is None else str(default)
    command.add_argument("--workers", type=_positive, default=default, help=_with_default(workers, shown))
    command.add_argument("--force", action="store_true", help="overwrite existing files")
    command.add_argument("--quiet", action="store_true", help="no progress bars")


def _two(sites: Any, grid: Any) -> str:
    """The defaults of the two transforms, as one text."""

    def text(value: Any) -> str:
        return ",".join(f"{v:g}" for v in value) if isinstance(value, tuple) else f"{value:g}"

    return f"{text(sites)} for sites, {text(grid)} for grid"


def _with_default(meaning: str, value: Any) -> str:
    if isinstance(value, tuple):
        value = ",".join(f"{entry:g}" for entry in value)
    return f"{meaning} (default: {value})"


if __name__ == "__main__":
    sys.exit(main())
