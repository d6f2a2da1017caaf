"""Labels of all frames beside what a trial fit predicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..structures.dataset import Frame
from .findings import Finding
from .trial_rows import Compared, Vector


class Table(NamedTuple):
    """Labels beside predictions.

    Parameters
    ----------
    frames : sequence of Frame
        The data.
    compared : sequence of Compared
        One for each.
    indices : tuple of int
        What the frames are called.
    """

    frames: Sequence[Frame]
    compared: Sequence[Compared]
    indices: tuple[int, ...]

    def each(self, kind: str, function: Callable[[Vector, Vector], float]) -> Vector:
        """A number of each frame, from its labels and predictions.

        Parameters
        ----------
        kind : str
            Of labels.
        function : callable
            From labels and predictions to the number.

        Returns
        -------
        ndarray, shape (n_frames,)
            nan where there are no labels.
        """
        return np.array(
            [function(c.labels[kind], c.values[kind]) if kind in c.labels else np.nan for c in self.compared]
        )

    def typical(self, kind: str) -> float:
        """The median size of the labels of a kind.

        Parameters
        ----------
        kind : str
            Of labels.

        Returns
        -------
        float
            Those that vanish are left out; nan if there are no others.
        """
        sizes = self.each(kind, lambda label, _: rms(label))
        sizes = sizes[sizes > 1e-6]
        return float(np.median(sizes)) if len(sizes) else np.nan

    def finding(
        self, name: str, chosen: NDArray[np.bool_], worst: Vector, text: str, advice: str
    ) -> list[Finding]:
        """A finding about some frames.

        Parameters
        ----------
        name : str
            Of the finding.
        chosen : ndarray of bool, shape (n_frames,)
            The frames.
        worst : ndarray, shape (n_frames,)
            The largest of the chosen ones is named.
        text, advice : str
            What was found, and what to do.

        Returns
        -------
        list of Finding
            Empty if no frame is chosen.
        """
        places = np.flatnonzero(chosen)
        if not len(places):
            return []
        first = int(places[np.nanargmax(worst[places])])
        return [Finding(name, text, advice, tuple(self.indices[i] for i in places), self.indices[first])]


def rms(values: Vector) -> float:
    """Root mean square.

    Parameters
    ----------
    values : ndarray
        The values.

    Returns
    -------
    float
    """
    return float(np.sqrt(np.mean(values**2)))


def likeness_of(label: Vector, value: Vector) -> float:
    """Cosine of the angle between two vectors.

    Parameters
    ----------
    label, value : ndarray, shape (n,)
        The vectors.

    Returns
    -------
    float
        nan where one of them vanishes.
    """
    size = float(np.sqrt((label @ label) * (value @ value)))
    return float(label @ value) / size if size > 0 else np.nan
