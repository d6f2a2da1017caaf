"""Scattering potentials for ASE: sparse linear models on 3-D wavelet scattering coefficients."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from .calculator import ScatteringCalculator
from .channels import Channels
from .errors import DeviceError, InputError, ModelFileError, UnknownElementError
from .fit import FitResult, FitSettings, fit
from .frames import Frame, read_frames
from .model import Model, shipped_models
from .transforms import GridSettings, GridTransform, SitesSettings, SitesTransform

try:
    __version__ = version("ase-scatter")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+unknown"

__all__ = [
    "Channels",
    "DeviceError",
    "FitResult",
    "FitSettings",
    "Frame",
    "GridSettings",
    "GridTransform",
    "InputError",
    "Model",
    "ModelFileError",
    "ScatteringCalculator",
    "SitesSettings",
    "SitesTransform",
    "UnknownElementError",
    "__version__",
    "fit",
    "read_frames",
    "shipped_models",
]
