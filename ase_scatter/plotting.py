"""Figures of what the workflows and fits give: each takes data and a path, and returns the figure.

Figures are built without pyplot, so nothing here needs a display or changes matplotlib's state.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ase.units import kJ, mol
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, ScalarFormatter
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from .errors import InputError
from .frames import Frame
from .learning import Point
from .metrics import LABEL_UNITS, Prediction, energy_pairs, force_pairs, stress_pairs
from .properties import Barrier, ElasticConstants, EnergyVolume, Phonons, QuasiHarmonic, Thermal
from .report import measured
from .selection import Choice
from .tuning import Tuning

# Okabe and Ito's palette, which most colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#B2A100")
INK, FAINT = "#333333", "#D9D9D9"
DPI = 160


def require_format(path: str | Path) -> None:
    """Raise InputError unless the path's suffix is that of an image that can be written."""
    known = FigureCanvasBase.get_supported_filetypes()
    if Path(path).suffix.lower().removeprefix(".") not in known:
        raise InputError(f"no figure can be written to {path}; its name must end in .png, .pdf or .svg")


def parity_plot(
    predictions: Sequence[Prediction],
    frames: Sequence[Frame],
    path: str | Path | None = None,
    *,
    title: str = "",
) -> Figure:
    """Predicted against reference energies per atom, force and stress components, by group.

    Panels without labels are left out. path: file to write, by its suffix; None for none. Raises
    InputError if there is nothing to compare.
    """
    groups = sorted({frame.group for frame in frames})
    members = [[i for i, frame in enumerate(frames) if frame.group == group] for group in groups]
    panels = []
    for name, unit, scale, shown, pairs in (
        ("Energy", "eV/atom", 1000.0, "meV/atom", energy_pairs),
        ("Force", "eV/Å", 1.0, "eV/Å", force_pairs),
        ("Stress", "GPa", 1.0, "GPa", stress_pairs),
    ):
        parts = [pairs([predictions[i] for i in part], [frames[i] for i in part]) for part in members]
        if any(len(reference) for reference, _ in parts):
            panels.append((name, unit, scale, shown, parts))
    if not panels:
        raise InputError("there are no labels to compare predictions with")
    figure = Figure(figsize=(4.1 * len(panels), 4.3), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, (name, unit, scale, shown, parts) in zip(axes, panels, strict=True):
        _parity_panel(ax, parts)
        ax.set(xlabel=f"reference {name.lower()} ({unit})", ylabel=f"predicted ({unit})")
        deviation = scale * np.concatenate([predicted - reference for reference, predicted in parts])
        mae, rmse = np.abs(deviation).mean(), np.sqrt(np.square(deviation).mean())
        text = f"MAE   {mae:.3g}\nRMSE {rmse:.3g}\n{shown}"
        _note(ax, 0.04, text)
        ax.set_title(name, loc="left", color=INK)
    if groups != [""]:
        handles = [
            ax.plot([], [], "o", ms=5, color=_colour(i), label=group or "(no group)")[0]
            for i, group in enumerate(groups)
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(groups), 6), frameon=False)
    if title:
        figure.suptitle(title, color=INK)
    return _written(figure, path)


def _parity_panel(ax: Axes, parts: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> None:
    for index, (reference, predicted) in enumerate(parts):
        # Many points are drawn small and faint, so that their density shows.
        few = len(reference) < 300
        ax.plot(
            reference,
            predicted,
            "o",
            ms=4 if few else 2,
            alpha=0.8 if few else 0.35,
            mew=0,
            color=_colour(index),
            rasterized=not few,
        )
    values = np.concatenate([np.concatenate(part) for part in parts])
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 0.05
    limits = (low - margin, high + margin)
    ax.plot(limits, limits, "-", lw=0.8, color=INK, zorder=0)
    ax.set(xlim=limits, ylim=limits, aspect="equal")
    # The same ticks both ways, few enough not to touch.
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(5))
    _tidy(ax)


