"""The command `evaluate`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .arguments import add_common, add_device, add_keys, add_model, add_outputs, add_workers, new_command
from .files import claim, frames_and_systems, write_json

if TYPE_CHECKING:
    from ..model.committee import Uncertainty
    from ..training.metrics import Prediction

UNITS = {
    "energy": "eV",
    "forces": "eV/Angstrom",
    "stress": "eV/Angstrom^3, xx yy zz yz xz xy, positive in tension",
}
"""Written into the file of results."""

EXAMPLES = """examples:
  ase-scatter evaluate Si test.extxyz
  ase-scatter evaluate mine.json test.extxyz --json out.json --plot parity.png
  ase-scatter evaluate Si test.extxyz --bands                how often errors lie within their error bars
  ase-scatter evaluate Si structure.cif --json out.json      without labels: only values

Energies are in eV, forces in eV/Å, stresses in eV/Å³ (GPa in tables), positive in tension.
"""


def run_evaluate(options: argparse.Namespace) -> int:
    """Run the command `evaluate`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_evaluate` defines.

    Returns
    -------
    int
        The exit code.
    """
    from ..model.model import Model
    from ..plotting import calibration_plot, parity_plot
    from ..reporting.tables import calibration_table, error_table
    from ..training.fitting import predict
    from ..training.metrics import errors
    from ..training.reliability import half_widths_and_errors

    claim([options.json], options, plots=[options.plot, options.bands_plot])
    if options.bands_plot and not options.bands:
        raise InputError("--bands-plot goes with --bands")
    model = Model.load(options.model)
    frames, systems = frames_and_systems(options.file, options)
    if options.bands and not frames:
        raise InputError(f"{options.file} holds no energies to judge the bands by")
    if options.bands and model.committee is None:
        raise InputError(f"model {model.name!r} has no committee, so that it has no bands")
    if options.plot and not frames:
        raise InputError(f"{options.file} holds no energies, so that there is nothing to plot")
    how = {
        "device": options.device,
        "dtype": options.dtype,
        "workers": options.workers,
        "progress": not options.quiet,
    }
    title = f"{model.name} on {Path(options.file).name}"
    predictions = predict(model, systems, **how)
    tables = {Path(options.file).stem: errors(predictions, frames)} if frames else {}
    if frames:
        print(error_table(tables))
    else:
        print(f"{options.file} holds no energies; there are no errors to tell")
        for index, (system, prediction) in enumerate(zip(systems, predictions, strict=True)):
            per_atom = prediction.energy / len(system)
            print(f"structure {index}: {prediction.energy:.6f} eV ({per_atom:.6f} eV/atom)")
    uncertainties: Sequence[Uncertainty] = []
    if options.bands:
        uncertainties, held = half_widths_and_errors(model, frames, predictions, **how)
        print(f"\n{calibration_table(held)}")
        if options.bands_plot:
            bins = {kind: h.table(1.0) for kind, h in held.items()}
            calibration_plot(bins, options.bands_plot, title=title)
    if options.json:
        document = {
            "model": {"name": model.name, "hash": model.hash},
            "file": options.file,
            "units": UNITS,
            "errors": tables,
            "frames": _documents(predictions, uncertainties),
        }
        write_json(options.json, document)
    if options.plot:
        parity_plot(predictions, frames, options.plot, title=title)
    return 0


def _documents(
    predictions: Sequence[Prediction], uncertainties: Sequence[Uncertainty]
) -> list[dict[str, Any]]:
    """Values and, where they were asked for, error bars of each structure."""
    documents: list[dict[str, Any]] = [
        {
            "energy": prediction.energy,
            "forces": prediction.forces.tolist(),
            "stress": None if prediction.stress is None else prediction.stress.tolist(),
        }
        for prediction in predictions
    ]
    for document, uncertainty in zip(documents, uncertainties, strict=bool(uncertainties)):
        document["bands"] = {
            "energy": uncertainty.energy,
            "forces": uncertainty.forces.tolist(),
            "stress": uncertainty.stress,
            "grade": uncertainty.grade.tolist(),
        }
    return documents


def add_evaluate(commands: Any) -> None:
    """Add the command `evaluate`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    text = "evaluate a model on the structures of a file"
    command = new_command(commands, "evaluate", run_evaluate, text, EXAMPLES)
    add_model(command)
    command.add_argument("file", metavar="FILE", help="structures that ASE reads, labelled or not")
    add_outputs(command, json="write energies, forces and stresses", plot="write a parity plot")
    command.add_argument(
        "--bands",
        action="store_true",
        help="compare the committee's 90 %% error bars with the true errors",
    )
    command.add_argument(
        "--bands-plot", type=Path, metavar="FILE", help="plot stated against true error bars (with --bands)"
    )
    add_device(command)
    add_keys(command)
    add_workers(command, "structures that are evaluated at once")
    add_common(command)
