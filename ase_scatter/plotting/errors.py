"""Figures of errors: parity, calibration of error bars, number of columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, ScalarFormatter
from numpy.typing import NDArray

from ..errors import InputError
from ..structures.dataset import Frame
from ..training.metrics import LABEL_UNITS, Prediction, energy_pairs, force_pairs, stress_pairs
from .base import COLOURS, INK, colour, note, tidy, written

SMALLEST = 1e-3
"""Share of the largest half-width in a figure; smaller ones lie outside."""


def parity_plot(
    predictions: Sequence[Prediction],
    frames: Sequence[Frame],
    path: str | Path | None = None,
    *,
    title: str = "",
) -> Figure:
    """Plot predictions against reference energies per atom, forces and stresses, by group.

    Panels without labels are left out.

    Parameters
    ----------
    predictions : sequence of Prediction
        The predictions.
    frames : sequence of Frame
        The labelled structures, in the same order.
    path : str or Path, optional
        File to write, by its suffix; by default none is written.
    title : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The figure.

    Raises
    ------
    InputError
        If there are no labels.
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
        note(ax, 0.04, text)
        ax.set_title(name, loc="left", color=INK)
    if groups != [""]:
        handles = [
            ax.plot([], [], "o", ms=5, color=colour(i), label=group or "(no group)")[0]
            for i, group in enumerate(groups)
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(groups), 6), frameon=False)
    if title:
        figure.suptitle(title, color=INK)
    return written(figure, path)


def _parity_panel(ax: Axes, parts: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> None:
    """Reference and predicted values of each group, around the diagonal."""
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
            color=colour(index),
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
    tidy(ax)


def calibration_plot(
    bins: Mapping[str, Sequence[Mapping[str, float]]], path: str | Path | None = None, *, title: str = ""
) -> Figure:
    """Plot stated against true half-widths on data that was kept out.

    Parameters
    ----------
    bins : mapping
        Kind of label → bins of a model's calibration, each with the stated ("band") and the true half-width
        ("true") of nine errors of ten.
    path : str or Path, optional
        File to write, by its suffix; by default none is written.
    title : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The figure.
    """
    figure = Figure(figsize=(4.1 * len(bins), 4.3), layout="constrained")
    axes = figure.subplots(1, len(bins), squeeze=False)[0]
    for ax, (kind, rows) in zip(axes, bins.items(), strict=True):
        name, unit = kind.capitalize(), LABEL_UNITS[kind]
        stated, true = ([row[key] for row in rows] for key in ("band", "true"))
        positive = [v for v in (*stated, *true) if v > 0]
        # Forces that are zero by symmetry have half-widths of rounding errors, which are left out.
        limits = (0.7 * max(min(positive), SMALLEST * max(positive)), 1.4 * max(positive))
        ax.plot(limits, limits, "-", lw=0.8, color=INK)
        ax.plot(stated, true, "o-", ms=5, color=COLOURS[0])
        ax.set(
            xscale="log", yscale="log", xlim=limits, ylim=limits, aspect="equal",
            xlabel=f"stated 90 % half-width ({unit})", ylabel=f"true 90 % of errors ({unit})",
        )  # fmt: skip
        few = limits[1] / limits[0] > 50
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(LogLocator(subs=(1.0,) if few else (1.0, 2.0, 5.0)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_locator(NullLocator())
        tidy(ax, name)
    if title:
        figure.suptitle(title, color=INK)
    return written(figure, path)


def columns_plot(
    scores: Mapping[int, float],
    path: str | Path | None = None,
    *,
    label: str = "validation loss",
    title: str = "",
) -> Figure:
    """Plot an error against the number of columns; the lowest is marked.

    Parameters
    ----------
    scores : mapping
        Number of columns → error.
    path : str or Path, optional
        File to write, by its suffix; by default none is written.
    label : str, default "validation loss"
        What the error is called.
    title : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The figure.

    Raises
    ------
    InputError
        If there are no scores.
    """
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
    tidy(ax, title)
    return written(figure, path)
