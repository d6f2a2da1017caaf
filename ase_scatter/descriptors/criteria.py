"""What makes a good descriptor: six criteria, measured.

Invariance, uniqueness, continuity, efficiency, structure and generality, after A. P. Bartók, R. Kondor,
G. Csányi, Phys. Rev. B 87, 184115 (2013), L. Himanen et al., Comput. Phys. Commun. 247, 106949 (2020) and
M. F. Langer, A. Goeßmann, M. Rupp, npj Comput. Mater. 8, 41 (2022).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from ..errors import InputError
from .degenerate import degenerate_pairs, methane
from .descriptor import ScatteringDescriptor

Floats = NDArray[np.float64]

FAMILIES = {
    "moduli of order 1": ("modulus",),
    "products": ("cross",),
    "triples": ("triple",),
    "order 1, all": ("modulus", "cross", "triple"),
    "order 2": ("modulus2", "cross2"),
    "all": ("modulus", "cross", "triple", "modulus2", "cross2"),
}
"""Name → kinds of terms on sites."""
TOLD_APART = 1e-3
"""Of the distance to a generic displacement of equal size: from here on a pair counts as told apart."""
DISPLACEMENTS = 20


@dataclass(frozen=True)
class Uniqueness:
    """How far apart a family of columns sees two different surroundings.

    Parameters
    ----------
    pair : str
        The pair.
    blind : str
        What cannot tell it apart.
    family : str
        Of columns.
    distance : float
        Over the median distance to generic displacements of equal size.
    """

    pair: str
    blind: str
    family: str
    distance: float

    @property
    def told_apart(self) -> bool:
        """Whether the distance counts."""
        return self.distance >= TOLD_APART


@dataclass(frozen=True)
class Continuity:
    """Along a path of one neighbour through the cutoff: jumps between points of a fine grid.

    Parameters
    ----------
    value, slope, curvature : float
        Largest change of the columns, and of their first and second derivatives, from one point to the next
        at the cutoff, over the largest anywhere on the path. Where one is continuous, it is of the order of
        the grid's spacing.
    spacing : float
        Of the grid, over the length of the switch.
    """

    value: float
    slope: float
    curvature: float
    spacing: float


@dataclass(frozen=True)
class Judgement:
    """A descriptor under six criteria.

    Parameters
    ----------
    n_features : int
        Number of columns.
    invariance : dict of str to float
        Largest relative change of the columns when a structure is moved, turned, mirrored, its atoms are
        listed in another order or its cell is repeated.
    uniqueness : list of Uniqueness
        Of each pair and family.
    methane : dict of str to float
        Family → the smallest distance between the two sheets of the methane manifold, over that to a generic
        displacement of equal size.
    continuity : Continuity
        Through the cutoff.
    microseconds : dict of str to float
        Processor time per atom for "features" and "derivatives", in µs.
    zeros : float
        Share of zeros among the derivatives of a large structure's columns.
    dimension : int
        Principal axes that hold 99.9 % of the variance of the columns of random structures.
    general : dict of str to bool
        Kind of structure → whether it was computed, with finite values and a constant number of columns.
    """

    n_features: int
    invariance: dict[str, float]
    uniqueness: list[Uniqueness]
    methane: dict[str, float]
    continuity: Continuity
    microseconds: dict[str, float]
    zeros: float
    dimension: int
    general: dict[str, bool]

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON can hold it.

        Returns
        -------
        dict
        """
        told = [vars(row) | {"told_apart": row.told_apart} for row in self.uniqueness]
        return vars(self) | {"uniqueness": told, "continuity": vars(self.continuity)}


