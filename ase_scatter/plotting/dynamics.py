"""The figure of a run of molecular dynamics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ..properties import Dynamics
from ..properties.dynamics import BEYOND
from .base import COLOURS, tidy, written


def dynamics_plot(run: Dynamics, path: str | Path | None = None, *, title: str = "") -> Figure:
    """Plot temperature and energies over time, the volume if it changed, and the grade where it was watched.

    Parameters
    ----------
    run : Dynamics
        The run.
    path : str or Path, optional
        File to write, by its suffix; by default none is written.
    title : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The figure.
    """
    n, times = len(run.atoms), run.series("time") / 1000
    volumes, grades = run.series("volume") / n, run.series("grade")
    moves, watched = bool(np.ptp(volumes) > 0), np.isfinite(grades)
    rows = 2 + moves + bool(watched.any())
    figure = Figure(figsize=(6.0, 1.2 + 1.6 * rows), layout="constrained")
    axes = figure.subplots(rows, 1, sharex=True)
    axes[0].plot(times, run.series("temperature"), color=COLOURS[1], lw=1.2)
    axes[0].set_ylabel("temperature (K)")
    for k, name in enumerate(("potential_energy", "total_energy")):
        values = run.series(name)
        label = name.partition("_")[0]
        axes[1].plot(times, 1000 * (values - values[0]) / n, color=COLOURS[2 * k], lw=1.2, label=label)
    axes[1].set_ylabel("energy − start\n(meV/atom)")
    axes[1].legend(frameon=False, loc="lower right", ncols=2)
    if moves:
        axes[2].plot(times, volumes, color=COLOURS[3], lw=1.2)
        axes[2].set_ylabel("volume\n(Å³/atom)")
    if watched.any():
        axes[-1].plot(times[watched], grades[watched], "o-", ms=3, color=COLOURS[0], lw=1.0)
        axes[-1].axhline(BEYOND, color=COLOURS[1], lw=0.9, ls="--", label="edge of the training data")
        axes[-1].set_ylabel("largest grade")
        axes[-1].legend(frameon=False, loc="best")
    for ax in axes:
        tidy(ax, title if ax is axes[0] else "")
    axes[-1].set_xlabel("time (ps)")
    return written(figure, path)
