"""The commands `evaluate` and `info`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InputError
from .common import add_common, add_device, add_keys, claim, new_command, structures, write_json

EVALUATE_EXAMPLES = """examples:
  ase-scatter evaluate Si test.extxyz
  ase-scatter evaluate mine.json test.extxyz --json out.json --plot parity.png
  ase-scatter evaluate Si test.extxyz --bands                how often errors lie within their error bars
  ase-scatter evaluate Si structure.cif --json out.json      without labels: only values
"""
INFO_EXAMPLES = """examples:
  ase-scatter info                 the models that are shipped
  ase-scatter info Si              what one is
  ase-scatter info mine.json --check
"""


def run_evaluate(options: argparse.Namespace) -> None:
    from threadpoolctl import threadpool_limits

    from ..model.model import Model
    from ..plotting import calibration_plot, parity_plot, require_format
    from ..reporting.tables import calibration_table, error_table
    from ..training.fitting import predict
    from ..training.metrics import errors
    from ..training.reliability import bands_and_errors

    claim([Path(path) for path in (options.json, options.plot, options.bands_plot) if path], options.force)
    if options.plot:
        require_format(options.plot)
    if options.bands_plot:
        require_format(options.bands_plot)
        if not options.bands:
            raise InputError("--bands-plot goes with --bands")
    model = Model.load(options.model)
    frames, systems = structures(options)
    if options.bands and not frames:
        raise InputError(f"{options.file} holds no energies to judge the bands by")
    if options.bands and model.committee is None:
        raise InputError(f"model {model.name!r} has no committee, so that it has no bands")
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
    bands: list[Any] = []
    if options.bands:
        bands, held = bands_and_errors(
            model,
            frames,
            predictions,
            device=options.device,
            dtype=options.dtype,
            workers=options.workers,
            progress=not options.quiet,
        )
        print()
        print(calibration_table(held))
        if options.bands_plot:
            rows = {kind: h.table(1.0) for kind, h in held.items()}
            calibration_plot(rows, options.bands_plot, title=f"{model.name} on {Path(options.file).name}")
    if options.json:
        values: list[dict[str, Any]] = [
            {
                "energy": prediction.energy,
                "forces": prediction.forces.tolist(),
                "stress": None if prediction.stress is None else prediction.stress.tolist(),
            }
            for prediction in predictions
        ]
        for value, unsure in zip(values, bands, strict=bool(bands)):
            value["bands"] = {
                "energy": unsure.energy,
                "forces": unsure.forces.tolist(),
                "stress": unsure.stress,
                "grade": unsure.grade.tolist(),
            }
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
        write_json(Path(options.json), document)
    if options.plot:
        parity_plot(predictions, frames, options.plot, title=f"{model.name} on {Path(options.file).name}")


def run_info(options: argparse.Namespace) -> None:
    from ..compute.target import Target
    from ..model.model import Model
    from ..model.model_file import shipped_models
    from ..model.self_check import self_check

    if options.model is None:
        if options.check:
            raise InputError("name the model that is to be checked")
        print("\n".join(shipped_models()) or "no models are installed")
        return
    model = Model.load(options.model)
    print(model.describe())
    if options.check:
        deviations = self_check(model, target=Target(options.device))
        listed = ", ".join(f"{name} {value:.0e}" for name, value in deviations.items())
        print(f"\nits own structure comes out as it was saved (relative deviations: {listed})")


def add_evaluate(commands: Any) -> None:
    text = "evaluate a model on the structures of a file"
    command = new_command(commands, "evaluate", run_evaluate, text, EVALUATE_EXAMPLES)
    command.add_argument("model", metavar="MODEL", help="a shipped name or a model file")
    command.add_argument("file", metavar="FILE", help="structures that ASE reads, labelled or not")
    command.add_argument("--json", metavar="OUT.json", help="write energies, forces and stresses")
    command.add_argument("--plot", metavar="PNG", help="write a parity plot")
    command.add_argument(
        "--bands", action="store_true", help="judge the committee's 90 %% bands by the true errors"
    )
    command.add_argument("--bands-plot", metavar="PNG", help="plot stated against true bands (with --bands)")
    add_device(command)
    add_keys(command)
    add_common(command, workers="structures that are evaluated at once", default=None)


def add_info(commands: Any) -> None:
    text = "say what a model is, or which ones are shipped"
    command = new_command(commands, "info", run_info, text, INFO_EXAMPLES)
    command.add_argument("model", metavar="MODEL", nargs="?", help="a shipped name or a model file")
    command.add_argument("--check", action="store_true", help="recompute the structure it was saved with")
    command.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: %(default)s)")
