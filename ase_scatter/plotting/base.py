"""Colours, ticks and files: what all figures share. They are built without pyplot, so that nothing here needs
a display or changes matplotlib's state."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from ..errors import InputError

# Okabe and Ito's palette, which most colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#B2A100")
INK, FAINT = "#333333", "#D9D9D9"
DPI = 160


def require_format(path: str | Path) -> None:
    """Raise InputError unless the path's suffix is that of an image that can be written."""
    known = FigureCanvasBase.get_supported_filetypes()
    if Path(path).suffix.lower().removeprefix(".") not in known:
        raise InputError(f"no figure can be written to {path}; its name must end in .png, .pdf or .svg")


def colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def tidy(ax: Axes, title: str = "") -> None:
    """The look that all figures share."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, color=FAINT, lw=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(color=INK, labelcolor=INK)
    if title:
        ax.set_title(title, loc="left", color=INK)


def note(ax: Axes, x: float, text: str, ha: str = "left", y: float = 0.96) -> None:
    """A text at the top of the panel, legible where lines pass behind it."""
    box = {"facecolor": "white", "edgecolor": "none", "pad": 2, "alpha": 0.85}
    ax.text(x, y, text, transform=ax.transAxes, va="top", ha=ha, color=INK, fontsize=9, bbox=box)


def written(figure: Figure, path: str | Path | None) -> Figure:
    if path is not None:
        require_format(path)
        figure.savefig(path, dpi=DPI)
    return figure
