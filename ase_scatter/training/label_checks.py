"""Labels against each other: units, signs, outliers, offsets of energies and of stresses.

Nothing is known about a label but that it is a derivative of the same energy as all the others. A trial
potential (`trial_fit`) is fitted to several kinds of labels together; where one kind is off by a factor, its
errors on data left out fall when the factor is divided out. Single frames and groups show as residuals that
the other labels of the same frames do not share.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from ..compute.parallel import Progress
from ..structures.dataset import Frame
from ..units import GPA
from .findings import SLIPS, Finding, Slip
from .label_table import Table, likeness_of, rms
from .trial_fit import MOST_GROUPS, TrialData
from .trial_rows import VARIANTS, Vector

BETTER = 0.15
"""A factor is believed where the logarithm of the errors falls by this much …"""
MUCH_BETTER = 0.4
"""… or this much, where it is a sign or a permutation in a few frames."""
LEAST_FRAMES = 12
"""Fewer frames are not fitted to."""
FAR = 40.0
"""Typical errors that an energy is off by, where it is an outlier …"""
ALONE = 15.0
"""… and how much more than the forces of the same frame."""
LEAST_ENERGY = 0.06
"""Smaller errors of energies (eV/atom) are nobody's mistake."""
UNEXPECTED = 10.0
"""Differences of a group's energies over those that are expected, where it is not of the same settings."""
GAIN = 4.0
"""Energies whose errors fall by this factor with an offset of some of them are not of the same settings."""
CLUMPED, SPLIT_GAIN = 25.0, 1.3
"""Distance of two clumps of errors over their widths, and what an offset between them has to bring."""
LEAST_OFFSET = 0.01
"""The same for constant differences between groups, eV/atom."""
FORCE_FAR = 60.0
"""The same for the force on one atom."""
UNLIKE = 0.3
"""Forces whose correlation with those predicted is smaller belong to something else."""
LEAST_PRESSURE = 0.3
"""Smaller offsets of stresses (GPa) are not told …"""
WORSE = 1.3
"""… nor such that do not spoil the energies by this factor where they are left in."""

NAMES = {"energy": "energies", "force": "forces", "virial": "stresses", "lengths": "positions"}
"""Kind of label → what users call it."""


def check_labels(
    frames: Sequence[Frame], indices: Sequence[int], workers: int, progress: Progress = False
) -> list[Finding]:
    """Hold the labels of a set of data against each other.

    Parameters
    ----------
    frames : sequence of Frame
        The data, without free atoms and without frames whose positions make no sense.
    indices : sequence of int
        What the frames are called in findings.
    workers : int
        Threads.
    progress : bool or callable
        Whether, or by which function, progress is shown.

    Returns
    -------
    list of Finding
    """
    if len(frames) < LEAST_FRAMES:
        return []
    data = TrialData(frames, workers, progress)
    everywhere = tuple(indices)
    findings = [Finding(NAMES[slip.kind], slip.text, slip.advice, everywhere, None) for slip in _slips(data)]
    order = _component_order(data)
    if order:
        text = f"the off-diagonal components of stresses are in the order {order}"
        findings.append(Finding("stresses", text, "write them as yz, xz, xy", everywhere, None))
    data.predicted(data.importance)
    table = Table(frames, data.compared(frames, workers), tuple(indices))
    unit = any(f.name in ("energies", "positions") for f in findings)
    for check in (frame_slips, alien_forces, single_forces):
        findings += check(table)
    if not unit:
        findings += single_energies(table) + energy_offsets(table, data)
    return findings + pressures(table, data)


# ---- factors of all frames ------------------------------------------------------------------------------


