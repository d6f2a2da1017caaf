"""What a fit is told about where its data do not go: rows of small weight from a sketch.

Atoms are seldom seen very near each other, unlike ones often never, and columns that nothing was learnt about
may fall there. A rough potential that repels by construction (`Sketch`) is fitted to the data in no time. It
labels

- frames whose elements are dealt out anew, scaled to the volume of their elements: hot ones bring unlike
  atoms near each other;
- small random cells, from loose to dense, down to a part of the shortest distances;
- pairs of atoms below the shortest distance, which repel.

The rows count by the errors of the sketch: little where data speak.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from ..structures.dataset import Frame
from ..structures.sampling import spread
from ..structures.system import System, kinds_of
from .compression import dense
from .design_matrix import Problem
from .normal_equations import NormalEquations, Stream
from .pool import sample_frames
from .sketch import Sketch

FRAMES = 60
"""So many frames get other elements, and as many of the half with the larger forces, …"""
LARGEST = 64
"""… of at most so many atoms. They count by the errors of the sketch."""
SOME = 400
"""What the sketch misses of energies is looked at on so many frames."""
CELLS, ATOMS = 200, 10
"""Random cells, and the atoms in each."""
VOLUMES = (0.55, 1.4)
"""Of random cells, over that of their elements."""
NEAREST = (0.7, 1.0)
"""Shortest distances in random cells, over those in the data."""
PAIRS = (0.75, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05)
"""Distances of pairs, over the shortest in the data."""
VAGUE_ENERGY, VAGUE_FORCE = 0.05, 0.3
"""Standard deviations of random cells, over what they have more energy than the data, and over forces, …"""
LEAST_ENERGY, LEAST_FORCE = 0.15, 2.0
"""… and at least (eV/atom, eV/Å)."""
REPULSIVE, SOFT = 0.5, 0.05
"""So much of the sketch's repulsion is asked of a pair of atoms alone, and the standard deviation of that."""

Floats = NDArray[np.float64]


def unseen_rows(problem: Problem) -> NormalEquations | None:
    """Make rows for structures that no data show, over their standard deviations.

    Parameters
    ----------
    problem : Problem
        The regression.

    Returns
    -------
    NormalEquations or None
        None without forces, where no frame is a solid, or on a grid.
    """
    solids = [frame for frame in dense(problem.frames) if frame.forces is not None]
    if not solids or not problem.transform.invariant:
        return None
    sketch = Sketch.of(sample_frames(problem.frames), problem.elements, problem.free_atoms.energies)
    stream = Stream(problem.width)

    def add(system: System, energy: float, forces: Floats, sigma_energy: float, sigma_force: Floats) -> None:
        rows = problem.rows((0, Frame(system, energy, forces, None, "")))
        if np.isfinite(sigma_energy):
            matrix = problem.backend.to_host(rows.matrix["energy"])
            stream.add(matrix / sigma_energy, rows.target["energy"] / sigma_energy)
        matrix = problem.backend.to_host(rows.matrix["force"])
        stream.add(matrix / sigma_force.ravel()[:, None], rows.target["force"] / sigma_force.ravel())

    rng = np.random.default_rng(0)
    volumes = _volumes(problem, solids)
    mixed = _Mixed.of(sketch, solids, problem)
    for frame in _dealt_out(solids):
        system = _dealt(frame.system, problem, volumes, rng)
        energy, forces = mixed.labels(frame, system)
        add(system, energy, forces, mixed.sigma, np.full(forces.shape, sketch.errors[1]))
    ground = float(np.median([sketch.per_atom(f.system, sketch.evaluate(f.system)[0]) for f in solids]))
    for system in _random_cells(problem, volumes, rng):
        energy, forces = sketch.evaluate(system)
        gained = abs(sketch.per_atom(system, energy) - ground)
        vague = np.tile(LEAST_FORCE + VAGUE_FORCE * np.linalg.norm(forces, axis=1)[:, None], 3)
        add(system, energy, forces, LEAST_ENERGY + VAGUE_ENERGY * gained, vague)
    for system in _pairs(problem):
        _, forces = sketch.evaluate(system, attraction=False)
        push = float(np.abs(forces).max())
        add(system, 0.0, REPULSIVE * forces, np.inf, np.full((2, 3), 0.1 + SOFT * push))
    return stream.moments()


