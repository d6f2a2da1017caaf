"""Scattering coefficients integrated over all of space, on periodic grids.

Order 1, with f_m = ρ_c ∗ ψ_λm, U_λ² = Σ_m f_m² / c_λ and h_q(x) = (x + ε²)^{q/2} − ε^q:

    S1[c, λ, q] = ∫ h_q(U_λ²) du.

Order 2, with g = (U_λ1² + ε²)^{1/2} − ε, which is zero in vacuum, in the place of ρ_c, and β2 ≥ β1:

    S2[c, λ1, λ2, q] = ∫ h_q(U_λ2²[g]) du,    U_λ2² = Σ_m (g ∗ ψ_λ2m)² / c_λ1λ2.

(Sinz et al., J. Chem. Phys. 153, 084109 (2020), eqs. for S1 and S2, with ε added.) The c are means over
the training set, so that ε has no unit. In every path ∂E/∂f_m(u) = 2 t(u) f_m(u)/c with one scalar field
t = ∂E/∂U² that collects all exponents and, for order 1, all that depends on g; the adjoint pass is
made of such products, so it costs about as much as the forward pass whatever the number of columns.
Under strain k·R stays, and the stress comes from ∂ψ̂/∂k and from the volume factors.

Each scale has its own grid, of spacing proportional to β (multi-resolution).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compute.entries import entries, numbers
from ...compute.memory import require_host_room, require_room
from ...compute.target import HOST, Shapes, Target
from ...structures.batch import Batch
from ...structures.system import Evaluation, System
from ..channels import Channels
from ..transform import Jacobian, LabelledColumn, Transform
from . import cuda
from .arrays import Sampled
from .columns import Column, GridSettings, Path, Tree, candidate_columns
from .grids import COARSENING, Grids
from .memory import bytes_needed, host_bytes_needed
from .validate import validate

DEFAULT_VOLUME = 20.0
"""Volume per atom (Å³) that U² is averaged over where no training cell has a volume of its own."""


@dataclass(frozen=True)
class GridTransform(Transform):
    """Scattering coefficients of orders 1 and 2 on grids over all of space.

    Parameters
    ----------
    settings : GridSettings
        Hyperparameters.
    channels : Channels
        Weights per element.
    paths : tuple of Column
        The columns, each a path and an exponent.
    norms : dict
        c of every path used (1 where not calibrated).
    """

    settings: GridSettings
    channels: Channels
    paths: tuple[Column, ...]
    norms: dict[Path, float]

    kind = "grid"
    invariant = False

    @classmethod
    def candidates(cls, settings: GridSettings, channels: Channels) -> GridTransform:
        """Make all columns that the settings allow, not yet calibrated.

        Parameters
        ----------
        settings : GridSettings
            Hyperparameters.
        channels : Channels
            Weights per element.

        Returns
        -------
        GridTransform

        Raises
        ------
        InputError
            If there are no scales or no columns.
        """
        return cls(settings, channels, tuple(candidate_columns(settings, len(channels.names))), {})

    # ---- what it consists of -------------------------------------------------------------------

    @cached_property
    def tree(self) -> Tree:
        """The columns in the order of computing."""
        return Tree(self.settings, self.channels, self.paths, self.norms)

    @cached_property
    def grids(self) -> Grids:
        """Boxes and grids for the columns."""
        return Grids(self.tree)

    @property
    def elements(self) -> tuple[str, ...]:
        return self.channels.elements

    @property
    def columns(self) -> Sequence[LabelledColumn]:
        return self.tree.labels

    def subset(self, indices: Iterable[int]) -> GridTransform:
        tree = self.tree.subset(indices)
        return replace(self, paths=tree.paths, norms=tree.norms)

    def grid_shapes(self, system: System) -> Shapes:
        """Grid points per direction of each scale, (n_scales, 3), for the cell as it is now."""
        return self.grids.of(system)[1]

    def for_training(self) -> GridTransform:
        """The transform on coarser grids, which `training_shapes` vary."""
        return replace(self, settings=replace(self.settings, spacing=self.settings.spacing * COARSENING))

    def deployed(self, trained: GridTransform) -> GridTransform:
        return replace(trained, settings=self.settings)

    def training_shapes(self, system: System, rng: np.random.Generator) -> Shapes:
        return self.grids.varied(system, rng)

    # ---- calibration ----------------------------------------------------------------------------

    def calibrated(self, systems: Sequence[System], target: Target = HOST) -> GridTransform:
        """The transform with every c set to the mean of U² over these structures.

        The mean is over the volume that atoms fill (atoms times the median volume per atom), so that
        vacuum does not count.
        """
        periodic = [s.volume / len(s) for s in systems if s.pbc.all()]
        per_atom = float(np.median(periodic)) if periodic else DEFAULT_VOLUME
        calibrated = replace(self, norms={})
        for order in (1, 2):
            sums: dict[Path, float] = {}
            for system in systems:
                sampled = calibrated.sample(system, target.with_grids(None))
                for path, total in sampled.mean_squares(order):
                    sums[path] = sums.get(path, 0.0) + total / (len(system) * per_atom)
            # Perfect crystals can have fields that are zero by symmetry: no c may be zero for them.
            least = 1e-6 * max(sums.values(), default=1.0)
            norms = {path: max(total, least) / len(systems) for path, total in sums.items()}
            calibrated = replace(self, norms=calibrated.norms | norms)
        return calibrated

    # ---- forward, adjoint, Jacobian -------------------------------------------------------------

    def sample(self, system: System, target: Target = HOST) -> Sampled:
        """Prepare the passes in array operations alone, which run on the host and are the reference.

        Parameters
        ----------
        system : System
            The structure.
        target : Target
            Where and how precisely.

        Returns
        -------
        Sampled

        Raises
        ------
        InputError
            If the grids do not fit into the memory of the machine.
        """
        box, shapes = self.grids.of(system, target.shapes)
        needed = host_bytes_needed(self.tree, box, shapes, len(system), target.dtype)
        require_host_room(needed, f"a box of {box.volume:.3g} Å³ on grids")
        return Sampled(self.tree, box, shapes, system, target.backend, target.dtype)

    def _on(self, system: System, target: Target) -> cuda.Device:
        require_room(target.backend, self.memory(system, target), f"a structure of {len(system)} atoms")
        return cuda.on_device(self.tree, *self.grids.of(system, target.shapes), target.backend, target.dtype)

    def features(self, system: System, target: Target = HOST) -> NDArray[np.float64]:
        if target.on_host:
            return self.sample(system, target).features()
        return self._on(system, target).features(system)

    def evaluate_batch(
        self, batch: Batch, rows: NDArray[np.float64], target: Target = HOST
    ) -> list[list[Evaluation]]:
        self.require_weights(rows)
        if target.on_host:
            return [self.sample(system, target).evaluate(rows) for system in batch.systems]
        places = [self.grids.of(system, target.shapes) for system in batch.systems]
        return cuda.evaluate_batch(self.tree, batch, places, rows, target.dtype)

    def memory(self, system: System, target: Target) -> float:
        return bytes_needed(self.tree, *self.grids.of(system, target.shapes), len(system), target.dtype)

    def jacobian(self, system: System, target: Target = HOST) -> Jacobian:
        if target.on_host:
            return self.sample(system, target).jacobian()
        return self._on(system, target).jacobian(system)

    # ---- files ----------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "settings": self.settings.to_dict(),
            "channels": self.channels.to_dict(),
            "columns": [[*path.flat(), exponent] for path, exponent in self.paths],
            "norms": [[*path.flat(), c] for path, c in self.norms.items()],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> GridTransform:
        settings, channels, *tables = entries(data, ("settings", "channels", "columns", "norms"), "transform")
        columns, norms = (
            [(Path.of_flat(row[:-1]), numbers(row[-1], 0, "an exponent or norm").item()) for row in table]
            for table in tables
        )
        read = cls(
            GridSettings.from_dict(settings),
            Channels.from_dict(channels),
            tuple(Column(*row) for row in columns),
            dict(norms),
        )
        validate(read.settings, read.channels, read.paths, read.norms)
        return read