def eos_plot(
    curve: EnergyVolume,
    path: str | Path | None = None,
    *,
    reference_volume: float | None = None,
    reference: str = "DFT",
    title: str = "",
) -> Figure:
    """Energies against volume, both per atom, with the fitted curve.

    reference_volume: Å³ per atom, marked and named as `reference`.
    """
    figure = Figure(figsize=(5.4, 4.0), layout="constrained")
    ax = figure.subplots()
    n = curve.n_atoms
    volumes = np.linspace(curve.volumes.min(), curve.volumes.max(), 200)
    ax.plot(volumes / n, 1000 * (curve.curve(volumes) - curve.e0) / n, "-", color=COLOURS[0])
    ax.plot(
        curve.volumes / n, 1000 * (curve.energies - curve.e0) / n, "o", ms=5, color=COLOURS[0], mec="white"
    )
    ax.axvline(curve.v0 / n, color=COLOURS[0], lw=0.9, ls=":")
    if reference_volume is not None:
        ax.axvline(reference_volume, color=COLOURS[1], lw=0.9, ls="--", label=f"{reference} minimum")
        ax.legend(frameon=False, loc="upper right")
    text = (
        f"$V_0$ = {measured(curve.v0 / n, None if curve.v0_band is None else curve.v0_band / n, '.3f')}"
        f" Å³/atom\n$B$ = {measured(curve.bulk_modulus, curve.bulk_modulus_band, '.1f')} GPa\n"
        f"$B'$ = {curve.bulk_derivative:.2f}"
    )
    _note(ax, 0.5, text, ha="center")
    ax.set(xlabel="volume (Å³/atom)", ylabel="energy above the minimum (meV/atom)")
    _tidy(ax, title)
    return _written(figure, path)


def barrier_plot(
    barrier: Barrier,
    path: str | Path | None = None,
    *,
    references: Mapping[str, float] | None = None,
    title: str = "",
) -> Figure:
    """Energy along a minimum-energy path, through images and their slopes, with 90 % bands where known.

    references: name → forward barrier in eV of other methods, drawn as lines.
    """
    figure = Figure(figsize=(5.8, 4.2), layout="constrained")
    ax = figure.subplots()
    zero = barrier.energies[0]
    heights = barrier.energies - zero
    along = np.linspace(barrier.path[0], barrier.path[-1], 300)
    ax.plot(along, barrier.curve(along) - zero, "-", color=COLOURS[0])
    if barrier.energies_band is not None:
        # Monotone between images, so that the band does not overshoot to less than nothing.
        width = PchipInterpolator(barrier.path, barrier.energies_band)(along)
        lower, upper = (barrier.curve(along) - zero + sign * width for sign in (-1, 1))
        ax.fill_between(along, lower, upper, color=COLOURS[0], alpha=0.15, lw=0, label="90 % band")
    ax.plot(barrier.path, heights, "o", ms=6, color=COLOURS[0], mec="white", label="this model")
    for index, (name, value) in enumerate((references or {}).items(), start=1):
        ax.axhline(value, color=_colour(index), lw=1.0, ls="--", label=name, zorder=0)
    if references or barrier.energies_band is not None:
        figure.legend(frameon=False, loc="outside lower center", ncols=2 + len(references or ()))
    said = [
        f"{name} {value:.3f}" + (" eV" if band is None else f" ± {band:.3f} eV")
        for name, value, band in (
            ("forward", barrier.forward, barrier.forward_band),
            ("backward", barrier.backward, barrier.backward_band),
        )
    ]
    said += [] if barrier.intermediate is None else ["(passes a more stable state)"]
    said += [] if barrier.converged else ["(not converged)"]
    _note(ax, 0.03, "\n".join(said))
    ax.set(xlabel="path (Å)", ylabel="energy (eV)")
    # Room for the note above the path.
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.12 * (1 + len(said) / 2) * (high - low))
    _tidy(ax, title)
    return _written(figure, path)


