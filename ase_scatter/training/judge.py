"""Errors on data left out, kind by kind, and the score that they give.

The score is the weighted geometric mean, over the kinds of labels, of the mean absolute errors of all parts
together: it needs no weighing of eV against GPa, and a few wild frames do not decide it. Forces count most:
there are the most of them, and with equal weights they were given away for energies far better than anybody
needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .rows import Normals

IMPORTANCE = {"energy": 0.3, "force": 1.0, "stress": 0.15, "atomic": 0.3}
"""Of each kind of label in the score."""

Sums = Mapping[str, tuple[NDArray[np.float64], int]]
"""Kind → sums of |error| for each of several weights, and the number of rows."""


class Judge:
    """Errors on the sample of rows of each part, by kind.

    Parameters
    ----------
    normals : Normals
        What holds the sample.
    """

    def __init__(self, normals: Normals) -> None:
        self._rows: list[dict[str, tuple[NDArray[np.float32], NDArray[np.float64]]]] = []
        for part in range(len(normals.parts)):
            rows = [sample.rows for sample in normals.sample if sample.part == part]
            kinds = sorted({kind for row in rows for kind in row.matrix})
            self._rows.append(
                {
                    kind: (
                        np.concatenate([row.matrix[kind] for row in rows if kind in row.matrix]),
                        np.concatenate([row.target[kind] for row in rows if kind in row.target]),
                    )
                    for kind in kinds
                }
            )

    def sums(self, part: int, weights: NDArray[np.float64]) -> Sums:
        """Sum the errors on one part.

        Parameters
        ----------
        part : int
            The part.
        weights : ndarray, shape (m, n)
            Weights of several fits.

        Returns
        -------
        mapping of str to tuple of (ndarray of shape (m,), int)
            By kind the sums of the absolute errors, and the number of rows.
        """
        used = np.flatnonzero(np.any(weights != 0, axis=0))
        found = {}
        for kind, (matrix, target) in self._rows[part].items():
            predicted = weights[:, used] @ matrix[:, used].astype(np.float64).T
            found[kind] = np.abs(predicted - target).sum(axis=1), len(target)
        return found

    @staticmethod
    def mean_errors(parts: Sequence[Sums]) -> dict[str, NDArray[np.float64]]:
        """Average over all parts.

        Parameters
        ----------
        parts : sequence of mapping
            What `sums` gave for each.

        Returns
        -------
        dict of str to ndarray, shape (m,)
            Mean absolute errors by kind.
        """
        kinds = sorted({kind for part in parts for kind in part})
        return {
            kind: np.sum([part[kind][0] for part in parts if kind in part], axis=0)
            / sum(part[kind][1] for part in parts if kind in part)
            for kind in kinds
        }

    @staticmethod
    def score(errors: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Weighted geometric mean over the kinds.

        Parameters
        ----------
        errors : mapping of str to ndarray, shape (m,)
            Mean absolute errors by kind.

        Returns
        -------
        ndarray, shape (m,)
        """
        weights = {kind: IMPORTANCE[kind] for kind in errors}
        logs = [weights[kind] * np.log(np.maximum(errors[kind], 1e-30)) for kind in errors]
        return np.asarray(np.exp(np.sum(logs, axis=0) / sum(weights.values())))
