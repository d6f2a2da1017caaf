"""Screened short-range repulsion between nuclei, for distances at which no model has data.

E = Σ_pairs s(r) · k Z_i Z_j / r · φ(r/a),   a = 0.46850 Å / (Z_i^0.23 + Z_j^0.23),
φ(x) = Σ_n c_n e^(−d_n x): the universal potential of Ziegler, Biersack and Littmark, "The
Stopping and Range of Ions in Matter", vol. 1 (Pergamon, 1985); k = e²/4πε₀ in eV Å. The switch s
falls from 1 at r_inner to 0 at r_outer with two continuous derivatives, so that neither forces nor
elastic constants jump.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from ase import units
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import ArrayLike, NDArray

from ..compute.backend import blocks, load_kernels
from ..compute.entries import entries, numbers, strings
from ..compute.functions import switched
from ..errors import InputError
from ..structures.batch import Batch
from ..structures.neighbors import CACHE
from ..structures.neighbors_cuda import Sums, near_pairs
from ..structures.pair_search import half_list
from ..structures.system import SHORTEST_DISTANCE, Evaluation, System, coincidence, kinds_of

COULOMB = float(units.Hartree * units.Bohr)
"""e²/4πε₀ in eV Å."""

SCREENING_LENGTH = 0.46850
SCREENING_COEFFICIENTS = np.array([0.18175, 0.50986, 0.28022, 0.02817])
SCREENING_DECAYS = np.array([3.19980, 0.94229, 0.40290, 0.20162])

FILES = ("compute/math.cuh", "model/repulsion.cu")
"""Sources of the kernel."""

DEFAULT_OUTER = 0.8
"""Default r_outer over the sum of ASE's covalent radii: inside every bond, metals included (nearest
neighbours in bcc Mo are at 0.89 of it)."""

DEFAULT_INNER = 0.5
"""Default r_inner over r_outer."""


@dataclass(frozen=True, eq=False)
class ZBLRepulsion:
    """ZBL repulsion between all pairs of some elements.

    Parameters
    ----------
    elements : iterable of str
        Distinct chemical symbols.
    r_inner : array_like, shape (n, n) or scalar, optional
        Where the switch begins for each pair of elements, in Å; symmetric. By default `DEFAULT_INNER` times
        `r_outer`.
    r_outer : array_like, shape (n, n) or scalar, optional
        Where it ends, in Å; symmetric. By default `DEFAULT_OUTER` times the sum of the covalent radii.

    Raises
    ------
    InputError
        If a symbol is unknown or given twice, or the ranges do not fulfil 0 ≤ r_inner < r_outer.

    Notes
    -----
    The formula and its source stand in the docstring of this module.
    """

    elements: tuple[str, ...]
    r_inner: NDArray[np.float64]
    r_outer: NDArray[np.float64]

    def __init__(
        self,
        elements: Iterable[str],
        *,
        r_inner: ArrayLike | None = None,
        r_outer: ArrayLike | None = None,
    ) -> None:
        symbols = tuple(elements)
        unknown = [symbol for symbol in symbols if atomic_numbers.get(symbol, 0) < 1]
        if unknown or not symbols or len(set(symbols)) < len(symbols):
            raise InputError(f"the core needs distinct chemical symbols, not {symbols}")
        if r_outer is None:
            radii = covalent_radii[[atomic_numbers[symbol] for symbol in symbols]]
            r_outer = DEFAULT_OUTER * (radii[:, None] + radii[None, :])
        outer = _pair_table(r_outer, len(symbols), "r_outer")
        inner = _pair_table(DEFAULT_INNER * outer if r_inner is None else r_inner, len(symbols), "r_inner")
        if not np.all((inner >= 0) & (inner < outer)):
            raise InputError("the core's ranges must fulfil 0 ≤ r_inner < r_outer for every pair")
        # Frozen: the tables are set once, here.
        object.__setattr__(self, "elements", symbols)
        object.__setattr__(self, "r_inner", inner)
        object.__setattr__(self, "r_outer", outer)

    def evaluate(self, system: System) -> Evaluation:
        """Evaluate the repulsion of one structure.

        Parameters
        ----------
        system : System
            The structure.

        Returns
        -------
        Evaluation
            Energy (eV), forces (eV/Å) and strain gradient (eV). Half of each pair's energy is each atom's.

        Raises
        ------
        InputError
            If an atom is of another element, or two atoms coincide.
        """
        kinds_i = self._kinds(system.numbers)
        i, j, r_p, vectors_pc = half_list(system.positions, system.cell, system.pbc, self.cutoff)
        if len(r_p) and r_p.min() < SHORTEST_DISTANCE:
            nearest = int(r_p.argmin())
            raise coincidence(int(i[nearest]), int(j[nearest]))
        inner_p = self.r_inner[kinds_i[i], kinds_i[j]]
        outer_p = self.r_outer[kinds_i[i], kinds_i[j]]
        energy_p, slope_p = _zbl(r_p, system.numbers[i], system.numbers[j])
        width_p = outer_p - inner_p
        switch_p, fading_p = switched((r_p - inner_p) / width_p)
        slope_p = slope_p * switch_p + energy_p * (fading_p / width_p)
        gradient_pc = (slope_p / r_p)[:, None] * vectors_pc
        forces = np.empty((len(system), 3))
        for axis in range(3):
            gradient_p = gradient_pc[:, axis]
            forces[:, axis] = np.bincount(i, gradient_p, len(system))
            forces[:, axis] -= np.bincount(j, gradient_p, len(system))
        energy_p = np.asarray(energy_p * switch_p, dtype=np.float64)
        energies = np.zeros(len(system))
        virials = np.zeros((len(system), 3, 3))
        virial_pcc = gradient_pc[:, :, None] * vectors_pc[:, None, :]
        for end in (i, j):
            energies += 0.5 * np.bincount(end, energy_p, len(system))
            np.add.at(virials, end, 0.5 * virial_pcc)
        return Evaluation(float(energy_p.sum()), forces, gradient_pc.T @ vectors_pc, energies, virials)

    @property
    def cutoff(self) -> float:
        """Beyond this distance (Å) there is no repulsion between any two atoms."""
        return float(self.r_outer.max())

    def evaluate_batch(self, batch: Batch) -> list[Evaluation] | None:
        """`evaluate` for each structure of a batch.

        Parameters
        ----------
        batch : Batch
            Structures on the host or on a device.

        Returns
        -------
        list of Evaluation or None
            None where no two atoms are near enough to repel.
        """
        backend = batch.backend
        if backend.compile is None:
            if all(CACHE.keeps_apart(system, self.cutoff) for system in batch.systems):
                self._kinds(np.concatenate([system.numbers for system in batch.systems]))
                return None
            return [self.evaluate(system) for system in batch.systems]
        n = batch.n_atoms
        kinds = backend.to_device(self._kinds(batch.numbers), "int32")
        near = near_pairs(batch, self.cutoff)
        sums, closest = Sums(batch), backend.xp.empty(n, dtype="float64")
        kernels = load_kernels(
            backend,
            FILES,
            {
                "SCREENING_COEFFICIENTS": ", ".join(map(repr, SCREENING_COEFFICIENTS.tolist())),
                "SCREENING_DECAYS": ", ".join(map(repr, SCREENING_DECAYS.tolist())),
            },
        )
        kernels(
            "repel", blocks(n), np.int32(n), np.int32(len(self.elements)), kinds,
            backend.to_device(self._pair_constants), near.first, near.counts, near.vectors, near.second,
            sums.energies, sums.forces, sums.virials, closest,
        )  # fmt: skip
        nearest = float(closest.min())
        if nearest < SHORTEST_DISTANCE:
            for system in batch.systems:
                system.validate()  # finds the two, and says which
        return sums.evaluations() if nearest < self.cutoff else None

    def _kinds(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which of the elements each atom is."""
        found = kinds_of(numbers, self.elements)
        if (found < 0).any():
            raise InputError(f"the core is set up for {', '.join(self.elements)} only")
        return found

    @cached_property
    def _pair_constants(self) -> NDArray[np.float64]:
        """r_inner, r_outer, e²/4πε₀ Z Z' and 1/a of each pair of elements, (n, n, 4)."""
        z = np.array([atomic_numbers[symbol] for symbol in self.elements], dtype=np.float64)
        screening = (z[:, None] ** 0.23 + z**0.23) / SCREENING_LENGTH
        return np.stack([self.r_inner, self.r_outer, COULOMB * z[:, None] * z, screening], axis=-1)

    def to_dict(self) -> dict[str, Any]:
        """Describe the repulsion as JSON can hold it.

        Returns
        -------
        dict
            Kind, elements and ranges.
        """
        return {
            "kind": "zbl",
            "elements": list(self.elements),
            "r_inner": self.r_inner.tolist(),
            "r_outer": self.r_outer.tolist(),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ZBLRepulsion:
        """Read a repulsion that `to_dict` described.

        Parameters
        ----------
        data : dict
            What `to_dict` gave.

        Returns
        -------
        ZBLRepulsion
            The same repulsion.

        Raises
        ------
        InputError
            If the data describe another kind.
        """
        (kind,) = entries(data, ("kind",), "core")
        if kind != "zbl":
            raise InputError(f"unknown kind of core {kind!r}: only 'zbl' is known")
        elements, inner, outer = entries(data, ("elements", "r_inner", "r_outer"), "core")
        return cls(
            strings(elements, "elements of the core"),
            r_inner=numbers(inner, 2, "r_inner"),
            r_outer=numbers(outer, 2, "r_outer"),
        )


def _pair_table(values: ArrayLike, n: int, name: str) -> NDArray[np.float64]:
    """A read-only symmetric (n, n) table from such a table or from one number."""
    table = np.asarray(values, dtype=np.float64)
    if table.shape not in ((), (n, n)) or not np.isfinite(table).all():
        raise InputError(f"{name} must be one finite number or a table shaped ({n}, {n})")
    table = np.array(np.broadcast_to(table, (n, n)))
    if not np.array_equal(table, table.T):
        raise InputError(f"{name} must be symmetric: the pair i–j is the pair j–i")
    table.setflags(write=False)
    return table


def _zbl(
    r: NDArray[np.float64], z_i: NDArray[np.int64], z_j: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unswitched pair energy (eV) and its derivative (eV/Å) at distances r (n,) in Å."""
    decays = SCREENING_DECAYS * ((z_i**0.23 + z_j**0.23) / SCREENING_LENGTH)[:, None]
    terms = SCREENING_COEFFICIENTS * np.exp(-decays * r[:, None])
    coulomb = COULOMB * z_i * z_j / r
    screening = terms.sum(axis=1)
    slope = -coulomb * (screening / r + (decays * terms).sum(axis=1))
    return coulomb * screening, slope
