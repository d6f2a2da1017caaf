"""A small, quick potential for a set of data, to hold its labels against each other.

Energies, forces and stresses are derivatives of one function. A few hundred columns, fitted to one kind of
label, predict the others, up to the constants that one kind does not know. Fits are robust: rows far from
the fit lose their weight (Cauchy weights, iterated), so that the labels which most of the others contradict
stand out. Predictions are of frames that were left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..compute.parallel import Progress, in_order
from ..compute.target import Target
from ..model.model import Model
from ..scattering import SitesSettings, SitesTransform
from ..scattering.channels import Channels
from ..structures.dataset import Frame, elements_of
from ..structures.sampling import CALIBRATION_FRAMES, spread, typical_bond
from ..structures.system import System
from ..units import GPA, VOIGT, to_voigt
from .design_matrix import parts_of
from .free_atoms import composition
from .normal_equations import NormalEquations
from .trial_rows import (
    LABELS,
    VARIANTS,
    Compared,
    LabelRows,
    Together,
    clipped_rms,
    others,
    robust_lines,
    sampled,
    solved,
)

Vector = NDArray[np.float64]

COLUMNS = {1: (4, 4), 2: (3, 3), 3: (2, 3)}
"""Number of elements (or more) → largest l, number of scales."""
MOST_GROUPS = 8
"""With more groups than this they are not told apart."""
DIAGONAL = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
TARGET = Target(dtype="float32")
MOST_ATOMS, MOST_FRAMES = 4000, 1200
"""The fits are to so many atoms and frames."""
FOLDS = 4
ENERGY_WEIGHT = 30.0
"""Of an energy beside a component of a force."""
RIDGES = (1e-9, 1e-7, 1e-5, 1e-3)
STEPS = 6
"""Of the iterated weights."""
TAIL = 3.0
"""Rows this many typical errors away have half the weight."""


class TrialData:
    """Rows of some of the frames, for all fits.

    Energies are per atom, less those of the free atoms as far as compositions tell them. Stresses count as
    virials per atom, dE/dε/N, which do not depend on the unit of volume. Columns beside those of the
    potential: the free atoms, and a constant virial per atom for each group.

    Parameters
    ----------
    frames : sequence of Frame
        The data; frames of free atoms must not be among them.
    workers : int
        Threads.
    progress : bool or callable
        Whether, or by which function, progress is shown.

    Attributes
    ----------
    frames : list of Frame
        The frames that are fitted to.
    indices : ndarray of int
        Their places in the data.
    rows : dict of str to LabelRows
        By kind of label: "energy" (eV/atom), "force" (eV/Å), "virial" (eV/atom).
    """

    def __init__(self, frames: Sequence[Frame], workers: int, progress: Progress = False) -> None:
        self.indices = np.array(list(sampled(frames, MOST_ATOMS, MOST_FRAMES, 2 * FOLDS)))
        self.frames = [frames[i] for i in self.indices]
        systems = [frame.system for frame in self.frames]
        self.elements = elements_of(systems)
        self.part_of = np.array(parts_of(self.frames, FOLDS))
        groups = sorted({frame.group for frame in self.frames})
        self.groups = groups if len(groups) <= MOST_GROUPS else [""]
        self.transform = _columns(self.elements, systems)
        n = self.transform.n_columns
        self._width = n + len(self.elements) + len(self.groups)
        self.free = np.arange(n, self._width)
        self.fractions = np.array([composition(system, self.elements) for system in systems])
        self.taken: dict[str, tuple[str, float]] = {}
        self.solution = np.zeros(self._width)
        self.found: dict[str, Vector] = {}
        found: dict[str, list[NDArray[np.float32]]] = {}
        places: dict[str, list[int]] = {}
        jobs = list(enumerate(self.frames))
        for k, rows in enumerate(in_order(self._rows, jobs, workers, progress, "check data")):
            for kind, matrix in rows.items():
                found.setdefault(kind, []).append(matrix)
                places.setdefault(kind, []).extend([k] * len(matrix))
        self.rows = {
            kind: LabelRows(np.concatenate(several), self._targets(kind), np.array(places[kind]))
            for kind, several in found.items()
        }
        self.taken = {kind: (kind, 1.0) for kind in self.rows}

    @property
    def kinds(self) -> list[str]:
        """Kinds of labels that there are."""
        return list(self.rows)

    def labels(self, frame: Frame) -> dict[str, Vector]:
        """Labels of a frame as they are fitted to, put right as far as that is known.

        Parameters
        ----------
        frame : Frame
            The frame.

        Returns
        -------
        dict of str to ndarray
            By kind.
        """
        found = {}
        for kind, (name, factor) in self.taken.items():
            value = LABELS[name](frame)
            if value is not None:
                found[kind] = value / factor
        return found

    def _rows(self, job: tuple[int, Frame]) -> dict[str, NDArray[np.float32]]:
        """Matrix of one frame, by kind of label."""
        k, frame = job
        n, size = self.transform.n_columns, len(frame.system)
        values, d_positions, d_strain = self.transform.jacobian(frame.system, TARGET)
        matrix = np.zeros((1, self._width), dtype=np.float32)
        matrix[0, :n] = values / size
        matrix[0, n : n + len(self.elements)] = self.fractions[k]
        found = {"energy": matrix}
        if frame.forces is not None:
            matrix = np.zeros((3 * size, self._width), dtype=np.float32)
            matrix[:, :n] = -d_positions.reshape(n, -1).T
            found["force"] = matrix
        if frame.stress is not None:
            matrix = np.zeros((6, self._width), dtype=np.float32)
            symmetric = 0.5 * (d_strain + d_strain.transpose(0, 2, 1)) / size
            matrix[:, :n] = np.stack([symmetric[:, a, b] for a, b in VOIGT])
            matrix[:, n + len(self.elements) + self._group(frame)] = DIAGONAL
            found["virial"] = matrix
        return found

    def _targets(self, name: str) -> Vector:
        """Labels of all frames that have them; energies less those of the free atoms."""
        found = [LABELS[name](frame) for frame in self.frames]
        joined = np.concatenate([value for value in found if value is not None])
        if VARIANTS.get(name, name) == "energy":
            joined = joined - self.fractions @ robust_lines(self.fractions, joined)
        return np.asarray(joined)

    def _group(self, frame: Frame) -> int:
        """Which offset of stresses a frame has."""
        return self.groups.index(frame.group) if frame.group in self.groups else 0

    def predicted(self, importance: dict[str, float]) -> dict[str, Vector]:
        """Fit to some kinds of labels and predict all, each frame by fits without it.

        Parameters
        ----------
        importance : dict of str to float
            Kind → factor of its rows beside those of the others; kinds that are missing are not fitted to.

        Returns
        -------
        dict of str to ndarray, shape (r,)
            By kind. Free atoms and offsets of stresses that no label told are zero.
        """
        scales = {kind: max(clipped_rms(self.rows[kind].target), 1e-12) for kind in importance}
        base = {kind: weight / scales[kind] ** 2 for kind, weight in importance.items()}
        rows = {kind: np.ones(len(self.rows[kind].target)) for kind in importance}
        for step in range(STEPS):
            parts = self._parts(base, rows)
            # A loose fit first: a close one would follow the labels that are wrong.
            ridge = max(RIDGES) if step < 2 else self._best(parts)
            found = self._left_out(parts, ridge)
            for kind in importance:
                wrong = np.abs(found[kind] - self.rows[kind].target)
                wild = wrong[wrong > 1e-4 * scales[kind]]  # forces that vanish by symmetry tell nothing
                typical = 1.4826 * float(np.median(wild)) if len(wild) else scales[kind]
                rows[kind] = 1.0 / (1.0 + (wrong / (TAIL * typical)) ** 2)
        self.weights, self.found = rows, found
        self.solution = solved(NormalEquations.summed(self._parts(base, rows)), ridge, self.free)
        return found

    def corrected(self, kind: str, name: str, factor: float) -> None:
        """Take labels of a kind in another way.

        Parameters
        ----------
        kind : str
            The kind.
        name : str
            Itself, or the variant of it that the labels are.
        factor : float
            By how much they are larger than they should be.
        """
        self.taken[kind] = name, factor
        self.rows[kind] = replace(self.rows[kind], target=self._targets(name) / factor)

    def compared(self, frames: Sequence[Frame], workers: int) -> list[Compared]:
        """Labels and predictions of all frames, by the last fit.

        Parameters
        ----------
        frames : sequence of Frame
            All the data, of which some were fitted to.
        workers : int
            Threads.

        Returns
        -------
        list of Compared
            One for each frame.
        """
        n, m = self.transform.n_columns, len(self.elements)
        places = {int(index): k for k, index in enumerate(self.indices)}
        rest = [frame for i, frame in enumerate(frames) if i not in places]
        known = [LABELS[self.taken["energy"][0]](frame) for frame in self.frames]
        energies = np.concatenate([value for value in known if value is not None]) / self.taken["energy"][1]
        e0 = energies - self.rows["energy"].target  # of the free atoms, as it was taken off
        line = np.linalg.lstsq(self.fractions, e0, rcond=1e-9)[0] + self.solution[n : n + m]
        atomic = dict(zip(self.elements, line.tolist(), strict=True))
        model = Model("trial", self.transform, self.solution[:n], atomic, None)
        evaluated = iter(model.evaluate([frame.system for frame in rest], workers=workers) if rest else ())
        bounds = {
            kind: np.searchsorted(rows.frame, np.arange(len(self.frames) + 1))
            for kind, rows in self.rows.items()
        }
        found = []
        for i, frame in enumerate(frames):
            labels, size = self.labels(frame), len(frame.system)
            values: dict[str, Vector] = {}
            if i in places:
                k = places[i]
                for kind in labels:
                    values[kind] = self.found[kind][bounds[kind][k] : bounds[kind][k + 1]]
                values["energy"] = values["energy"] + e0[k]
            else:
                (value,) = next(evaluated)
                values["energy"] = np.array([value.energy / size])
                if "force" in labels:
                    values["force"] = value.forces.ravel()
                if "virial" in labels:
                    offset = self.solution[n + m + self._group(frame)]
                    values["virial"] = to_voigt(value.strain_gradient) / size + offset * DIAGONAL
            found.append(Compared(labels, values))
        return found

    def group_offsets(self) -> list[tuple[str, float, float]]:
        """By how much the energies of each group differ from what the rest of the data lets expect.

        Returns
        -------
        list of (str, float, float)
            Group, median difference in eV/atom, and its size over the error that is expected of it: the
            spread within the group and that of the fit at the middle of the group.
        """
        groups = np.array([frame.group for frame in self.frames])
        names = sorted(set(groups))
        if len(names) < 2:
            return []
        sizes, _ = self.with_energy_offsets(np.searchsorted(names, groups))
        energy = self.rows["energy"]
        fixed = []
        for kind in self.kinds:
            rows = self.rows[kind]
            if kind != "energy":
                root = np.sqrt(self.weights[kind])[:, None] / sizes[kind]
                fixed.append(NormalEquations.of(rows.matrix * root, rows.target * root[:, 0]))
        found = []
        for group in sorted(set(groups)):
            inside = groups == group
            if inside.sum() < 3 or (~inside).sum() < FOLDS:
                continue
            root = np.full((int((~inside).sum()), 1), 1.0 / sizes["energy"])
            rest = NormalEquations.of(energy.matrix[~inside] * root, energy.target[~inside] * root[:, 0])
            total = NormalEquations.summed([*fixed, rest])
            there = np.flatnonzero(np.diag(total.gram) > 0)
            penalty = 1e-6 * np.diag(total.gram)[there]
            inverse = np.linalg.pinv(
                total.gram[np.ix_(there, there)] + np.diag(penalty), hermitian=True, rcond=1e-12
            )
            matrix = energy.matrix[inside][:, there].astype(np.float64)
            wrong = energy.target[inside] - matrix @ (inverse @ total.moment[there])
            middle, off = np.median(matrix, axis=0), float(np.median(wrong))
            spread_ = 1.4826 * float(np.median(np.abs(wrong - off)))
            expected = np.sqrt(max(middle @ inverse @ middle, 0.0) + spread_**2 + 1e-6)
            found.append((group, off, abs(off) / float(expected)))
        return found

    def with_energy_offsets(self, group: NDArray[np.int64]) -> tuple[dict[str, float], float]:
        """Fit with an offset of the energies of each group.

        Parameters
        ----------
        group : ndarray of int, shape (n_frames,)
            The group of each frame that is fitted to, from 0.

        Returns
        -------
        sizes : dict of str to float
            Typical errors by kind.
        gain : float
            Mean error of the energies without the offsets over that with them.
        """
        rows, free, found, solution = dict(self.rows), self.free, self.found, self.solution
        last = int(group.max())
        for kind, row in rows.items():
            offsets = np.zeros((len(row.target), last), dtype=np.float32)
            if kind == "energy":
                offsets[:] = group[:, None] == np.arange(1, last + 1)
            self.rows[kind] = replace(row, matrix=np.hstack([row.matrix, offsets]))
        self.free = np.append(free, rows["energy"].matrix.shape[1] + np.arange(last))
        values = self.predicted(self.importance)
        self.rows, self.free, self.found, self.solution = rows, free, found, solution
        sizes = {}
        for kind, value in values.items():
            wrong = np.abs(value - rows[kind].target)
            wild = wrong[wrong > 1e-4 * wrong.max()]
            sizes[kind] = max(1.4826 * float(np.median(wild)), 1e-6) if len(wild) else 1e-6
        before = float(np.mean(np.abs(found["energy"] - rows["energy"].target)))
        wrong = rows["energy"].target - values["energy"]
        return sizes, before / max(float(np.mean(np.abs(wrong))), 1e-9)

    def pressures(self) -> dict[str, tuple[float, float]]:
        """Virials per atom of each group beyond those of the fit.

        Returns
        -------
        dict of str to (float, float)
            Mean and typical error of the diagonal components of the stress, GPa.
        """
        if "virial" not in self.rows:
            return {}
        begin = self.transform.n_columns + len(self.elements)
        with_stress = [k for k, frame in enumerate(self.frames) if frame.stress is not None]
        wrong = np.abs(self.found["virial"] - self.rows["virial"].target).reshape(-1, 6)[:, :3].mean(axis=1)
        found = {}
        for k, group in enumerate(self.groups):
            inside = [i for i, j in enumerate(with_stress) if self._group(self.frames[j]) == k]
            if len(inside) >= 3:
                systems = [self.frames[with_stress[i]].system for i in inside]
                density = float(np.mean([len(system) / system.volume for system in systems])) / GPA
                found[group] = self.solution[begin + k] * density, float(np.median(wrong[inside])) * density
        return found

    @property
    def importance(self) -> dict[str, float]:
        """Kind → factor of its rows in a fit to all."""
        return {kind: ENERGY_WEIGHT if kind == "energy" else 1.0 for kind in self.kinds}

    def without_offsets(self) -> None:
        """Take the offsets of stresses out of all fits to come."""
        matrix = self.rows["virial"].matrix.copy()
        matrix[:, self.transform.n_columns + len(self.elements) :] = 0.0
        self.rows["virial"] = replace(self.rows["virial"], matrix=matrix)

    def together(self) -> Together:
        """Prepare fits to all kinds of labels, and their variants, with factors between them.

        Returns
        -------
        Together
        """
        parts = {}
        original = dict(self.rows)
        for name in LABELS:
            kind = VARIANTS.get(name, name)
            if kind not in original:
                continue
            self.rows[kind] = replace(original[kind], target=self._targets(name))
            self.predicted({kind: 1.0})
            scale = max(clipped_rms(self.rows[kind].target), 1e-12)
            parts[name] = self._parts({kind: scale**-2}, self.weights)
            self.rows[kind] = original[kind]
        return Together(parts, self.free)

    def _parts(self, base: dict[str, float], weights: dict[str, Vector]) -> list[NormalEquations]:
        """Normal equations of each part."""
        parts = []
        for part in range(FOLDS):
            sums = []
            for kind, factor in base.items():
                rows = self.rows[kind]
                chosen = self.part_of[rows.frame] == part
                root = np.sqrt(factor * weights[kind][chosen])
                sums.append(
                    NormalEquations.of(rows.matrix[chosen] * root[:, None], rows.target[chosen] * root)
                )
            parts.append(NormalEquations.summed(sums))
        return parts

    def _best(self, parts: list[NormalEquations]) -> float:
        """The ridge with the least weighted error on parts left out."""
        losses = []
        for ridge in RIDGES:
            losses.append(
                sum(
                    part.loss(solved(total, ridge, self.free))
                    for part, total in zip(parts, others(parts), strict=True)
                )
            )
        return RIDGES[int(np.argmin(losses))]

    def _left_out(self, parts: list[NormalEquations], ridge: float) -> dict[str, Vector]:
        """Predictions of each part by fits to the others."""
        found = {kind: np.zeros(len(rows.target)) for kind, rows in self.rows.items()}
        for part, total in enumerate(others(parts)):
            weights = solved(total, ridge, self.free)
            for kind, rows in self.rows.items():
                chosen = self.part_of[rows.frame] == part
                found[kind][chosen] = rows.matrix[chosen] @ weights
        return found


def _columns(elements: Sequence[str], systems: Sequence[System]) -> SitesTransform:
    """Moduli of order 1, calibrated."""
    l_max, n_scales = COLUMNS[min(len(elements), max(COLUMNS))]
    cutoff = SitesSettings.recommended(len(elements), typical_bond(systems)).cutoff
    largest, ratio = (0.48 if n_scales > 3 else 0.36) * cutoff, 2**0.5 if n_scales > 3 else 1.5
    settings = SitesSettings(
        scales=tuple(largest * ratio ** (i + 1 - n_scales) for i in range(n_scales)),
        cutoff=cutoff, first=(l_max,), inner=(), outer=(), triple=0, exponents1=(1.0, 2.0), exponents2=(),
    )  # fmt: skip
    transform = SitesTransform.candidates(settings, Channels.by_species(elements))
    if len(elements) > 1:
        transform = transform.subset(k for k, c in enumerate(transform.columns) if "cross" not in c.label)
    return transform.calibrated(spread(systems, CALIBRATION_FRAMES), TARGET)
