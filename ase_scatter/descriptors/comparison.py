"""Can two data sets be told apart? Adversarial validation on the coefficients of their atoms.

A classifier learns to tell the atoms of one set from those of the other, and is asked about structures that
it has not seen. Where it fails (an area under its curve of one half), a potential trained on the first set is
asked nothing new by the second. Where it succeeds, the sets differ; whether the second also lies outside what
the first covers, the extrapolation grade says.

References
----------
K. Kjeldal, J. J. Eriksen, Mach. Learn.: Sci. Technol. 5, 045059 (2024), on the transferability of
atom-based networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..compute import threads
from ..compute.parallel import Progress, in_order
from ..errors import InputError
from ..model.extrapolation import Domain
from ..scattering import SitesTransform
from ..structures.dataset import Frame, as_systems
from ..structures.sampling import spread
from ..structures.system import System
from .classifier import auc, column_aucs, held_out_scores
from .descriptor import ScatteringDescriptor

Floats = NDArray[np.float64]

LEAN = {"exponents2": (), "exponents1": (1.0, 2.0), "triple": 3}
"""Settings of the columns that data sets are compared by, where no model says others."""
MOST_ATOMS = 8000
"""Of one element in each set, so many atoms are used at most, of all structures alike."""
MOST_ADDED = 10
"""So many structures to add are named."""


@dataclass(frozen=True)
class Part:
    """How well some atoms of the second set are told from the first set.

    Parameters
    ----------
    name : str
        A group or an element.
    n_frames : int
        Structures of the second set that have such atoms.
    n_atoms : int
        Number of these atoms that were looked at.
    auc : float
        Area under the curve of these atoms against those of the first set.
    outside : float
        Share of these atoms whose extrapolation grade with respect to the first set is above 1.
    grade : float
        Median of these grades.
    """

    name: str
    n_frames: int
    n_atoms: int
    auc: float
    outside: float
    grade: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two data sets, and what tells them apart.

    Parameters
    ----------
    auc : float
        Area under the curve of the classifier over atoms of structures that it did not see: .5 if the sets
        cannot be told apart, 1 if all atoms can.
    auc_frames : float
        The same for structures, by the mean log-odds of their atoms.
    outside : float
        Share of the second set's atoms beyond the first set: with an extrapolation grade above 1.
    elements, groups : list of Part
        The same by element and by group of the second set.
    columns : list of (str, float)
        Columns that tell the sets apart best by themselves, with the area under their curves; below one half
        the second set has the lower values.
    frames : list of (int, float, float)
        Structures of the second set by how surely they are told from the first: number, mean log-odds, and
        largest extrapolation grade of their atoms.
    atoms : list of (int, int, float, float)
        Atoms of the second set likewise: structure, atom, log-odds, grade.
    added : list of int
        Structures of the second set that would cover what the first lacks, most needed first.
    scores : tuple of ndarray
        Log-odds of the atoms of both sets.
    grades : tuple of ndarray
        Extrapolation grades of the same atoms.
    new_elements : list of str
        Elements that only the second set has.
    """

    auc: float
    auc_frames: float
    outside: float
    elements: list[Part]
    groups: list[Part]
    columns: list[tuple[str, float]]
    frames: list[tuple[int, float, float]]
    atoms: list[tuple[int, int, float, float]]
    added: list[int]
    scores: tuple[Floats, Floats]
    grades: tuple[Floats, Floats]
    new_elements: list[str]

    def to_dict(self) -> dict[str, Any]:
        """All of it but the scores and grades of the single atoms, as JSON can hold it.

        What is not finite (the grade of an element that the first set does not have) is None.

        Returns
        -------
        dict
        """
        return {
            "auc": _finite(self.auc),
            "auc_frames": _finite(self.auc_frames),
            "outside": self.outside,
            "elements": [{k: _finite(v) for k, v in vars(part).items()} for part in self.elements],
            "groups": [{k: _finite(v) for k, v in vars(part).items()} for part in self.groups],
            "columns": [list(row) for row in self.columns],
            "frames": [list(map(_finite, row)) for row in self.frames],
            "atoms": [list(map(_finite, row)) for row in self.atoms],
            "added": self.added,
            "new_elements": self.new_elements,
        }

    def in_words(self) -> list[str]:
        """What the numbers mean.

        Returns
        -------
        list of str
            Sentences.
        """
        said = [_meaning(self.auc)]
        if self.new_elements:
            said.append(
                f"The second set holds {', '.join(self.new_elements)}, of which the first has none: all of "
                "these atoms are new."
            )
        if self.outside < 0.001:
            said.append("No atom of the second set lies outside the first: what differs is how often.")
        else:
            said.append(
                f"{100 * self.outside:.1f} % of the second set's atoms lie outside the first set: "
                "there a potential that is trained on the first extrapolates."
            )
        if self.added:
            said.append(
                f"To cover them, label and add structures of the second set, first "
                f"{', '.join(map(str, self.added))}; with a model, `ase-scatter select` chooses by what it "
                "would learn."
            )
        return said


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _meaning(value: float) -> str:
    if np.isnan(value):
        return "The sets have no element in common."
    if value < 0.55:
        return "The sets cannot be told apart: errors on the first, left out, hold for the second."
    if value < 0.75:
        return "The sets differ a little: most atoms of the second have their like in the first."
    if value < 0.9:
        return "The sets differ: errors on the second will not be those on the first."
    return "The sets are told apart almost surely: errors on the first say little about the second."