def judge(settings: dict[str, Any] | None = None, seed: int = 0) -> Judgement:
    """Measure a descriptor on sites against the six criteria.

    Parameters
    ----------
    settings : dict, optional
        Hyperparameters that differ from the recommended ones, as for `ScatteringDescriptor`. Uniqueness needs
        all orders; families that the settings leave out are not judged.
    seed : int, default 0
        Of the random structures.

    Returns
    -------
    Judgement

    Raises
    ------
    InputError
        If the settings leave no columns.
    """
    settings = dict(settings or {})
    rng = np.random.default_rng(seed)
    crystal = bulk("Si", cubic=True)
    crystal.rattle(0.1, rng=rng)
    descriptor = ScatteringDescriptor(["Si"], settings=settings).fit([crystal])
    features, derivatives = _times(descriptor, crystal.repeat(2))
    large = crystal.repeat((3, 3, 3))
    kept = descriptor.derivatives(large, centres=[0]).of_row(0)[1]
    random = [_rattled(crystal, 0.1, rng) for _ in range(40)]
    z = descriptor.transform(random)
    z = (z - z.mean(axis=0)) / np.where(z.std(axis=0) > 0, z.std(axis=0), 1.0)
    values = np.linalg.eigvalsh(z.T @ z)[::-1]
    return Judgement(
        n_features=descriptor.n_features_out_,
        invariance=_invariance(descriptor, crystal, rng),
        uniqueness=_uniqueness(settings, rng),
        methane=_methane(settings, rng),
        continuity=_continuity(settings),
        microseconds={"features": features, "derivatives": derivatives},
        zeros=1.0 - np.count_nonzero(kept) / (kept.shape[0] * 3 * len(large)),
        dimension=int(np.searchsorted(np.cumsum(values) / values.sum(), 0.999)) + 1,
        general=_generality(settings, rng),
    )


def _rattled(atoms: Atoms, size: float, rng: np.random.Generator) -> Atoms:
    copy: Atoms = atoms.copy()
    copy.positions += rng.normal(scale=size, size=copy.positions.shape)
    return copy


def _times(descriptor: ScatteringDescriptor, atoms: Atoms) -> tuple[float, float]:
    """µs of processor time per atom, the best of a few."""

    def best(work: Callable[[], Any]) -> float:
        work()
        taken = []
        for _ in range(5):
            begin = time.process_time()
            work()
            taken.append(time.process_time() - begin)
        return 1e6 * min(taken) / len(atoms)

    return best(lambda: descriptor.transform([atoms])), best(lambda: descriptor.derivatives(atoms))


def _invariance(
    descriptor: ScatteringDescriptor, crystal: Atoms, rng: np.random.Generator
) -> dict[str, float]:
    reference = descriptor.transform([crystal])
    order = rng.permutation(len(crystal))
    turn = Rotation.random(rng=rng).as_matrix()

    def changed(atoms: Atoms) -> Floats:
        return descriptor.transform([atoms])

    moved = crystal.copy()
    moved.positions += rng.normal(size=3)
    turned, mirrored = crystal.copy(), crystal.copy()
    for atoms, matrix in ((turned, turn), (mirrored, turn @ np.diag([1.0, 1.0, -1.0]))):
        atoms.positions, atoms.cell[:] = atoms.positions @ matrix.T, atoms.cell[:] @ matrix.T
    found = {
        "translation": changed(moved) - reference,
        "rotation": changed(turned) - reference,
        "reflection": changed(mirrored) - reference,
        "permutation": changed(crystal[order.tolist()]) - reference[order],
        "cell": changed(crystal.repeat((1, 1, 2)))[: len(crystal)] - reference,
    }
    return {name: float(np.abs(gap).max() / np.abs(reference).max()) for name, gap in found.items()}


def _family(descriptor: ScatteringDescriptor, kinds: tuple[str, ...], element: str) -> NDArray[np.int64]:
    columns = descriptor.transform_
    assert hasattr(columns, "terms")
    number = columns.elements.index(element)
    return np.array(
        [k for k, c in enumerate(columns.terms) if c.term.kind in kinds and c.element == number],
        dtype=np.int64,
    )


def _apart(one: Atoms, two: Atoms) -> float:
    """Root of the summed squares of the displacements (Å) between two structures, best turned and matched."""
    from itertools import permutations

    a, b = one.positions[1:] - one.positions[0], two.positions[1:] - two.positions[0]
    orders = list(permutations(range(len(b))))
    # The best rotation (Kabsch) of each order; reflections count as rotations of what has none.
    h = np.einsum("nia,ib->nab", b[np.array(orders)], a)
    singular = np.linalg.svd(h, compute_uv=False).sum(axis=1)
    square = np.square(a).sum() + np.square(b).sum() - 2.0 * singular.max()
    return float(np.sqrt(max(0.0, square)))