def elastic_plot(
    constants: Mapping[str, Mapping[str, float | None]],
    path: str | Path | None = None,
    *,
    title: str = "",
) -> Figure:
    """Elastic constants side by side: source → name of a constant → GPa (None where unknown).

    Sources and constants keep the order in which they come. Raises InputError if all are unknown.
    """
    names = list(dict.fromkeys(name for values in constants.values() for name in values))
    if not any(value is not None for values in constants.values() for value in values.values()):
        raise InputError("there are no elastic constants to draw")
    figure = Figure(figsize=(max(5.4, 1.7 * len(names)), 4.0), layout="constrained")
    ax = figure.subplots()
    width = 0.8 / len(constants)
    for index, (source, values) in enumerate(constants.items()):
        found = [(i, values.get(name)) for i, name in enumerate(names)]
        known = [(i, value) for i, value in found if value is not None]
        offset = (index - (len(constants) - 1) / 2) * width
        bars = ax.bar(
            [i + offset for i, _ in known],
            [value for _, value in known],
            0.92 * width,
            color=_colour(index),
            label=source,
        )
        ax.bar_label(bars, fmt="{:.0f}", fontsize=8, color=INK, padding=1)
    ax.set_xticks(range(len(names)), names)
    ax.set_ylabel("GPa")
    ax.axhline(0, color=INK, lw=0.8)
    ax.margins(y=0.1)
    ax.legend(frameon=False, ncols=min(len(constants), 4), loc="upper right")
    _tidy(ax, title)
    ax.grid(False, axis="x")
    ax.tick_params(axis="x", length=0)
    return _written(figure, path)


def columns_plot(
    scores: Mapping[int, float],
    path: str | Path | None = None,
    *,
    label: str = "validation loss",
    title: str = "",
) -> Figure:
    """An error against the number of columns (on a logarithmic axis); the lowest is marked."""
    if not scores:
        raise InputError("there are no scores to draw")
    figure = Figure(figsize=(5.4, 4.0), layout="constrained")
    ax = figure.subplots()
    sizes = sorted(scores)
    values = [scores[size] for size in sizes]
    best = min(sizes, key=lambda size: scores[size])
    ax.semilogx(sizes, values, "o-", color=COLOURS[0], ms=5, mec="white")
    ax.plot(
        best, scores[best], "o", ms=11, mfc="none", mec=COLOURS[1], mew=1.5, label=f"lowest: {best} columns"
    )
    ax.legend(frameon=False)
    ax.set(xlabel="columns", ylabel=label)
    ax.set_xticks(sizes)
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.xaxis.set_minor_locator(NullLocator())
    _tidy(ax, title)
    return _written(figure, path)


def tensor_plot(constants: ElasticConstants, path: str | Path | None = None, *, title: str = "") -> Figure:
    """The elastic tensor as a coloured table (GPa), with the bands where there are any."""
    figure = Figure(figsize=(6.0, 5.2), layout="constrained")
    ax = figure.subplots()
    tensor, band = constants.tensor, constants.tensor_band
    largest = float(np.abs(tensor).max())
    image = ax.imshow(tensor, cmap="RdBu", vmin=-largest, vmax=largest)
    for i, j in np.ndindex(6, 6):
        # Entries that are zero by symmetry stay empty.
        if abs(tensor[i, j]) > 1e-6 * largest:
            text = f"{tensor[i, j]:.1f}" + ("" if band is None else f"\n± {band[i, j]:.1f}")
            dark = abs(tensor[i, j]) > 0.6 * largest
            ax.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if dark else INK)
    names = ["xx", "yy", "zz", "yz", "xz", "xy"]
    ax.set(xticks=range(6), yticks=range(6), xticklabels=names, yticklabels=names)
    ax.tick_params(length=0, labelcolor=INK)
    for side in ax.spines.values():
        side.set_visible(False)
    bar = figure.colorbar(image, shrink=0.8, label="GPa")
    bar.outline.set_visible(False)
    if title:
        ax.set_title(title, loc="left", color=INK)
    return _written(figure, path)


