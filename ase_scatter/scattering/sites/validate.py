"""What the columns of a model file must keep to, so that no table is read beyond its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...compute.entries import numbers
from ...errors import InputError
from ..channels import Channels
from ..wavelets import require_wavelets
from .columns import SiteColumn, SitesSettings, Term
from .plan import LEBEDEV_DEGREES

N_FIELDS = {"modulus": 1, "cross": 2, "triple": 3, "modulus2": 1, "cross2": 2}


def validate(
    settings: SitesSettings, channels: Channels, columns: Sequence[SiteColumn], norms: Mapping[Any, float]
) -> None:
    """Refuse columns that the settings and channels cannot make.

    Parameters
    ----------
    settings : SitesSettings
        Hyperparameters.
    channels : Channels
        Weights of the elements.
    columns : sequence of SiteColumn
        The columns.
    norms : mapping of Field or (Field, Wavelet) to float
        The normalisation of fields.

    Raises
    ------
    InputError
        If a column is given twice or is none, or a norm is not positive.
    """
    if len(set(columns)) < len(columns):
        raise InputError("a column is given twice")
    for term, element in columns:
        if not 0 <= element < len(channels.elements):
            raise InputError(f"a column is of element {element}, of {len(channels.elements)}")
        _validate_term(term, settings, channels)
    if not all(np.isfinite(c) and c > 0 for c in norms.values()):
        raise InputError("the norms must be positive")


def closest_of_json(value: Any, n_elements: int) -> tuple[tuple[float, ...], ...]:
    """Read the closest distances of pairs of elements.

    Parameters
    ----------
    value : object
        What should be a table of distances in Å, or an empty list.
    n_elements : int
        Number of elements.

    Returns
    -------
    tuple of tuple of float
        Empty for none.

    Raises
    ------
    InputError
        If it is anything else.
    """
    if value == []:
        return ()
    table = numbers(value, 2, "closest distances")
    if table.shape != (n_elements, n_elements) or (table < 0).any() or not np.array_equal(table, table.T):
        raise InputError(
            f"closest distances must be a symmetric table of {n_elements} elements, not negative"
        )
    return tuple(map(tuple, table.tolist()))


def _validate_term(term: Term, settings: SitesSettings, channels: Channels) -> None:
    second_order = term.kind in ("modulus2", "cross2")
    if (
        len(term.fields) != N_FIELDS[term.kind]
        or (term.second is not None) != second_order
        or (term.exponent is not None) != term.kind.startswith("modulus")
    ):
        raise InputError(f"a term of kind {term.kind!r} has other fields, wavelets or exponents")
    if term.exponent is not None and not 0 < term.exponent < np.inf:
        raise InputError("exponents must be positive")
    wavelets = [f.wavelet for f in term.fields]
    require_wavelets([*wavelets, *([] if term.second is None else [term.second])], len(settings.scales))
    if not all(0 <= f.channel < len(channels.names) for f in term.fields):
        raise InputError(f"a term is of a channel that is not among the {len(channels.names)}")
    degrees = [w.l for w in wavelets]
    if term.kind == "cross2" and term.second is not None:
        degrees[0] = term.second.l
    if term.kind in ("cross", "cross2") and len(set(degrees)) > 1:
        raise InputError("only fields of equal l are multiplied")
    if term.kind == "triple" and sum(degrees) > max(LEBEDEV_DEGREES):
        raise InputError("no rule over directions is exact for a triple product of this degree")
