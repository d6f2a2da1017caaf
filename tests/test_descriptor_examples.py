"""What the longer programs about descriptors found, as committed beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "descriptors"


def found(name):
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def test_beside_soap():
    """For each SOAP there are coefficients of equal error on folds whose features are twice as fast."""
    rows = found("beside_soap")["rows"]
    soaps = [row for row in rows if row["descriptor"].startswith("SOAP")]
    ours = [row for row in rows if row["descriptor"].startswith("scattering")]
    assert len(soaps) == 3
    error, features, derivatives = (
        "energy RMSE on folds (meV/atom)", "features (µs/atom)", "derivatives (µs/atom)"
    )  # fmt: skip
    for soap in soaps:
        equal = [row for row in ours if row[error] <= 1.01 * soap[error]]
        assert any(2 * row[features] <= soap[features] for row in equal)
        # SOAP's derivatives are for 50 features at n = 4.
        factor = 1.2 if soap["features"] == 50 else 2.0
        assert any(factor * row[derivatives] <= soap[derivatives] for row in equal)


def test_warnings_in_time():
    roc = found("warnings_in_time")["roc"]
    assert min(roc["grade"], roc["half-width"]) >= 0.8
    assert min(roc["grade"], roc["half-width"]) > roc["distance in SOAP space"]


def test_data_sets():
    by_name = {row["sets"]: row for row in found("data_sets")}
    assert by_name["Si, random halves"]["auc"] == pytest.approx(0.5, abs=0.05)
    assert by_name["W, bulk and dislocations"]["auc"] >= 0.9
    assert by_name["acac, 300 K and 600 K"]["auc"] > by_name["acac, 300 K and 300 K"]["auc"] + 0.2


def test_local_energies():
    """Atomic energies do not help totals of unknown groups: the page says so."""
    figures = found("local_energies")
    assert figures["molecules"] == 49
    rows = {(row["columns"], row["labels"], row["sigma_atomic"]): row for row in figures["rows"]}
    page = (FOLDER.parents[1] / "docs/howto/descriptors.md").read_text(encoding="utf-8")
    for columns in ("products", "order 1", "order 2"):
        totals = rows[columns, "totals", None]["groups_left_out"]
        for labels in ("mulliken", "lowdin", "iao"):
            errors = [rows[columns, labels, sigma]["groups_left_out"] for sigma in (0.1, 0.5, 2.0, 8.0)]
            assert errors[0] > 1.5 * totals
            assert errors[-1] > 0.95 * totals
            if columns == "order 1":
                told = " | ".join(
                    f"{row['groups_left_out']:.0f} ({row['molecules_left_out']:.0f})"
                    for row in (rows[columns, labels, sigma] for sigma in (0.1, 0.5, 2.0, 8.0))
                )
                assert f"| totals, {labels} | {told} |" in page


def test_side_by_side():
    """Errors with all training structures, as the page tells them; every family has its learning curves."""
    rows = found("side_by_side")["rows"]
    page = (FOLDER.parents[1] / "docs/howto/descriptors.md").read_text(encoding="utf-8")
    families = list(dict.fromkeys(row["family"] for row in rows))
    assert {"SOAP", "ACSF", "MBTR", "Chebyshev", "SNAP bispectrum"} < set(families)
    for family in families:
        cells = []
        for name in ("Si", "Mo", "acac"):
            mine = [row for row in rows if (row["set"], row["family"]) == (name, family)]
            assert len(mine) == 8
            most = max(row["size"] for row in mine)
            cells.append(" / ".join(f"{row['mae']:.1f}" for row in mine if row["size"] == most))
        assert f"| {' | '.join(cells)} |" in page
