"""Figures of how fast models are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from ..benchmark import Benchmark
from .base import INK, colour, tidy, written


def benchmark_plot(found: Benchmark, path: str | Path | None = None, *, title: str = "") -> Figure:
    """Time per step, fastest to slowest, and atom-steps per second over the number of atoms, a line for
    each device and dtype."""
    figure = Figure(figsize=(9.2, 4.0), layout="constrained")
    axes = figure.subplots(1, 2)
    kinds = dict.fromkeys((row.device, row.dtype) for row in found.rows)
    for index, kind in enumerate(kinds):
        timings = [r.timing for r in found.rows if (r.device, r.dtype) == kind and r.timing is not None]
        atoms = [t.n_atoms for t in timings]
        look = {"color": colour(index), "label": " ".join(kind)}
        milliseconds = [1e3 * t.median for t in timings]
        spread = (
            [1e3 * (t.median - min(t.times)) for t in timings],
            [1e3 * (max(t.times) - t.median) for t in timings],
        )
        axes[0].errorbar(atoms, milliseconds, yerr=spread, fmt="o-", ms=5, capsize=3, elinewidth=1, **look)
        axes[1].plot(atoms, [t.atom_steps for t in timings], "o-", ms=5, **look)
    for ax, label in zip(axes, ("ms per step", "atom-steps per second"), strict=True):
        ax.set(xscale="log", yscale="log", xlabel="atoms", ylabel=label)
        over_sizes(ax, [row.n_atoms for row in found.rows])
        tidy(ax)
    if kinds:
        axes[0].legend(frameon=False)
    figure.suptitle(title, color=INK)
    return written(figure, path)


def over_sizes(ax: Axes, sizes: list[int]) -> None:
    """Ticks at the sizes, and whole decades of what is plotted over them."""
    ax.set_xticks(sorted(set(sizes)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}".replace(",", "\u2009")))
    ax.xaxis.set_minor_locator(NullLocator())
    low, high = np.log10(ax.get_ylim())
    ax.set_ylim(10 ** np.floor(low), 10 ** np.ceil(high))
