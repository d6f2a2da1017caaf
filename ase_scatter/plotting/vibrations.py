"""Figures of phonons, thermal properties and thermal expansion."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase.units import kJ, mol
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..properties import Phonons, QuasiHarmonic, Thermal
from .base import COLOURS, INK, note, tidy, written


def phonon_plot(phonons: Phonons, path: str | Path | None = None, *, title: str = "") -> Figure:
    """Plot frequencies along the path beside their density of states.

    Shades are 90 % intervals, where there is a committee. Imaginary frequencies are drawn below zero.

    Parameters
    ----------
    phonons : Phonons
        The frequencies.
    path : str or Path, optional
        File to write, by its suffix; by default none is written.
    title : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The figure.
    """
    figure = Figure(figsize=(7.6, 4.3), layout="constrained")
    ax, side = figure.subplots(1, 2, sharey=True, width_ratios=(4, 1))
    x, values, half_widths = phonons.distances, phonons.frequencies, phonons.frequencies_half_width
    # Where the path jumps from one point to another, the distance stands still.
    pieces = np.split(np.arange(len(x)), np.flatnonzero(np.diff(x) < 1e-9) + 1)
    for piece in pieces:
        for mode in range(values.shape[1]):
            if half_widths is not None:
                low, high = (values[piece, mode] + sign * half_widths[piece, mode] for sign in (-1, 1))
                ax.fill_between(x[piece], low, high, color=COLOURS[0], alpha=0.2, lw=0)
            ax.plot(x[piece], values[piece, mode], "-", lw=1.3, color=COLOURS[0])
    places, names = _special_points(phonons.labels)
    ax.set_xticks(places, names)
    ax.set(xlim=(x[0], x[-1]), ylabel="frequency (THz)")
    side.fill_between(phonons.dos, phonons.dos_frequencies, color=COLOURS[0], alpha=0.2, lw=0)
    side.plot(phonons.dos, phonons.dos_frequencies, "-", lw=1.0, color=COLOURS[0])
    side.set(xlabel="states per THz", xlim=(0, None))
    for panel in (ax, side):
        panel.axhline(0, color=INK, lw=0.8)
        tidy(panel)
    if phonons.stable:
        ax.set_ylim(0, None)
    else:
        note(ax, 0.5, f"unstable: imaginary frequencies up to {phonons.imaginary:.2f} THz", ha="center")
    ax.grid(False, axis="y")
    side.grid(False)
    if title:
        ax.set_title(title, loc="left", color=INK)
    return written(figure, path)


def _special_points(labels: Sequence[tuple[str, float]]) -> tuple[list[float], list[str]]:
    """Places and names of ticks, two points at one place joined: U|K."""
    places: list[float] = []
    names: list[str] = []
    for label, place in labels:
        name = "Γ" if label == "G" else re.sub(r"(\d+)", r"$_{\1}$", label)
        if places and place - places[-1] < 1e-9:
            names[-1] += f"|{name}"
        else:
            places.append(place)
            names.append(name)
    return places, names


def thermal_plot(thermal: Thermal, path: str | Path | None = None, *, title: str = "") -> Figure:
    """Plot free energy, entropy and heat capacity against temperature, with 90 % intervals if known.

    Parameters
    ----------
    thermal : Thermal
        The thermal properties.
    path : str or Path, optional
        File to write, by its suffix; by default none is written.
    title : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The figure.
    """
    molar = mol / kJ * 1000  # eV to J/mol
    return _against_temperature(
        thermal.temperatures,
        (
            ("free energy (meV/atom)", 1000.0, thermal.free_energy, thermal.free_energy_half_width),
            ("entropy (J/K/mol)", molar, thermal.entropy, thermal.entropy_half_width),
            ("heat capacity (J/K/mol)", molar, thermal.heat_capacity, thermal.heat_capacity_half_width),
        ),
        path,
        title,
    )


def expansion_plot(result: QuasiHarmonic, path: str | Path | None = None, *, title: str = "") -> Figure:
    """Plot volume, expansion and bulk modulus against temperature, with 90 % intervals if known.

    Parameters
    ----------
    result : QuasiHarmonic
        The thermal expansion.
    path : str or Path, optional
        File to write, by its suffix; by default none is written.
    title : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The figure.
    """
    return _against_temperature(
        result.temperatures,
        (
            ("volume (Å³/atom)", 1.0, result.volume, result.volume_half_width),
            ("linear expansion (10⁻⁶/K)", 1e6, result.expansion, result.expansion_half_width),
            ("bulk modulus (GPa)", 1.0, result.bulk_modulus, result.bulk_modulus_half_width),
        ),
        path,
        title,
    )


def _against_temperature(
    temperatures: NDArray[np.float64],
    panels: Sequence[tuple[str, float, NDArray[np.float64], NDArray[np.float64] | None]],
    path: str | Path | None,
    title: str,
) -> Figure:
    """Panels side by side: label, scale, values (T,) and their half-widths."""
    figure = Figure(figsize=(3.7 * len(panels), 3.6), layout="constrained")
    for ax, (label, scale, values, half_width) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        if half_width is not None:
            low, high = (scale * (values + sign * half_width) for sign in (-1, 1))
            ax.fill_between(temperatures, low, high, color=COLOURS[0], alpha=0.2, lw=0)
        ax.plot(temperatures, scale * values, "-", color=COLOURS[0])
        ax.set(xlabel="temperature (K)", ylabel=label)
        tidy(ax)
    if title:
        figure.suptitle(title, color=INK)
    return written(figure, path)
