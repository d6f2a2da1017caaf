"""Plain-text tables, and those of fits: errors, error bars, hyperparameters, learning curves, choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..training.active_learning import Choice
from ..training.coverage import INSIDE, HeldOut
from ..training.findings import Finding
from ..training.hyperparameters import Tuning
from ..training.learning_curve import Point
from ..training.metrics import LABEL_UNITS, ErrorTable

MISSING = "–"
"""Stands where there is no number."""

ERROR_COLUMNS: dict[str, tuple[str, str, str]] = {
    "energy_mae": ("E MAE", "meV/atom", ".2f"),
    "energy_rmse": ("E RMSE", "meV/atom", ".2f"),
    "force_mae": ("F MAE", "eV/Å", ".4f"),
    "force_rmse": ("F RMSE", "eV/Å", ".4f"),
    "stress_mae": ("S MAE", "GPa", ".3f"),
    "stress_rmse": ("S RMSE", "GPa", ".3f"),
}
"""Statistic → heading, unit, format."""
ATOMIC_COLUMNS = {"atomic_mae": ("A MAE", "eV", ".4f"), "atomic_rmse": ("A RMSE", "eV", ".4f")}
"""The same of the energies of single atoms, which few data have."""

TRIAL_COLUMNS = ["changes", "E (meV/atom)", "F (eV/Å)", "S (GPa)", "score", "µs/atom", "columns"]
"""Headings of `trial_rows`; the errors are those on data left out."""


def findings_table(findings: Sequence[Finding]) -> str:
    """Tabulate what was found in a set of data.

    Parameters
    ----------
    findings : sequence of Finding
        The findings.

    Returns
    -------
    str
        Name, number of frames, the frame to look at first, what was found and what to do; notes are marked
        as such.
    """
    if not findings:
        return "nothing was found to be wrong with the data"
    width = max(len(finding.name) for finding in findings)
    lines = [f"{'finding':{width}}  frames   worst  what to do", "─" * (width + 30)]
    for finding in findings:
        worst = MISSING if finding.worst is None else str(finding.worst)
        note = "" if finding.serious else "note: "
        lines.append(f"{finding.name:{width}}  {len(finding.frames):6}  {worst:>6}  {note}{finding.text}")
        lines.append(f"{'':{width + 18}}{finding.advice}")
    return "\n".join(lines)


# ---- any table ------------------------------------------------------------------------------------------


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Align rows under a header, the first column to the left and the others to the right.

    Parameters
    ----------
    header : sequence of str
        Headings of the columns.
    rows : sequence of sequence of str
        Cells, as many in each row as there are headings.

    Returns
    -------
    str
        The table, without a newline at its end.
    """
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        first, *rest = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join([first, *rest]).rstrip()

    rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([line(header), rule, *map(line, rows)])


def number(value: float | None, form: str) -> str:
    """Format a number.

    Parameters
    ----------
    value : float or None
        The number, or None where there is none.
    form : str
        A format such as ".2f".

    Returns
    -------
    str
        The number, or a dash for None.
    """
    return MISSING if value is None else format(value, form)


def measured(value: float | None, half_width: float | None, form: str) -> str:
    """Format a number with its error bar, to the digits that the error bar allows.

    Parameters
    ----------
    value : float or None
        The number, or None where there is none.
    half_width : float or None
        Half-width of the interval around it; None or nan without an error bar.
    form : str
        A format of fixed decimals such as ".2f", for a number without an error bar; with one there is at
        most one decimal more.

    Returns
    -------
    str
        "value ± half-width", the half-width to two significant digits and the value to the same decimal, or
        the value alone without an error bar.
    """
    most = int(form.strip("zf").lstrip(".")) + 1
    # Of an error bar that is zero by symmetry only rounding errors are left.
    if value is None or half_width is None or not half_width >= 0.5 * 10**-most:
        return number(value, form)
    decimals = min(most, max(0, 1 - int(f"{half_width:.1e}".partition("e")[2])))
    return f"{value:z.{decimals}f} ± {half_width:.{decimals}f}"


def value_table(rows: Sequence[tuple[str, float | None, float | None, str]]) -> str:
    """Tabulate single values with their error bars.

    Parameters
    ----------
    rows : sequence of (str, float or None, float or None, str)
        Heading with its unit, value, half-width of its 90 % interval and format, as in `measured`.

    Returns
    -------
    str
        The table; the heading speaks of error bars only where there is one.
    """
    known = any(half_width is not None and half_width > 0 for _, _, half_width, _ in rows)
    header = ["", "value ± 90 % half-width" if known else "value"]
    return text_table(header, [[name, measured(value, width, form)] for name, value, width, form in rows])


# ---- errors and error bars ------------------------------------------------------------------------------


def error_headings() -> list[str]:
    """Headings of `error_cells`, with units.

    Returns
    -------
    list of str
        One for each of `ERROR_COLUMNS`.
    """
    return [f"{name} ({unit})" for name, unit, _ in ERROR_COLUMNS.values()]


