"""Plain-text tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ..training.coverage import INSIDE, HeldOut
from ..training.hyperparameters import Tuning
from ..training.metrics import LABEL_UNITS, ErrorTable

MISSING = "–"

ERROR_COLUMNS: dict[str, tuple[str, str, str]] = {
    "energy_mae": ("E MAE", "meV/atom", ".2f"),
    "energy_rmse": ("E RMSE", "meV/atom", ".2f"),
    "force_mae": ("F MAE", "eV/Å", ".4f"),
    "force_rmse": ("F RMSE", "eV/Å", ".4f"),
    "stress_mae": ("S MAE", "GPa", ".3f"),
    "stress_rmse": ("S RMSE", "GPa", ".3f"),
}
"""Statistic → heading, unit, format."""


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under a header, the first column to the left and the others to the right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        first, *rest = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join([first, *rest]).rstrip()

    rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([line(header), rule, *map(line, rows)])


def error_table(errors: Mapping[str, ErrorTable]) -> str:
    """Errors by set ("train", "test", …) and group, as `metrics.errors` gives them.

    Statistics that no group has are left out.
    """
    known = {name for groups in errors.values() for values in groups.values() for name in values}
    columns = {name: column for name, column in ERROR_COLUMNS.items() if name in known}
    header = ["set", "group", "frames", "atoms", *(f"{name} ({unit})" for name, unit, _ in columns.values())]
    rows = []
    for part, groups in errors.items():
        for group, values in groups.items():
            counts = [f"{values['n_frames']:.0f}", f"{values['n_atoms']:.0f}"]
            cells = [number(values.get(name), form) for name, (_, _, form) in columns.items()]
            rows.append([part, group, *counts, *cells])
    return text_table(header, rows)


def number(value: float | None, form: str) -> str:
    """A number in a format, or a dash where there is none."""
    return MISSING if value is None else format(value, form)


def measured(value: float | None, band: float | None, form: str) -> str:
    """A number with the half-width of its band, or alone where there is none."""
    known = band is not None and band == band
    return f"{number(value, form)} ± {number(band, form)}" if known else number(value, form)


def calibration_rows(held: dict[str, HeldOut]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table of stated and true bands."""
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


def calibration_table(held: dict[str, HeldOut]) -> str:
    """`calibration_rows` as a text."""
    return text_table(*calibration_rows(held))


def rows(tuning: Tuning) -> Iterator[list[str]]:
    """Trials as rows of a table, the best marked."""
    for trial in tuning.trials:
        kinds = ("energy", "force", "stress")
        errors = [f"{trial.errors[k]:.4g}" if k in trial.errors else "–" for k in kinds]
        changes = ", ".join(f"{name} {value}" for name, value in trial.changes.items()) or "as given"
        mark = "*" if trial is tuning.best else ""
        yield [changes + mark, *errors, f"{trial.score:.4f}", f"{trial.microseconds:.0f}", str(trial.columns)]


HEADER = ["changes", "E (meV/atom)", "F (eV/Å)", "S (GPa)", "score", "µs/atom", "columns"]
"""Headings of `rows`; the errors are on data left out."""
