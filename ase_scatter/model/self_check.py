"""Values that a model file carries along, to be computed again wherever it is installed.

They are those of a structure of the training set and of a made-up crystal, which holds all elements of the
model and two atoms so near to each other that they repel. For the crystal the energies of all members of
the committee are kept too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray

from ..compute.entries import entries, numbers
from ..compute.target import HOST, Target
from ..errors import InputError, ModelFileError
from ..structures.system import System
from .committee import Committee
from .model import Model

KEY = "golden"
"""Name of the entry in a model's metadata."""

CHECKED = {"energy": 0, "forces": 2, "strain_gradient": 2}
"""What is compared, and its number of dimensions."""


def make_self_check(model: Model, system: System) -> dict[str, Any]:
    """Two structures with a model's values for them.

    Parameters
    ----------
    model : Model
        The model.
    system : System
        One structure; the other one is made of the model's elements.

    Returns
    -------
    dict
        What is to be kept as `metadata["golden"]`: eV, Å, eV/Å.
    """
    crystal = _crystal_of_all(model)
    kept = {**_described(model, system), "crystal": _described(model, crystal)}
    if model.committee is not None:
        # As the file will hold it: with fewer digits.
        written = replace(model, committee=Committee.from_dict(model.committee.to_dict()))
        kept["crystal"]["members"] = written.members([crystal])[0].energy.tolist()
    return kept


def _described(model: Model, system: System) -> dict[str, Any]:
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


def _crystal_of_all(model: Model) -> System:
    """At least two atoms of each element on a distorted cubic lattice; the first two repel each other."""
    z = np.array([atomic_numbers[symbol] for symbol in model.elements], dtype=np.int64)
    layers = max(2, -(-2 * len(z) // 4))
    count = np.arange(4 * layers)
    sites = np.stack([count % 2, count // 2 % 2, count // 4], axis=1)
    spacing = 2.4 * float(covalent_radii[z].max())
    positions = spacing * (sites + 0.05 * np.sin(1.0 + np.arange(sites.size)).reshape(sites.shape))
    if model.core is not None:
        pair = [model.core.elements.index(model.elements[k % len(z)]) for k in (0, 1)]
        distance = 0.5 * (model.core.r_inner + model.core.r_outer)[pair[0], pair[1]]
        apart = positions[1] - positions[0]
        positions[1] = positions[0] + distance * apart / np.linalg.norm(apart)
    return System(
        numbers=z[count % len(z)],
        positions=positions,
        cell=spacing * np.diag([2.0, 2.0, float(layers)]),
        pbc=np.ones(3, dtype=bool),
    )


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
        Largest deviation of energy, forces, strain gradient and, where they are kept, energies of the
        members, over max(1, largest value).

    Raises
    ------
    ModelFileError
        If a deviation is above rtol, or if the model carries no values or damaged ones.

    Notes
    -----
    Files of earlier releases carry one structure only.
    """
    golden = model.metadata.get(KEY)
    if golden is None:
        raise ModelFileError(f"model {model.name!r} holds no golden values to check against")
    try:
        deviations = _deviations(model, golden, target)
        if "crystal" in golden:
            for key, value in _deviations(model, golden["crystal"], target).items():
                # NaN stays.
                deviations[key] = float(np.maximum(deviations.get(key, 0.0), value))
    except InputError as error:
        raise ModelFileError(f"the golden values of model {model.name!r} are damaged: {error}") from error
    # Negated, so that NaN fails too.
    off = {key: value for key, value in deviations.items() if not value <= rtol}
    if off:
        listed = ", ".join(f"{key} by {value:.1e}" for key, value in off.items())
        raise ModelFileError(
            f"model {model.name!r} does not give the values it was saved with (off: {listed}; "
            f"allowed: {rtol:.0e}); this installation computes something else"
        )
    return deviations


def _deviations(model: Model, kept: Any, target: Target) -> dict[str, float]:
    """Of the values of one structure."""
    structure = entries(kept, ("numbers", "positions", "cell", "pbc"), "structure")
    system = System(
        numbers=numbers(structure[0], 1, "numbers", whole=True),
        positions=numbers(structure[1], 2, "positions"),
        cell=numbers(structure[2], 2, "cell"),
        pbc=np.array(structure[3], dtype=bool),
    )
    if system.positions.shape != (len(system), 3) or system.cell.shape != (3, 3) or system.pbc.shape != (3,):
        raise InputError("numbers, positions, cell and pbc do not fit together")
    system.validate()
    values = model.evaluate_one(system, target)
    found = {key: np.asarray(getattr(values, key)) for key in CHECKED}
    expected = {key: numbers(entries(kept, (key,), "values")[0], ndim, key) for key, ndim in CHECKED.items()}
    if "members" in kept:
        expected["members"] = numbers(kept["members"], 1, "energies of the members")
        found["members"] = model.members([system], target)[0].energy
    return {key: _deviation(found[key], expected[key], key) for key in expected}


def _deviation(found: NDArray[np.float64], expected: NDArray[np.float64], key: str) -> float:
    if found.shape != expected.shape:
        raise InputError(f"{key} is shaped {expected.shape}, not {found.shape}")
    return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))
