"""Values that a model file carries along, to be computed again wherever it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compute.target import HOST, Target
from ..errors import ModelFileError
from ..structures.system import System
from .model import Model

KEY = "golden"
"""Name of the entry in a model's metadata."""


def make_self_check(model: Model, system: System) -> dict[str, Any]:
    """A structure with a model's values for it.

    Parameters
    ----------
    model : Model
        The model.
    system : System
        The structure.

    Returns
    -------
    dict
        What is to be kept as `metadata["golden"]`: eV, Å, eV/Å.
    """
    values = model.evaluate_one(system)
    return {
        "numbers": system.numbers.tolist(),
        "positions": system.positions.tolist(),
        "cell": system.cell.tolist(),
        "pbc": system.pbc.tolist(),
        "energy": values.energy,
        "forces": values.forces.tolist(),
        "strain_gradient": values.strain_gradient.tolist(),
    }


def self_check(model: Model, rtol: float = 1e-8, target: Target = HOST) -> dict[str, float]:
    """Compute the values again that a model carries along.

    Parameters
    ----------
    model : Model
        The model.
    rtol : float
        Largest deviation that is allowed.
    target : Target
        Where and how precisely.

    Returns
    -------
    dict of str to float
        Largest deviation of energy, forces and strain gradient, over max(1, largest value).

    Raises
    ------
    ModelFileError
        If a deviation is above rtol, or if the model carries no values.
    """
    golden = model.metadata.get(KEY)
    if golden is None:
        raise ModelFileError(f"model {model.name!r} holds no golden values to check against")
    system = System(
        numbers=np.array(golden["numbers"], dtype=np.int64),
        positions=np.array(golden["positions"], dtype=np.float64),
        cell=np.array(golden["cell"], dtype=np.float64),
        pbc=np.array(golden["pbc"], dtype=bool),
    )
    values = model.evaluate_one(system, target)
    deviations = {}
    for key in ("energy", "forces", "strain_gradient"):
        expected = np.array(golden[key], dtype=np.float64)
        difference = np.abs(getattr(values, key) - expected).max()
        deviations[key] = float(difference / max(1.0, np.abs(expected).max()))
    # Negated, so that NaN fails too.
    off = {key: value for key, value in deviations.items() if not value <= rtol}
    if off:
        listed = ", ".join(f"{key} by {value:.1e}" for key, value in off.items())
        raise ModelFileError(
            f"model {model.name!r} does not give the values it was saved with (off: {listed}; "
            f"allowed: {rtol:.0e}); this installation computes something else"
        )
    return deviations
