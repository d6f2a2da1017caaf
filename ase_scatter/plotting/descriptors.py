"""Figures about descriptors and data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ..descriptors.comparison import Comparison
from ..descriptors.criteria import FAMILIES, TOLD_APART, Judgement
from ..descriptors.transferability import Transfer
from ..reporting.descriptors import transfer_rows, transfer_sentence
from ..reporting.page import Section
from .base import COLOURS, INK, tidy, written


def comparison_plot(
    found: Comparison, path: str | Path | None = None, *, names: tuple[str, str] = ("first", "second")
) -> Figure:
    """Plot what tells two data sets apart.

    Parameters
    ----------
    found : Comparison
        The comparison.
    path : str or Path, optional
        File to write, by its suffix; by default none is written.
    names : tuple of str
        Names of the sets.

    Returns
    -------
    Figure
        Log-odds of the atoms, their extrapolation grades, and the AUC of the groups.
    """
    figure = Figure(figsize=(11.5, 3.9), layout="constrained")
    scores, grades, parts = figure.subplots(1, 3)
    for ax, pair, logarithmic in ((scores, found.scores, False), (grades, found.grades, True)):
        values = [v[np.isfinite(v)] for v in pair]
        if logarithmic:
            values = [np.maximum(v, 1e-3) for v in values]
        everything = np.concatenate(values)
        low, high = np.quantile(everything, [0.0, 1.0]) if len(everything) else (0.1, 1.0)
        edges = np.geomspace(low, high * 1.001, 50) if logarithmic else np.linspace(low, high + 1e-9, 50)
        for k, v in enumerate(values):
            if len(v):
                share = np.full(len(v), 1.0 / len(v))
                ax.hist(v, edges, weights=share, color=COLOURS[k], alpha=0.6, label=names[k])
        if logarithmic:
            ax.set_xscale("log")
            ax.axvline(1.0, color=INK, lw=0.8)
    scores.set(xlabel="log-odds of the second set (structures left out)", ylabel="share of atoms")
    grades.set(xlabel="extrapolation grade with respect to the first", ylabel="share of atoms")
    scores.legend(frameon=False)
    tidy(scores, f"AUC {found.auc:.3f}")
    tidy(grades, f"{100 * found.outside:.1f} % outside")
    rows = [*found.elements, *found.groups]
    at = np.arange(len(rows))[::-1]
    parts.barh(at, [part.auc for part in rows], color=COLOURS[2])
    parts.axvline(0.5, color=INK, lw=0.8)
    parts.set(xlim=(0, 1), xlabel="AUC")
    parts.set_yticks(at, [part.name or "(no group)" for part in rows])
    tidy(parts, "by element and group")
    return written(figure, path)


def judgement_plot(found: Judgement, path: str | Path | None = None) -> Figure:
    """Plot which family of columns tells which pair of structures apart.

    Parameters
    ----------
    found : Judgement
        What was measured.
    path : str or Path, optional
        File to write, by its suffix; by default none is written.

    Returns
    -------
    Figure
        The figure.
    """
    figure = Figure(figsize=(8.4, 4.6), layout="constrained")
    ax = figure.subplots()
    pairs = list(dict.fromkeys(row.pair for row in found.uniqueness))
    families = [name for name in FAMILIES if name in found.methane]
    for k, family in enumerate(families):
        values = [row.distance for row in found.uniqueness if row.family == family]
        values.append(found.methane[family])
        at = np.arange(len(values)) + 0.12 * (k - 0.5 * (len(families) - 1))
        ax.plot(np.maximum(values, 1e-17), at, "o", color=COLOURS[k], label=family)
    ax.axvline(TOLD_APART, color=INK, lw=0.8)
    ax.set(xscale="log", xlabel="distance over that to a generic displacement of equal size")
    ax.set_yticks(np.arange(len(pairs) + 1), [*pairs, "methane manifold, smallest"])
    ax.invert_yaxis()
    ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=3)
    tidy(ax)
    return written(figure, path)


def transfer_plot(found: Transfer, path: str | Path | None = None) -> Figure:
    """Plot errors over grades, and how well grades and half-widths find large errors.

    Parameters
    ----------
    found : Transfer
        A potential on other data.
    path : str or Path, optional
        File to write, by its suffix; by default none is written.

    Returns
    -------
    Figure
        The figure.
    """
    unit = "eV/Å" if found.of_forces else "eV/atom"
    figure = Figure(figsize=(11.5, 3.9), layout="constrained")
    by_grade, by_width, roc = figure.subplots(1, 3)
    least = 1e-3 * max(found.threshold, 1e-300)
    for ax, values, label in (
        (by_grade, found.grades, "extrapolation grade"),
        (by_width, found.half_widths, f"half-width ({unit})"),
    ):
        ax.plot(values, np.maximum(found.errors, least), ".", ms=2, alpha=0.4, mew=0, color=COLOURS[0],
                rasterized=True)  # fmt: skip
        ax.axhline(found.threshold, color=INK, lw=0.8)
        ax.set(xscale="log", yscale="log", xlabel=label, ylabel=f"error ({unit})")
        tidy(ax)
    by_grade.axvline(1.0, color=INK, lw=0.8)
    for k, (name, (alarms, hits)) in enumerate(found.curves.items()):
        roc.plot(alarms, hits, color=COLOURS[k], label=f"{name}: {found.roc[name]:.3f}")
    roc.plot([0, 1], [0, 1], color=INK, lw=0.8)
    roc.set(xlabel="share of the other errors", ylabel="share of large errors found", aspect="equal")
    roc.legend(frameon=False)
    tidy(roc)
    return written(figure, path)


def transfer_section(found: Transfer) -> Section:
    """The part of a page about a potential on other data.

    Parameters
    ----------
    found : Transfer
        A potential on other data.

    Returns
    -------
    Section
        Table, sentence and figure.
    """
    section = Section(f"Transfer to {found.name}")
    section.table(*transfer_rows(found))
    section.text(transfer_sentence(found))
    section.figure(transfer_plot(found), "errors over warnings, and how well warnings find large errors")
    return section
