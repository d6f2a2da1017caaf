"""Figures of how fast models are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from ..reporting.benchmark import Benchmark
from ..reporting.timing import Timing
from .base import INK, colour, tidy, written


def benchmark_plot(found: Benchmark, path: str | Path | None = None, *, title: str = "") -> Figure:
    """Plot a benchmark, with a line for each device and dtype.

    Parameters
    ----------
    found : Benchmark
        The timings.
    path : str or Path, optional
        File to write, by its suffix; by default none is written.
    title : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The figure.
    """
    lines: dict[str, list[Timing]] = {}
    for row in found.rows:
        line = lines.setdefault(f"{row.device} {row.dtype}", [])
        if row.timing is not None:
            line.append(row.timing)
    return timing_plot(lines, path, title=title)


def timing_plot(
    lines: Mapping[str, Sequence[Timing]], path: str | Path | None = None, *, title: str = ""
) -> Figure:
    """Plot the time per step, fastest to slowest, and atom-steps per second against the number of atoms.

    Parameters
    ----------
    lines : mapping
        Label → timings.
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
    axes = figure.subplots(1, 2)
    for index, (label, timings) in enumerate(lines.items()):
        atoms = [t.n_atoms for t in timings]
        look = {"color": colour(index), "label": label, "ms": 5}
        milliseconds = [1e3 * t.median for t in timings]
        spread = (
            [1e3 * (t.median - min(t.times)) for t in timings],
            [1e3 * (max(t.times) - t.median) for t in timings],
        )
        axes[0].errorbar(atoms, milliseconds, yerr=spread, fmt="o-", capsize=3, elinewidth=1, **look)
        axes[1].plot(atoms, [t.atom_steps for t in timings], "o-", **look)
    for ax, label in zip(axes, ("ms per step", "atom-steps per second"), strict=True):
        ax.set(xscale="log", yscale="log", xlabel="atoms", ylabel=label)
        _over_sizes(ax, [t.n_atoms for timings in lines.values() for t in timings])
        tidy(ax)
    if lines:
        figure.legend(*axes[1].get_legend_handles_labels(), loc="outside right center", frameon=False)
    figure.suptitle(title, color=INK)
    return written(figure, path)


def _over_sizes(ax: Axes, sizes: list[int]) -> None:
    """Ticks at the sizes, and whole decades of what is plotted over them."""
    ax.set_xticks(sorted(set(sizes)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}".replace(",", "\u2009")))
    ax.xaxis.set_minor_locator(NullLocator())
    low, high = np.log10(ax.get_ylim())
    ax.set_ylim(10 ** np.floor(low), 10 ** np.ceil(high))
