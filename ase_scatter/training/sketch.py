"""A rough potential of sums of exponentials, which repels at short distances by construction.

    E = Σ_i e(Z_i) + Σ_pairs Σ_k A_k(Z_i, Z_j) exp(−a_k x_ij) − Σ_i Σ_k B_k(Z_i) [Σ_j exp(−2 b_k x_ij)]^½,

x = r / (sum of the covalent radii) − 1, is the second-moment potential of F. Cleri and V. Rosato, Phys. Rev.
B 48, 22 (1993), with several exponents. It is linear in A and B, which are not negative (C. L. Lawson and R.
J. Hanson, Solving Least Squares Problems (1974)), and every a_k is larger than every b_k. So it says what a
pair of unlike atoms costs that was never seen near each other, and what a dense cell costs, within some
tenths of an eV per atom: enough to tell a fit that there is no hole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.optimize
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray

from ..compute.functions import switched
from ..structures.dataset import Frame
from ..structures.pair_search import half_list
from ..structures.system import System, kinds_of
from .free_atoms import composition

REPULSION = (6.0, 9.0, 13.0)
"""a_k."""
ATTRACTION = (1.5, 3.0, 5.0)
"""b_k."""
FADE, CUTOFF = 1.5, 2.2
"""Pairs fade out between these multiples of the sum of the covalent radii."""
TIE = 0.1
"""Weight of what ties the repulsion of unlike atoms to that of the like ones, over that of the data."""
SIGMA_ENERGY, SIGMA_FORCE = 0.05, 0.5
"""What counts as an error of 1, in eV/atom and eV/Å."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sketch:
    """A rough potential.

    Parameters
    ----------
    elements : tuple of str
        Chemical symbols.
    free_atoms : mapping of str to float
        Energies by chemical symbol, in eV, to which those of the sketch are added.
    weights : ndarray, shape (n,)
        Energies of the elements, A and B, in eV.
    errors : tuple of float
        Root mean square errors of energies (eV/atom) and forces (eV/Å) on the frames that it was fitted to.
    """

    elements: tuple[str, ...]
    free_atoms: Mapping[str, float]
    weights: Floats
    errors: tuple[float, float]

    @classmethod
    def of(cls, frames: Sequence[Frame], elements: Sequence[str], free_atoms: Mapping[str, float]) -> Sketch:
        """Fit one to frames.

        Parameters
        ----------
        frames : sequence of Frame
            The data.
        elements : sequence of str
            Chemical symbols.
        free_atoms : mapping of str to float
            Energies by chemical symbol, in eV.

        Returns
        -------
        Sketch
        """
        rows: dict[float, list[Floats]] = {SIGMA_ENERGY: [], SIGMA_FORCE: []}
        targets: dict[float, list[Floats]] = {SIGMA_ENERGY: [], SIGMA_FORCE: []}
        base = np.array([free_atoms[symbol] for symbol in elements])
        for frame in frames:
            energy, forces = columns(frame.system, elements)
            n = len(frame.system)
            free = float(np.asarray(composition(frame.system, elements)) @ base)
            rows[SIGMA_ENERGY].append(energy[None] / n)
            targets[SIGMA_ENERGY].append(np.array([frame.energy / n - free]))
            if frame.forces is not None:
                rows[SIGMA_FORCE].append(forces.reshape(-1, len(energy)))
                targets[SIGMA_FORCE].append(frame.forces.ravel())
        parts = [(np.concatenate(a), np.concatenate(targets[s]), s) for s, a in rows.items() if a]
        matrix = np.concatenate([a / sigma for a, _, sigma in parts])
        target = np.concatenate([b / sigma for _, b, sigma in parts])
        n_elements = len(elements)
        ties = _ties(matrix, n_elements)
        matrix, target = np.vstack([matrix, ties]), np.append(target, np.zeros(len(ties)))
        signed: Floats = np.hstack([matrix, -matrix[:, :n_elements]])  # energies of elements have either sign
        scale = np.maximum(np.sqrt((signed * signed).sum(axis=0)), 1e-300)
        # The triangular factor stands for all rows.
        factor: Floats = np.asarray(np.linalg.qr(np.column_stack([signed / scale, target]), mode="r"))
        both: Floats = np.asarray(scipy.optimize.nnls(factor[:, :-1], factor[:, -1])[0]) / scale
        weights = both[:-n_elements].copy()
        weights[:n_elements] -= both[-n_elements:]
        rms = [float(np.sqrt(np.mean((a @ weights - b) ** 2))) for a, b, _ in parts]
        return cls(tuple(elements), dict(free_atoms), weights, (rms[0], rms[-1]))

    def evaluate(self, system: System, attraction: bool = True) -> tuple[float, Floats]:
        """Evaluate it.

        Parameters
        ----------
        system : System
            A structure.
        attraction : bool
            Whether atoms attract each other.

        Returns
        -------
        energy : float
            In eV.
        forces : ndarray, shape (N, 3)
            In eV/Å.
        """
        energy, forces = columns(system, self.elements)
        weights = self.weights.copy()
        if not attraction:
            weights[-len(ATTRACTION) * len(self.elements) :] = 0.0
        base = np.array([self.free_atoms[symbol] for symbol in self.elements])
        free = len(system) * float(np.asarray(composition(system, self.elements)) @ base)
        return float(energy @ weights) + free, forces @ weights

    def per_atom(self, system: System, energy: float) -> float:
        """Energy per atom beyond that of the elements, which does not depend on where energies begin.

        Parameters
        ----------
        system : System
            A structure.
        energy : float
            Its energy, in eV.

        Returns
        -------
        float
            In eV.
        """
        n = len(self.elements)
        own = np.array([self.free_atoms[symbol] for symbol in self.elements]) + self.weights[:n]
        return energy / len(system) - float(np.asarray(composition(system, self.elements)) @ own)


