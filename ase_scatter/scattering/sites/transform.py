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

from ...compute import threads
from ...compute.target import HOST, Target
from ...errors import InputError
from ...structures.batch import Batch
from ...structures.neighbors import CACHE
from ...structures.system import Evaluation, System
from ..channels import Channels
from ..harmonics import prefactors
from ..transform import Jacobian, LabelledColumn, Transform
from ..wavelets import Wavelet
from . import numba_kernels as kernels
from .arrays import Surroundings
from .columns import COST, KINDS, Field, SiteColumn, SitesSettings, Term, _flat, _key, candidate_terms
from .cuda import Tables, on_device
from .host import _BUFFERS, LEAST_PER_THREAD
from .jacobian import Table, at_atoms, differentiate, make_tables
from .plan import Layout, make_layout


@dataclass(frozen=True)
class SitesTransform(Transform):
    """Scattering coefficients of orders 1 and 2 at the atoms.

    settings: hyperparameters. channels: weights per element. terms: the columns. norms: c of each
    Field and each (Field, second wavelet) used (1 where not calibrated).
    """

    settings: SitesSettings
    channels: Channels
    terms: tuple[SiteColumn, ...]
    norms: dict[Any, float]

    kind = "sites"
    per_atom = True

    @classmethod
    def candidates(cls, settings: SitesSettings, channels: Channels) -> SitesTransform:
        """All columns that the settings allow, not yet calibrated."""
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
        return tuple(LabelledColumn(self._label(c), COST[c.term.kind]) for c in self.terms)

    def _label(self, column: SiteColumn) -> str:
        term, element = column
        names = [self._name(f) for f in term.fields]
        if term.second is not None:
            names[0] += f" → {self._wavelet(term.second)}"
        q = "" if term.exponent is None else f"; q={term.exponent:.3g}"
        order = 1 if term.second is None else 2
        return f"sites S{order} {term.kind}[{' · '.join(names)}{q}] at {self.elements[element]}"

    def _name(self, field: Field) -> str:
        return f"{self.channels.names[field.channel]} {self._wavelet(field.wavelet)}"

    def _wavelet(self, wavelet: Wavelet) -> str:
        return f"β={self.settings.scales[wavelet.scale]:.3g} p={wavelet.p} l={wavelet.l}"

    def subset(self, indices: Iterable[int]) -> SitesTransform:
        terms = tuple(self.terms[i] for i in indices)
        needed: set[Any] = {f for c in terms for f in c.term.fields}
        needed |= {(c.term.fields[0], c.term.second) for c in terms if c.term.second is not None}
        return replace(self, terms=terms, norms={k: c for k, c in self.norms.items() if k in needed})

    @cached_property
    def _layout(self) -> Layout:
        distinct = list(dict.fromkeys(c.term for c in self.terms))
        return make_layout(self.settings, np.asarray(self.channels.weights), distinct, self.norms)

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
        """The transform with every c set to the mean of U² over the atoms of these structures."""
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

    def _around(self, system: System, target: Target) -> Surroundings:
        return Surroundings(
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

    def local_features(self, system: System, target: Target = HOST) -> NDArray[np.float64]:
        values = np.zeros((len(system), self.n_columns))
        for atoms, columns, found in at_atoms(self._around(system, target), self._tables):
            values[atoms[:, None], columns] = found
        return values

    def evaluate_batch(
        self, batch: Batch, rows: NDArray[np.float64], target: Target = HOST
    ) -> list[list[Evaluation]]:
        self.require_weights(rows)
        padded = np.pad(rows, ((0, 0), (0, 1)))  # a 0 for columns that there are not
        if target.on_host:
            # Compiled code computes in float64, faster than array code would in float32.
            return [
                [
                    Evaluation(float(energies.sum()), forces, strain, energies)
                    for energies, forces, strain in self._compiled(system, padded)
                ]
                for system in batch.systems
            ]
        kinds = self.channels.kinds(batch.numbers)
        places = dict(zip(KINDS, self._places, strict=True))
        device = on_device(self._layout, self._kernel_tables, batch.backend, target.dtype)
        return device.evaluate(batch, kinds, padded, places)

    def memory(self, system: System, target: Target) -> float:
        return self._kernel_tables.bytes_needed(system, target.dtype)

    def _compiled(
        self, system: System, rows: NDArray[np.float64]
    ) -> list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]:
        """Energies (N,), forces (N, 3) and strain gradient (3, 3) by the compiled passes, for each row of
        weights; the fields are the same for all."""
        layout = self._layout
        plan = layout.plan
        near = CACHE.neighbors(system, self.cutoff)
        kind = self.channels.kinds(system.numbers)
        n, n_sources = len(system), len(plan.source)
        where = (kind, system.positions, system.cell, near.first, near.second, near.shifts)
        # All that each atom or pair keeps between the passes.
        shapes = (
            (n, plan.charges.shape[0] * plan.n_phi),
            (n, n_sources),
            (n, int(plan.moduli[plan.source, 1].sum())),
            (near.n_pairs, n_sources),
            (near.n_pairs, 3),
        )
        a, g, kept, back, force = buffers = _BUFFERS.take(shapes)
        virial = np.empty((n, 6))
        factors = prefactors(plan.l_max)
        least = LEAST_PER_THREAD
        threads.over_ranges(n, least, kernels.fields, plan, factors, *where, a, g)
        fields = a.copy() if len(rows) > 1 else a  # pass 2 writes over them
        several = []
        for row in rows:
            if a is not fields:
                a[:] = fields
            tables = tuple(row[places] for places in self._places)
            energies, forces = np.empty(n), np.empty((n, 3))
            threads.over_ranges(
                n, least, kernels.terms, plan, factors, tables, *where, a, g, kept, energies, back, force
            )
            threads.over_ranges(
                n,
                least,
                kernels.adjoint,
                plan,
                factors,
                *where,
                near.reverse,
                a,
                g,
                kept,
                back,
                force,
                virial,
            )
            threads.over_ranges(n, least, kernels.collect, near.first, near.reverse, force, forces)
            xx, yy, zz, yz, xz, xy = virial.sum(axis=0).tolist()
            several.append((energies, forces, np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])))
        _BUFFERS.give_back(shapes, buffers)
        return several

    def jacobian(self, system: System, target: Target = HOST) -> Jacobian:
        return differentiate(self._around(system, target), self._tables, self.n_columns)

    # ---- files ----------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "settings": self.settings.to_dict(),
            "channels": self.channels.to_dict(),
            "columns": [[*term.flat(), element] for term, element in self.terms],
            "norms": [[_flat(key), c] for key, c in self.norms.items()],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SitesTransform:
        return cls(
            SitesSettings.from_dict(data["settings"]),
            Channels.from_dict(data["channels"]),
            tuple(SiteColumn(Term.of_flat(row[:-1]), int(row[-1])) for row in data["columns"]),
            {_key(row[0]): float(row[1]) for row in data["norms"]},
        )
