"""Scattering transforms: one theory, integrated over different measures."""

from __future__ import annotations

from typing import Any

from ..compute.entries import entries
from ..errors import ModelFileError
from .grid.columns import GridSettings
from .grid.transform import GridTransform
from .sites.columns import SitesSettings
from .sites.transform import SitesTransform
from .stacked import StackedTransform
from .transform import Jacobian, Transform

__all__ = [
    "GridSettings",
    "GridTransform",
    "Jacobian",
    "SitesSettings",
    "SitesTransform",
    "StackedTransform",
    "Transform",
    "transform_from_dict",
]

_KINDS: dict[str, type[Transform]] = {t.kind: t for t in (GridTransform, SitesTransform, StackedTransform)}


def transform_from_dict(data: dict[str, Any]) -> Transform:
    """The transform that a model file describes.

    Parameters
    ----------
    data : dict
        What `to_dict` of the transform gave.

    Returns
    -------
    Transform

    Raises
    ------
    ModelFileError
        If this version has no transform of that kind.
    InputError
        If the data describe no such transform.
    """
    (kind,) = entries(data, ("kind",), "transform")
    if kind not in tuple(_KINDS):
        raise ModelFileError(
            f"the model uses a transform of kind {kind!r}, which this version does not have "
            f"(it has {', '.join(sorted(_KINDS))}); a newer ase-scatter may read it"
        )
    return _KINDS[kind].from_dict(data)
