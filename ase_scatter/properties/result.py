"""The base of all results: frozen dataclasses that JSON can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from ase import Atoms


class Result:
    """Base of the frozen dataclasses that the workflows return."""

    def to_dict(self) -> dict[str, Any]:
        """Convert the fields to plain data.

        Returns
        -------
        dict
            Field name → value, in the units of the class's docstring; the half-width ``NAME_half_width``
            has the key ``NAME_band``. Arrays become lists, structures become their symbols, positions, cell
            and pbc, and numbers that are not finite become None, so that
            ``json.dumps(..., allow_nan=False)`` accepts the result.
        """
        names = [entry.name for entry in fields(self)]  # type: ignore[arg-type]
        # The keys of files that exist.
        return {name.replace("_half_width", "_band"): _plain(getattr(self, name)) for name in names}


def _plain(value: Any) -> Any:
    """A value as what JSON can hold."""
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, Atoms):
        return {
            "symbols": value.get_chemical_symbols(),
            "positions": value.positions.tolist(),
            "cell": value.cell[:].tolist(),
            "pbc": value.pbc.tolist(),
        }
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    return value