def calibration_plot(
    bins: Mapping[str, Sequence[Mapping[str, float]]], path: str | Path | None = None, *, title: str = ""
) -> Figure:
    """Stated against true bands on data kept out, by kind of label (a model's `calibration` bins)."""
    figure = Figure(figsize=(4.1 * len(bins), 4.3), layout="constrained")
    axes = figure.subplots(1, len(bins), squeeze=False)[0]
    for ax, (kind, rows) in zip(axes, bins.items(), strict=True):
        name, unit = kind.capitalize(), LABEL_UNITS[kind]
        stated, true = ([row[key] for row in rows] for key in ("band", "true"))
        positive = [v for v in (*stated, *true) if v > 0]
        limits = (0.7 * min(positive), 1.4 * max(positive))
        ax.plot(limits, limits, "-", lw=0.8, color=INK)
        ax.plot(stated, true, "o-", ms=5, color=COLOURS[0])
        ax.set(
            xscale="log", yscale="log", xlim=limits, ylim=limits, aspect="equal",
            xlabel=f"stated 90 % band ({unit})", ylabel=f"true 90 % of errors ({unit})",
        )  # fmt: skip
        _tidy(ax, name)
    if title:
        figure.suptitle(title, color=INK)
    return _written(figure, path)


def tuning_plot(tuning: Tuning, path: str | Path | None = None, *, title: str = "") -> Figure:
    """Score against cost of each trial, the best marked."""
    figure = Figure(figsize=(6.0, 4.3), layout="constrained")
    ax = figure.subplots()
    ax.plot([t.microseconds for t in tuning.trials], [t.score for t in tuning.trials], "o", color=COLOURS[0])
    ax.plot(tuning.best.microseconds, tuning.best.score, "o", ms=11, mfc="none", color=COLOURS[1])
    ax.annotate("best", (tuning.best.microseconds, tuning.best.score), (8, 8), textcoords="offset points")
    ax.set(xlabel="µs/atom (energy, forces, stress; one thread)", ylabel="error on data left out (first = 1)")
    _tidy(ax, title)
    return _written(figure, path)


def learning_plot(points: Sequence[Point], path: str | Path | None = None, *, title: str = "") -> Figure:
    """Energy and force errors against the number of training structures, a line for each potential."""
    keys = [
        (key, label)
        for key, label in (("energy_mae", "energy MAE (meV/atom)"), ("force_mae", "force MAE (eV/Å)"))
        if any(key in p.errors for p in points)
    ]
    figure = Figure(figsize=(4.6 * len(keys), 4.0), layout="constrained")
    axes = figure.subplots(1, len(keys), squeeze=False)[0]
    for ax, (key, label) in zip(axes, keys, strict=True):
        for index, name in enumerate(dict.fromkeys(p.name for p in points)):
            mine = [p for p in points if p.name == name and key in p.errors]
            values = [p.errors[key] for p in mine]
            ax.plot([p.n_frames for p in mine], values, "o-", color=_colour(index), label=name)
        ax.set(xscale="log", yscale="log", xlabel="training structures", ylabel=label)
        ax.xaxis.set_major_formatter(ScalarFormatter())
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xticks(sorted({p.n_frames for p in points}))
        _tidy(ax)
    axes[0].legend(frameon=False)
    if title:
        figure.suptitle(title, color=INK)
    return _written(figure, path)


def choice_plot(choice: Choice, path: str | Path | None = None, *, title: str = "") -> Figure:
    """What each chosen structure adds, and the largest doubt that is left after it."""
    figure = Figure(figsize=(6.0, 4.3), layout="constrained")
    ax = figure.subplots()
    number = range(1, 1 + len(choice.chosen))
    ax.plot(number, choice.doubts, "o", ms=4, color=COLOURS[0], label="doubt about the one taken")
    ax.plot(number, choice.largest_doubt, "-", color=COLOURS[1], label="largest doubt left")
    ax.set(yscale="log", xlabel="structures taken", ylabel="doubt (over the noise)")
    ax.legend(frameon=False)
    _tidy(ax, title)
    return _written(figure, path)


