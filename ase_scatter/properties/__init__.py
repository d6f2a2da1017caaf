"""Workflows that take any ASE calculator and return data: no printing, no plotting."""

from .barriers import Barrier, hop_end_points, migration_barrier, vacancy_hop
from .common import Progress, Result, frozen_calculator
from .elastic import CubicConstants, ElasticConstants, elastic_constants
from .eos import EnergyVolume, energy_volume
from .force_sets import ForceSets
from .phonons import Phonons, Thermal, phonons
from .quasiharmonic import QuasiHarmonic, quasi_harmonic
from .relax import Relaxation, relax_cell, relax_positions
from .vacancy import VacancyFormation, vacancy_formation

__all__ = [
    "Barrier",
    "CubicConstants",
    "ElasticConstants",
    "EnergyVolume",
    "ForceSets",
    "Phonons",
    "Progress",
    "QuasiHarmonic",
    "Relaxation",
    "Result",
    "Thermal",
    "VacancyFormation",
    "elastic_constants",
    "energy_volume",
    "frozen_calculator",
    "hop_end_points",
    "migration_barrier",
    "phonons",
    "quasi_harmonic",
    "relax_cell",
    "relax_positions",
    "vacancy_formation",
    "vacancy_hop",
]
