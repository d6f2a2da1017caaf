"""Figures of a crystal's properties: curve, elastic constants, barrier."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.interpolate import PchipInterpolator

from ..errors import InputError
from ..properties import Barrier, ElasticConstants, EnergyVolume
from ..reporting.tables import measured
from ..reporting.tour import Tour
from .base import COLOURS, INK, colour, note, tidy, written


def eos_plot(
    curve: EnergyVolume,
    path: str | Path | None = None,
    *,
    reference_volume: float | None = None,
    reference: str = "DFT",
    title: str = "",
) -> Figure:
    """Plot energies against volume, both per atom, with the fitted curve.

    Parameters
    ----------
    curve : EnergyVolume
        The energies and the curve.
    path : str or Path, optional
        File to write, by its suffix; by default none is written.
    reference_volume : float, optional
        A volume to be marked, Å³ per atom.
    reference : str, default "DFT"
        Where that volume is from.
    title : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The figure.
    """
    figure = Figure(figsize=(5.4, 4.0), layout="constrained")
    ax = figure.subplots()
    n = curve.n_atoms
    volumes = np.linspace(curve.volumes.min(), curve.volumes.max(), 200)
    ax.plot(volumes / n, 1000 * (curve.curve(volumes) - curve.e0) / n, "-", color=COLOURS[0])
    ax.plot(
        curve.volumes / n, 1000 * (curve.energies - curve.e0) / n, "o", ms=5, color=COLOURS[0], mec="white"
    )
    ax.axvline(curve.v0 / n, color=COLOURS[0], lw=0.9, ls=":")
    if reference_volume is not None:
        ax.axvline(reference_volume, color=COLOURS[1], lw=0.9, ls="--", label=f"{reference} minimum")
        ax.legend(frameon=False, loc="upper right")
    half_width = None if curve.v0_half_width is None else curve.v0_half_width / n
    modulus = measured(curve.bulk_modulus, curve.bulk_modulus_half_width, ".1f")
    text = (
        f"$V_0$ = {measured(curve.v0 / n, half_width, '.3f')} Å³/atom\n"
        f"$B$ = {modulus} GPa\n$B'$ = {curve.bulk_derivative:.2f}"
    )
    # Below the legend.
    note(ax, 0.5, text, ha="center", y=0.96 if reference_volume is None else 0.84)
    ax.set(xlabel="volume (Å³/atom)", ylabel="energy above the minimum (meV/atom)")
    tidy(ax, title)
    return written(figure, path)


def elastic_plot(
    constants: Mapping[str, Mapping[str, float | None]],
    path: str | Path | None = None,
    *,
    half_widths: Mapping[str, Mapping[str, float | None]] | None = None,
    title: str = "",
) -> Figure:
    """Plot elastic constants of several sources side by side.

    Parameters
    ----------
    constants : mapping
        Source → name of a constant → GPa, or None where unknown. Sources and constants keep their order.
    path : str or Path, optional
        File to write, by its suffix; by default none is written.
    half_widths : mapping, optional
        The same for half-widths of error bars, of sources that have any.
    title : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The figure.

    Raises
    ------
    InputError
        If all constants are unknown.
    """
    names = list(dict.fromkeys(name for values in constants.values() for name in values))
    if not any(value is not None for values in constants.values() for value in values.values()):
        raise InputError("there are no elastic constants to draw")
    figure = Figure(figsize=(max(5.4, 1.7 * len(names)), 4.0), layout="constrained")
    ax = figure.subplots()
    width = 0.8 / len(constants)
    for index, (source, values) in enumerate(constants.items()):
        found = [(i, values.get(name)) for i, name in enumerate(names)]
        known = [(i, value) for i, value in found if value is not None]
        offset = (index - (len(constants) - 1) / 2) * width
        widths = (half_widths or {}).get(source, {})
        bars = ax.bar(
            [i + offset for i, _ in known],
            [value for _, value in known],
            0.92 * width,
            color=colour(index),
            label=source,
            yerr=[widths.get(names[i]) or 0.0 for i, _ in known] if widths else None,
            ecolor=INK,
            error_kw={"elinewidth": 0.9},
        )
        ax.bar_label(bars, fmt="{:.0f}", fontsize=8, color=INK, padding=1)
    ax.set_xticks(range(len(names)), names)
    ax.set_ylabel("GPa")
    ax.axhline(0, color=INK, lw=0.8)
    ax.margins(y=0.1)
    ax.legend(frameon=False, ncols=min(len(constants), 4), loc="upper right")
    tidy(ax, title)
    ax.grid(False, axis="x")
    ax.tick_params(axis="x", length=0)
    return written(figure, path)


def tensor_plot(constants: ElasticConstants, path: str | Path | None = None, *, title: str = "") -> Figure:
    """Plot the elastic tensor as a coloured table, with half-widths where there are any.

    Parameters
    ----------
    constants : ElasticConstants
        The tensor, GPa.
    path : str or Path, optional
        File to write, by its suffix; by default none is written.
    title : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The figure.
    """
    figure = Figure(figsize=(6.0, 5.2), layout="constrained")
    ax = figure.subplots()
    tensor, half_width = constants.tensor, constants.tensor_half_width
    largest = float(np.abs(tensor).max())
    image = ax.imshow(tensor, cmap="RdBu", vmin=-largest, vmax=largest)
    for i, j in np.ndindex(6, 6):
        # Entries that are zero by symmetry stay empty.
        if abs(tensor[i, j]) > 1e-6 * largest:
            text = f"{tensor[i, j]:.1f}" + ("" if half_width is None else f"\n± {half_width[i, j]:.1f}")
            dark = abs(tensor[i, j]) > 0.6 * largest
            ax.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if dark else INK)
    names = ["xx", "yy", "zz", "yz", "xz", "xy"]
    ax.set(xticks=range(6), yticks=range(6), xticklabels=names, yticklabels=names)
    ax.tick_params(length=0, labelcolor=INK)
    for side in ax.spines.values():
        side.set_visible(False)
    bar = figure.colorbar(image, shrink=0.8, label="GPa")
    bar.outline.set_visible(False)
    if title:
        ax.set_title(title, loc="left", color=INK)
    return written(figure, path)


def barrier_plot(
    barrier: Barrier,
    path: str | Path | None = None,
    *,
    references: Mapping[str, float] | None = None,
    title: str = "",
) -> Figure:
    """Plot the energy along a minimum-energy path, with 90 % intervals where there are any.

    Parameters
    ----------
    barrier : Barrier
        The path.
    path : str or Path, optional
        File to write, by its suffix; by default none is written.
    references : mapping, optional
        Name → forward barrier of another method, eV; drawn as lines.
    title : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The figure.
    """
    figure = Figure(figsize=(5.8, 4.2), layout="constrained")
    ax = figure.subplots()
    zero = barrier.energies[0]
    heights = barrier.energies - zero
    along = np.linspace(barrier.path[0], barrier.path[-1], 300)
    ax.plot(along, barrier.curve(along) - zero, "-", color=COLOURS[0])
    if barrier.energies_half_width is not None:
        # Monotone between images, so that no half-width becomes negative.
        width = PchipInterpolator(barrier.path, barrier.energies_half_width)(along)
        lower, upper = (barrier.curve(along) - zero + sign * width for sign in (-1, 1))
        ax.fill_between(along, lower, upper, color=COLOURS[0], alpha=0.15, lw=0, label="90 % interval")
    ax.plot(barrier.path, heights, "o", ms=6, color=COLOURS[0], mec="white", label="this model")
    for index, (name, value) in enumerate((references or {}).items(), start=1):
        ax.axhline(value, color=colour(index), lw=1.0, ls="--", label=name, zorder=0)
    if references or barrier.energies_half_width is not None:
        figure.legend(frameon=False, loc="outside lower center", ncols=2 + len(references or ()))
    said = [
        f"{name} {value:.3f}" + (" eV" if half_width is None else f" ± {half_width:.3f} eV")
        for name, value, half_width in (
            ("forward", barrier.forward, barrier.forward_half_width),
            ("backward", barrier.backward, barrier.backward_half_width),
        )
    ]
    said += [] if barrier.intermediate is None else ["(passes a more stable state)"]
    said += [] if barrier.converged else ["(not converged)"]
    note(ax, 0.03, "\n".join(said))
    ax.set(xlabel="path (Å)", ylabel="energy (eV)")
    # Room for the note above the path.
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.12 * (1 + len(said) / 2) * (high - low))
    tidy(ax, title)
    return written(figure, path)


def tour_figures(result: Tour) -> dict[str, Figure]:
    """Plot the results of a tour beside the references that the model came with.

    Parameters
    ----------
    result : Tour
        The results.

    Returns
    -------
    dict
        "energy-volume", "elastic" and "barrier" → figure.
    """
    title = f"{result.element}, model {result.model}"
    length = result.references.get("DFT", {}).get("a")
    volume = None if length is None else length**3 / result.curve.n_atoms
    shown = {"C11": "C11", "C12": "C12", "C44": "C44", "C44_clamped": "C44\n(clamped ions)"}

    def constants(values: Mapping[str, float | None]) -> dict[str, float | None]:
        return {label: values.get(name) for name, label in shown.items()}

    sources = {result.model: constants(result.values())}
    sources |= {source: constants(values) for source, values in result.references.items()}
    heights = {source: values.get("vacancy_migration") for source, values in result.references.items()}
    return {
        "energy-volume": eos_plot(result.curve, reference_volume=volume, title=title),
        "elastic": elastic_plot(
            sources, half_widths={result.model: constants(result.half_widths())}, title=title
        ),
        "barrier": barrier_plot(
            result.barrier,
            references={source: height for source, height in heights.items() if height is not None},
            title=f"Vacancy hop, {title}",
        ),
    }