def _relative(
    descriptor: ScatteringDescriptor, one: Atoms, two: Atoms, rng: np.random.Generator
) -> dict[str, float]:
    """For each family the distance between the first atoms, over that to displacements of equal size."""
    size = _apart(one, two)
    moved: list[Atoms] = []
    while len(moved) < DISPLACEMENTS:
        atoms = one.copy()
        step = rng.normal(size=(len(atoms) - 1, 3))
        atoms.positions[1:] += size * step / np.linalg.norm(step)
        if pdist(atoms.positions).min() > 0.5 * pdist(one.positions).min():  # no collisions
            moved.append(atoms)
    rows = [descriptor.transform([atoms])[0] for atoms in (one, two, *moved)]
    found = {}
    for name, kinds in FAMILIES.items():
        mine = _family(descriptor, kinds, one.get_chemical_symbols()[0])
        if len(mine):
            first, second, *others = (row[mine] for row in rows)
            generic = np.median([np.linalg.norm(row - first) for row in others])
            found[name] = float(np.linalg.norm(second - first) / generic)
    return found


def _for_clusters(settings: dict[str, Any], structures: list[Atoms]) -> ScatteringDescriptor:
    return ScatteringDescriptor(settings={"cutoff": 4.5, **settings}).fit(structures)


def _uniqueness(settings: dict[str, Any], rng: np.random.Generator) -> list[Uniqueness]:
    found = []
    for pair in degenerate_pairs():
        both = [_rattled(atoms, 0.05, rng) for atoms in (pair.one, pair.two) for _ in range(4)]
        told = _relative(_for_clusters(settings, both), pair.one, pair.two, rng)
        found += [Uniqueness(pair.name, pair.blind, family, distance) for family, distance in told.items()]
    return found


def _methane(settings: dict[str, Any], rng: np.random.Generator) -> dict[str, float]:
    """The smallest relative distance between molecules of the same angles on the two sheets."""
    angles = (-0.2, -0.1, 0.0, 0.1, 0.2)
    sheets = [(methane(u, v, 1), methane(u, v, -1)) for u in angles for v in angles]
    descriptor = _for_clusters(settings, [atoms for pair in sheets for atoms in pair])
    rows = [_relative(descriptor, *pair, rng) for pair in sheets]
    return {name: min(row[name] for row in rows) for name in rows[0]}


def _continuity(settings: dict[str, Any]) -> Continuity:
    """A dimer and a third atom that leaves."""
    cutoff = float(settings.get("cutoff", 5.0))
    switch = float(settings.get("switch", 2.0))
    step = 0.005
    path = cutoff - switch + step * np.arange(int((switch + 0.3) / step))
    structures = [Atoms("Si3", [[0, 0, 0], [2.2, 0, 0], [0.3 * r, r * np.sqrt(1 - 0.09), 0]]) for r in path]
    descriptor = ScatteringDescriptor(settings={**settings, "cutoff": cutoff}).fit(structures[::20])
    x = descriptor.transform(structures).reshape(len(path), 3, -1)[:, 0]
    derived = [x]
    for _ in range(2):
        derived.append(np.gradient(derived[-1], step, axis=0))
    at = (path > cutoff - 3 * step) & (path < cutoff + 3 * step)
    jumps = []
    for d in derived:
        largest = np.abs(d[3:-3] - d[3:-3].mean(axis=0)).max(axis=0)
        seen = largest > 1e-9 * largest.max()
        jump = np.abs(np.diff(d, axis=0))[at[:-1]].max(axis=0)
        jumps.append(float((jump[seen] / largest[seen]).max()))
    return Continuity(jumps[0], jumps[1], jumps[2], step / switch)


def _generality(settings: dict[str, Any], rng: np.random.Generator) -> dict[str, bool]:
    corners = 2.6 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    kinds = {
        "molecule": [molecule("CH3CH2OH"), molecule("C6H6")],
        "crystal": [bulk("NaCl", "rocksalt", 5.64), bulk("NaCl", "rocksalt", 5.64, cubic=True)],
        "slab": [fcc111("Pt", (1, 1, 3), vacuum=5.0), fcc111("Pt", (2, 2, 3), vacuum=5.0)],
        "five elements": [_rattled(Atoms("CoCrFeMnNi", corners), 0.1, rng)],
        "heavy elements": [bulk("Th"), bulk("U", "bcc", a=3.47)],
    }
    found = {}
    for name, structures in kinds.items():
        try:
            descriptor = ScatteringDescriptor(settings=settings).fit(structures)
            rows = [descriptor.transform([atoms]) for atoms in structures]
        except InputError:
            found[name] = False
            continue
        found[name] = all(np.isfinite(x).all() and x.shape[1] == descriptor.n_features_out_ for x in rows)
    return found
