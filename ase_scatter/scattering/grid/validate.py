"""What the columns of a model file must keep to, so that no table is read beyond its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...errors import InputError
from ..channels import Channels
from ..wavelets import require_wavelets
from .columns import Column, GridSettings, Path


def validate(
    settings: GridSettings, channels: Channels, columns: Sequence[Column], norms: Mapping[Path, float]
) -> None:
    """Refuse columns that the settings and channels cannot make.

    Parameters
    ----------
    settings : GridSettings
        Hyperparameters.
    channels : Channels
        Weights of the elements.
    columns : sequence of Column
        The columns.
    norms : mapping of Path to float
        The normalisation of paths.

    Raises
    ------
    InputError
        If a column is given twice or is none, or a norm is not positive.
    """
    if len(set(columns)) < len(columns):
        raise InputError("a column is given twice")
    for path, exponent in columns:
        if not 0 <= path.channel < len(channels.names):
            raise InputError(f"a path is of channel {path.channel}, of {len(channels.names)}")
        if not 0 < exponent < np.inf:
            raise InputError("exponents must be positive")
        require_wavelets(path.wavelets, len(settings.scales))
    if not all(np.isfinite(c) and c > 0 for c in norms.values()):
        raise InputError("the norms must be positive")
