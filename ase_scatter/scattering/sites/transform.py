"""Scattering coefficients summed over the atoms: the atom-centred measure.

Instead of over all of space, invariants are summed over the atoms, Σ_i δ(u − R_i), and convolutions are
sums over the neighbours within a cutoff, the atom itself left out:

    A_c,λm(i) = Σ_{j≠i} q_c(Z_j) φ_λm(r_ij),   φ_λm = ψ_λm · f_c(r),
    g_cλ(i)   = (Σ_m A_cλm(i)²/c + ε²)^{1/2} − ε,
    B_cλ,λ2m(i) = Σ_{j≠i} g_cλ(j) φ_λ2m(r_ij),

    S[term, Z] = Σ_{i: Z_i = Z} term(A(i), B(i)).

f_c falls from 1 to 0 over the last `switch` Å with two continuous derivatives. Orders 1 and 2 are those
of Sinz et al., J. Chem. Phys. 153, 084109 (2020) on another measure; products of two and three fields are
added (`terms`), which are the power spectrum and, integrated over directions, the bispectrum of the
surroundings (Bartók, Kondor, Csányi, Phys. Rev. B 87, 184115 (2013)). Seen as a network this is two
layers of messages with fixed weights and a linear readout; atom i's energy depends on what is within
two cutoffs. It costs the same per atom however many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compute.entries import entries, numbers
from ...compute.target import HOST, Target
from ...errors import InputError
from ...structures.batch import Batch
from ...structures.neighbors import CACHE
from ...structures.system import Evaluation, System
from ...units import from_voigt
from ..channels import Channels
from ..transform import Jacobian, LabelledColumn, Transform
from . import host, host_jacobian
from .arrays import PaddedEnvironments
from .columns import (
    COST,
    KINDS,
    SiteColumn,
    SitesSettings,
    Term,
    candidate_terms,
    json_of_key,
    key_of_json,
    label,
)
from .cuda import on_device
from .cuda_plan import Tables
from .heat import flux_virials
from .jacobian import at_atoms, differentiate
from .jacobian_plan import Table, make_tables
from .plan import Layout, make_layout
from .validate import closest_of_json, validate


@dataclass(frozen=True)
class SitesTransform(Transform):
    """Scattering coefficients of orders 1 and 2 at the atoms.

    Parameters
    ----------
    settings : SitesSettings
        Hyperparameters.
    channels : Channels
        Weights of the elements.
    terms : tuple of SiteColumn
        The columns.
    norms : dict of Field or (Field, Wavelet) to float
        The normalisation c of fields of order 1 and 2; 1 where none is given.
    closest : tuple of tuple of float, shape (n_elements, n_elements)
        Shortest distances in Å in the training data, below which columns do not change; empty for none.
    """

    settings: SitesSettings
    channels: Channels
    terms: tuple[SiteColumn, ...]
    norms: dict[Any, float]
    closest: tuple[tuple[float, ...], ...] = ()

    kind = "sites"
    per_atom = True

    @classmethod
    def candidates(cls, settings: SitesSettings, channels: Channels) -> SitesTransform:
        """Make the transform of all columns that the settings allow, not yet calibrated.

        Parameters
        ----------
        settings : SitesSettings
            Hyperparameters.
        channels : Channels
            Weights of the elements.

        Returns
        -------
        SitesTransform
            The transform.

        Raises
        ------
        InputError
            If the settings leave no columns.
        """
        terms = candidate_terms(settings, len(channels.names))
        if not terms:
            raise InputError("the settings leave no columns: give first and exponents1, or inner and outer")
        columns = [SiteColumn(t, k) for t in terms for k in range(len(channels.elements))]
        return cls(settings, channels, tuple(columns), {})

    # ---- what it consists of --------------------------------------------------------------------

    @property
    def elements(self) -> tuple[str, ...]:
        return self.channels.elements

    @property
    def cutoff(self) -> float:
        """How far (Å) an atom sees its neighbours."""
        return self.settings.cutoff

    @cached_property
    def columns(self) -> Sequence[LabelledColumn]:
        return tuple(
            LabelledColumn(label(c, self.settings.scales, self.channels), COST[c.term.kind])
            for c in self.terms
        )

    def subset(self, indices: Iterable[int]) -> SitesTransform:
        terms = tuple(self.terms[i] for i in indices)
        needed: set[Any] = {f for c in terms for f in c.term.fields}
        needed |= {(c.term.fields[0], c.term.second) for c in terms if c.term.second is not None}
        return replace(self, terms=terms, norms={k: c for k, c in self.norms.items() if k in needed})

    @cached_property
    def _layout(self) -> Layout:
        distinct = list(dict.fromkeys(c.term for c in self.terms))
        return make_layout(
            self.settings, np.asarray(self.channels.weights), distinct, self.norms, self.closest
        )

    @property
    def layout(self) -> Layout:
        """Flat tables of the terms, for code that loops over atoms and pairs."""
        return self._layout

    def weights_of_terms(self, row: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """Sort the weights of columns as the tables of `layout` are sorted.

        Parameters
        ----------
        row : ndarray, shape (n_columns,)
            Weights in eV.

        Returns
        -------
        tuple of ndarray, each of shape (n_terms, n_elements)
            For each kind of term, in the order of ``KINDS``, the weights in eV; 0 where there is no column.
        """
        padded = np.append(row, 0.0)  # a 0 for columns that there are not
        return tuple(padded[places] for places in self._places)

    @cached_property
    def _index(self) -> dict[Term, NDArray[np.int64]]:
        """Per term the column of each element, −1 where there is none."""
        index = {c.term: np.full(len(self.elements), -1, dtype=np.int64) for c in self.terms}
        for k, (term, element) in enumerate(self.terms):
            index[term][element] = k
        return index

    @cached_property
    def _kernel_tables(self) -> Tables:
        """What kernels on a device go by."""
        return Tables.of(self._layout)

    @cached_property
    def _work_space(self) -> host.WorkSpace:
        return host.WorkSpace()

    @cached_property
    def _tables(self) -> list[Table]:
        """What the columns of each element are made of."""
        return make_tables(self._layout, self._index)

    @cached_property
    def _places(self) -> tuple[NDArray[np.int64], ...]:
        """Per kind of term where in the weights those of each term and element stand, −1 for none."""
        n = len(self.elements)
        return tuple(
            np.array([self._index[term] for term in self._layout.terms[kind]], dtype=np.int64).reshape(-1, n)
            for kind in KINDS
        )

    def _weights(self, weights: NDArray[np.float64]) -> dict[Term, NDArray[np.float64]]:
        """Weights per term and element, 0 where there is no column."""
        padded = np.append(weights, 0.0)
        return {term: padded[index] for term, index in self._index.items()}

    # ---- calibration ----------------------------------------------------------------------------

    def calibrated(self, systems: Sequence[System], target: Target = HOST) -> SitesTransform:
        """Set every c to the mean of U² over the atoms of some structures.

        Parameters
        ----------
        systems : sequence of System
            The structures.
        target : Target, optional
            Where and how precisely.

        Returns
        -------
        SitesTransform
            The calibrated transform.
        """
        calibrated = replace(self, norms={})
        n_atoms = sum(len(system) for system in systems)
        for order in (1, 2):
            layout = calibrated._layout
            tables = layout.fields if order == 1 else layout.pairs
            sums = dict.fromkeys(tables, 0.0)
            for system in systems:
                around = calibrated._around(system, target)
                phi, a, g = around.fields()
                values = a if order == 1 else around.second(phi, g)
                squares = target.backend.to_host((values.astype("float64") ** 2).sum(axis=0))
                for key, (at, size) in tables.items():
                    sums[key] += float(squares[at : at + size].sum())
            # Perfect crystals can have fields that are zero by symmetry: no c may be zero for them.
            least = 1e-6 * max(sums.values(), default=1.0) or 1.0
            norms = {key: max(total, least) / n_atoms for key, total in sums.items()}
            calibrated = replace(self, norms=calibrated.norms | norms)
        return calibrated

    # ---- forward, adjoint, Jacobian -------------------------------------------------------------

    def _around(self, system: System, target: Target) -> PaddedEnvironments:
        return PaddedEnvironments(
            self._layout,
            system,
            CACHE.neighbors(system, self.cutoff),
            self.channels.kinds(system.numbers),
            target.backend,
            target.dtype,
        )

    def features(self, system: System, target: Target = HOST) -> NDArray[np.float64]:
        values = np.zeros(self.n_columns)
        kind = self.channels.kinds(system.numbers)
        for term, local in self._around(system, target).features():
            for element, column in enumerate(self._index[term].tolist()):
                if column >= 0:
                    values[column] = local[kind == element].sum(dtype=np.float64)
        return values

    def _on_host(self, system: System) -> tuple[Any, ...]:
        """What the compiled passes over all columns are given."""
        kind, near = self.channels.kinds(system.numbers), CACHE.neighbors(system, self.cutoff)
        return self._layout.plan, system, kind, near, self._places, self.n_columns

    def local_features(self, system: System, target: Target = HOST) -> NDArray[np.float64]:
        if target.on_host:
            return host_jacobian.local_columns(*self._on_host(system))
        values = np.zeros((len(system), self.n_columns))
        for atoms, columns, found in at_atoms(self._around(system, target), self._tables):
            values[atoms[:, None], columns] = found
        return values

    def evaluate_batch(
        self, batch: Batch, rows: NDArray[np.float64], target: Target = HOST
    ) -> list[list[Evaluation]]:
        self.require_weights(rows)
        if target.on_host:
            # Compiled code computes in float64, faster than array code would in float32.
            return [
                host.evaluate(
                    self._layout.plan,
                    system,
                    self.channels.kinds(system.numbers),
                    CACHE.neighbors(system, self.cutoff),
                    [self.weights_of_terms(row) for row in rows],
                    self._work_space,
                )
                for system in batch.systems
            ]
        padded = np.pad(rows, ((0, 0), (0, 1)))
        kinds = self.channels.kinds(batch.numbers)
        places = dict(zip(KINDS, self._places, strict=True))
        device = on_device(self._layout, self._kernel_tables, batch.backend, target.dtype)
        return device.evaluate(batch, kinds, padded, places)

    def flux_virials(
        self, system: System, weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute energies of atoms and the virials that multiply their velocities in the heat flux.

        Parameters
        ----------
        system : System
            The structure.
        weights : ndarray, shape (n_columns,)
            Weights in eV.

        Returns
        -------
        energies : ndarray, shape (N,)
            In eV.
        virials : ndarray, shape (N, 3, 3)
            W_k of `heat` in eV.
        """
        kinds, near = self.channels.kinds(system.numbers), CACHE.neighbors(system, self.cutoff)
        return flux_virials(self._layout.plan, system, kinds, near, self.weights_of_terms(weights))

    def memory(self, system: System, target: Target) -> float:
        return self._kernel_tables.bytes_needed(system, target.dtype)

    def local_jacobian(
        self, system: System, centres: Sequence[int] | None = None
    ) -> host_jacobian.LocalJacobian:
        """Evaluate all columns at some atoms, with their derivatives, on the host.

        Parameters
        ----------
        system : System
            The structure.
        centres : sequence of int, optional
            The atoms; by default all.

        Returns
        -------
        LocalJacobian
            The columns of each, and how they change as the atoms in reach move and under strain.
        """
        return host_jacobian.local_jacobian(centres, *self._on_host(system))

    def jacobian(self, system: System, target: Target = HOST) -> Jacobian:
        if target.on_host:
            values, d_positions, strain = host_jacobian.total_jacobian(*self._on_host(system))
            dtype = np.dtype(target.dtype)
            return Jacobian(values, d_positions.astype(dtype, copy=False), from_voigt(strain).astype(dtype))
        return differentiate(self._around(system, target), self._tables, self.n_columns)

    # ---- files ----------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "settings": self.settings.to_dict(),
            "channels": self.channels.to_dict(),
            "columns": [[*term.flat(), element] for term, element in self.terms],
            "norms": [[json_of_key(key), c] for key, c in self.norms.items()],
            "closest": [list(row) for row in self.closest],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SitesTransform:
        settings, channels, columns, norms = entries(
            data, ("settings", "channels", "columns", "norms"), "transform"
        )
        elements = numbers([row[-1] for row in columns], 1, "elements of columns", whole=True).tolist()
        read = cls(
            SitesSettings.from_dict(settings),
            Channels.from_dict(channels),
            tuple(SiteColumn(Term.of_flat(row[:-1]), k) for row, k in zip(columns, elements, strict=True)),
            {key_of_json(row[0]): numbers(row[1], 0, "a norm").item() for row in norms},
            closest_of_json(data.get("closest", []), len(entries(channels, ("elements",), "channels")[0])),
        )
        validate(read.settings, read.channels, read.terms, read.norms)
        return read
