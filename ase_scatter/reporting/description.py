"""What a model is, as a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..model.model import Model

LONGEST_LIST = 12
"""Longer lists are counted in a description, not printed."""


def describe(model: Model) -> str:
    """Describe a model: elements, columns, settings, free-atom energies, metadata and committee.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    str
        One line for each entry, the names to the left and the values aligned behind them. Energies are
        in eV, lengths in Å.
    """
    rows: list[tuple[str, Any]] = [
        ("model", model.name),
        ("hash", model.hash),
        ("elements", ", ".join(model.elements)),
        ("columns", model.transform.n_columns),
        ("transform", model.transform.kind),
        *_flattened(model.transform.to_dict().get("settings", {}), "transform "),
        ("core", _repulsion(model)),
        *((f"E0 {symbol} (eV)", f"{energy:.6f}") for symbol, energy in model.e0.items()),
        *_flattened({key: value for key, value in model.metadata.items() if key != "golden"}),
    ]
    if model.committee is not None:
        rows.append(("committee", f"{len(model.committee)} members"))
        rows += [
            (f"committee factor {kind}", f"{value:.3g}") for kind, value in model.committee.factors.items()
        ]
    rows.append(("golden values", "yes" if "golden" in model.metadata else "no"))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _repulsion(model: Model) -> str:
    """Kind and range of the short-range repulsion."""
    if model.core is None:
        return "none"
    low, high = model.core.r_outer.min(), model.core.r_outer.max()
    return f"ZBL, off beyond {low:.2f}" + (f" to {high:.2f} Å" if high > low else " Å")


def _flattened(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Leaves of nested mappings, each under the names that lead to it."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{key} ")
        else:
            yield f"{prefix}{key}", _shown(value)


def _shown(value: Any) -> str:
    """A value as a short text."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        many = len(value) > LONGEST_LIST
        return f"{len(value)} values" if many else ", ".join(map(_shown, value)) or "none"
    return str(value)
