"""Energies of the free atoms: given, found among the frames, or as small as the compositions allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols

from ..structures.dataset import Frame
from ..structures.system import System

ALONE = 8.0
"""An atom whose images are farther away than this (Å) is free."""


@dataclass(frozen=True)
class FreeAtoms:
    """Energies of the free atoms.

    Parameters
    ----------
    energies : mapping of str to float
        By chemical symbol, in eV.
    known : bool
        Whether they stand. Otherwise a fit begins from them.
    note : str
        What a user should know about them, or "".
    """

    energies: Mapping[str, float]
    known: bool
    note: str = ""

    @classmethod
    def of(
        cls, frames: Sequence[Frame], elements: Sequence[str], given: Mapping[str, float] | None = None
    ) -> tuple[FreeAtoms, list[Frame]]:
        """Find them for some frames.

        Where every element has a frame of a free atom, these energies stand and the frames are taken out.
        Where compositions do not tell the elements apart, the energies are the smallest that fit.

        Parameters
        ----------
        frames : sequence of Frame
            The data.
        elements : sequence of str
            Chemical symbols.
        given : mapping of str to float, optional
            Energies that are known, in eV.

        Returns
        -------
        free_atoms : FreeAtoms
            The energies.
        frames : list of Frame
            What is left to fit to.
        """
        alone = [frame for frame in frames if is_free(frame.system)]
        if given is not None:
            return cls(dict(given), True), list(frames)
        found: dict[str, float] = {}
        for frame in alone:
            symbol = chemical_symbols[int(frame.system.numbers[0])]
            found[symbol] = min(frame.energy, found.get(symbol, np.inf))
        if set(elements) <= set(found):
            rest = [frame for frame in frames if not is_free(frame.system)]
            return cls(
                found, True, "the energies of the free atoms are those of the frames of one atom"
            ), rest
        counts = np.array([composition(frame.system, elements) for frame in frames])
        energies = [frame.energy / len(frame.system) for frame in frames]
        values, _, rank, _ = np.linalg.lstsq(counts, np.array(energies), rcond=1e-6)
        note = ""
        if rank < len(elements):
            note = (
                "the compositions of the frames do not tell the energies of the free atoms apart; the "
                "smallest that fit were taken, so that energies of other compositions mean nothing: give e0, "
                "or a frame of each free atom"
            )
        return cls(dict(zip(elements, values.tolist(), strict=True)), False, note), list(frames)


def composition(system: System, elements: Sequence[str]) -> list[float]:
    """Fraction of each element.

    Parameters
    ----------
    system : System
        A structure.
    elements : sequence of str
        Chemical symbols.

    Returns
    -------
    list of float
    """
    symbols = [chemical_symbols[z] for z in system.numbers.tolist()]
    return [symbols.count(symbol) / len(symbols) for symbol in elements]


def is_free(system: System) -> bool:
    """Whether a structure is one atom that sees no image of itself.

    Parameters
    ----------
    system : System
        The structure.

    Returns
    -------
    bool
    """
    heights = [float(np.linalg.norm(row)) for row in system.cell[system.pbc]]
    return len(system) == 1 and min(heights, default=np.inf) > ALONE
