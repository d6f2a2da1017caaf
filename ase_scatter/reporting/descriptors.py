"""What was found about descriptors and data sets, as text."""

from __future__ import annotations

from ..descriptors.comparison import Comparison
from ..descriptors.criteria import FAMILIES, Judgement
from .tables import text_table


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
