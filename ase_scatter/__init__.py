"""Scattering potentials for ASE: sparse linear models on 3-D wavelet scattering coefficients."""

from __future__ import annotations

from ._version import __version__
from .calculator import ScatteringCalculator
from .errors import DeviceError, ExtrapolationWarning, InputError, ModelFileError, UnknownElementError
from .model.committee import Committee, Uncertainty
from .model.model import Model
from .model.model_file import shipped_models
from .scattering import GridSettings, GridTransform, SitesSettings, SitesTransform
from .scattering.channels import Channels
from .structures.dataset import Frame, read_frames
from .training.fitting import FitResult, fit
from .training.settings import FitSettings

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
