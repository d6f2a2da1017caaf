"""Colours, ticks and files: the common look of all figures.

Figures are built without pyplot: they need no display and leave matplotlib's state alone.
"""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from ..compute.files import write_whole
from ..errors import InputError

# Okabe and Ito's palette, which most colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#B2A100")
INK, FAINT = "#333333", "#D9D9D9"
DPI = 160


def require_format(path: str | Path) -> None:
    """Check that a figure can be written to a path.

    Parameters
    ----------
    path : str or Path
        Name of a file.

    Raises
    ------
    InputError
        If its suffix is not that of an image format of matplotlib.
    """
    known = FigureCanvasBase.get_supported_filetypes()
    if Path(path).suffix.lower().removeprefix(".") not in known:
        raise InputError(f"no figure can be written to {path}; its name must end in .png, .pdf or .svg")


def colour(index: int) -> str:
    """Colour of the line or bar of this index.

    Parameters
    ----------
    index : int
        From 0; the palette starts anew after its last colour.

    Returns
    -------
    str
        A colour of matplotlib.
    """
    return COLOURS[index % len(COLOURS)]


def tidy(ax: Axes, title: str = "") -> None:
    """Give a panel the common look.

    Parameters
    ----------
    ax : Axes
        The panel.
    title : str, default ""
        Written above the panel.
    """
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, color=FAINT, lw=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(color=INK, labelcolor=INK)
    if title:
        ax.set_title(title, loc="left", color=INK)


def note(ax: Axes, x: float, text: str, ha: str = "left", y: float = 0.96) -> None:
    """Write a text into a panel, legible where lines pass behind it.

    Parameters
    ----------
    ax : Axes
        The panel.
    x : float
        Place from left to right, 0 to 1.
    text : str
        The text.
    ha : {"left", "center", "right"}, default "left"
        Horizontal alignment.
    y : float, default 0.96
        Place of the text's top, from bottom to top, 0 to 1.
    """
    box = {"facecolor": "white", "edgecolor": "none", "pad": 2, "alpha": 0.85}
    ax.text(x, y, text, transform=ax.transAxes, va="top", ha=ha, color=INK, fontsize=9, bbox=box)


def written(figure: Figure, path: str | Path | None) -> Figure:
    """Write a figure.

    Parameters
    ----------
    figure : Figure
        The figure.
    path : str, Path or None
        File to write, by its suffix; None for none.

    Returns
    -------
    Figure
        The same figure.

    Raises
    ------
    InputError
        If the suffix is not that of an image format of matplotlib.
    """
    if path is not None:
        require_format(path)
        image = io.BytesIO()
        figure.savefig(image, dpi=DPI, format=Path(path).suffix[1:].lower())
        write_whole(path, image.getvalue())
    return figure