def _slips(data: TrialData) -> list[Slip]:
    """Mistakes in the labels of all frames, one after the other as long as that makes them agree; the labels
    are put right."""
    taken: dict[str, tuple[str, float]] = {kind: (kind, 1.0) for kind in data.kinds}
    found: list[Slip] = []
    if len(taken) < 2:
        return found
    together = data.together()
    least = together.score(dict(taken.values()))
    for _ in range(3):
        trials = []
        for slip in SLIPS:
            changed = dict(taken)
            for name, factor in slip.factors.items():
                kind = VARIANTS.get(name, name)
                changed[kind] = (name, factor * (taken[kind][1] if kind in taken else 1.0))
            if set(changed) == set(taken) and all(name in together.parts for name, _ in changed.values()):
                trials.append((together.score(dict(changed.values())), slip, changed))
        if not trials:
            break
        score, slip, changed = min(trials, key=lambda trial: trial[0])
        # A large factor lets one kind go its own way, which has to be worse than what the kinds say together.
        alone = together.apart([name for name, _ in changed.values()])
        if score > min(least - BETTER, alone - 0.5 * BETTER):
            break
        least, taken = score, changed
        found.append(slip)
    for kind, (name, factor) in taken.items():
        data.corrected(kind, name, factor)
    return found


def _component_order(data: TrialData) -> str:
    """The order of off-diagonal components of stresses, if it is not yz, xz, xy; "" if it is."""
    if "virial" not in data.kinds or len(data.kinds) < 2:
        return ""
    data.predicted({kind: weight for kind, weight in data.importance.items() if kind != "virial"})
    label = data.rows["virial"].target.reshape(-1, 6)[:, 3:]
    value = data.found["virial"].reshape(-1, 6)[:, 3:]
    wrong = {
        order: float(np.median(np.abs(label[:, order] - value).sum(axis=1)))
        for order in permutations(range(3))
    }
    best = min(wrong, key=lambda order: wrong[order])
    if wrong[best] > np.exp(-MUCH_BETTER) * wrong[0, 1, 2]:
        return ""
    names = np.array(["yz", "xz", "xy"])
    return ", ".join(names[np.argsort(best)])


# ---- single frames --------------------------------------------------------------------------------------


def frame_slips(table: Table) -> list[Finding]:
    """Forces and stresses of single frames or groups that are off by the factor of a common mistake.

    Parameters
    ----------
    table : Table
        Labels beside predictions.

    Returns
    -------
    list of Finding
    """
    findings = []
    for kind in ("force", "virial"):
        typical = table.typical(kind)
        value = table.each(kind, lambda _, value: rms(value))
        slope = table.each(kind, lambda label, value: float(label @ value) / max(float(value @ value), 1e-30))
        likeness = table.each(kind, likeness_of)
        # Frames that are as good as any, judged by what is predicted of them.
        usable = (value > 0.3 * np.nanmedian(value[value > 1e-6])) if np.isfinite(typical) else value > np.inf
        usual = np.nanmedian(np.abs(np.log(np.maximum(slope[usable], 1e-6)))) if usable.any() else 0.0
        for slip in SLIPS:
            factor = slip.factors.get(kind, 1.0)
            if set(slip.factors) != {kind} or 0.1 < factor < 2.0:
                continue
            near = np.abs(np.log(np.maximum(slope / factor, 1e-9))) < min(0.35, 0.2 + usual)
            chosen = usable & near & (likeness * np.sign(factor) > 0.85)
            if factor != -1.0 or kind == "virial":  # a frame alone may be like that by chance
                chosen &= chosen.sum() >= 3
            text = f"of {int(chosen.sum())} frames {slip.text}, unlike the others"
            findings += table.finding(NAMES[kind], chosen, value, text, slip.advice)
    return findings


