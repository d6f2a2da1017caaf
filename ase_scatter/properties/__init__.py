"""Workflows that take any ASE calculator and return data: no printing, no plotting."""

from ..compute.parallel import Progress
from .barriers import Barrier, interstitial_hop, migration_barrier, vacancy_hop
from .cohesion import Cohesion, cohesive_energy
from .common import frozen_calculator
from .defects import DefectFormation, defect_formation, interstitial_formation, vacancy_formation
from .dynamics import Dynamics, Sample, molecular_dynamics
from .elastic import ElasticConstants, elastic_constants
from .end_states import AtomMap, hop_end_points, insert_end_points, map_atoms
from .eos import EnergyVolume, energy_volume
from .force_sets import ForceSets
from .heat_flux import HeatFlux, heat_flux
from .phonons import Phonons, Thermal, phonons
from .quasiharmonic import QuasiHarmonic, quasi_harmonic
from .relax import Relaxation, relax_cell, relax_positions
from .responses import Responses, evaluate
from .result import Result
from .single_points import SinglePoint, single_points
from .supercells import repetitions
from .surfaces import SurfaceEnergy, surface_energy
from .tensors import CubicConstants, Moduli, Symmetry, symmetry_of
from .terminations import Termination, cut_crystal

__all__ = [
    "AtomMap",
    "Barrier",
    "Cohesion",
    "CubicConstants",
    "DefectFormation",
    "Dynamics",
    "ElasticConstants",
    "EnergyVolume",
    "ForceSets",
    "HeatFlux",
    "Moduli",
    "Phonons",
    "Progress",
    "QuasiHarmonic",
    "Relaxation",
    "Responses",
    "Result",
    "Sample",
    "SinglePoint",
    "SurfaceEnergy",
    "Symmetry",
    "Termination",
    "Thermal",
    "cohesive_energy",
    "cut_crystal",
    "defect_formation",
    "elastic_constants",
    "energy_volume",
    "evaluate",
    "frozen_calculator",
    "heat_flux",
    "hop_end_points",
    "insert_end_points",
    "interstitial_formation",
    "interstitial_hop",
    "map_atoms",
    "migration_barrier",
    "molecular_dynamics",
    "phonons",
    "quasi_harmonic",
    "relax_cell",
    "relax_positions",
    "repetitions",
    "single_points",
    "surface_energy",
    "symmetry_of",
    "vacancy_formation",
    "vacancy_hop",
]