def compare_data(
    first: Sequence[System | Frame | Atoms],
    second: Sequence[System | Frame | Atoms],
    *,
    descriptor: ScatteringDescriptor | None = None,
    folds: int = 5,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress = False,
) -> Comparison:
    """Tell two data sets apart by the surroundings of their atoms.

    Parameters
    ----------
    first : sequence of System, Frame or Atoms
        Usually what a potential is trained on.
    second : sequence of System, Frame or Atoms
        Usually what it shall be used for.
    descriptor : ScatteringDescriptor, optional
        Fitted, with pooling "atom"; by default one of order 1 for the elements of both.
    folds : int, default 5
        Parts that whole structures are dealt into; those of one source
        (`info["source"]`) stay together, where there are enough of them.
    seed : int, default 0
        Of the dealing.
    workers : int, optional
        Structures at a time; by default one per core.
    progress : bool or callable
        Whether, or by which function, progress is shown.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If a set has fewer structures than there are folds, or the descriptor has no rows of atoms.
    """
    sets = as_systems(first), as_systems(second)
    if folds < 2:
        raise InputError("at least two folds are needed: the classifier is judged on structures left out")
    if min(map(len, sets)) < folds:
        raise InputError(f"each set needs at least as many structures as there are folds ({folds})")
    if descriptor is None:
        descriptor = ScatteringDescriptor(settings=LEAN).fit([*sets[0], *sets[1]])
    transform = getattr(descriptor, "transform_", None)
    if descriptor.pooling != "atom" or not isinstance(transform, SitesTransform):
        raise InputError("data sets are compared by a fitted descriptor on sites with pooling='atom'")
    workers = workers or threads.count()
    domain = Domain.of(transform, sets[0], workers, progress)
    known = set(domain.regions)
    dealt = _folds([first, second], folds, seed)
    table = [
        _atoms_of(transform, domain, systems, places, which, workers, progress)
        for which, (systems, places) in enumerate(zip(sets, dealt, strict=True))
    ]
    rows = {key: np.concatenate([part[key] for part in table]) for key in table[0] if key != "x"}
    x = [value for part in table for value in part["x"]]
    scores, columns = np.full(len(x), np.nan), []
    positive = rows["set"] == 1
    for number in np.unique(rows["number"]).tolist():
        mine = np.flatnonzero(rows["number"] == number)
        if chemical_symbols[number] not in known or not positive[mine].any():
            continue
        mine = np.concatenate([_thinned(mine[positive[mine] == side]) for side in (False, True)])
        own = _own_columns(transform, chemical_symbols[number])
        values = np.array([x[k] for k in mine])[:, own]
        scores[mine] = held_out_scores(values, positive[mine], rows["fold"][mine])
        single = column_aucs(values, positive[mine])
        columns += [
            (transform.columns[own[k]].label, float(single[k]))
            for k in np.argsort(-np.abs(single - 0.5))[:5].tolist()
        ]
    # What the first set has no element for is new for sure.
    new = positive & ~np.isin(rows["number"], [n for n in range(119) if chemical_symbols[n] in known])
    scores[new], rows["grade"][new] = np.inf, np.inf
    looked = ~np.isnan(scores)
    columns.sort(key=lambda row: -abs(row[1] - 0.5))
    groups = [getattr(structure, "group", None) or _group(structure) for structure in second]
    return _summary(rows, scores, looked, columns[:12], groups, domain, x, transform)


