"""Scattering coefficients as descriptors: features for other methods, judged and compared."""

from .comparison import Comparison, Part, compare_data
from .criteria import Continuity, Judgement, Uniqueness, judge
from .degenerate import Pair, bispectrum_pair, degenerate_pairs, methane, power_spectrum_pair
from .derivatives import Derivatives
from .descriptor import ScatteringDescriptor as ScatteringDescriptor
from .transferability import GroupTransfer, Transfer, transferability

__all__ = [
    "Comparison",
    "Continuity",
    "Derivatives",
    "GroupTransfer",
    "Judgement",
    "Pair",
    "Part",
    "Transfer",
    "Uniqueness",
    "bispectrum_pair",
    "compare_data",
    "degenerate_pairs",
    "judge",
    "methane",
    "power_spectrum_pair",
    "transferability",
]
