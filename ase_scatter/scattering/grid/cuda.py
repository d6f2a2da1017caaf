"""The grid transform on a device: few large operations, for all structures of a batch at once.

Structures with the same box and grids (images of a band, displaced cells) are computed together. Per
scale all order-1 fields come out of one batched inverse FFT and the moduli go into one forward FFT; per
second scale all order-2 fields of all moduli come out of one inverse FFT, are scaled in place to adjoint
fields, and go into one forward FFT; then back through the moduli, the order-1 fields and the structure
factor. Between the FFTs are the kernels of grid.cu, and `grid_plan` says what they work on. A Jacobian
is the same with one head per column.

Tables stay on the device while box, grids and weights stay: then positions go there, and sums per
column, strain and gradient come back, in one copy each way.

For 64 silicon atoms with Si-grid one evaluation of energy, forces and strain takes 52 kernels and 24
batched FFTs, and the same for several such structures while they fit into blocks; 1.5 kB go to the device
and 12 kB come back per structure. All fields together are 356 MB in float64. They are written and read
about 16 times (6 of them in each FFT over three axes): 5.5 GB, 1.3 ms at 4.3 TB/s. For 1000 atoms in
float32 the fields are 2.8 GB, and 60 kernels and 28 FFTs move 44 GB, 10 ms. A Jacobian of 1300 columns on
64 atoms takes 82 kernels and 38 FFTs. (Counted, not timed.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from ...compute.backend import Array, Backend
from ...compute.memory import room
from ...structures.batch import Batch
from ...structures.system import Evaluation, System
from ..transform import Jacobian, Shapes
from . import cuda_atoms
from .box import Box
from .columns import Tree
from .cuda_atoms import Atoms
from .cuda_plan import DevicePlan, device_plan
from .cuda_steps import PARTS, Steps
from .plan import Floats, Plan, Resolution, in_blocks
from .tables import tabulate

BLOCK = 2.0**29
"""Bytes of the fields of a block, at most: larger ones are not faster."""

KEPT_PART, BLOCK_PART = 1 / 4, 1 / 64
"""Parts of the free memory for what is kept from the forward to the adjoint pass, and for the fields of a
block (spectra, the FFT's own memory and plans that wait for the next evaluation come on top)."""

# ---- running ----------------------------------------------------------------------------------------------


class Device:
    """Columns on a device, for structures that have one box and one set of grids.

    Parameters
    ----------
    tree : Tree
        Columns.
    box : Box
        The box.
    shapes : ndarray of int, shape (n_scales, 3)
        Grid points per direction of each scale.
    backend : Backend
        The device.
    dtype : str
        "float64" or "float32".
    """

    def __init__(self, tree: Tree, box: Box, shapes: Shapes, backend: Backend, dtype: str) -> None:
        self.tree = tree
        self.box = box
        self.backend = backend
        self.dtype = dtype
        orders = tree.orders
        self.tables = tabulate(tree.settings, box, shapes, orders, backend, dtype)
        self.steps = Steps(self.tables, box, tree.settings.epsilon2, backend, dtype)
        free = room(backend)
        self.kept = _power_of_two(free * KEPT_PART)
        block = min(BLOCK, free * BLOCK_PART)
        self.resolutions = tuple(
            (i, Resolution(int(max(1.0, _power_of_two(block / self._field(i)))), orders[i])) for i in orders
        )

    def occupied(self, system: System) -> tuple[bool, ...]:
        """Tell in which channels there are atoms.

        Parameters
        ----------
        system : System
            The structure.

        Returns
        -------
        tuple of bool
        """
        return cuda_atoms.occupied(self.tree, system.numbers.tobytes())

    # -- pieces that fit --

    @property
    def _row(self) -> float:
        """Bytes of one complex number per wave."""
        return 2.0 * self.tables.n_waves * np.dtype(self.dtype).itemsize

    def _field(self, scale: int) -> float:
        """Bytes of one field."""
        return float(self.tables.scales[scale].n_points * np.dtype(self.dtype).itemsize)

    def _node_costs(self, n_heads: int) -> list[float]:
        """Bytes kept per node: its fields, its modulus' waves, and what comes back for each head."""
        costs = []
        for node in self.tree.nodes:
            cost = (2 * node.path.first.l + 1) * self._field(node.path.first.scale)
            costs.append(cost + (self._row * (1.0 + 2.5 * n_heads) if node.children else 0.0))
        return costs

    def _pieces(self, n_heads: int) -> tuple[int, list[tuple[int, ...] | None]]:
        """How many structures go together, and the columns of each piece of them (None: all)."""
        channels = self.tree.n_channels
        costs = self._node_costs(n_heads)
        each = sum(costs) + channels * self._row * (1.0 + 2.5 * n_heads)
        if each <= self.kept:
            return int(min(self.kept // each, 1 << 20)), [None]
        nodes = self.tree.nodes
        pieces: list[tuple[int, ...] | None] = []
        for part in in_blocks(costs, self.kept):
            found = [i for node in nodes[part] for i in node.columns]
            pieces.append(tuple(sorted(found)))
        return 1, pieces

    def _plan(
        self, columns: tuple[int, ...] | None, occupied: tuple[bool, ...], n: int, weights: Floats | None
    ) -> DevicePlan:
        key = None if weights is None else (len(weights), np.ascontiguousarray(weights).tobytes())
        return device_plan(self.tree, columns, occupied, n, key, self.resolutions, self.backend)

    # -- passes --

    def _run(
        self, plan: DevicePlan, sources: Array, back: Array, flow: Array, results: Array, adjoint: bool = True
    ) -> None:
        """Sums of slots and strains of inner targets into results, and what comes back to the sources added
        to back and flow."""
        host, n_waves = plan.host, self.tables.n_waves
        inner = self.steps.empty(host.n_inner, n_waves, 2)
        kept = []
        for block in plan.first:
            kept.append(self.steps.convolved(block, sources))
            self.steps.moduli(block, kept[-1], inner)
        n_back = host.n_inner_targets if adjoint else 0
        inner_back, inner_flow = self.steps.zeros(n_back, n_waves, 2), self.steps.zeros(n_back, 3, n_waves)
        for block in plan.second:
            scale = self.tables.scales[block.host.scale]
            fields = self.steps.convolved(block, inner)
            for uses in block.uses:
                scaled = self.steps.respond(uses, scale, fields, inner_back, results, adjoint)
                if adjoint:
                    self.steps.correlate(uses, scale, scaled, inner, inner_back, inner_flow)
        self.steps.strains(inner_flow, results[host.n_results :])
        for block in plan.first:
            scale = self.tables.scales[block.host.scale]
            fields = kept.pop(0)
            for uses in block.uses:
                through = self.steps.through(uses, scale, inner_back) if adjoint else inner_back
                scaled = self.steps.respond(uses, scale, fields, through, results, adjoint)
                if adjoint:
                    self.steps.correlate(uses, scale, scaled, sources, back, flow)

    def _begin(
        self, systems: Sequence[System]
    ) -> tuple[tuple[int, ...], tuple[bool, ...], Array, Atoms, Array]:
        """Ends of the structures' atoms, channels in use, phases, atoms and densities."""
        ends = tuple(np.cumsum([0, *map(len, systems)]).tolist())
        numbers = np.concatenate([system.numbers for system in systems])
        atoms = cuda_atoms.atoms(self.tree, numbers.tobytes(), ends, self.backend, self.dtype)
        factors = self.steps.factors([self.box.place(system.positions) for system in systems])
        densities = self.steps.densities(factors, atoms, len(systems))
        return ends, self.occupied(systems[0]), factors, atoms, densities

    def evaluate(self, systems: Sequence[System], weights: Floats) -> Iterator[list[Evaluation]]:
        """Evaluate structures with each row of weights.

        Parameters
        ----------
        systems : sequence of System
            Structures with the same elements in this box.
        weights : ndarray, shape (n_rows, n_columns)
            Weights in eV.

        Yields
        ------
        list of Evaluation
            Of one structure, one for each row.
        """
        n_heads, (together, pieces) = len(weights), self._pieces(len(weights))
        while together == 1 and pieces != [None] and n_heads > 1:
            # Rows of weights apart, before columns are.
            n_heads = -(-n_heads // 2)
            together, pieces = self._pieces(n_heads)
        for start in range(0, len(systems), together):
            some = systems[start : start + together]
            found: list[list[Evaluation]] = [[] for _ in some]
            for row in range(0, len(weights), n_heads):
                for mine, more in zip(
                    found, self._evaluate(some, weights[row : row + n_heads], pieces), strict=True
                ):
                    mine += more
            yield from found

    def _evaluate(
        self, systems: Sequence[System], weights: Floats, pieces: list[tuple[int, ...] | None]
    ) -> Iterator[list[Evaluation]]:
        n, n_heads, n_waves = len(systems), len(weights), self.tables.n_waves
        n_channels = self.tree.n_channels
        ends, occupied, factors, atoms, sources = self._begin(systems)
        plans = [self._plan(columns, occupied, n, weights) for columns in pieces]
        pairs = cuda_atoms.pairs(ends, n_heads, n_channels, (0,) * n_heads, self.backend)
        n_targets = n * n_heads * n_channels
        sizes = [*(plan.n_results for plan in plans), 9 * n_targets, 3 * pairs.shape[0]]
        bounds = np.cumsum([0, *sizes]).tolist()
        results = self.backend.xp.empty(bounds[-1], dtype="float64")
        back, flow = self.steps.zeros(n_targets, n_waves, 2), self.steps.zeros(n_targets, 3, n_waves)
        for plan, a in zip(plans, bounds, strict=False):
            self._run(plan, sources, back, flow, results[a : a + plan.n_results])
        self.steps.strains(flow, results[bounds[-3] : bounds[-2]])
        self.steps.gradient(factors, atoms, pairs, back, results[bounds[-2] :], PARTS)
        parts = np.split(self.backend.to_host(results), bounds[1:-1])
        energies = np.zeros((n, n_heads))
        spreads, strains = np.zeros(n * n_heads), np.zeros((n * n_heads, 9))
        for plan, columns, part in zip(plans, pieces, parts, strict=False):
            values, spread, strain = _read(plan.host, part, n * n_heads)
            spreads += spread
            strains += strain
            mine = weights if columns is None else weights[:, list(columns)]
            # No matrix product: its rounding depends on how many structures there are.
            energies += (values[:, None] * mine).sum(axis=-1)
        strains += parts[-2].reshape(n * n_heads, n_channels, 9).sum(axis=1)
        d_placed = np.split(parts[-1].reshape(-1, 3), np.array(ends[1:-1]) * n_heads)
        for s, system in enumerate(systems):
            yield [
                self._assemble(
                    system, energies[s, h], spreads[s * n_heads + h], strains[s * n_heads + h],
                    d_placed[s].reshape(n_heads, len(system), 3)[h],
                )
                for h in range(n_heads)
            ]  # fmt: skip

    def _assemble(
        self, system: System, energy: float, spread: float, strain: Floats, d_placed: Floats
    ) -> Evaluation:
        with_box = strain.reshape(3, 3) + (energy - spread) * np.eye(3)
        gradient = self.box.strain_gradient(with_box, d_placed, system.positions)
        return Evaluation(float(energy), -self.box.d_original(d_placed), 0.5 * (gradient + gradient.T))

    def features(self, system: System) -> Floats:
        """Compute the values of all columns.

        Parameters
        ----------
        system : System
            The structure.

        Returns
        -------
        ndarray, shape (n_columns,)
        """
        _, occupied, _, _, sources = self._begin([system])
        values = np.zeros(self.tree.n_columns)
        nothing = self.steps.empty(0)
        zeros = np.zeros((1, self.tree.n_columns))
        for columns in self._pieces(1)[1]:
            plan = self._plan(columns, occupied, 1, zeros)
            results = self.backend.xp.empty(plan.host.n_results, dtype="float64")
            self._run(plan, sources, nothing, nothing, results, adjoint=False)
            found = _values(plan.host, self.backend.to_host(results))[0]
            values[slice(None) if columns is None else list(columns)] = found
        return values

    def jacobian(self, system: System) -> Jacobian:
        """Compute every column with its derivatives, as arrays of the device.

        Parameters
        ----------
        system : System
            The structure.

        Returns
        -------
        Jacobian
        """
        tree = self.tree
        n, n_atoms, n_waves = tree.n_columns, len(system), self.tables.n_waves
        ends, occupied, factors, atoms, sources = self._begin([system])
        values, with_box = np.zeros(n), np.zeros((n, 3, 3))
        d_positions = self.backend.xp.zeros((n, n_atoms, 3), dtype="float64")
        costs = [
            (cost + 5.0 * self._row * len(node.columns)) / len(node.columns)
            for node, cost in zip(tree.nodes, self._node_costs(0), strict=True)
            for _ in node.columns
        ]
        in_order = [i for node in tree.nodes for i in node.columns]
        for part in in_blocks(costs, self.kept):
            columns = tuple(sorted(in_order[part]))
            plan = self._plan(columns, occupied, 1, None)
            of_all = tree.paths
            channels = tuple(of_all[i].path.channel for i in columns)
            pairs = cuda_atoms.pairs(ends, len(columns), 1, channels, self.backend)
            back, flow = (
                self.steps.zeros(len(columns), n_waves, 2),
                self.steps.zeros(len(columns), 3, n_waves),
            )
            start, stop = plan.n_results, plan.n_results + 9 * len(columns)
            results = self.backend.xp.empty(stop + 3 * pairs.shape[0], dtype="float64")
            self._run(plan, sources, back, flow, results[:start])
            self.steps.strains(flow, results[start:stop])
            self.steps.gradient(factors, atoms, pairs, back, results[stop:], 4)
            where = self.backend.to_device(np.array(columns))
            d_positions[where] = results[stop:].reshape(len(columns), n_atoms, 3)
            found = self.backend.to_host(results[:stop])
            value, spread, strain = _read(plan.host, found[:start], len(columns))
            strain += found[start:].reshape(-1, 9)
            chosen = list(columns)
            values[chosen] = value[0]
            with_box[chosen] = strain.reshape(-1, 3, 3) + (value[0] - spread)[:, None, None] * np.eye(3)
        return self._placed(system, values, d_positions, with_box)

    def _placed(self, system: System, values: Floats, d_placed: Array, with_box: Floats) -> Jacobian:
        """Derivatives of the positions as given, from those of the placed ones."""
        box, backend = self.box, self.backend
        if len(box.open_axes):
            net = d_placed.sum(axis=1)
            moments = [
                backend.to_host(self.backend.xp.einsum("nja,jb->nab", d_placed, backend.to_device(positions)))
                for positions in (box.place(system.positions), system.positions)
            ]
            with_box = box.strain_of_moments(
                with_box, moments[0], moments[1], backend.to_host(net), system.positions
            )
            along = backend.to_device(box.normals.T @ box.normals) / len(system)
            d_placed = d_placed - (net @ along)[:, None, :]
        return Jacobian(
            backend.to_device(values), d_placed.astype(self.dtype), backend.to_device(with_box, self.dtype)
        )


def _power_of_two(limit: float) -> float:
    """The next one below, so that blocks stay alike while the free memory changes a little."""
    return float(2.0 ** np.floor(np.log2(min(limit, 1e18))))


def _values(plan: Plan, results: Floats) -> Floats:
    """Of each structure the value of each column."""
    return np.append(results[: plan.n_results], 0.0)[plan.values]


def _read(plan: Plan, results: Floats, n_heads: int) -> tuple[Floats, Floats, Floats]:
    """Values (structures, columns); of each head Σ 2 t U² of order 1, and the strain (9,) through moduli."""
    spreads, strains = np.zeros(n_heads), np.zeros((n_heads, 9))
    np.add.at(spreads, plan.spread_heads, results[plan.spreads])
    np.add.at(strains, plan.inner_heads, results[plan.n_results :].reshape(-1, 9))
    return _values(plan, results), spreads, strains


@lru_cache(maxsize=4)
def _device(
    tree: Tree,
    vectors: tuple[float, ...],
    steps: tuple[int, ...],
    shapes: tuple[int, ...],
    backend: Backend,
    dtype: str,
) -> Device:
    box = Box(np.array(vectors).reshape(3, 3), np.array(steps))
    return Device(tree, box, np.array(shapes).reshape(-1, 3), backend, dtype)


def clear() -> None:
    """Forget all that is kept on devices."""
    for kept in (_device, device_plan, cuda_atoms.atoms, cuda_atoms.pairs):
        kept.cache_clear()


def on_device(tree: Tree, box: Box, shapes: Shapes, backend: Backend, dtype: str) -> Device:
    """Put columns on a device, where they are kept while box and grids stay.

    Parameters
    ----------
    tree : Tree
        Columns.
    box : Box
        The box.
    shapes : ndarray of int, shape (n_scales, 3)
        Grid points per direction of each scale.
    backend : Backend
        The device.
    dtype : str
        "float64" or "float32".

    Returns
    -------
    Device
    """
    plain = (tuple(array.ravel().tolist()) for array in (box.vectors, box.steps, shapes))
    return _device(tree, *plain, backend, dtype)


# ---- batches ----------------------------------------------------------------------------------------------


def evaluate_batch(
    tree: Tree, batch: Batch, places: Sequence[tuple[Box, Shapes]], weights: Floats, dtype: str
) -> list[list[Evaluation]]:
    """Evaluate all structures; those with one box and one set of grids are computed together.

    Parameters
    ----------
    tree : Tree
        Columns.
    batch : Batch
        Structures on the device.
    places : sequence of (Box, ndarray of int, shape (n_scales, 3))
        Box and grids of each structure.
    weights : ndarray, shape (n_rows, n_columns)
        Weights in eV.
    dtype : str
        "float64" or "float32".

    Returns
    -------
    list of list of Evaluation
        Of each structure one for each row.
    """
    groups: dict[tuple[Device, tuple[bool, ...]], list[int]] = {}
    for i, (system, place) in enumerate(zip(batch.systems, places, strict=True)):
        device = on_device(tree, *place, batch.backend, dtype)
        groups.setdefault((device, device.occupied(system)), []).append(i)
    found: dict[int, list[Evaluation]] = {}
    for (device, _), members in groups.items():
        values = device.evaluate([batch.systems[i] for i in members], weights)
        found.update(zip(members, values, strict=True))
    return [found[i] for i in range(len(batch))]
