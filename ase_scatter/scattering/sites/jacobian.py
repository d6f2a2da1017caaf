"""Derivatives of every column of the atom-centred transform, for training.

At an atom i a term depends on the components f_k of the fields A(i) and B(i), and these on where the atoms
are:

    ∂S/∂R_j = Σ_i Σ_k ∂S/∂f_k(i) · ∂f_k(i)/∂R_j.

The second factor is the same for all columns, so that the double sum is one matrix product per field; the
strain is three more columns of it. B(i) depends on g of the neighbours too: what a column gains from g(j)
is a sum of the same kind, and ∂g(j)/∂R follows from the field that g is made of. Everything stays on the
device of the arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...compute.backend import Array
from ...compute.functions import modulus
from ..transform import Jacobian
from .arrays import PaddedEnvironments
from .columns import Field
from .jacobian_plan import Table

BLOCK = 64
"""Atoms whose surroundings are differentiated at once on the host: about what its caches hold."""
DEVICE_BLOCK = 1e9
"""Bytes that the derivatives of the fields of a block may take on a device."""

Ints = NDArray[np.int64]


def at_atoms(
    around: PaddedEnvironments, tables: Sequence[Table]
) -> Iterator[tuple[Ints, Ints, NDArray[Any]]]:
    """Evaluate all columns at the atoms.

    Parameters
    ----------
    around : PaddedEnvironments
        The structure.
    tables : sequence of Table
        One for each element.

    Yields
    ------
    atoms : ndarray of int, shape (n,)
        Atoms of one element.
    columns : ndarray of int, shape (c,)
        The columns of this element.
    values : ndarray, shape (n, c)
        Their values, on the host.
    """
    phi, a, g = around.fields()
    fields = around.xp.concatenate([a, around.second(phi, g)], axis=1)
    for element, table in enumerate(tables):
        atoms = np.flatnonzero(around.kind == element)
        if len(atoms) and len(table.columns):
            values, _ = _terms(around, table, fields[around.index(atoms)].T)
            yield atoms, table.columns, around.backend.to_host(values.T)


def differentiate(around: PaddedEnvironments, tables: Sequence[Table], n_columns: int) -> Jacobian:
    """Evaluate every column with its derivatives.

    Parameters
    ----------
    around : PaddedEnvironments
        The structure.
    tables : sequence of Table
        One for each element.
    n_columns : int
        Number of columns.

    Returns
    -------
    Jacobian
        Its arrays are on the device of the structure.
    """
    work = _Work(around, n_columns)
    for element, table in enumerate(tables):
        atoms = np.flatnonzero(around.kind == element)
        for start in range(0, len(atoms) if len(table.columns) else 0, work.block):
            work.add(table, atoms[start : start + work.block])
    work.add_messages(tables)
    return work.result()


class _Near:
    """Some atoms, and what is in their reach.

    centres, atoms: which of all, and which are in reach, on the device. charges: (n, channels, n_most).
    gradient: of φ with respect to r_ij, (n, n_phi·3, n_most); outer_gradient: of those of the second
    convolution; outer: Σ φ over the pairs that end at an atom in reach, (n_outer, n, a).
    """

    def __init__(self, around: PaddedEnvironments, which: Ints) -> None:
        xp, n, n_outer = around.xp, len(which), around.layout.plan.n_outer
        neighbor = around.neighbor[which]
        in_reach = np.union1d(neighbor, which)
        self.xp = xp
        self.centres, self.atoms = around.index(which), around.index(in_reach)
        self.charges = around.charges[self.centres]
        one_hot = xp.eye(len(in_reach), dtype=around.dtype)
        real = around.pairs.real[self.centres][:, :, None]
        ends = one_hot[around.index(np.searchsorted(in_reach, neighbor))] * real  # (n, n_most, a)
        starts = one_hot[around.index(np.searchsorted(in_reach, which))][:, None] * real
        # What r_ij changes by when an atom in reach moves, and, three more columns, under strain.
        self._change = xp.concatenate([ends - starts, around.pairs.vectors[self.centres]], axis=2)
        phi, gradient = around.gradient_of_phi(self.centres)
        n_most = phi.shape[2]
        self.gradient = gradient.reshape(n, -1, n_most)
        if n_outer:
            self.outer_gradient = gradient[:, :n_outer].reshape(n, -1, n_most)
            self.outer = xp.matmul(phi[:, :n_outer], ends).transpose(1, 0, 2)

    def derivatives(self, gradient: Array, weight: Array) -> Array:
        """Of Σ_j weight_ij φ(r_ij), weight (n, n_most): (functions, n, 3·(a + 3))."""
        found = self.xp.matmul(gradient, self._change * weight[:, :, None])
        n, rows, _ = found.shape
        return found.reshape(n, rows // 3, -1).transpose(1, 0, 2)


class _Block(NamedTuple):
    """Some atoms, and the derivatives of their messages.

    centres, atoms: which, and which are in reach, on the device. messages: per source (n, 3·(a + 3)), ∂g
    with respect to the positions of the atoms in reach and the strain.
    """

    centres: Array
    atoms: Array
    messages: dict[int, Array]


class _Work:
    """Derivatives of all columns as they add up, block by block."""

    def __init__(self, around: PaddedEnvironments, n_columns: int) -> None:
        self.around = around
        self.xp = xp = around.xp
        plan = around.layout.plan
        phi, a, g = around.fields()
        self.g = g
        self.fields = xp.concatenate([a, around.second(phi, g)], axis=1)
        self.received = around.received(g)
        self.values = xp.zeros(n_columns, dtype="float64")
        self.d_positions = xp.zeros((n_columns, 3, around.n), dtype=around.dtype)
        self.d_strain = xp.zeros((n_columns, 3, 3), dtype=around.dtype)
        self.d_g = xp.zeros((n_columns, around.n), dtype=around.dtype)
        self.blocks: list[_Block] = []
        self.block = BLOCK
        if around.backend.name != "cpu":
            bytes_each = (
                3 * plan.n_phi * (around.n + around.neighbor.shape[1]) * np.dtype(around.dtype).itemsize
            )
            self.block = max(1, int(DEVICE_BLOCK / bytes_each))

    def _add(self, columns: Ints, atoms: Array, gained: Array) -> None:
        """Add derivatives (c, 3·(a + 3)) with respect to the positions of these atoms and the strain."""
        index = self.around.index(columns)
        gained = gained.reshape(len(columns), 3, -1)
        axis = self.around.index(np.arange(3))
        self.d_positions[index[:, None, None], axis[:, None], atoms] += gained[:, :, :-3]
        self.d_strain[index] += gained[:, :, -3:]

    def add(self, table: Table, which: Ints) -> None:
        """What these atoms, all of one element, give to its columns."""
        around, xp = self.around, self.xp
        near = _Near(around, which)
        fields = self.fields[near.centres].T  # (components, n)
        values, slopes = _terms(around, table, fields)
        self.values[around.index(table.columns)] += values.astype("float64").sum(axis=1)

        messages: dict[int, Array] = {}
        gained: list[Array] = []
        gained_g: list[Array] = []
        n_channels = len(around.layout.plan.charges)
        for part, slices in enumerate(table.parts):
            source = part - n_channels
            if source < 0:
                moved = near.derivatives(near.gradient, near.charges[:, part])
                for s, field in enumerate(around.layout.sources):
                    if field.channel == part:
                        messages[s] = self._message(s, field, fields, near.centres, moved)
            else:
                moved = near.derivatives(near.outer_gradient, self.received[:, source][near.centres])
            for size, start, stop, at in slices:
                slope = slopes[size][start:stop].reshape(stop - start, -1)
                gained.append(xp.matmul(slope, moved[at : at + size].reshape(slope.shape[1], -1)))
                if source >= 0:
                    from_g = near.outer[at : at + size].reshape(slope.shape[1], -1)
                    gained_g.append(xp.matmul(slope, from_g))
        total = xp.concatenate(gained)
        summed = total[around.index(table.first)]
        for columns, more in table.further:
            summed[around.index(columns)] += total[around.index(more)]
        self._add(np.sort(table.columns), near.atoms, summed)
        if gained_g:
            index = around.index(np.concatenate(table.paired))
            self.d_g[index[:, None], near.atoms] += xp.concatenate(gained_g)
        self.blocks.append(_Block(near.centres, near.atoms, messages))

    def _message(self, s: int, field: Field, fields: Array, centres: Array, moved: Array) -> Array:
        """∂g of one source (n, 3·(a + 3))."""
        plan, layout = self.around.layout.plan, self.around.layout
        at, size = layout.fields[field]
        inside = at - field.channel * plan.n_phi
        scale = float(plan.scale_a.reshape(-1)[at])
        slope = fields[at : at + size] * (scale / (self.g[:, s][centres] + plan.epsilon2**0.5))
        return (moved[inside : inside + size] * slope[:, :, None]).sum(axis=0)

    def add_messages(self, tables: Sequence[Table]) -> None:
        """What columns of order 2 gain from g of the neighbours moving with their own neighbours."""
        for source in range(len(self.around.layout.sources)):
            columns = np.concatenate([table.paired[source] for table in tables])
            if not len(columns):
                continue
            d_g = self.d_g[self.around.index(columns)]
            for block in self.blocks:
                gained = self.xp.matmul(d_g[:, block.centres], block.messages[source])
                self._add(columns, block.atoms, gained)

    def result(self) -> Jacobian:
        strain = 0.5 * (self.d_strain + self.d_strain.transpose(0, 2, 1))
        return Jacobian(self.values, self.xp.ascontiguousarray(self.d_positions.transpose(0, 2, 1)), strain)


def _terms(around: PaddedEnvironments, table: Table, fields: Array) -> tuple[Array, dict[int, Array]]:
    """Values (c, n) of all terms, and by size their derivatives (e, size, n), sorted by field."""

    def on_device(values: NDArray[Any]) -> Array:
        return around.backend.to_device(values, around.dtype)

    xp, plan = around.xp, around.layout.plan
    values: list[Array] = []
    slopes: dict[int, list[Array]] = {size: [] for size in table.order}
    for (size, q), where in table.powers.items():
        field = fields[around.index(where)]  # (t, size, n)
        value, slope = modulus((field * field).sum(axis=1) + plan.epsilon2, q, plan.epsilon2, xp)
        values.append(value)
        slopes[size].append((2.0 * slope)[:, None] * field)
    for size, (one, two) in table.products.items():
        first, second = fields[around.index(one)], fields[around.index(two)]
        values.append((first * second).sum(axis=1))
        slopes[size] += [second, first]
    if len(table.triples):
        harmonics = {l: plan.directions[l * l : (l + 1) * (l + 1)] for l in table.sphere}
        on_sphere = xp.concatenate(
            [xp.matmul(on_device(harmonics[l].T), fields[around.index(where)])
             for l, where in table.sphere.items()]
        )  # fmt: skip
        # (fields, directions, n)
        x, y, z = (on_sphere[around.index(table.triples[:, slot])] for slot in range(3))
        others = xp.stack([y * z, x * z, x * y])
        values.append(xp.einsum("tdn,d->tn", x * others[0], on_device(plan.areas)))
        for size, (rows, slot, times) in table.thirds.items():
            back = on_device(harmonics[(size - 1) // 2] * plan.areas)
            chosen = others[around.index(slot), around.index(rows)]
            slopes[size].append(xp.matmul(back, chosen) * on_device(times)[:, None, None])
    found = {
        size: xp.concatenate(parts)[around.index(table.order[size])]
        * on_device(table.scale[size])[:, None, None]
        for size, parts in slopes.items()
    }
    return xp.concatenate(values), found