def alien_forces(table: Table) -> list[Finding]:
    """Forces that have nothing to do with the structure, and zeros in their place.

    Parameters
    ----------
    table : Table
        Labels beside predictions.

    Returns
    -------
    list of Finding
    """
    typical = table.typical("force")
    if not np.isfinite(typical):
        return []
    value = table.each("force", lambda _, value: rms(value))
    label = table.each("force", lambda label, _: rms(label))
    likeness = table.each("force", likeness_of)
    zero = (label == 0.0) & (value > 0.5 * typical)
    known = likeness[(value > 0.5 * typical) & (label > 0.5 * typical)]
    between = np.count_nonzero((known > UNLIKE) & (known < 0.7))
    alien = (likeness < UNLIKE) & (likeness > -0.85) & (value > 0.5 * typical) & (label > 0.5 * typical)
    return [
        *table.finding(
            "forces", zero, value, f"the forces of {int(zero.sum())} frames are all zero, but should not be",
            "leave out forces that were not computed",
        ),
        *table.finding(
            "forces", alien & (between <= 0.5 * alien.sum()), value,
            f"the forces of {int(alien.sum())} frames are not those of their structures",
            "look for another order of the atoms, or labels of another structure",
        ),
    ]  # fmt: skip


def single_forces(table: Table) -> list[Finding]:
    """Forces on single atoms beyond all others.

    Parameters
    ----------
    table : Table
        Labels beside predictions.

    Returns
    -------
    list of Finding
    """
    if all("force" not in c.labels for c in table.compared):
        return []
    wrong = table.each("force", lambda label, value: float(np.abs(label - value).max()))
    typical = np.nanmedian(wrong[wrong > 1e-6]) if (wrong > 1e-6).any() else np.inf
    value = table.each("force", lambda _, value: float(np.abs(value).max()))
    size = np.nanmedian(value)
    score = wrong / typical / (1.0 + value / size)
    return table.finding(
        "forces", (score > FORCE_FAR) & (wrong > 5.0 * size), score,
        f"a force is off by {np.nanmax(wrong):.3g} eV/Å", "recompute or drop the frame",
    )  # fmt: skip


def single_energies(table: Table) -> list[Finding]:
    """Energies far off while the forces of the same frames are not.

    Parameters
    ----------
    table : Table
        Labels beside predictions.

    Returns
    -------
    list of Finding
    """
    wrong = table.each("energy", lambda label, value: float(label[0] - value[0]))
    score = np.zeros(len(wrong))
    overall = 1.4826 * np.median(np.abs(wrong - np.median(wrong)))
    groups = np.array([frame.group for frame in table.frames])
    for group in set(groups):
        inside = groups == group
        middle = np.median(wrong[inside]) if inside.sum() >= 5 else 0.0
        width = 1.4826 * np.median(np.abs(wrong[inside] - middle)) if inside.sum() >= 5 else overall
        wrong[inside] -= middle
        score[inside] = np.abs(wrong[inside]) / max(width, 0.3 * overall, 1e-4)
    others = np.ones(len(wrong))
    for kind in ("force", "virial"):
        error = table.each(kind, lambda label, value: rms(label - value))
        size = table.each(kind, lambda _, value: rms(value))
        relative = error / (size + np.nanmedian(size)) if np.isfinite(error).any() else error
        if np.isfinite(relative).any():
            others = np.fmax(others, relative / np.nanmedian(relative))
    label = table.each("energy", lambda label, _: float(label[0]))
    least = min(LEAST_ENERGY, float(np.quantile(label, 0.75) - np.quantile(label, 0.25)))
    chosen = (score > FAR) & (score > ALONE * others) & (np.abs(wrong) > least)
    if chosen.sum() > 0.2 * len(wrong):
        return []
    off = wrong[np.flatnonzero(chosen)[np.argmax(np.abs(wrong[chosen]))]] if chosen.any() else 0.0
    text = f"{int(chosen.sum())} energies are off by up to {off:+.3g} eV/atom, while their forces are not"
    return table.finding("energies", chosen, np.abs(wrong), text, "recompute or drop these frames")


# ---- groups ---------------------------------------------------------------------------------------------


