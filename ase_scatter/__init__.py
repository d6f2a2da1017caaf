"""Scattering potentials for ASE: sparse linear models on 3-D wavelet scattering coefficients.

What is listed in `__all__` is public. Names are imported when they are first used, so that
``import ase_scatter`` is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._version import __version__ as __version__
    from .calculator import ScatteringCalculator as ScatteringCalculator
    from .compute.target import Target as Target
    from .descriptors.descriptor import ScatteringDescriptor as ScatteringDescriptor
    from .errors import DataWarning as DataWarning
    from .errors import DeviceError as DeviceError
    from .errors import ExtrapolationWarning as ExtrapolationWarning
    from .errors import InputError as InputError
    from .errors import ModelFileError as ModelFileError
    from .errors import UnknownElementError as UnknownElementError
    from .model.committee import Committee as Committee
    from .model.committee import Members as Members
    from .model.committee import Uncertainty as Uncertainty
    from .model.model import Model as Model
    from .model.model_file import shipped_models as shipped_models
    from .onthefly.barrier import LearnedBarrier as LearnedBarrier
    from .onthefly.barrier import learn_barrier as learn_barrier
    from .onthefly.calculator import LearningCalculator as LearningCalculator
    from .onthefly.crystals import learn_elastic as learn_elastic
    from .onthefly.crystals import learn_phonons as learn_phonons
    from .onthefly.md import learn_md as learn_md
    from .onthefly.relax import learn_relax as learn_relax
    from .onthefly.settings import LearningSettings as LearningSettings
    from .onthefly.store import read_store as read_store
    from .scattering import GridSettings as GridSettings
    from .scattering import GridTransform as GridTransform
    from .scattering import SitesSettings as SitesSettings
    from .scattering import SitesTransform as SitesTransform
    from .scattering.channels import Channels as Channels
    from .structures.dataset import Frame as Frame
    from .structures.dataset import frames_of as frames_of
    from .structures.dataset import read_frames as read_frames
    from .structures.system import Evaluation as Evaluation
    from .structures.system import System as System
    from .training.active_learning import Choice as Choice
    from .training.active_learning import select_structures as select_structures
    from .training.data_checks import check_data as check_data
    from .training.findings import Finding as Finding
    from .training.fitting import FitResult as FitResult
    from .training.fitting import fit as fit
    from .training.fitting import predict as predict
    from .training.hyperparameters import Trial as Trial
    from .training.hyperparameters import Tuning as Tuning
    from .training.hyperparameters import tune as tune
    from .training.learning_curve import Point as Point
    from .training.learning_curve import learning_curve as learning_curve
    from .training.metrics import Prediction as Prediction
    from .training.settings import FitSettings as FitSettings

_HOMES = {
    "_version": ["__version__"],
    "calculator": ["ScatteringCalculator"],
    "compute.target": ["Target"],
    "descriptors.descriptor": ["ScatteringDescriptor"],
    "errors": [
        "DataWarning", "DeviceError", "ExtrapolationWarning", "InputError", "ModelFileError",
        "UnknownElementError",
    ],
    "model.committee": ["Committee", "Members", "Uncertainty"],
    "model.model": ["Model"],
    "model.model_file": ["shipped_models"],
    "onthefly.barrier": ["LearnedBarrier", "learn_barrier"],
    "onthefly.calculator": ["LearningCalculator"],
    "onthefly.crystals": ["learn_elastic", "learn_phonons"],
    "onthefly.md": ["learn_md"],
    "onthefly.relax": ["learn_relax"],
    "onthefly.settings": ["LearningSettings"],
    "onthefly.store": ["read_store"],
    "scattering": ["GridSettings", "GridTransform", "SitesSettings", "SitesTransform"],
    "scattering.channels": ["Channels"],
    "structures.dataset": ["Frame", "frames_of", "read_frames"],
    "structures.system": ["Evaluation", "System"],
    "training.active_learning": ["Choice", "select_structures"],
    "training.data_checks": ["check_data"],
    "training.findings": ["Finding"],
    "training.fitting": ["FitResult", "fit", "predict"],
    "training.hyperparameters": ["Trial", "Tuning", "tune"],
    "training.learning_curve": ["Point", "learning_curve"],
    "training.metrics": ["Prediction"],
    "training.settings": ["FitSettings"],
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
