"""Normal equations by chunks of the data, on the workers of an executor.

A chunk is a run of frames of one part. It ends where a `Stream` would multiply its rows of forces, so that a
worker can do this in its place; the few rows of other kinds come back as they are. Partial sums are added in
the order of the chunks, whoever is first, so that the sums are those of a fit without an executor, bit for
bit, on processors of one kind.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import threadpoolctl

from ..compute import threads
from ..compute.executors import Workers
from ..compute.memory import clear_when_full
from ..compute.parallel import reporting
from ..structures.dataset import Frame
from .design_matrix import Problem
from .normal_equations import NormalEquations, Stream, rows_at_once
from .rows import Normals, Rows, Sample


@dataclass(frozen=True)
class Chunk:
    """Frames of one part that a worker deals with at once.

    Parameters
    ----------
    part : int
        The part.
    numbers : list of int
        Which frames.
    whole : bool
        Whether their rows of forces are those that a `Stream` multiplies at once.
    """

    part: int
    numbers: list[int]
    whole: bool


class ChunkSum(NamedTuple):
    """What a worker makes of a chunk, on the host.

    Parameters
    ----------
    kinds : list of str
        Kinds of rows in the order of their first frames.
    forces : NormalEquations or None
        Multiplied rows of forces, where the chunk is whole.
    rows : list of Rows
        The other rows, frame by frame.
    sample : list of (int, Rows)
        Number of a frame, and the rows of it that are kept to calibrate error bars.
    """

    kinds: list[str]
    forces: NormalEquations | None
    rows: list[Rows]
    sample: list[tuple[int, Rows]]


def chunks_of(frames: Sequence[Frame], part_of: Sequence[int], at_once: int) -> list[Chunk]:
    """Cut the data into chunks, which depend on nothing but the data.

    Parameters
    ----------
    frames : sequence of Frame
        The data.
    part_of : sequence of int
        The part of each frame.
    at_once : int
        Rows that a `Stream` multiplies at once.

    Returns
    -------
    list of Chunk
    """
    found = []
    for part in sorted(set(part_of)):
        numbers: list[int] = []
        # The rest is multiplied where something was before; few rows are kept as they are.
        multiplied = False
        begins, waiting = True, 0  # rows of forces, from the chunk before on where this one does not begin
        for number in (number for number, its in enumerate(part_of) if its == part):
            numbers.append(number)
            frame = frames[number]
            waiting += 3 * len(frame.system) if frame.forces is not None else 0
            full = waiting >= at_once
            multiplied |= full
            # Frames without forces have rows of other kinds.
            if full or 3 * len(numbers) >= at_once:
                found.append(Chunk(part, numbers, full and begins))
                numbers, waiting = [], 0 if full else waiting
                begins = waiting == 0
        if numbers:
            found.append(Chunk(part, numbers, begins and multiplied and waiting > 0))
    return found


def chunk_memory(width: int, largest: int, dtype: str) -> float:
    """Memory that a worker needs for a chunk, besides that for the columns of a single frame.

    Parameters
    ----------
    width : int
        Number of columns.
    largest : int
        Number of atoms of the largest frame.
    dtype : str
        Of the rows, "float64" or "float32".

    Returns
    -------
    float
        Bytes, at most.
    """
    # Rows of forces, once more in double precision, and ten for three of them where a frame is one atom; what
    # is sent back exists twice.
    rows = rows_at_once(width) + 3.0 * largest
    return width * (10.0 * np.dtype(dtype).itemsize * rows + 16.0 * width)


def summed(problem: Problem, workers: Workers | None = None) -> Normals:
    """Sum the normal equations of a problem, here or on workers.

    Parameters
    ----------
    problem : Problem
        The regression.
    workers : Workers, optional
        By default threads of this process.

    Returns
    -------
    Normals
        The same for any workers.
    """
    if workers is None:
        return problem.normals()
    parts: list[dict[str, Stream]] = [{} for _ in range(problem.n_parts)]
    kept: dict[int, Sample] = {}
    sampled, fraction = problem.sampled()
    chunks = chunks_of(problem.frames, problem.part_of, rows_at_once(problem.width))
    recipe = _recipe(problem)
    jobs = [
        (recipe, chunk, [problem.frames[n] for n in chunk.numbers], sampled & set(chunk.numbers), fraction)
        for chunk in chunks
    ]
    with reporting(problem.progress, "design matrix", len(problem.frames)) as tick:
        for chunk, done in zip(chunks, workers.in_order(sum_chunk, jobs), strict=True):
            part = parts[chunk.part]
            for kind in done.kinds:
                part.setdefault(kind, Stream(problem.width))
            if done.forces is not None:
                part["force"].add_multiplied(done.forces)
            for rows in done.rows:
                for kind, matrix in rows.matrix.items():
                    part[kind].add(matrix, rows.target[kind])
            kept.update((number, Sample(chunk.part, rows)) for number, rows in done.sample)
            for _ in chunk.numbers:
                tick()
    return Normals(parts, [kept[number] for number in sorted(kept)])


def sum_chunk(
    recipe: bytes, chunk: Chunk, frames: Sequence[Frame], sampled: set[int], fraction: float
) -> ChunkSum:
    """Make the rows of a chunk and multiply them: the work of a worker.

    Parameters
    ----------
    recipe : bytes
        The problem without its data.
    chunk : Chunk
        The chunk.
    frames : sequence of Frame
        Its frames.
    sampled : set of int
        Numbers of the frames of which rows are kept.
    fraction : float
        The fraction of the atoms whose forces are kept.

    Returns
    -------
    ChunkSum
    """
    problem = _problem(recipe)
    backend = problem.backend
    forces = Stream(problem.width, backend) if chunk.whole else None
    kinds: dict[str, None] = {}
    others, sample = [], []
    with threadpoolctl.threadpool_limits(1), threads.limited(1), clear_when_full(backend):
        for number, frame in zip(chunk.numbers, frames, strict=True):
            rows = problem.rows((number, frame))
            kinds |= dict.fromkeys(rows.matrix)
            if number in sampled:
                sample.append((number, problem.thinned(rows, fraction)))
            rows = rows * problem.root_weight(frame)
            matrix, target = dict(rows.matrix), dict(rows.target)
            if forces is not None and "force" in matrix:
                forces.add(matrix.pop("force"), target.pop("force"))
            others.append(Rows({kind: backend.to_host(some) for kind, some in matrix.items()}, target))
        return ChunkSum(list(kinds), None if forces is None else forces.moments(), others, sample)


def _recipe(problem: Problem) -> bytes:
    """The problem without data, as workers get it with every chunk and unpack it once."""
    bare = copy.copy(problem)
    bare.frames, bare.part_of, bare.progress, bare.workers = [], [], False, 1
    return pickle.dumps(bare)


@lru_cache(maxsize=2)
def _problem(recipe: bytes) -> Problem:
    found: Problem = pickle.loads(recipe)
    return found