def _group(structure: System | Frame | Atoms) -> str:
    return str(structure.info.get("group", "")) if isinstance(structure, Atoms) else ""


def _source(structure: System | Frame | Atoms) -> str:
    if isinstance(structure, Atoms):
        return str(structure.info.get("source", ""))
    return structure.source if isinstance(structure, Frame) else ""


def _folds(sets: Sequence[Sequence[Any]], folds: int, seed: int) -> list[NDArray[np.int64]]:
    """The fold of each structure; those of one source share it, where there are sources enough."""
    rng = np.random.default_rng(seed)
    sources = {_source(structure) for structures in sets for structure in structures}
    told = len(sources) >= 2 * folds and "" not in sources
    place: dict[str, int] = {}
    found = []
    for structures in sets:
        dealt = np.arange(len(structures)) % folds
        rng.shuffle(dealt)
        for k, structure in enumerate(structures):
            if told:
                dealt[k] = place.setdefault(_source(structure), int(dealt[k]))
        found.append(dealt)
    return found


def _atoms_of(
    transform: SitesTransform,
    domain: Domain,
    systems: Sequence[System],
    folds: NDArray[np.int64],
    which: int,
    workers: int,
    progress: Progress,
) -> dict[str, Any]:
    """One row for each of the atoms that are looked at."""
    total = sum(map(len, systems))
    elements = len(transform.elements)

    def look(system: System) -> tuple[NDArray[np.int64], Floats, Floats]:
        # Evenly, so that large structures do not drown the small ones' variety.
        n = max(1, -(-len(system) * elements * MOST_ATOMS // max(1, total)))
        kept = np.array(spread(list(range(len(system))), n))
        known = all(chemical_symbols[z] in domain.regions for z in system.numbers.tolist())
        grade = domain.grade(transform, system) if known else np.full(len(system), np.inf)
        return kept, transform.local_features(system)[kept], grade[kept]

    found = list(in_order(look, list(systems), workers, progress, f"set {which + 1}"))
    counts = [len(kept) for kept, _, _ in found]
    return {
        "set": np.full(sum(counts), which),
        "frame": np.repeat(np.arange(len(systems)), counts),
        "atom": np.concatenate([kept for kept, _, _ in found]),
        "number": np.concatenate([s.numbers[kept] for s, (kept, _, _) in zip(systems, found, strict=True)]),
        "fold": np.repeat(folds, counts),
        "grade": np.concatenate([grade for _, _, grade in found]),
        "x": [row for _, rows, _ in found for row in rows],
    }


def _own_columns(transform: SitesTransform, symbol: str) -> NDArray[np.int64]:
    element = transform.elements.index(symbol)
    return np.array([k for k, column in enumerate(transform.terms) if column.element == element])


def _thinned(indices: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.array(spread(indices.tolist(), MOST_ATOMS), dtype=np.int64)


def _summary(
    rows: dict[str, NDArray[Any]],
    scores: Floats,
    looked: NDArray[np.bool_],
    columns: list[tuple[str, float]],
    groups: list[str],
    domain: Domain,
    x: list[Floats],
    transform: SitesTransform,
) -> Comparison:
    positive, number, frame, grade = rows["set"] == 1, rows["number"], rows["frame"], rows["grade"]
    second, first = looked & positive, looked & ~positive

    def part(name: str, mine: NDArray[np.bool_], against: NDArray[np.bool_]) -> Part:
        both = mine | against
        return Part(
            name,
            len(np.unique(frame[mine])),
            int(mine.sum()),
            auc(scores[both], mine[both]),
            float((grade[mine] > 1).mean()),
            float(np.median(grade[mine])),
        )

    elements = [
        part(chemical_symbols[z], second & (number == z), first & (number == z))
        for z in np.unique(number[second]).tolist()
    ]
    by_group = np.array(groups)[frame * positive]
    named = [
        part(name, second & (by_group == name), first)
        for name in sorted(set(groups))
        if (second & (by_group == name)).any()
    ]
    n_second = len(groups)
    means = [float(scores[second & (frame == k)].mean()) for k in range(n_second)]
    largest = [float(grade[second & (frame == k)].max()) for k in range(n_second)]
    known = [float(scores[first & (frame == k)].mean()) for k in np.unique(frame[first]).tolist()]
    order = np.argsort(np.array(means))[::-1].tolist()
    atoms = np.flatnonzero(second)[np.argsort(-scores[second], kind="stable")[:20]].tolist()
    return Comparison(
        auc=auc(scores[looked], positive[looked]),
        auc_frames=auc(np.array(known + means), np.arange(len(known) + n_second) >= len(known)),
        outside=float((grade[second] > 1).mean()),
        elements=elements,
        groups=named,
        columns=columns,
        frames=[(k, means[k], largest[k]) for k in order],
        atoms=[(int(frame[k]), int(rows["atom"][k]), float(scores[k]), float(grade[k])) for k in atoms],
        added=_needed(rows, looked, domain, x),
        scores=(scores[first], scores[second]),
        grades=(grade[first], grade[second]),
        new_elements=[
            chemical_symbols[z]
            for z in np.unique(number[second])
            if chemical_symbols[z] not in domain.regions
        ],
    )


def _needed(
    rows: dict[str, NDArray[Any]], looked: NDArray[np.bool_], domain: Domain, x: list[Floats]
) -> list[int]:
    """Structures of the second set one after the other, each with the atom that is farthest outside.

    An atom that is nearer to those of the structures chosen than the first set's edge needs no more.
    """
    outside = np.flatnonzero(looked & (rows["set"] == 1) & (rows["grade"] > 1))
    known = [k for k in outside.tolist() if chemical_symbols[rows["number"][k]] in domain.regions]
    if not known:
        return []
    place = {k: _place(domain, chemical_symbols[rows["number"][k]], x[k]) for k in known}
    left = {k: float(rows["grade"][k]) for k in known}
    chosen: list[int] = []
    while left and len(chosen) < MOST_ADDED:
        worst = max(left, key=lambda k: left[k])
        frame = int(rows["frame"][worst])
        chosen.append(frame)
        for number in {rows["number"][k] for k in left}:
            mine = [k for k in known if rows["frame"][k] == frame and rows["number"][k] == number]
            others = [k for k in left if rows["number"][k] == number]
            if not mine:
                continue
            edge = domain.regions[chemical_symbols[number]].edge
            tree = cKDTree(np.array([place[k] for k in mine]))
            away = np.atleast_1d(tree.query(np.array([place[k] for k in others]))[0])
            for k, distance in zip(others, away.tolist(), strict=True):
                left[k] = min(left[k], distance / edge)
        left = {k: value for k, value in left.items() if value > 0.5 and rows["frame"][k] not in chosen}
    return chosen


def _place(domain: Domain, symbol: str, x: Floats) -> Floats:
    """Along the principal axes of the first set, in standard deviations."""
    region = domain.regions[symbol]
    found: Floats = ((x[region.columns] - region.mean) / region.scale) @ region.axes.T / region.lengths
    return found
