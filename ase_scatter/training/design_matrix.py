"""The design matrix: rows of all frames, streamed into normal equations by part and kind of label.

The loss is

    Σ_frames (ΔE/N)²/σ_E² + Σ ΔF²/σ_F² + Σ Δσ²/σ_S² + Σ_frames |Σ_j F_j / N|²/σ_N² + Σ ΔE_j²/σ_A².

The last sum is over atoms whose own energies are known, to which only sums over atoms can be fitted. The
last but one is the net force, which is zero in nature and, through the egg-box error, not quite zero on a
grid: these rows teach the weights translation invariance, and cost nothing since the derivatives
are there anyway. Every structure is first moved rigidly by a random vector, so that perfect crystals
too sit anywhere on the grid, and gets grids of its own. (Atom-centred columns have no net force, and
need none of this.) Rows are kept in physical units and by kind, so that the sigmas can be changed
afterwards; only their normal equations are kept, one set per part of the data, and a sample of rows to
calibrate error bars with, so memory does not grow with the number of frames. On a device rows are made and
multiplied there; only the sums and the sample come to the host.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from ..compute.backend import Array, Backend, require_device
from ..compute.memory import clear_when_full, room
from ..compute.parallel import Progress, bar, in_order
from ..compute.target import Target
from ..errors import InputError
from ..model.repulsion import ZBLRepulsion
from ..scattering import SitesTransform
from ..structures.dataset import Frame
from ..structures.distances import shortest_distances
from ..structures.sampling import CALIBRATION_FRAMES, spread
from ..structures.system import System
from ..units import GPA, VOIGT, to_voigt
from .free_atoms import FreeAtoms, composition
from .least_squares import Regression
from .normal_equations import Stream, stream_memory
from .parts import parts_of
from .rows import Normals, Rows, Sample
from .settings import FitSettings
from .smoothness import penalty_sizes

LARGEST_SHIFT = 10.0
"""Training structures are moved rigidly by up to this much (Å) in each direction."""
KINDS = ("energy", "net", "force", "stress", "atomic")
"""Of rows."""
MOST_OFFSETS = 8
"""With more groups than this all stresses share one offset."""
SAMPLED_FRAMES, SAMPLED_ATOMS = 1000, 3000
"""Rows of so many frames, and of the forces on so many atoms, are kept to calibrate error bars."""


class Problem:
    """One regression: candidate columns, targets, and the parts that the frames are dealt into.

    Parameters
    ----------
    settings : FitSettings
        The settings.
    elements : sequence of str
        Chemical symbols.
    frames : sequence of Frame
        The data.
    workers : int
        Threads.
    progress : bool or callable
        Whether, or by which function, progress is shown.
    device : str
        "cpu" or "cuda", where rows are made.

    Attributes
    ----------
    candidates : Transform
        Columns to choose from.
    transform : Transform
        The same, as the design matrix has them. Columns of the free atoms and of the offsets follow there.
    closest : ndarray, shape (n_elements, n_elements)
        Shortest distances of pairs of elements in Å.
    free_atoms : FreeAtoms
        What is taken off the energies before.
    offsets : list of str
        Groups whose stresses may have a virial per atom that is not that of the energies ("" for all frames).
    part_of : list of int
        The part of each frame.

    Raises
    ------
    InputError
        If the settings and the data do not fit together.
    """

    def __init__(
        self,
        settings: FitSettings,
        elements: Sequence[str],
        frames: Sequence[Frame],
        workers: int,
        progress: Progress,
        device: str = "cpu",
    ) -> None:
        # Before anything that takes time.
        self.target = Target(device, settings.dtype)
        require_device(device)
        if len(frames) < 2:
            raise InputError("at least two frames are needed: the ridge is chosen on frames left out")
        self.settings = settings
        self.workers = workers
        self.progress = progress
        self.channels = settings.make_channels(elements)
        missing = sorted(set(elements) - set(self.channels.elements))
        if missing:
            raise InputError(f"the channels give no weight to {', '.join(missing)}")
        self.elements = self.channels.elements
        if settings.e0 is not None:
            missing = sorted(set(elements) - set(settings.e0))
            if missing:
                raise InputError(f"e0 gives no energy for {', '.join(missing)}")
        strange = sorted(set(settings.weights) - {frame.group for frame in frames})
        if strange:
            raise InputError(
                f"weights are given for {', '.join(map(repr, strange))}, but no frame has that group"
            )
        self.free_atoms, frames = FreeAtoms.of(frames, self.elements, settings.e0)
        if len(frames) < 2:
            raise InputError("at least two frames of more than a free atom are needed")
        frames = [frame for frame in frames if frame.weight * settings.weights.get(frame.group, 1.0) > 0.0]
        if len(frames) < 2:
            raise InputError("at least two frames of a weight above 0 are needed")
        self.frames = frames
        systems = [frame.system for frame in frames]
        self.closest = closest = shortest_distances(systems, self.elements)
        self.core = ZBLRepulsion(self.elements, r_outer=closest) if settings.core else None
        self.candidates = settings.candidates(self.channels, systems, closest)
        self.kinds: tuple[str, ...] = KINDS
        if all(frame.atomic_energies is None for frame in frames):
            self.kinds = KINDS[:-1]
        elif not isinstance(self.candidates, SitesTransform):
            raise InputError(
                "integrals over space have no energies of single atoms to fit to; fit with transform 'sites' "
                "or leave atomic energies out with an empty name (atomic_energies_key, --atomic-energies-key)"
            )
        sample = spread(systems, CALIBRATION_FRAMES)
        self.transform = self.candidates.for_training().calibrated(sample, self.target)
        self.n = self.transform.n_columns
        self.n_parts = min(settings.folds, len(frames))
        self.part_of = parts_of(frames, self.n_parts)
        self.offsets = sorted({frame.group for frame in frames if frame.stress is not None})
        if len(self.offsets) > MOST_OFFSETS:
            self.offsets = [""]
        self.width = self.n + len(self.elements) + len(self.offsets)

    @property
    def backend(self) -> Backend:
        """That of the device; by its name, so that a problem can be pickled."""
        return self.target.backend

    def sampled(self) -> tuple[set[int], float]:
        """Choose what is kept to calibrate error bars with.

        Returns
        -------
        frames : set of int
            Numbers of the frames of which rows are kept.
        fraction : float
            The fraction of their atoms whose forces are kept.
        """
        chosen = {id(frame) for frame in spread(list(self.frames), SAMPLED_FRAMES)}
        numbers = {number for number, frame in enumerate(self.frames) if id(frame) in chosen}
        return numbers, SAMPLED_ATOMS / sum(len(self.frames[number].system) for number in numbers)

    def root_weight(self, frame: Frame) -> float:
        """The factor of the rows of a frame.

        Parameters
        ----------
        frame : Frame
            One of the data.

        Returns
        -------
        float
            Root of its weight times that of its group.
        """
        return float(np.sqrt(frame.weight * self.settings.weights.get(frame.group, 1.0)))

    def normals(self) -> Normals:
        """Sum over all frames: on the host several at a time, on a device one after the other.

        Returns
        -------
        Normals
        """
        parts: list[dict[str, Stream]] = [{} for _ in range(self.n_parts)]
        sample = []
        sampled, fraction = self.sampled()
        # Rows need room beside the sums.
        sums_there = 2.0 * stream_memory(self.width, len(self.kinds) * self.n_parts) < room(self.backend)
        with clear_when_full(self.backend):
            for number, (k, frame, rows) in enumerate(
                zip(self.part_of, self.frames, self.all_rows(self.frames), strict=True)
            ):
                scaled = rows * self.root_weight(frame)
                for kind, matrix in scaled.matrix.items():
                    if kind not in parts[k]:
                        parts[k][kind] = Stream(self.width, self.backend, sums_there)
                    parts[k][kind].add(matrix, scaled.target[kind])
                if number in sampled:
                    sample.append(Sample(k, self.thinned(rows, fraction)))
            on_host = [{kind: stream.on_host() for kind, stream in part.items()} for part in parts]
        return Normals(on_host, sample)

    def all_rows(self, frames: Sequence[Frame], label: str = "design matrix") -> Iterator[Rows]:
        """Rows of some frames, in their order: on the host several at a time.

        Parameters
        ----------
        frames : sequence of Frame
            The frames.
        label : str
            What progress calls it.

        Returns
        -------
        iterator of Rows
            Of each frame.
        """
        jobs = list(enumerate(frames))
        if self.backend.name == "cpu":
            return in_order(self.rows, jobs, self.workers, self.progress, label)
        return map(self.rows, bar(jobs, self.progress, label, len(jobs)))

    def narrowed(self, columns: Sequence[int]) -> Problem:
        """Take some of the columns.

        Parameters
        ----------
        columns : sequence of int
            Columns that stay, ascending.

        Returns
        -------
        Problem
            Otherwise the same.
        """
        other = copy(self)
        other.candidates, other.transform = self.candidates.subset(columns), self.transform.subset(columns)
        other.n, other.width = len(columns), self.width - self.n + len(columns)
        sizes = self.penalty_sizes
        other.penalty_sizes = np.concatenate([sizes[: self.n][list(columns)], sizes[self.n :]])
        return other

    def regression(
        self, among: Sequence[int] | None = None, thrift: float | None = None, offsets: bool = False
    ) -> Regression:
        """How weights follow from the normal equations. E0 is always fitted, unless it is known.

        Parameters
        ----------
        among : sequence of int, optional
            Columns to choose from; by default all.
        thrift : float, optional
            Exponent of the cost, if it is not that of the settings.
        offsets : bool
            Whether stresses have offsets.

        Returns
        -------
        Regression
        """
        thrift = self.settings.thrift if thrift is None else thrift
        price = np.ones(self.width)
        price[: self.n] = [column.cost**thrift for column in self.transform.columns]
        if among is not None:
            price[np.setdiff1d(np.arange(self.n), among)] = np.inf
        last = self.n + len(self.elements)
        begin = last if self.free_atoms.known else self.n
        if not offsets:
            price[last:] = np.inf
        return Regression(price, np.arange(begin, self.width if offsets else last), sizes=self.penalty_sizes)

    @cached_property
    def penalty_sizes(self) -> NDArray[np.float64]:
        """Squares that the penalty of each column is in proportion to, in units of the rows of forces."""

        def mean_squares(system: System) -> NDArray[np.float64]:
            target = self.target.with_grids(self.transform.training_shapes(system, np.random.default_rng(0)))
            d_positions = self.transform.jacobian(system, target)[1]
            squares = self.backend.xp.einsum("kia,kia->k", d_positions, d_positions)
            return np.asarray(self.backend.to_host(squares), dtype=np.float64) / (3 * len(system))

        systems = [frame.system for frame in self.frames]
        sizes = penalty_sizes(systems, mean_squares) * (3 * sum(map(len, systems)))
        return np.concatenate([sizes / self.settings.sigmas["force"] ** 2, np.zeros(self.width - self.n)])

    def e0(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Energies of the free atoms.

        Parameters
        ----------
        weights : ndarray, shape (…, width)
            Weights of a fit.

        Returns
        -------
        ndarray, shape (…, n_elements)
            In eV.
        """
        start = [self.free_atoms.energies[symbol] for symbol in self.elements]
        return start + weights[..., self.n : self.n + len(self.elements)]

    def pressures(self, virials: NDArray[np.float64]) -> dict[str, float]:
        """Mean pressures that stresses have beyond those of their energies.

        Parameters
        ----------
        virials : ndarray, shape (n_offsets,)
            Virials of the groups in eV per atom.

        Returns
        -------
        dict of str to float
            By group, in GPa.
        """
        density: dict[str, list[float]] = {group: [] for group in self.offsets}
        for frame in self.frames:
            if frame.stress is not None:
                density[self._offset(frame)].append(len(frame.system) / frame.system.volume)
        return {
            group: -float(virial * np.mean(density[group]) / GPA)
            for group, virial in zip(self.offsets, virials.tolist(), strict=True)
        }

    def _offset(self, frame: Frame) -> str:
        return frame.group if frame.group in self.offsets else ""

    def rows(self, job: tuple[int, Frame]) -> Rows:
        """Rows and targets of one frame.

        Parameters
        ----------
        job : tuple of int and Frame
            The number of the frame, which decides how it is moved, and the frame.

        Returns
        -------
        Rows
        """
        number, frame = job
        rng = np.random.default_rng(number)
        system = frame.system
        if not self.transform.invariant:
            shift = rng.uniform(0.0, LARGEST_SHIFT, size=3)
            system = replace(system, positions=system.positions + shift)
        n_atoms = len(system)
        shapes = self.transform.training_shapes(system, rng)
        xp = self.backend.xp
        values, d_positions, d_strain = self.transform.jacobian(system, self.target.with_grids(shapes))
        fractions = np.array(composition(system, self.elements))
        core = None if self.core is None else self.core.evaluate(system)
        energy = (frame.energy - (core.energy if core else 0.0)) / n_atoms
        energy -= float(fractions @ [self.free_atoms.energies[symbol] for symbol in self.elements])
        whole = np.zeros(self.width - self.n)
        if not self.free_atoms.known:
            whole[: len(fractions)] = fractions
        matrix = {"energy": xp.concatenate([values / n_atoms, self.backend.to_device(whole)])[None]}
        target = {"energy": np.array([energy])}
        if not self.transform.invariant:
            matrix["net"] = self._padded(-d_positions.sum(axis=1).T / n_atoms)
            target["net"] = np.zeros(3)
        if frame.forces is not None:
            matrix["force"] = self._padded(-d_positions.reshape(self.n, -1).T)
            target["force"] = (frame.forces - (core.forces if core else 0.0)).ravel()
        if frame.stress is not None:
            unit = GPA * system.volume
            symmetric = 0.5 * (d_strain + d_strain.transpose(0, 2, 1))
            matrix["stress"] = self._padded(xp.stack([symmetric[:, a, b] for a, b in VOIGT]) / unit)
            if self.offsets:
                offset = self.width - len(self.offsets) + self.offsets.index(self._offset(frame))
                matrix["stress"][:3, offset] = n_atoms / unit
            virial = to_voigt(core.strain_gradient) if core else 0.0
            target["stress"] = (frame.stress * system.volume - virial) / unit
        if frame.atomic_energies is not None:
            free = np.array(self.elements)[:, None] == [chemical_symbols[z] for z in system.numbers]
            local = self.backend.to_device(self.transform.local_features(system, self.target))
            matrix["atomic"] = self._padded(local)
            if not self.free_atoms.known:
                own = slice(self.n, self.n + len(free))
                matrix["atomic"][:, own] = self.backend.to_device(free.T.astype(float))
            known = np.array([self.free_atoms.energies[symbol] for symbol in self.elements])
            target["atomic"] = frame.atomic_energies - known @ free - (core.energies if core else 0.0)
        return Rows(matrix, target)

    def _padded(self, matrix: Array) -> Array:
        """Rows with zeros for the free atoms and offsets appended."""
        xp = self.backend.xp
        zeros = xp.zeros((len(matrix), self.width - self.n), dtype=matrix.dtype)
        return xp.concatenate([matrix, zeros], axis=1)

    def thinned(self, rows: Rows, fraction: float) -> Rows:
        """Take the rows that are kept to calibrate error bars.

        Parameters
        ----------
        rows : Rows
            Of one frame.
        fraction : float
            The fraction of the atoms whose forces are kept.

        Returns
        -------
        Rows
            On the host in single precision, without net force.
        """
        matrix, target = {}, {}
        for kind in sorted(set(rows.matrix) - {"net"}):
            size = len(rows.target[kind])
            kept = np.arange(size)
            if kind == "force":
                atoms = np.array(spread(list(range(size // 3)), max(1, round(fraction * size / 3))))
                kept = (3 * atoms[:, None] + np.arange(3)).ravel()
            chosen = rows.matrix[kind][self.backend.to_device(kept)].astype("float32")
            matrix[kind], target[kind] = self.backend.to_host(chosen), rows.target[kind][kept]
        return Rows(matrix, target)
