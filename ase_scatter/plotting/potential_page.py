"""The page about a potential: tables and figures of all that is known about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..model.model import Model
from ..properties import Phonons
from ..reporting.page import Section
from ..reporting.potential import Examination, OfCrystal, OnData
from ..reporting.tables import calibration_rows, error_cells, error_headings, measured
from ..reporting.tour import UNCONVERGED, Tour
from .crystals import tour_figures
from .errors import calibration_plot, columns_plot, parity_plot
from .vibrations import phonon_plot, thermal_plot


def potential_sections(found: Examination) -> list[Section]:
    """Compose the sections of the page about a potential.

    Parameters
    ----------
    found : Examination
        What was computed.

    Returns
    -------
    list of Section
        What the potential is, its errors, its error bars and the properties of its crystals.
    """
    sections = [_what_it_is(found.model), *_errors(found.model)]
    sections += [_on_data(found.model, data) for data in found.data]
    sections += _choices(found.model)
    for crystal in found.crystals:
        sections += _crystal(crystal)
    return sections


def _what_it_is(model: Model) -> Section:
    section = Section("What it is")
    fit = model.metadata.get("fit", {})
    settings, data = fit.get("settings", {}), fit.get("data", {}).get("train", {})
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
    tables = model.metadata.get("errors", {})
    if not tables:
        return []
    section = Section("Errors")
    rows = [
        [part, group, str(int(values["n_frames"])), *error_cells(values)]
        for part, groups in tables.items()
        for group, values in groups.items()
    ]
    section.table(["set", "group", "frames", *error_headings()], rows)
    others = model.metadata.get("reference", {}).get("test_errors", {})
    if others and "test" in tables:
        section.text("On the same test file:")
        known = {model.name: tables["test"]["all"], **others}
        rows = [[name, *error_cells(values)] for name, values in known.items()]
        section.table(["potential", *error_headings()], rows)
    return [section]


def _on_data(model: Model, found: OnData) -> Section:
    """Parity, errors and error bars on labelled structures."""
    section = Section(f"On {Path(found.name).name}")
    parts = [
        f"{kind} {found.errors[name]:{form}} {unit}"
        for kind, name, form, unit in (
            ("energy", "energy_mae", ".2f", "meV/atom"),
            ("forces", "force_mae", ".4f", "eV/Å"),
            ("stress", "stress_mae", ".3f", "GPa"),
        )
        if name in found.errors
    ]
    section.text(f"{len(found.frames)} structures; mean absolute errors: {', '.join(parts)}")
    figure = parity_plot(found.predictions, found.frames, title=model.name)
    section.figure(figure, "predicted against reference values")
    if found.held:
        section.text("Error bars judged by the true errors; a band should hold nine of ten:")
        section.table(*calibration_rows(found.held))
        bins = {kind: held.table(1.0) for kind, held in found.held.items()}
        section.figure(calibration_plot(bins), "stated against true bands")
    return section


def _choices(model: Model) -> list[Section]:
    """What was found on data left out while fitting."""
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


def _crystal(found: OfCrystal) -> list[Section]:
    """Lattice, elastic constants, vacancy and phonons of the crystal of an element."""
    sections = [_part(f"Crystal of {found.element}", found.tour, _tour)]
    if found.phonons is not None:
        sections.append(_part(f"Phonons of {found.element}", found.phonons, _phonons))
    return sections


def _part(title: str, result: Any, fill: Any) -> Section:
    """A section on a result, or on why there is none."""
    section = Section(title)
    if isinstance(result, str):
        section.warning(f"Not computed: {result}")
    else:
        fill(section, result)
    return section


def _tour(section: Section, result: Tour) -> None:
    section.text(f"{result.structure}; value ± half-width of the 90 % band, beside published values.")
    section.table(*result.rows())
    if result.unconverged():
        section.warning(UNCONVERGED)
    if not result.elastic.stable:
        section.warning("The crystal is not stable against all small strains and displacements.")
    for name, figure in tour_figures(result).items():
        section.figure(figure, name)


def _phonons(section: Section, found: Phonons) -> None:
    section.figure(phonon_plot(found), "phonon bands and density of states")
    if not found.stable:
        section.warning(
            f"There are imaginary modes, up to {found.imaginary:.2f} THz: the crystal is unstable."
        )
    if len(found.optical):
        half_width = None if found.optical_half_width is None else float(found.optical_half_width[-1])
        section.text(f"Highest mode at Γ: {measured(float(found.optical[-1]), half_width, '.2f')} THz")
    if found.thermal is not None:
        section.figure(thermal_plot(found.thermal), "thermal properties")