def error_cells(statistics: Mapping[str, float]) -> list[str]:
    """Format the error statistics of one group.

    Parameters
    ----------
    statistics : mapping of str to float
        Statistics by name, as `training.metrics.errors` gives them, in the units of `ERROR_COLUMNS`.

    Returns
    -------
    list of str
        One cell for each of `ERROR_COLUMNS`, a dash for statistics that are not there.
    """
    return [number(statistics.get(name), form) for name, (_, _, form) in ERROR_COLUMNS.items()]


def error_table(errors: Mapping[str, ErrorTable]) -> str:
    """Tabulate errors by set and group; statistics that no group has are left out.

    Parameters
    ----------
    errors : mapping of str to ErrorTable
        Name of a set ("train", "test", …) → table, as `training.metrics.errors` gives it.

    Returns
    -------
    str
        The table.
    """
    known = {name for groups in errors.values() for values in groups.values() for name in values}
    shown = {name: column for name, column in {**ERROR_COLUMNS, **ATOMIC_COLUMNS}.items() if name in known}
    header = ["set", "group", "frames", "atoms", *(f"{name} ({unit})" for name, unit, _ in shown.values())]
    rows = []
    for part, groups in errors.items():
        for group, values in groups.items():
            counts = [f"{values['n_frames']:.0f}", f"{values['n_atoms']:.0f}"]
            cells = [number(values.get(name), form) for name, (_, _, form) in shown.items()]
            rows.append([part, group, *counts, *cells])
    return text_table(header, rows)


def calibration_rows(held: Mapping[str, HeldOut]) -> tuple[list[str], list[list[str]]]:
    """Compare stated error bars with true errors.

    Parameters
    ----------
    held : mapping of str to HeldOut
        Kind of label → errors, with the stated half-widths as their spreads, as
        `training.reliability.half_widths_and_errors` gives them.

    Returns
    -------
    header : list of str
        Headings.
    rows : list of list of str
        One row for each kind of label.
    """
    rows = []
    for kind, h in held.items():
        true = float(np.quantile(h.errors, INSIDE))
        rows.append(
            [
                f"{kind} ({LABEL_UNITS[kind]})",
                str(len(h.errors)),
                f"{h.spreads.mean():.3g}",
                f"{true:.3g}",
                f"{100 * h.inside(1.0):.1f} %",
                f"{h.rank_correlation:.2f}",
            ]
        )
    heads = ["", "labels", "mean 90 % band", "90 % of errors below", "inside their band", "rank correlation"]
    return heads, rows


def calibration_table(held: Mapping[str, HeldOut]) -> str:
    """Tabulate stated error bars beside true errors.

    Parameters
    ----------
    held : mapping of str to HeldOut
        As in `calibration_rows`.

    Returns
    -------
    str
        The table.
    """
    return text_table(*calibration_rows(held))


# ---- choices made in training ---------------------------------------------------------------------------


def trial_rows(tuning: Tuning) -> list[list[str]]:
    """Cells of the trials of a search for hyperparameters.

    Parameters
    ----------
    tuning : Tuning
        The search.

    Returns
    -------
    list of list of str
        One row for each trial, under the headings `TRIAL_COLUMNS`; the best has an asterisk.
    """
    rows = []
    for trial in tuning.trials:
        errors = [number(trial.errors.get(kind), ".4g") for kind in ("energy", "force", "stress")]
        changes = ", ".join(f"{name} {value}" for name, value in trial.changes.items()) or "as given"
        mark = "*" if trial is tuning.best else ""
        cost = [f"{trial.microseconds:.0f}", str(trial.columns)]
        rows.append([changes + mark, *errors, f"{trial.score:.4f}", *cost])
    return rows


def learning_table(points: Sequence[Point]) -> str:
    """Tabulate a learning curve.

    Parameters
    ----------
    points : sequence of Point
        The points, one at least. Statistics that the first does not have are left out.

    Returns
    -------
    str
        The table: frames, atoms, errors and seconds of each point.
    """
    shown = [k for k, name in enumerate(ERROR_COLUMNS) if name in points[0].errors]
    header = ["", "frames", "atoms", *(error_headings()[k] for k in shown), "s"]
    rows = []
    for point in points:
        cells = error_cells(point.errors)
        counts = [point.name, str(point.n_frames), str(point.n_atoms)]
        rows.append([*counts, *(cells[k] for k in shown), f"{point.seconds:.0f}"])
    return text_table(header, rows)


def choice_table(choice: Choice) -> str:
    """Tabulate the structures that were chosen from a pool.

    Parameters
    ----------
    choice : Choice
        The choice.

    Returns
    -------
    str
        The table: number in the pool, information (nats), doubt before it was chosen and largest doubt
        after it, both in units of the noise.
    """
    rows = [
        [str(k + 1), str(structure), f"{gain:.1f}", f"{doubt:.2f}", f"{left:.2f}"]
        for k, (structure, gain, doubt, left) in enumerate(
            zip(choice.chosen, choice.gains, choice.doubts, choice.largest_doubt, strict=True)
        )
    ]
    return text_table(["", "structure", "information (nats)", "its doubt", "largest doubt left"], rows)
