"""What was found about descriptors and data sets, as text."""

from __future__ import annotations

from ..descriptors.comparison import Comparison
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
