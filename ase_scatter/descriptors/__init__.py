"""Scattering coefficients as descriptors: features for other methods, judged and compared."""

from .derivatives import Derivatives
from .descriptor import ScatteringDescriptor

__all__ = ["Derivatives", "ScatteringDescriptor"]
