"""Errors and spreads on data left out: how wide error bars have to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .least_squares import Vector

INSIDE = 0.9
"""So many of the errors are to lie within the bands."""
ROUNDING = 1e-2
"""Spreads below this fraction of their root mean square are those of rounding."""


@dataclass(frozen=True)
class HeldOut:
    """Errors and spreads on data kept out, of one kind of label.

    Parameters
    ----------
    errors : ndarray, shape (r,)
        Absolute differences of predicted and true values..
    spreads : ndarray, shape (r,)
        Of what the label belongs to: root mean square over the components of an atom's force, of a stress.
    """

    errors: Vector
    spreads: Vector

    @classmethod
    def of(cls, errors: Vector, members: NDArray[np.float64], size: int) -> HeldOut:
        """From errors and the predictions of a committee.

        Parameters
        ----------
        errors : ndarray, shape (r,)
            Predicted − true.
        members : ndarray, shape (n_members, r)
            Predictions of the members.
        size : int
            Number of components that belong together.

        Returns
        -------
        HeldOut
        """
        spread = members.std(axis=0, ddof=1).reshape(-1, size)
        spread = np.sqrt(np.mean(spread**2, axis=1))
        return cls(np.abs(errors), np.repeat(spread, size))

    @classmethod
    def joined(cls, several: Sequence[HeldOut]) -> HeldOut:
        """Several as one, without what symmetry makes zero.

        Labels of perfect crystals that are zero but for rounding have spreads of rounding, and ratios that
        mean nothing.

        Parameters
        ----------
        several : sequence of HeldOut
            What is joined.

        Returns
        -------
        HeldOut
        """
        errors, spreads = (
            np.concatenate([getattr(h, name) for h in several]) for name in ("errors", "spreads")
        )
        sure = spreads > ROUNDING * np.sqrt(np.mean(spreads**2))
        return cls(errors[sure], spreads[sure])

    @property
    def factor(self) -> float:
        """What to multiply spreads with for bands that hold nine errors of ten."""
        sure = self.spreads > 0  # no spread, no ratio: what symmetry makes zero
        if not sure.any():
            raise InputError("the members of the committee agree on everything; give more varied structures")
        return float(np.quantile(self.errors[sure] / self.spreads[sure], INSIDE, method="higher"))

    def inside(self, factor: float) -> float:
        """Fraction of the errors within the intervals.

        Parameters
        ----------
        factor : float
            What the spreads are multiplied with.

        Returns
        -------
        float
        """
        return float(np.mean(self.errors <= factor * self.spreads))

    @property
    def rank_correlation(self) -> float:
        """Spearman's, between spread and error."""
        if np.ptp(self.spreads) == 0 or np.ptp(self.errors) == 0:
            return 0.0
        import scipy.stats  # takes half a second, and only a fit needs it

        return float(scipy.stats.spearmanr(self.spreads, self.errors)[0])

    def table(self, factor: float, n_bins: int = 8) -> list[dict[str, float]]:
        """Half-widths beside errors, in bins of equal numbers from sure to unsure.

        Parameters
        ----------
        factor : float
            What the spreads are multiplied with.
        n_bins : int
            Number of bins, at most.

        Returns
        -------
        list of dict
            Mean half-width ("band"), the one that holds nine errors of ten ("true"), the fraction inside
            and the number of errors.
        """
        order = np.argsort(self.spreads)
        rows = []
        for bin_ in np.array_split(order, min(n_bins, max(1, len(order) // 10))):
            errors, bands = self.errors[bin_], factor * self.spreads[bin_]
            rows.append(
                {
                    "band": float(bands.mean()),
                    "true": float(np.quantile(errors, INSIDE)),
                    "inside": float(np.mean(errors <= bands)),
                    "count": len(bin_),
                }
            )
        return rows
