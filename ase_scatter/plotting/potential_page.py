"""The page about a potential: tables and figures of all that is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..model.model import Model
from ..properties import Phonons
from ..reporting.description import description_rows
from ..reporting.page import Section
from ..reporting.potential import Examination, OfCrystal, OnData
from ..reporting.tables import calibration_rows, error_cells, error_headings, measured
from ..reporting.tour import UNCONVERGED, Tour
from .crystals import tour_figures
from .errors import calibration_plot, columns_plot, parity_plot
from .vibrations import phonon_plot, thermal_plot

SIGMAS = {
    "sigma_energy": "eV/atom", "sigma_force": "eV/Å", "sigma_stress": "GPa", "sigma_atomic": "eV",
    "sigma_net": "eV/Å",
}  # fmt: skip
"""Settings of a fit that say what counts as an error of 1, and their units."""
FALLING = 0.01
"""Validation still falls where the last columns lower it by more than this part."""
WITHIN = "Values ± half-widths of 90 % intervals."
INTERVALS = (
    "Half-widths of 90 % intervals that the committee states, and those that the true errors ask for; on the "
    "line the two are equal. Energies in meV/atom, forces in eV/Å, stresses in GPa."
)
FIGURES = {
    "energy-volume": "Energy above the minimum (meV/atom) against volume (Å³/atom), with the fitted curve.",
    "elastic": "Elastic constants (GPa) of relaxed ions where nothing else is said, beside published values.",
    "barrier": "Energy (eV) along the hop of an atom into the vacancy, with its interval.",
}
"""Figure of a tour → caption."""


def still_falls(columns: Mapping[int, float]) -> bool:
    """Whether the error on data left out still falls at the largest number of columns that was tried.

    Parameters
    ----------
    columns : mapping of int to float
        Number of columns → loss on data left out.

    Returns
    -------
    bool
    """
    *_, before, last = [float("inf"), *(columns[size] for size in sorted(columns))]
    return len(columns) > 1 and last < (1 - FALLING) * before


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
    settings = model.metadata.get("fit", {}).get("settings", {})
    rows = [list(row) for row in description_rows(model)]
    rows += [
        [name.replace("_", " "), f"{settings[name]:g} {unit}"]
        for name, unit in SIGMAS.items()
        if settings.get(name) is not None
    ]
    section.table(["", ""], rows, words=True)
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
    caption = (
        "Mean absolute (MAE) and root mean square errors (RMSE) of energies, force components and stresses."
    )
    section.table(["set", "group", "frames", *error_headings()], rows, caption)
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
    section.figure(
        figure,
        "predicted against reference values",
        "Predicted against reference values: energies in eV/atom, components of forces in eV/Å and of "
        "stresses in GPa. On the line the two are equal.",
    )
    if found.held:
        section.text("Error bars judged by the true errors; an interval should hold nine of ten:")
        section.table(*calibration_rows(found.held))
        bins = {kind: held.table(1.0) for kind, held in found.held.items()}
        section.figure(calibration_plot(bins), "stated against true half-widths", INTERVALS)
    return section


def _choices(model: Model) -> list[Section]:
    """What was found on data left out while fitting."""
    fit = model.metadata.get("fit", {})
    section = Section("On data left out of the fit")
    columns = fit.get("validation", {}).get("columns", {})
    if columns:
        losses = {int(size): loss for size, loss in columns.items()}
        section.figure(
            columns_plot(losses),
            "loss against the number of columns",
            "Validation loss (without unit: errors over their sigmas) against the number of columns.",
        )
        if still_falls(losses):
            section.warning(
                f"The error still falls at {max(losses)} columns, the most that were tried: a fit with more "
                "(--columns) may be better, and is slower."
            )
    bins = {kind: about["bins"] for kind, about in fit.get("calibration", {}).items() if about.get("bins")}
    if bins:
        section.figure(calibration_plot(bins), "stated against true half-widths of the committee", INTERVALS)
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
    section.text(f"{result.structure}, beside published values.")
    section.table(*result.rows(), WITHIN)
    if result.unconverged():
        section.warning(UNCONVERGED)
    if not result.elastic.stable:
        section.warning("The crystal is not stable against all small strains and displacements.")
    for name, figure in tour_figures(result).items():
        section.figure(figure, name, FIGURES.get(name, ""))


def _phonons(section: Section, found: Phonons) -> None:
    section.figure(
        phonon_plot(found),
        "phonon bands and density of states",
        "Phonon frequencies (THz) along the path, with intervals, and their density of states.",
    )
    if not found.stable:
        section.warning(
            f"There are imaginary modes, up to {found.imaginary:.2f} THz: the crystal is unstable."
        )
    if len(found.optical):
        half_width = None if found.optical_half_width is None else float(found.optical_half_width[-1])
        section.text(f"Highest mode at Γ: {measured(float(found.optical[-1]), half_width, '.2f')} THz")
    if found.thermal is not None:
        section.figure(
            thermal_plot(found.thermal),
            "thermal properties",
            "Free energy, entropy and heat capacity of the vibrations per atom, at constant volume, against "
            "temperature (K).",
        )