def energy_offsets(table: Table, data: TrialData) -> list[Finding]:
    """Groups, or a part of the frames, whose energies are off by a constant per atom.

    Parameters
    ----------
    table : Table
        Labels beside predictions.
    data : TrialData
        What was fitted to.

    Returns
    -------
    list of Finding
    """
    groups = np.array([frame.group for frame in table.frames])
    names, fitted = np.unique([frame.group for frame in data.frames], return_inverse=True)
    advice = "compute all frames with the same settings (functional, pseudopotentials, cutoff, k-points)"
    # Where one group is off, the others are off from what it is among: the clearest counts.
    offsets = sorted(data.group_offsets(), key=lambda entry: -entry[2])
    gain = data.with_energy_offsets(fitted)[1] if offsets and len(names) <= MOST_GROUPS else 0.0
    for group, off, score in offsets[:1]:
        if gain > (0.4 * GAIN if score > UNEXPECTED else GAIN) and abs(off) > LEAST_OFFSET:
            inside = groups == group
            text = (
                f"the energies of group {str(group)!r} are off by {1000 * off:+.0f} meV/atom from the others"
            )
            return table.finding("mixed labels", inside, inside.astype(float), text, advice)
    wrong = table.each("energy", lambda label, value: float(label[0] - value[0]))
    low, high = _two_clumps(wrong)
    if not high.any() or data.with_energy_offsets(high[data.indices].astype(int))[1] < SPLIT_GAIN:
        return []
    off = float(np.median(wrong[high]) - np.median(wrong[low]))
    text = f"energies fall into two sets, {1000 * off:.0f} meV/atom apart, while forces do not"
    return table.finding("mixed labels", high if high.sum() < low.sum() else low, np.abs(wrong), text, advice)


def _two_clumps(wrong: Vector) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The members of two well separated clumps of numbers; none, if there are no such."""
    order = np.argsort(wrong)
    best, cut = CLUMPED, 0
    least = max(3, len(wrong) // 20)
    for k in range(least, len(wrong) - least + 1):
        left, right = wrong[order[:k]], wrong[order[k:]]
        apart = np.median(right) - np.median(left)
        width = sum(float(np.median(np.abs(part - np.median(part)))) for part in (left, right))
        if apart > LEAST_OFFSET and apart > best * 1.5 * width:
            best, cut = apart / (1.5 * max(width, 1e-6)), k
    high = np.zeros(len(wrong), dtype=np.bool_)
    low = high.copy()
    if cut:
        low[order[:cut]] = True
        high[order[cut:]] = True
    return low, high


def pressures(table: Table, data: TrialData) -> list[Finding]:
    """Stresses that have a constant virial per atom beyond that of the energies.

    Parameters
    ----------
    table : Table
        Labels beside predictions.
    data : TrialData
        What was fitted to; the offsets were fitted along.

    Returns
    -------
    list of Finding
    """
    found = data.pressures()
    stresses = np.concatenate([f.stress[:3] for f in data.frames if f.stress is not None] or [[0.0]]) / GPA
    least = min(LEAST_PRESSURE, 0.5 * float(np.median(np.abs(stresses))))
    off = {group: p for group, (p, wrong) in found.items() if abs(p) > max(least, 3.0 * wrong)}
    if not off:
        return []
    right = float(np.mean(np.abs(data.found["energy"] - data.rows["energy"].target)))
    data.without_offsets()
    data.predicted(data.importance)
    wrong = float(np.mean(np.abs(data.found["energy"] - data.rows["energy"].target)))
    if wrong < WORSE * right:
        return []
    told = ", ".join(f"{p:+.2f} GPa {group}".rstrip() for group, p in off.items())
    all_groups = "" in found
    chosen = np.array([f.stress is not None and (all_groups or f.group in off) for f in table.frames])
    size = np.array([abs(off.get(f.group, off.get("", 0.0))) for f in table.frames])
    text = f"pressures are not those of the energies ({told})"
    advice = "converge the plane waves (Pulay stress); a fit takes an offset per atom and group out by itself"
    return table.finding("stresses", chosen, size, text, advice)
