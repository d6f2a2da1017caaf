"""Figures of what the workflows and fits give: each takes data and a path, and returns the figure."""

from .base import require_format
from .crystals import barrier_plot, elastic_plot, eos_plot, tensor_plot, tour_figures
from .dynamics import dynamics_plot
from .errors import calibration_plot, columns_plot, parity_plot
from .learned import learned_barrier_plot
from .speed import benchmark_plot, timing_plot
from .training import choice_plot, learning_plot, tuning_plot
from .vibrations import expansion_plot, phonon_plot, thermal_plot

__all__ = [
    "barrier_plot",
    "benchmark_plot",
    "calibration_plot",
    "choice_plot",
    "columns_plot",
    "dynamics_plot",
    "elastic_plot",
    "eos_plot",
    "expansion_plot",
    "learned_barrier_plot",
    "learning_plot",
    "parity_plot",
    "phonon_plot",
    "require_format",
    "tensor_plot",
    "thermal_plot",
    "timing_plot",
    "tour_figures",
    "tuning_plot",
]
