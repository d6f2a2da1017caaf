"""What was found about descriptors and data sets, as text."""

from __future__ import annotations

from ..descriptors.comparison import Comparison
from ..descriptors.criteria import FAMILIES, Judgement
from ..descriptors.transferability import Transfer
from .tables import number, text_table


def comparison_text(found: Comparison, first: str, second: str) -> str:
    """Two data sets, and what tells them apart, as text.

    Parameters
    ----------
    found : Comparison
        The comparison.
    first, second : str
        Names of the sets.

    Returns
    -------
    str
        Tables, and what they mean.
    """
    lines = [
        f"{second} against {first}: AUC {found.auc:.3f} over atoms, {found.auc_frames:.3f} over structures",
        *found.in_words(),
        "",
    ]
    rows = [
        [kind, part.name or "–", str(part.n_frames), str(part.n_atoms), f"{part.auc:.3f}",
         f"{100 * part.outside:.1f}", f"{part.grade:.2f}"]
        for kind, parts in (("element", found.elements), ("group", found.groups))
        for part in parts
    ]  # fmt: skip
    lines += [
        text_table(["", "of the second", "frames", "atoms", "AUC", "outside (%)", "median grade"], rows)
    ]
    if found.columns:
        rows = [[label, f"{value:.3f}"] for label, value in found.columns[:6]]
        lines += ["", text_table(["columns that tell most by themselves", "AUC"], rows)]
    rows = [[str(k), f"{score:+.2f}", f"{grade:.2f}"] for k, score, grade in found.frames[:6]]
    lines += ["", text_table(["structure of the second, least like the first", "log-odds", "grade"], rows)]
    rows = [[str(k), str(i), f"{score:+.2f}", f"{grade:.2f}"] for k, i, score, grade in found.atoms[:6]]
    lines += ["", text_table(["structure", "atom", "log-odds", "grade"], rows)]
    return "\n".join(lines)


def judgement_text(found: Judgement) -> str:
    """A descriptor under six criteria, as text.

    Parameters
    ----------
    found : Judgement
        What was measured.

    Returns
    -------
    str
        A table for each criterion.
    """
    families = [name for name in FAMILIES if name in found.methane]
    told = {(row.pair, row.family): row for row in found.uniqueness}
    pairs = {row.pair: row.blind for row in found.uniqueness}
    rows = [
        [f"{pair} (same {blind})", *(f"{told[pair, family].distance:.1e}" for family in families)]
        for pair, blind in pairs.items()
    ]
    rows.append(["methane manifold, smallest", *(f"{found.methane[family]:.1e}" for family in families)])
    invariance = [[name, f"{value:.1e}"] for name, value in found.invariance.items()]
    path = found.continuity
    return "\n".join(
        [
            text_table(["1 invariance: under", "largest relative change"], invariance),
            "",
            "2 uniqueness: distance over that to a generic displacement of equal size",
            text_table(["", *families], rows),
            "",
            f"3 continuity: through the cutoff values change by {path.value:.3f}, slopes by {path.slope:.3f} "
            f"and curvatures by {path.curvature:.3f} of their largest, between points {path.spacing:.4f} of "
            "the switch apart",
            f"4 efficiency: {found.n_features} columns; {found.microseconds['features']:.0f} µs/atom, "
            f"{found.microseconds['derivatives']:.0f} with all derivatives of each atom's columns",
            f"5 structure: always {found.n_features} numbers; {100 * found.zeros:.0f} % of the derivatives "
            f"are zero in 216 atoms; {found.dimension} axes hold 99.9 % of the variance",
            "6 generality: " + ", ".join(f"{k} {'yes' if ok else 'NO'}" for k, ok in found.general.items()),
        ]
    )


def _told(value: float, form: str) -> str:
    """A number, or a dash for nan."""
    return number(None if value != value else value, form)


def transfer_rows(found: Transfer) -> tuple[list[str], list[list[str]]]:
    """Errors and warnings of each group as a table.

    Parameters
    ----------
    found : Transfer
        A potential on other data.

    Returns
    -------
    header : list of str
        Headings.
    rows : list of list of str
        A row for each group.
    """
    unit = "eV/Å" if found.of_forces else "eV/atom"
    header = [
        "group", "frames", "E MAE (meV/atom)", "F RMSE (eV/Å)", "large errors (%)", "median grade",
        "grade > 1 (%)", f"half-width ({unit})", "inside (%)",
    ]  # fmt: skip
    rows = [
        [
            g.name, str(g.n_frames), f"{g.energy_mae:.2f}", _told(g.force_rmse, ".4f"),
            _told(100 * g.large, ".1f"), _told(g.grade, ".2f"), _told(100 * g.outside, ".1f"),
            _told(g.half_width, ".4f"), _told(100 * g.coverage, ".0f"),
        ]
        for g in found.groups
    ]  # fmt: skip
    return header, rows


def transfer_sentence(found: Transfer) -> str:
    """What the warnings of a potential were worth on other data.

    Parameters
    ----------
    found : Transfer
        A potential on other data.

    Returns
    -------
    str
    """
    unit = "eV/Å" if found.of_forces else "eV/atom"
    areas = ", ".join(f"{_told(value, '.3f')} by {name}" for name, value in found.roc.items())
    said = (
        f"Errors above three times the median ({found.threshold:.4f} {unit}) count as large. Area under the "
        f"curve that finds them: {areas}. A grade above 1 warned of {_told(100 * found.warned, '.0f')} % of "
        f"them, and of {100 * found.false:.0f} % of the others."
    )
    if found.missed:
        frame, atom, error, grade = found.missed[0]
        where = f"structure {frame}" + (f", atom {atom}" if atom >= 0 else "")
        said += f" The largest without a warning is {error:.3f} {unit} ({where}, grade {grade:.2f})."
    return said


def transfer_text(found: Transfer) -> str:
    """A potential on other data, as text.

    Parameters
    ----------
    found : Transfer
        A potential on other data.

    Returns
    -------
    str
        A table, and what it means.
    """
    return f"{found.name}\n{text_table(*transfer_rows(found))}\n{transfer_sentence(found)}"
