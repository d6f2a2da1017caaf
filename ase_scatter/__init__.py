"""Scattering potentials for ASE: sparse linear models on 3-D wavelet scattering coefficients."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from .calculator import ScatteringCalculator
from .channels import Channels
from .errors import DeviceError, ExtrapolationWarning, InputError, ModelFileError, UnknownElementError
from .fit import FitResult, fit
from .frames import Frame, read_frames
from .model import Model, shipped_models
from .settings import FitSettings
from .transforms import GridSettings, GridTransform, SitesSettings, SitesTransform
from .uncertainty import Committee, Uncertainty

try:
    __version__ = version("ase-scatter")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+unknown"

__all__ = [
    "Channels",
    "Committee",
    "DeviceError",
    "ExtrapolationWarning",
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
    "Uncertainty",
    "UnknownElementError",
    "__version__",
    "fit",
    "read_frames",
    "shipped_models",
]
