"""What may be wrong with a set of data, looked for before a potential is fitted to it.

First what needs no potential: distances, net forces, structures that occur twice, compositions. Then labels
against each other (`label_checks`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from numpy.typing import NDArray

from ..compute import threads
from ..compute.parallel import Progress, in_order
from ..structures.dataset import Frame, as_frames, elements_of
from ..structures.pair_search import half_list
from ..structures.system import System
from .findings import Finding, serious
from .free_atoms import composition, is_free
from .label_checks import check_labels

if TYPE_CHECKING:
    from ase import Atoms

REACH = 6.0
"""Neighbours up to this distance (Å) are looked at."""
SHORT, LONG = 0.5, 1.55
"""Typical nearest neighbours over the sum of covalent radii lie between these."""
TOO_SHORT = 0.35
"""In no frame is a typical neighbour nearer than this."""
INERT = ("He", "Ne", "Ar", "Kr", "Xe", "Rn")
"""Their distances have nothing to do with covalent radii."""
NET = 0.1
"""A net force over √N larger than this part of the typical force …"""
LEAST_NET = 0.02
"""… and than this (eV/Å) is none of rounding or of a grid."""
SAME = 1e-6
"""Relative differences of two fingerprints of the same structure are smaller."""
OTHER_ENERGY, OTHER_FORCE = 1e-3, 0.1
"""The same structure has other labels, where they differ by more: eV/atom, eV/Å."""


class Shape(NamedTuple):
    """What does not change when a structure is moved, turned, or its atoms are permuted.

    Parameters
    ----------
    nearest : float
        Median distance of nearest neighbours over the sum of covalent radii; nan without neighbours.
    counts : tuple of (int, int)
        Atomic numbers, and how many there are.
    sums : ndarray, shape (1 + 3 N,)
        Volume, and what each atom has around it, atoms in an order of their own.
    """

    nearest: float
    counts: tuple[tuple[int, int], ...]
    sums: NDArray[np.float64]


def check_data(
    data: str | Path | Sequence[Frame | Atoms], *, workers: int | None = None, progress: Progress = False
) -> list[Finding]:
    """Look for what is wrong with a set of data.

    Parameters
    ----------
    data : str, Path or sequence of Frame or Atoms
        A file that ASE reads, frames, or structures with their labels.
    workers : int, optional
        Threads; by default one per core.
    progress : bool or callable
        Whether, or by which function, progress is shown.

    Returns
    -------
    list of Finding
        Those that are serious first.

    Raises
    ------
    InputError
        If the data cannot be read.
    """
    frames = as_frames(data)
    workers = workers or threads.count()
    shapes = list(in_order(shape_of, [frame.system for frame in frames], workers, False, "distances"))
    findings, strange = _distances(frames, shapes)
    findings += _net_forces(frames) + _duplicates(frames, shapes) + _compositions(frames)
    usable = [
        i
        for i, frame in enumerate(frames)
        if i not in strange and not is_free(frame.system) and np.isfinite(shapes[i].nearest)
    ]
    findings += check_labels([frames[i] for i in usable], usable, workers, progress)
    found = set(map(id, serious(findings)))
    return sorted(findings, key=lambda finding: id(finding) not in found)


def shape_of(system: System) -> Shape:
    """Describe a structure by what does not change when it is moved.

    Parameters
    ----------
    system : System
        The structure.

    Returns
    -------
    Shape
    """
    numbers = system.numbers
    volume = system.volume if system.pbc.all() else 0.0
    # Of lengths in nm there are too many pairs.
    reach = min(REACH, 4.0 * (volume / len(system)) ** (1 / 3)) if volume else REACH
    pairs = half_list(system.positions, system.cell, system.pbc, reach)
    relative = np.full(len(system), np.inf)
    near = pairs.distances / (covalent_radii[numbers[pairs.i]] + covalent_radii[numbers[pairs.j]])
    for end in (pairs.i, pairs.j):
        np.minimum.at(relative, end, near)
    there = relative[np.isfinite(relative)]
    fade = (1.0 - pairs.distances / reach) ** 2
    around, turned = np.zeros((len(system), 2)), np.zeros((len(system), 3))
    for end, other, sign in ((pairs.i, pairs.j, 1.0), (pairs.j, pairs.i, -1.0)):
        weight = fade * np.sqrt(numbers[other])
        np.add.at(around, end, np.stack([weight, weight * pairs.distances], axis=1))
        np.add.at(turned, end, sign * weight[:, None] * pairs.vectors)
    atoms = np.column_stack([around, np.linalg.norm(turned, axis=1)])
    # Rounded for the order alone, so that equal atoms stand together.
    order = np.lexsort((*np.round(atoms.T, 5), numbers))
    counts = tuple(sorted(Counter(numbers.tolist()).items()))
    return Shape(
        float(np.median(there)) if len(there) else np.nan, counts,
        np.concatenate([[volume], atoms[order].T.ravel()]),
    )  # fmt: skip


def _distances(frames: Sequence[Frame], shapes: Sequence[Shape]) -> tuple[list[Finding], set[int]]:
    """Findings about lengths, and the frames whose lengths are beyond reason."""
    inert = {atomic_numbers[symbol] for symbol in INERT}
    ratio = np.array([np.nan if inert & {z for z, _ in s.counts} else s.nearest for s in shapes])
    known = np.isfinite(ratio)
    several = [np.isfinite(s.nearest) for s, f in zip(shapes, frames, strict=True) if len(f.system) > 1]
    if several and np.mean(several) < 0.5:
        text = f"in most frames no two atoms are nearer than {REACH:g} Å"
        where = tuple(range(len(frames)))
        return [Finding("positions", text, "give positions and cells in Å", where)], set(where)
    if not known.any():
        return [], set()
    everywhere = tuple(np.flatnonzero(known).tolist())
    typical = float(np.median(ratio[known]))
    told = f"nearest neighbours are {typical:.2g} times as far apart as covalent radii let expect"
    if typical < SHORT:
        advice = "give positions and cells in Å" + (
            ": 10 times theirs, if they are in nm" if typical < 0.2 else ""
        )
        return [Finding("positions", told, advice, everywhere, int(np.nanargmin(ratio)))], set(everywhere)
    if typical > LONG:
        advice = "give positions and cells in Å: 0.529 times theirs, if they are in Bohr"
        return [Finding("positions", told, advice, everywhere, int(np.nanargmax(ratio)))], set()
    found = []
    near = tuple(np.flatnonzero(known & (ratio < TOO_SHORT)).tolist())
    if near:
        worst = min(near, key=lambda i: ratio[i])
        text = f"neighbours in {len(near)} frames are {ratio[worst]:.2g} covalent distances apart"
        found.append(Finding("positions", text, "look for other units, or drop these frames", near, worst))
    periodic = np.array([bool(frame.system.pbc.all()) for frame in frames])
    far = tuple(np.flatnonzero(known & periodic & (ratio > 1.6 * typical) & (ratio > LONG)).tolist())
    if far and len(far) < 0.5 * known.sum():
        worst = max(far, key=lambda i: ratio[i])
        text = f"neighbours in {len(far)} frames are {ratio[worst] / typical:.2g} times farther apart"
        advice = "look for positions in Bohr, unless these crystals are meant to be so wide"
        found.append(Finding("positions", text, advice, far, worst))
    return found, {*near, *far}


def _net_forces(frames: Sequence[Frame]) -> list[Finding]:
    with_forces = [i for i, f in enumerate(frames) if f.forces is not None and len(f.system) > 1]
    sizes = [
        float(np.sqrt(np.mean(f.forces**2))) for f in frames if f.forces is not None and len(f.system) > 1
    ]
    moving = [size for size in sizes if size > 1e-6]
    if not moving:
        return []
    limit = max(LEAST_NET, NET * float(np.median(moving)))
    net = {}
    for i in with_forces:
        forces = frames[i].forces
        assert forces is not None
        net[i] = float(np.linalg.norm(forces.sum(axis=0))) / np.sqrt(len(forces))
    far = tuple(i for i, value in net.items() if value > limit)
    if not far:
        return []
    worst = max(far, key=lambda i: net[i])
    total = net[worst] * np.sqrt(len(frames[worst].system))
    text = f"forces of {len(far)} frames do not sum to zero (up to {total:.3g} eV/Å)"
    advice = "look for fixed atoms, external fields or atoms left out; subtract the mean only if it is noise"
    return [Finding("net forces", text, advice, far, worst)]


def _duplicates(frames: Sequence[Frame], shapes: Sequence[Shape]) -> list[Finding]:
    same: list[tuple[int, int]] = []
    other: list[tuple[int, int, float]] = []
    for first, second in same_structures(shapes):
        one, two = frames[first], frames[second]
        apart = abs(one.energy - two.energy) / len(one.system)
        strong = 0.0
        if one.forces is not None and two.forces is not None:
            sizes = [np.sort(np.linalg.norm(f, axis=1)) for f in (one.forces, two.forces)]
            strong = float(np.abs(sizes[0] - sizes[1]).max())
            if strong < OTHER_FORCE + 0.05 * float(sizes[0].max()):
                strong = 0.0
        if apart > OTHER_ENERGY or strong:
            other.append((first, second, max(apart, strong)))
        else:
            same.append((first, second))
    found = []
    if other:
        first, second, _ = max(other, key=lambda entry: entry[2])
        text = f"{len(other)} structures occur again with other labels (frames {first} and {second})"
        advice = "keep the frames with the right labels"
        found.append(Finding("duplicates", text, advice, _members([pair[:2] for pair in other]), second))
    if same:
        first, second = same[0]
        text = f"{len(same)} structures occur more than once (frames {first} and {second})"
        advice = 'drop them, or give them the same info["source"] so that they are left out together'
        found.append(Finding("duplicates", text, advice, _members(same), second, serious=False))
    return found


def _members(pairs: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    return tuple(sorted({i for pair in pairs for i in pair}))


def same_structures(shapes: Sequence[Shape], tolerance: float = SAME) -> list[tuple[int, int]]:
    """Pairs of structures that differ by no more than a motion and a permutation.

    Parameters
    ----------
    shapes : sequence of Shape
        The structures.
    tolerance : float
        Largest difference of what atoms have around them, over its size.

    Returns
    -------
    list of (int, int)
        Each structure with the one before it that it is like.
    """
    by_counts: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for i, shape in enumerate(shapes):
        if sum(n for _, n in shape.counts) > 1:
            by_counts.setdefault(shape.counts, []).append(i)
    found = []
    for members in by_counts.values():
        keys = {i: float(shapes[i].sums.sum()) for i in members}
        order = sorted(members, key=lambda i: keys[i])
        for k, i in enumerate(order):
            for j in order[k + 1 :]:
                size = float(np.abs(shapes[i].sums).max())
                if abs(keys[i] - keys[j]) > tolerance * size * len(shapes[i].sums):
                    break
                if np.abs(shapes[i].sums - shapes[j].sums).max() <= tolerance * size:
                    found.append((min(i, j), max(i, j)))
                    break
    return sorted(found)


def _compositions(frames: Sequence[Frame]) -> list[Finding]:
    elements = elements_of(frame.system for frame in frames)
    free = {chemical_symbols[int(f.system.numbers[0])] for f in frames if is_free(f.system)}
    if len(elements) < 2 or set(elements) <= free:
        return []
    counts = np.array([composition(frame.system, elements) for frame in frames])
    rank = int(np.linalg.matrix_rank(counts, tol=1e-6 * np.sqrt(len(counts))))
    if rank >= len(elements):
        return []
    text = "the compositions do not tell the energies of the free atoms apart"
    advice = (
        "add a frame of each free atom, or give their energies (e0, --e0); other compositions mean nothing"
    )
    return [Finding("free atoms", text, advice, tuple(range(len(frames))), None, serious=False)]
