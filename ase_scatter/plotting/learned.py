"""Figure of a barrier found by learning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.interpolate import PchipInterpolator

from ..onthefly.barrier import LearnedBarrier
from .base import COLOURS, note, tidy, written


def learned_barrier_plot(
    barrier: LearnedBarrier, path: str | Path | None = None, *, title: str = ""
) -> Figure:
    """Plot a band with the points that the reference confirmed, and how sure it was at each call.

    Parameters
    ----------
    barrier : LearnedBarrier
        The path.
    path : str or Path, optional
        File to write, by its suffix; by default none is written.
    title : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The figure.
    """
    figure = Figure(figsize=(9.2, 4.0), layout="constrained")
    band, calls = figure.subplots(1, 2)
    heights = barrier.energies - barrier.energies[0]
    along = np.linspace(barrier.path[0], barrier.path[-1], 300)
    curve = barrier.curve(along) - barrier.energies[0]
    band.plot(along, curve, "-", color=COLOURS[0])
    if barrier.energies_half_width is not None:
        width = PchipInterpolator(barrier.path, barrier.energies_half_width)(along)
        band.fill_between(along, curve - width, curve + width, color=COLOURS[0], alpha=0.15, lw=0)
    known = np.array(barrier.labelled)
    band.plot(barrier.path[~known], heights[~known], "o", mfc="white", color=COLOURS[0], label="potential")
    band.plot(barrier.path[known], heights[known], "o", color=COLOURS[1], label="reference")
    band.legend(frameon=False, loc="lower center")
    note(band, 0.03, f"{barrier.forward:.3f} eV\n{barrier.n_reference} + {barrier.n_reference_ends} calls")
    band.set(xlabel="path (Å)", ylabel="energy (eV)")
    widths = np.array([width for width, _ in barrier.history])
    number = np.arange(1, len(widths) + 1)
    there = np.isfinite(widths)
    calls.semilogy(number[there], widths[there], "o-", color=COLOURS[0])
    # Structures outside the data have no half-width.
    top = max(widths[there], default=1.0) * 2
    calls.semilogy(number[~there], np.full(int((~there).sum()), top), "^", color=COLOURS[1])
    calls.set(xlabel="call on the band", ylabel="half-width of a force before (eV/Å)", xticks=number)
    tidy(band, title)
    tidy(calls, "")
    return written(figure, path)
