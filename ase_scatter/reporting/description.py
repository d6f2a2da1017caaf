"""What a model is, as a text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

LONGEST_LIST = 12
"""Longer lists are counted in a description, not printed."""


def _flattened(tree: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Leaves of nested mappings, each under the names that lead to it."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{key} ")
        else:
            yield f"{prefix}{key}", _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        many = len(value) > LONGEST_LIST
        return f"{len(value)} values" if many else ", ".join(map(_shown, value)) or "none"
    return str(value)