@dataclass(frozen=True)
class _Mixed:
    """Labels of frames with other elements: what the sketch misses is about the same for them.

    Of energies that holds beyond what it misses of the composition: coefficients (n_terms,). sigma: what is
    left then (eV/atom).
    """

    sketch: Sketch
    problem: Problem
    coefficients: Floats
    sigma: float

    @classmethod
    def of(cls, sketch: Sketch, solids: list[Frame], problem: Problem) -> _Mixed:
        some = spread(solids, SOME)
        mixed = cls(sketch, problem, np.zeros(0), 0.0)
        missed = np.array([(f.energy - sketch.evaluate(f.system)[0]) / len(f.system) for f in some])
        matrix = np.array([mixed._composition(f.system) for f in some])
        weak = 1e-2 * np.eye(matrix.shape[1])
        found = np.linalg.lstsq(
            np.vstack([matrix, weak]), np.append(missed, np.zeros(len(weak))), rcond=None
        )[0]
        return replace(
            mixed, coefficients=found, sigma=float(np.sqrt(np.mean((matrix @ found - missed) ** 2)))
        )

    def _composition(self, system: System) -> Floats:
        """Fractions, and their products."""
        x = _counts(system, self.problem) / len(system)
        return np.asarray(np.append(x, np.outer(x, x)[np.triu_indices(len(x), 1)]))

    def labels(self, frame: Frame, other: System) -> tuple[float, Floats]:
        was, were = self.sketch.evaluate(frame.system)
        energy, forces = self.sketch.evaluate(other)
        change = (self._composition(other) - self._composition(frame.system)) @ self.coefficients
        return (
            energy + frame.energy - was + len(other) * float(change),
            forces + np.asarray(frame.forces) - were,
        )


def _dealt_out(solids: list[Frame]) -> list[Frame]:
    """Frames that get other elements: some of all, and some of the half with the larger forces."""
    small = [frame for frame in solids if 1 < len(frame.system) <= LARGEST]
    ordered = sorted(small, key=lambda frame: -float(np.mean(np.square(np.asarray(frame.forces)))))
    return spread(small, FRAMES) + spread(ordered[: max(FRAMES, len(ordered) // 2)], FRAMES)


def _volumes(problem: Problem, solids: list[Frame]) -> Floats:
    """Volume of an atom of each element (Å³)."""
    n = len(problem.elements)
    counts = np.array([_counts(frame.system, problem) for frame in solids], dtype=np.float64)
    total = np.array([frame.system.volume for frame in solids])
    mean = total.sum() / counts.sum()
    # Elements of which there is little are of mean size.
    weak = 0.1 * np.eye(n)
    fitted = np.linalg.lstsq(np.vstack([counts, weak]), np.append(total, np.diag(weak) * mean), rcond=None)[0]
    return np.asarray(np.maximum(fitted, 0.3 * mean))


def _counts(system: System, problem: Problem) -> NDArray[np.int64]:
    return np.bincount(kinds_of(system.numbers, problem.elements), minlength=len(problem.elements))


def _numbers(problem: Problem, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return rng.choice([atomic_numbers[symbol] for symbol in problem.elements], n).astype(np.int64)


def _dealt(system: System, problem: Problem, volumes: Floats, rng: np.random.Generator) -> System:
    """A structure with random elements, at their volume."""
    other = replace(system, numbers=_numbers(problem, len(system), rng))
    change = float(_counts(other, problem) @ volumes / (_counts(system, problem) @ volumes)) ** (1 / 3)
    return replace(other, positions=change * system.positions, cell=change * system.cell)


def _random_cells(problem: Problem, volumes: Floats, rng: np.random.Generator) -> Iterator[System]:
    """Small cubic cells with atoms thrown in one after the other, none too near to another."""
    closest = problem.closest
    for _ in range(CELLS):
        numbers = _numbers(problem, ATOMS, rng)
        kinds = kinds_of(numbers, problem.elements)
        edge = float(volumes[kinds].sum() * rng.uniform(*VOLUMES)) ** (1 / 3)
        near = rng.uniform(*NEAREST)
        placed: list[int] = []
        positions = np.zeros((ATOMS, 3))
        for k, tried in ((k, x) for k in range(ATOMS) for x in rng.uniform(0.0, edge, (200, 3))):
            if k in placed:
                continue
            apart = positions[placed] - tried
            apart -= edge * np.round(apart / edge)
            if np.all(np.linalg.norm(apart, axis=1) > near * closest[kinds[k], kinds[placed]]):
                positions[k] = tried
                placed.append(k)
        if len(placed) > 1:
            yield System(numbers[placed], positions[placed], edge * np.eye(3), np.array([True] * 3))


def _pairs(problem: Problem) -> Iterator[System]:
    """Two atoms alone, of each pair of elements."""
    z = [atomic_numbers[symbol] for symbol in problem.elements]
    for a, b in zip(*np.triu_indices(len(z)), strict=True):
        for ratio in PAIRS:
            positions = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, ratio * problem.closest[a, b]]])
            yield System(np.array([z[a], z[b]]), positions, np.zeros((3, 3)), np.array([False] * 3))
