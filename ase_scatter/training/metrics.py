"""Error statistics: predictions beside reference frames, in the units that people compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..structures.dataset import Frame
from ..structures.system import Evaluation, System
from ..units import GPA, to_voigt

ALL = "all"
"""The group that every frame belongs to."""

LABEL_UNITS = {"energy": "eV/atom", "force": "eV/Å", "stress": "GPa", "atomic": "eV"}
"""Kind of label → the unit that its errors are told in."""

ErrorTable = dict[str, dict[str, float]]
"""Group → name of a statistic → value, as `errors` gives it."""


@dataclass(frozen=True)
class Prediction:
    """What a model gives for one structure.

    Parameters
    ----------
    energy : float
        Total energy, eV.
    forces : ndarray, shape (N, 3)
        eV/Å.
    stress : ndarray, shape (6,), optional
        eV/Å³ in Voigt order, positive in tension; None if the cell does not span space.
    energies : ndarray, shape (N,), optional
        Energies of the atoms, eV; None if the energy is not divided among them.
    """

    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64] | None = None
    energies: NDArray[np.float64] | None = None

    @classmethod
    def from_evaluation(cls, values: Evaluation, system: System) -> Prediction:
        """The values of a model for a structure, with the stress if the cell has a volume.

        Parameters
        ----------
        values : Evaluation
            What the model gave.
        system : System
            The structure.

        Returns
        -------
        Prediction
        """
        stress = to_voigt(values.strain_gradient) / system.volume if system.has_volume else None
        return cls(values.energy, values.forces, stress, values.energies)


def errors(predictions: Sequence[Prediction], frames: Sequence[Frame]) -> ErrorTable:
    """Errors of predictions, over all frames and for each group of the data.

    Every frame counts the same in the energies, every component in forces and stress.

    Parameters
    ----------
    predictions : sequence of Prediction
        What a model gave.
    frames : sequence of Frame
        The references, in the same order.

    Returns
    -------
    dict of str to dict of str to float
        For "all" and each group, sorted: energy_mae and energy_rmse (meV/atom), force_mae and force_rmse
        (eV/Å, over Cartesian components), stress_mae and stress_rmse (GPa, over Voigt components), atomic_mae
        and atomic_rmse (eV, energies of single atoms), n_frames and n_atoms. Statistics of
        which a group has no labels are left out.

    Raises
    ------
    InputError
        If the two lists do not belong together.
    """
    if len(predictions) != len(frames):
        raise InputError(
            f"there are {len(predictions)} predictions for {len(frames)} frames; give one for each"
        )
    table = {ALL: _statistics(predictions, frames)}
    for group in sorted({frame.group for frame in frames} - {"", ALL}):
        chosen = [index for index, frame in enumerate(frames) if frame.group == group]
        table[group] = _statistics([predictions[i] for i in chosen], [frames[i] for i in chosen])
    return table


def energy_pairs(
    predictions: Sequence[Prediction], frames: Sequence[Frame]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reference and predicted energies.

    Parameters
    ----------
    predictions : sequence of Prediction
        What a model gave.
    frames : sequence of Frame
        The references, in the same order.

    Returns
    -------
    reference, predicted : ndarray, shape (n_frames,)
        eV per atom.
    """
    atoms = np.array([len(frame.system) for frame in frames])
    reference = np.array([frame.energy for frame in frames], dtype=np.float64)
    predicted = np.array([prediction.energy for prediction in predictions], dtype=np.float64)
    return reference / atoms, predicted / atoms


def force_pairs(
    predictions: Sequence[Prediction], frames: Sequence[Frame]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reference and predicted force components of the frames that have labels.

    Parameters
    ----------
    predictions : sequence of Prediction
        What a model gave.
    frames : sequence of Frame
        The references, in the same order.

    Returns
    -------
    reference, predicted : ndarray, shape (n,)
        eV/Å.
    """
    return _stacked([(f.forces, p.forces) for p, f in zip(predictions, frames, strict=True)], "forces")


def stress_pairs(
    predictions: Sequence[Prediction], frames: Sequence[Frame]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reference and predicted stress components of the frames that have labels.

    Parameters
    ----------
    predictions : sequence of Prediction
        What a model gave.
    frames : sequence of Frame
        The references, in the same order.

    Returns
    -------
    reference, predicted : ndarray, shape (n,)
        GPa.
    """
    reference, predicted = _stacked(
        [(f.stress, p.stress) for p, f in zip(predictions, frames, strict=True)], "stress"
    )
    return reference / GPA, predicted / GPA


def atomic_pairs(
    predictions: Sequence[Prediction], frames: Sequence[Frame]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reference and predicted energies of single atoms of the frames that have labels.

    Parameters
    ----------
    predictions : sequence of Prediction
        What a model gave.
    frames : sequence of Frame
        The references, in the same order.

    Returns
    -------
    reference, predicted : ndarray, shape (n,)
        eV.
    """
    pairs = [(f.atomic_energies, p.energies) for p, f in zip(predictions, frames, strict=True)]
    return _stacked(pairs, "atomic energies")


def _stacked(
    pairs: Sequence[tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]], name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Components of the pairs that have both halves, one after the other."""
    reference: list[NDArray[np.float64]] = [np.empty(0)]
    predicted: list[NDArray[np.float64]] = [np.empty(0)]
    for label, value in pairs:
        if label is None or value is None:
            continue
        if np.shape(label) != np.shape(value):
            raise InputError(
                f"the predicted {name} are shaped {np.shape(value)}, but the frame's "
                f"{np.shape(label)}; predictions and frames must be in the same order"
            )
        reference.append(np.ravel(label))
        predicted.append(np.ravel(value))
    return np.concatenate(reference), np.concatenate(predicted)


def _statistics(predictions: Sequence[Prediction], frames: Sequence[Frame]) -> dict[str, float]:
    statistics: dict[str, float] = {}
    for name, unit, pairs in (
        ("energy", 1000.0, energy_pairs),  # eV → meV
        ("force", 1.0, force_pairs),
        ("stress", 1.0, stress_pairs),
        ("atomic", 1.0, atomic_pairs),
    ):
        reference, predicted = pairs(predictions, frames)
        if len(reference):
            deviation = unit * (predicted - reference)
            statistics[f"{name}_mae"] = float(np.abs(deviation).mean())
            statistics[f"{name}_rmse"] = float(np.sqrt(np.square(deviation).mean()))
    statistics["n_frames"] = len(frames)
    statistics["n_atoms"] = sum(len(frame.system) for frame in frames)
    return statistics
