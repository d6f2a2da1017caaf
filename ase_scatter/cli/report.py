"""The command `report`: everything about a potential on one page."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .common import add_common, add_device, add_keys, claim, keys_of, new_command

if TYPE_CHECKING:
    from ..model.model import Model
    from ..reporting.page import Section

REPORT_EXAMPLES = """examples:
  ase-scatter report Si
  ase-scatter report Si --data Si_test.extxyz -o si.html      parity plots and error bars judged, too
  ase-scatter report mine.json --data test.extxyz --no-crystals
"""


def run_report(options: argparse.Namespace) -> None:
    """Compute what there is to show, and write the page."""
    from ..model.model import Model
    from ..reporting.page import page

    target = Path(options.output or f"{Path(options.model).stem}.html")
    claim([target], options.force)
    model = Model.load(options.model)
    sections = [_what_it_is(model), *_errors(model)]
    sections += [_on_data(model, path, options) for path in options.data or []]
    sections += _choices(model)
    if not options.no_crystals:
        for element in model.elements:
            sections += _crystal(model, element, options)
    citation = str(model.metadata.get("citation", "no citation in the model file"))
    target.write_text(
        page(f"Potential {model.name}", f"{model.hash} · {citation}", sections), encoding="utf-8"
    )
    print(f"{target}: {', '.join(section.title for section in sections)}")


def _what_it_is(model: Model) -> Section:
    from ..reporting.page import Section

    section = Section("What it is")
    settings = model.metadata.get("fit", {}).get("settings", {})
    data = model.metadata.get("fit", {}).get("data", {}).get("train", {})
    committee = "none" if model.committee is None else f"{len(model.committee)} members"
    rows = [
        ["elements", ", ".join(model.elements)],
        ["columns", str(model.transform.n_columns)],
        ["measure", model.transform.kind],
        ["committee", committee],
        ["short-range core", "none" if model.core is None else "ZBL"],
        ["trained on", f"{data.get('frames', '–')} structures, {data.get('atoms', '–')} atoms"],
    ]
    rows += [[name.replace("_", " "), str(settings[name])] for name in settings if name.startswith("sigma")]
    section.table(["", ""], rows)
    return section


def _errors(model: Model) -> list[Section]:
    """Errors that the model was saved with, beside those of other potentials on the same files."""
    from ..reporting.page import Section
    from ..reporting.tables import ERROR_COLUMNS, number

    tables = model.metadata.get("errors", {})
    if not tables:
        return []
    section = Section("Errors")
    heads = [f"{name} ({unit})" for name, unit, _ in ERROR_COLUMNS.values()]

    def cells(values: Mapping[str, float]) -> list[str]:
        return [number(values.get(key), form) for key, (_, _, form) in ERROR_COLUMNS.items()]

    rows = [
        [part, group, str(int(values["n_frames"])), *cells(values)]
        for part, groups in tables.items()
        for group, values in groups.items()
    ]
    section.table(["set", "group", "frames", *heads], rows)
    peers = model.metadata.get("reference", {}).get("test_errors", {})
    if peers and "test" in tables:
        section.text("On the same test file:")
        own = [f"{model.name}", *cells(tables["test"]["all"])]
        section.table(["potential", *heads], [own, *([name, *cells(row)] for name, row in peers.items())])
    return [section]


def _on_data(model: Model, path: str, options: argparse.Namespace) -> Section:
    """Parity, errors and error bars on a labelled file."""
    from ..plotting import calibration_plot, parity_plot
    from ..reporting.page import Section
    from ..reporting.tables import calibration_rows
    from ..structures.dataset import read_frames
    from ..training.fitting import predict
    from ..training.metrics import errors
    from ..training.reliability import bands_and_errors

    frames = read_frames(path, **keys_of(options))
    how = {
        "device": options.device,
        "dtype": options.dtype,
        "workers": options.workers,
        "progress": not options.quiet,
    }
    predictions = predict(model, [frame.system for frame in frames], **how)
    section = Section(f"On {Path(path).name}")
    everything = errors(predictions, frames)["all"]
    section.text(
        f"{len(frames)} structures; mean absolute errors: energy {everything['energy_mae']:.2f} meV/atom"
        + (f", forces {everything['force_mae']:.4f} eV/Å" if "force_mae" in everything else "")
        + (f", stress {everything['stress_mae']:.3f} GPa" if "stress_mae" in everything else "")
    )
    section.figure(parity_plot(predictions, frames, title=model.name), "predicted against reference values")
    if model.committee is not None:
        _, held = bands_and_errors(model, frames, predictions, **how)
        section.text("Error bars judged by the true errors; a band should hold nine of ten:")
        section.table(*calibration_rows(held))
        bins = {kind: h.table(1.0) for kind, h in held.items()}
        section.figure(calibration_plot(bins), "stated against true bands")
    return section


def _choices(model: Model) -> list[Section]:
    """What was found on data left out while fitting."""
    from ..plotting import calibration_plot, columns_plot
    from ..reporting.page import Section

    fit = model.metadata.get("fit", {})
    section = Section("On data left out of the fit")
    columns = fit.get("validation", {}).get("columns", {})
    if columns:
        figure = columns_plot({int(size): loss for size, loss in columns.items()})
        section.figure(figure, "loss against the number of columns")
    bins = {kind: about["bins"] for kind, about in fit.get("calibration", {}).items() if about.get("bins")}
    if bins:
        section.figure(calibration_plot(bins), "stated against true bands of the committee")
    return [section] if section.parts else []


def _crystal(model: Model, element: str, options: argparse.Namespace) -> list[Section]:
    """The crystal of an element: lattice, elastic constants, vacancy, phonons."""
    from ..reporting.page import Section
    from ..reporting.tour import element_of, tour

    section = Section(f"Crystal of {element}")
    try:
        element_of(model, element)
        result = tour(
            model, element=element, device=options.device, dtype=options.dtype, progress=not options.quiet
        )
    except InputError as error:
        section.warning(f"Not computed: {error}")
        return [section]
    from ..plotting import tour_figures
    from ..reporting.tour import UNCONVERGED

    section.text(f"{result.structure}; value ± half-width of the 90 % band, beside published values.")
    section.table(*result.rows())
    if result.unconverged():
        section.warning(UNCONVERGED)
    if not result.elastic.stable:
        section.warning("The crystal is not stable against all small strains and displacements.")
    for name, figure in tour_figures(result).items():
        section.figure(figure, name)
    return [section, _phonons(model, element, result.relaxed.atoms, options)]


def _phonons(model: Model, element: str, crystal: Any, options: argparse.Namespace) -> Section:
    from ..calculator import ScatteringCalculator
    from ..plotting import phonon_plot, thermal_plot
    from ..properties import phonons
    from ..reporting.page import Section
    from ..reporting.tables import measured

    section = Section(f"Phonons of {element}")
    calculator = ScatteringCalculator(model, device=options.device, dtype=options.dtype)
    try:
        found = phonons(crystal, calculator, progress=not options.quiet)
    except InputError as error:
        section.warning(f"Not computed: {error}")
        return section
    section.figure(phonon_plot(found), "phonon bands and density of states")
    if not found.stable:
        section.warning(
            f"There are imaginary modes, up to {found.imaginary:.2f} THz: the crystal is unstable."
        )
    if len(found.optical):
        band = None if found.optical_half_width is None else float(found.optical_half_width[-1])
        section.text(f"Highest mode at Γ: {measured(float(found.optical[-1]), band, '.2f')} THz")
    if found.thermal is not None:
        section.figure(thermal_plot(found.thermal), "thermal properties")
    return section


def add_report(commands: Any) -> None:
    text = "write one page of everything about a potential"
    command = new_command(commands, "report", run_report, text, REPORT_EXAMPLES)
    command.add_argument("model", metavar="MODEL", help="a shipped name or a model file")
    command.add_argument(
        "--data", metavar="FILE", action="append", help="labelled structures; may be given several times"
    )
    command.add_argument("-o", "--output", metavar="OUT.html", help="(default: MODEL.html)")
    command.add_argument("--no-crystals", action="store_true", help="no crystals, vacancies and phonons")
    add_device(command)
    add_keys(command)
    add_common(command, workers="structures that are evaluated at once", default=None)
