"""Figures of choices in training: hyperparameters, amount of data, structures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator, ScalarFormatter

from ..training.active_learning import Choice
from ..training.hyperparameters import Tuning
from ..training.learning_curve import Point
from .base import COLOURS, INK, colour, tidy, written


def tuning_plot(tuning: Tuning, path: str | Path | None = None, *, title: str = "") -> Figure:
    """Plot score against cost of each trial, the best one marked.

    Parameters
    ----------
    tuning : Tuning
        The trials.
    path : str or Path, optional
        File to write, by its suffix; by default none is written.
    title : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The figure.
    """
    figure = Figure(figsize=(6.0, 4.3), layout="constrained")
    ax = figure.subplots()
    ax.plot([t.microseconds for t in tuning.trials], [t.score for t in tuning.trials], "o", color=COLOURS[0])
    ax.plot(tuning.best.microseconds, tuning.best.score, "o", ms=11, mfc="none", color=COLOURS[1])
    ax.annotate("best", (tuning.best.microseconds, tuning.best.score), (8, 8), textcoords="offset points")
    ax.set(xlabel="µs/atom (energy, forces, stress; one thread)", ylabel="error on data left out (first = 1)")
    tidy(ax, title)
    return written(figure, path)


def learning_plot(points: Sequence[Point], path: str | Path | None = None, *, title: str = "") -> Figure:
    """Plot energy and force errors against the number of training structures.

    Parameters
    ----------
    points : sequence of Point
        Errors; each name is a line.
    path : str or Path, optional
        File to write, by its suffix; by default none is written.
    title : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The figure.
    """
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
            ax.plot([p.n_frames for p in mine], values, "o-", color=colour(index), label=name)
        ax.set(xscale="log", yscale="log", xlabel="training structures", ylabel=label)
        ax.xaxis.set_major_formatter(ScalarFormatter())
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xticks(sorted({p.n_frames for p in points}))
        # Plain numbers; in a short range the minor ticks are all there are.
        for set_formatter in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
            set_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        tidy(ax)
    axes[0].legend(frameon=False)
    if title:
        figure.suptitle(title, color=INK)
    return written(figure, path)


def choice_plot(choice: Choice, path: str | Path | None = None, *, title: str = "") -> Figure:
    """Plot the doubt about each chosen structure, and the largest doubt that is left after it.

    Parameters
    ----------
    choice : Choice
        The chosen structures.
    path : str or Path, optional
        File to write, by its suffix; by default none is written.
    title : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The figure.
    """
    figure = Figure(figsize=(6.0, 4.3), layout="constrained")
    ax = figure.subplots()
    number = range(1, 1 + len(choice.chosen))
    ax.plot(number, choice.doubts, "o", ms=4, color=COLOURS[0], label="doubt about the one taken")
    ax.plot(number, choice.largest_doubt, "-", color=COLOURS[1], label="largest doubt left")
    ax.set(yscale="log", xlabel="structures taken", ylabel="doubt (over the noise)")
    ax.legend(frameon=False)
    tidy(ax, title)
    return written(figure, path)