def _ties(matrix: Floats, n: int) -> Floats:
    """Rows of small weight for A: of unlike atoms the mean of the like ones, of these the mean of all."""
    norms = np.sqrt((matrix * matrix).sum(axis=0))[n : n + len(REPULSION) * n * n]
    weight = TIE * float(np.median(norms[norms > 0])) if np.any(norms > 0) else 1.0
    rows = []
    for k in range(len(REPULSION)):
        first = n + k * n * n
        like = first + (n + 1) * np.arange(n)
        for a in range(n):
            for b in range(a, n):
                row = np.zeros(matrix.shape[1])
                if a == b:
                    row[like] = -0.1 * weight / n
                    row[like[a]] += 0.1 * weight
                else:
                    row[like[[a, b]]] = -0.5 * weight
                    row[first + n * a + b] = weight
                rows.append(row)
    return np.array(rows)


def columns(system: System, elements: Sequence[str]) -> tuple[Floats, Floats]:
    """Energies and forces of a structure for weights of 1.

    Parameters
    ----------
    system : System
        The structure.
    elements : sequence of str
        Chemical symbols.

    Returns
    -------
    energy : ndarray, shape (n,)
        In eV.
    forces : ndarray, shape (N, 3, n)
        In eV/Å.
    """
    n_elements, n = len(elements), len(system)
    radii = covalent_radii[[atomic_numbers[symbol] for symbol in elements]]
    kinds = kinds_of(system.numbers, elements)
    i, j, r_p, vectors_pc = half_list(
        system.positions, system.cell, system.pbc, float(2 * CUTOFF * radii.max())
    )
    size_p = radii[kinds[i]] + radii[kinds[j]]
    x_p = r_p / size_p - 1.0
    fade_p, fading_p = switched((x_p + 1.0 - FADE) / (CUTOFF - FADE))
    fading_p = fading_p / (CUTOFF - FADE)
    unit_pc = vectors_pc / r_p[:, None]
    pair = n_elements * np.minimum(kinds[i], kinds[j]) + np.maximum(kinds[i], kinds[j])
    n_repulsion, n_attraction = len(REPULSION) * n_elements**2, len(ATTRACTION) * n_elements
    energy = np.zeros(n_elements + n_repulsion + n_attraction)
    forces = np.zeros((n, 3, len(energy)))
    energy[:n_elements] = np.bincount(kinds, minlength=n_elements)

    def push(slope_p: Floats, column_p: NDArray[np.int64]) -> None:
        """Forces of pairs with this slope in r."""
        for end, sign in ((i, 1.0), (j, -1.0)):
            place_p = end * len(energy) + column_p
            for axis in range(3):
                pull = np.bincount(place_p, sign * slope_p * unit_pc[:, axis], n * len(energy))
                forces[:, axis] += pull.reshape(n, len(energy))

    for k, a in enumerate(REPULSION):
        value_p = np.exp(-a * x_p)
        column_p = n_elements + k * n_elements**2 + pair
        energy += np.bincount(column_p, value_p * fade_p, len(energy))
        push(value_p * (fading_p - a * fade_p) / size_p, column_p)
    for k, b in enumerate(ATTRACTION):
        value_p = np.exp(-2 * b * x_p)
        density = sum(np.bincount(end, value_p * fade_p, n) for end in (i, j))
        root = np.sqrt(density + 1e-12)
        first = n_elements + n_repulsion + k * n_elements
        energy += np.bincount(first + kinds, -root, len(energy))
        slope_p = value_p * (fading_p - 2 * b * fade_p) / size_p
        for end in (i, j):
            push(-0.5 * slope_p / root[end], first + kinds[end])
    return energy, forces
