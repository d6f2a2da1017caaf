"""Figures of how fast models are."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

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
        tidy(ax)
    axes[0].legend(frameon=False)
    figure.suptitle(title, color=INK)
    return written(figure, path)