def phonon_plot(phonons: Phonons, path: str | Path | None = None, *, title: str = "") -> Figure:
    """Frequencies along the path, with error bands where there is a committee, beside their density.

    Imaginary frequencies are drawn below zero.
    """
    figure = Figure(figsize=(7.6, 4.3), layout="constrained")
    ax, side = figure.subplots(1, 2, sharey=True, width_ratios=(4, 1))
    x, values, bands = phonons.distances, phonons.frequencies, phonons.frequencies_band
    # Where the path jumps from one point to another, the distance stands still.
    pieces = np.split(np.arange(len(x)), np.flatnonzero(np.diff(x) < 1e-9) + 1)
    for piece in pieces:
        for mode in range(values.shape[1]):
            if bands is not None:
                low, high = (values[piece, mode] + sign * bands[piece, mode] for sign in (-1, 1))
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
        _tidy(panel)
    if phonons.stable:
        ax.set_ylim(0, None)
    else:
        _note(ax, 0.5, f"unstable: imaginary frequencies up to {phonons.imaginary:.2f} THz", ha="center")
    ax.grid(False, axis="y")
    side.grid(False)
    if title:
        ax.set_title(title, loc="left", color=INK)
    return _written(figure, path)


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
    """Free energy, entropy and heat capacity against temperature, with error bands where there are any."""
    molar = mol / kJ * 1000  # eV to J/mol
    return _against_temperature(
        thermal.temperatures,
        (
            ("free energy (meV/atom)", 1000.0, thermal.free_energy, thermal.free_energy_band),
            ("entropy (J/K/mol)", molar, thermal.entropy, thermal.entropy_band),
            ("heat capacity (J/K/mol)", molar, thermal.heat_capacity, thermal.heat_capacity_band),
        ),
        path,
        title,
    )


def expansion_plot(result: QuasiHarmonic, path: str | Path | None = None, *, title: str = "") -> Figure:
    """Volume, expansion and bulk modulus against temperature, with error bands where there are any."""
    return _against_temperature(
        result.temperatures,
        (
            ("volume (Å³/atom)", 1.0, result.volume, result.volume_band),
            ("linear expansion (10⁻⁶/K)", 1e6, result.expansion, result.expansion_band),
            ("bulk modulus (GPa)", 1.0, result.bulk_modulus, result.bulk_modulus_band),
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
    """Panels side by side: label, scale, values (T,) and half-widths of their bands."""
    figure = Figure(figsize=(3.7 * len(panels), 3.6), layout="constrained")
    for ax, (label, scale, values, band) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        if band is not None:
            low, high = (scale * (values + sign * band) for sign in (-1, 1))
            ax.fill_between(temperatures, low, high, color=COLOURS[0], alpha=0.2, lw=0)
        ax.plot(temperatures, scale * values, "-", color=COLOURS[0])
        ax.set(xlabel="temperature (K)", ylabel=label)
        _tidy(ax)
    if title:
        figure.suptitle(title, color=INK)
    return _written(figure, path)


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _tidy(ax: Axes, title: str = "") -> None:
    """The look that all figures share."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, color=FAINT, lw=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(color=INK, labelcolor=INK)
    if title:
        ax.set_title(title, loc="left", color=INK)


def _note(ax: Axes, x: float, text: str, ha: str = "left") -> None:
    """A text at the top of the panel, legible where lines pass behind it."""
    box = {"facecolor": "white", "edgecolor": "none", "pad": 2, "alpha": 0.85}
    ax.text(x, 0.96, text, transform=ax.transAxes, va="top", ha=ha, color=INK, fontsize=9, bbox=box)


def _written(figure: Figure, path: str | Path | None) -> Figure:
    if path is not None:
        require_format(path)
        figure.savefig(path, dpi=DPI)
    return figure
