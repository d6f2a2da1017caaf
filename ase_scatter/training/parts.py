"""Parts that the data are dealt into, each of which is left out once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..structures.dataset import Frame


def parts_of(frames: Sequence[Frame], n_parts: int) -> list[int]:
    """Part of each frame: whole frames, and all that share a source together.

    Without sources every group is spread evenly over the parts; groups with fewer frames than there are
    parts are dealt out as one, or all would lie in the first.

    Parameters
    ----------
    frames : sequence of Frame
        The data.
    n_parts : int
        Number of parts.

    Returns
    -------
    list of int
    """
    by_source = Counter(frame.source for frame in frames)
    if len(by_source) >= 2 * n_parts and "" not in by_source:
        held = [0] * n_parts
        place = {}
        for source, size in by_source.most_common():
            place[source] = held.index(min(held))
            held[place[source]] += size
        return [place[frame.source] for frame in frames]
    sizes = Counter(frame.group for frame in frames)
    seen: Counter[str | None] = Counter()
    parts = []
    for frame in frames:
        key = frame.group if sizes[frame.group] >= n_parts else None
        parts.append(seen[key] % n_parts)
        seen[key] += 1
    return parts
