"""Workflows that take any ASE calculator and return data: no printing, no plotting."""

from .barriers import Barrier, interstitial_hop, migration_barrier, vacancy_hop
from .common import Progress, Result, frozen_calculator
from .elastic import CubicConstants, ElasticConstants, elastic_constants
from .end_states import AtomMap, hop_end_points, insert_end_points, map_atoms
from .eos import EnergyVolume, energy_volume
from .relax import Relaxation, relax_cell, relax_positions
from .vacancy import VacancyFormation, vacancy_formation

__all__ = [
    "AtomMap",
    "Barrier",
    "CubicConstants",
    "ElasticConstants",
    "EnergyVolume",
    "Progress",
    "Relaxation",
    "Result",
    "VacancyFormation",
    "elastic_constants",
    "energy_volume",
    "frozen_calculator",
    "hop_end_points",
    "insert_end_points",
    "interstitial_hop",
    "map_atoms",
    "migration_barrier",
    "relax_cell",
    "relax_positions",
    "vacancy_formation",
    "vacancy_hop",
]
