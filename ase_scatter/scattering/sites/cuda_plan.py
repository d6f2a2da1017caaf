"""Tables that the kernels of the atom-centred transform go by, and what an evaluation takes.

`Tables.work` counts it: for silicon (28 neighbours, orders 1 and 2) about 0.3 million multiply-adds per
atom, and 150 kB in float32 that are gathered from neighbours. In memory stay 2 N_A + N_B + N_SOURCES
numbers per atom and nine per pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...compute.backend import THREADS, real
from ...structures.neighbors import SKIN
from ...structures.system import System
from ..harmonics import prefactors
from .columns import KINDS
from .plan import HELD, Layout

TILES = (16, 8, 4, 2)
"""Pairs in shared memory at once: the largest of these that fits."""
SHARED = 96 * 1024
"""Bytes of shared memory that a block may take (two blocks on each multiprocessor of an A100 or later)."""
MOST_NEIGHBORS = 1e4
DENSEST = 0.1
"""Atoms per Å³ that are assumed where a cell tells nothing (aluminium has 0.06, lithium 0.05)."""

Ints = NDArray[np.int64]


class Work(NamedTuple):
    """What an evaluation takes for each atom, counted.

    Parameters
    ----------
    multiply_adds : float
        Multiplications with additions.
    gathered : float
        Bytes of the neighbours' gradients and messages, which come from the cache where atoms near in space
        are near in memory.
    streamed : float
        Bytes to and from memory.
    """

    multiply_adds: float
    gathered: float
    streamed: float


@dataclass(frozen=True, eq=False)
class Tables:
    """A plan as the kernels read it.

    Parameters
    ----------
    ints : mapping of str to ndarray of int
        Tables of integers.
    numbers : mapping of str to ndarray
        Tables of reals.
    sizes : mapping of str to int
        Macros of the kernels.
    order : mapping of str to ndarray of int
        For each kind of term which of the plan's terms each of the kernels' is.
    cutoff : float
        In Å.
    """

    ints: Mapping[str, Ints]
    numbers: Mapping[str, NDArray[np.float64]]
    sizes: Mapping[str, int]
    order: Mapping[str, Ints]
    cutoff: float

    @classmethod
    def of(cls, layout: Layout) -> Tables:
        """Make the tables of a layout.

        Parameters
        ----------
        layout : Layout
            Tables of the transform.

        Returns
        -------
        Tables
            The same for kernels.
        """
        plan = layout.plan
        fields, pairs = list(layout.fields), list(layout.pairs)
        wavelet = {w: k for k, w in enumerate(layout.wavelets)}
        source = {f: k for k, f in enumerate(layout.sources)}
        # Entries: the fields in use, one after the other.
        first = _bounds([layout.fields[f][1] for f in fields])
        pair_first = _bounds([layout.pairs[p][1] for p in pairs])
        at_field = {layout.fields[f][0]: k for k, f in enumerate(fields)}
        at_pair = {layout.pairs[p][0]: k for k, p in enumerate(pairs)}
        a = [(k, f, m) for k, f in enumerate(fields) for m in range(layout.fields[f][1])]
        b = [(k, p, m) for k, p in enumerate(pairs) for m in range(layout.pairs[p][1])]
        a_harmonic = [f.wavelet.l**2 + m for _, f, m in a]
        b_harmonic = [w.l**2 + m for _, (_, w), m in b]
        n_harmonics = (plan.l_max + 1) ** 2
        widest = max((w.l for w in layout.wavelets[: plan.n_outer_wavelets]), default=0)
        outer = layout.wavelets[: plan.n_outer_wavelets]

        modulus_field = [at_field[at] for at in plan.moduli[:, 0].tolist()]
        modulus2_pair = [at_pair[at] for at in plan.moduli2[:, 0].tolist()]
        order = {
            "modulus": np.argsort(plan.modulus, kind="stable"),
            "modulus2": np.argsort(plan.modulus2, kind="stable"),
            "cross": np.arange(len(plan.cross)),
            "cross2": np.arange(len(plan.cross2)),
            "triple": np.lexsort(plan.triple.T[::-1]) if len(plan.triple) else np.zeros(0, dtype=np.int64),
        }
        triple = plan.triple[order["triple"]]
        cross = _links(
            len(fields),
            [
                (at_field[one], int(first[at_field[two]]), t)
                for t, (one, two, _) in enumerate(plan.cross.tolist())
            ]
            + [
                (at_field[two], int(first[at_field[one]]), t)
                for t, (one, two, _) in enumerate(plan.cross.tolist())
            ],
        )
        cross2 = _links(
            len(fields),
            [
                (at_field[two], int(pair_first[at_pair[one]]), t)
                for t, (one, two, _) in enumerate(plan.cross2.tolist())
            ],
        )
        back = _links(
            len(pairs),
            [
                (at_pair[one], int(first[at_field[two]]), t)
                for t, (one, two, _) in enumerate(plan.cross2.tolist())
            ],
        )
        a_of, b_of = _sorted_by(a_harmonic, n_harmonics), _sorted_by(b_harmonic, n_harmonics)
        sphere = [(int(first[at_field[at]]), size, harmonic) for at, size, harmonic in plan.sphere.tolist()]
        ints: dict[str, Any] = {
            "field_first": first,
            "pair_first": pair_first,
            "a_field": [k for k, _, _ in a],
            "a_channel": [f.channel for _, f, _ in a],
            "a_wavelet": [wavelet[f.wavelet] for _, f, _ in a],
            "a_harmonic": a_harmonic,
            "b_pair": [k for k, _, _ in b],
            "b_source": [source[f] for _, (f, _), _ in b],
            "b_wavelet": [wavelet[w] for _, (_, w), _ in b],
            "b_function": [int(plan.offset[wavelet[w]]) + m for _, (_, w), m in b],
            "b_odd": [w.l % 2 for _, (_, w), _ in b],
            "source_field": [fields.index(f) for f in layout.sources],
            "source_first": _bounds([sum(source[f] == k for _, (f, _), _ in b) for k in range(len(source))]),
            "field_source": [source.get(f, -1) for f in fields],
            "outer_wavelet": [k for k, w in enumerate(outer) for _ in range(2 * w.l + 1)],
            "outer_harmonic": [w.l**2 + m for w in outer for m in range(2 * w.l + 1)],
            "odd": [l % 2 for l in range(plan.l_max + 1) for _ in range(2 * l + 1)],
            "a_of_first": a_of[0],
            "a_of": a_of[1],
            "b_of_first": b_of[0],
            "b_of": b_of[1],
            "modulus_field": modulus_field,
            "modulus_first": _bounds(np.bincount(plan.modulus, minlength=len(modulus_field))),
            "field_modulus": _inverse(modulus_field, len(fields)),
            "modulus2_pair": modulus2_pair,
            "modulus2_first": _bounds(np.bincount(plan.modulus2, minlength=len(modulus2_pair))),
            "pair_modulus": _inverse(modulus2_pair, len(pairs)),
            "cross_first": cross[0],
            "cross": cross[1],
            "cross2_first": cross2[0],
            "cross2": cross2[1],
            "back_first": back[0],
            "back": back[1],
            "sphere": sphere,
            "turned": [(k, m) for k, (_, size, _) in enumerate(sphere) for m in range(size)],
            "group": _groups(triple),
            "third": triple[:, 2],
        }
        numbers: dict[str, Any] = {
            "inverse_beta2": plan.betas[plan.scale] ** -2,
            "polynomial": plan.polynomial,
            "prefactor": prefactors(plan.l_max),
            "charges": plan.charges,
            "closest": plan.closest,
            "a_scale": [plan.scale_a.reshape(-1)[layout.fields[f][0] + m] for _, f, m in a],
            "b_scale": [plan.scale_b.reshape(-1)[layout.pairs[p][0] + m] for _, p, m in b],
            "exponent": plan.exponent1[order["modulus"]],
            "exponent2": plan.exponent2[order["modulus2"]],
            "directions": plan.directions,
            "directions_of": plan.directions.T,
            "areas": plan.areas,
        }
        ints = {name: np.asarray(values, dtype=np.int64).reshape(-1) for name, values in ints.items()}
        sizes = {
            "N_A": len(a), "N_B": len(b), "N_WAVELETS": len(plan.l), "N_HARMONICS": n_harmonics,
            "L_MAX": plan.l_max, "N_OUTER_WAVELETS": plan.n_outer_wavelets, "N_OUTER": plan.n_outer,
            "L_OUTER": widest, "N_SOURCES": len(source), "N_CHANNELS": len(plan.charges),
            "N_ELEMENTS": plan.charges.shape[1], "N_POLYNOMIAL": plan.polynomial.shape[1],
            "N_MODULI": len(modulus_field), "N_MODULI2": len(modulus2_pair), "N_SPHERE": len(sphere),
            "N_TURNED": len(ints["turned"]) // 2, "N_TURNS": len(plan.directions),
            "N_DIRECTIONS": len(plan.areas), "N_GROUPS": len(ints["group"]) // 3 - 1,
        }  # fmt: skip
        start = 0
        for kind in KINDS:
            sizes[f"WEIGHTS_{kind.upper()}"] = start
            start += len(order[kind])
        sizes["N_WEIGHTS"] = start
        reals = {name: np.asarray(values, dtype=np.float64).reshape(-1) for name, values in numbers.items()}
        return cls(ints, reals, sizes, order, plan.cutoff)

    def bytes_needed(self, system: System, dtype: str) -> float:
        """Estimate the memory that a structure takes on a device.

        Parameters
        ----------
        system : System
            The structure.
        dtype : str
            "float64" or "float32".

        Returns
        -------
        float
            Bytes.
        """
        sizes, width = self.sizes, np.dtype(dtype).itemsize
        per_atom = width * (2 * sizes["N_A"] + sizes["N_B"] + sizes["N_SOURCES"]) + 8 * 24
        dense = len(system) / system.volume if system.pbc.all() else DENSEST
        near = min(dense * 4 / 3 * np.pi * (self.cutoff + SKIN) ** 3, MOST_NEIGHBORS)
        # Two copies of each pair while they are sorted; vectors and neighbours, and the core's own.
        return float(len(system) * (per_atom + near * (16 + 8 * width + 4 + 28)))

    def work(self, neighbors: float, dtype: str) -> Work:
        """Count the work for one atom.

        Parameters
        ----------
        neighbors : float
            Neighbours within the cutoff.
        dtype : str
            "float64" or "float32".

        Returns
        -------
        Work
            Multiplications and bytes.
        """
        s, width = self.sizes, np.dtype(dtype).itemsize
        radial, outer_radial = 8 + s["N_POLYNOMIAL"], s["N_OUTER_WAVELETS"] * (8 + s["N_POLYNOMIAL"])
        outer = outer_radial + 4 * (s["L_OUTER"] + 1) ** 2 + s["N_OUTER"]
        per_pair = (
            s["N_WAVELETS"] * (3 * radial + 4) + 20 * s["N_HARMONICS"]  # twice, once with slopes
            + 2 * s["N_A"] + 2 * (outer + s["N_B"]) + 4 * (s["N_A"] + s["N_B"])
        )  # fmt: skip
        directions = s["N_DIRECTIONS"] * (2 * s["N_TURNED"] + 2 * len(self.ints["third"]) + 4 * s["N_GROUPS"])
        products = 3 * (len(self.ints["cross"]) + len(self.ints["cross2"]) + len(self.ints["back"]))
        gathered = neighbors * width * (s["N_A"] + 2 * s["N_B"] + 2 * s["N_SOURCES"])
        own = width * (6 * s["N_A"] + 2 * s["N_B"] + 4 * s["N_SOURCES"]) + 8 * 10
        return Work(
            neighbors * per_pair + directions + products,
            gathered,
            own + 5 * neighbors * (3 * width + 4),
        )

    def macros(self, layout: Layout, dtype: str) -> dict[str, object]:
        """Name sizes, constants and where each table begins when all stand one after the other.

        Parameters
        ----------
        layout : Layout
            Tables of the transform.
        dtype : str
            "float64" or "float32".

        Returns
        -------
        dict of str to object
            Value of each macro.
        """
        plan = layout.plan
        constants = {
            "CUTOFF": repr(plan.cutoff), "SWITCH": repr(plan.switch), "EPSILON": repr(plan.epsilon2**0.5),
            "TILE": self.tile(dtype), "HELD": repr(HELD),
        }  # fmt: skip
        places = {
            f"{name}_": at
            for tables in (self.ints, self.numbers)
            for name, at in zip(tables, _bounds([len(t) for t in tables.values()]).tolist(), strict=False)
        }
        return {"REAL": real(dtype), **self.sizes, **constants, **places}

    def shared(self, dtype: str, tile: int | None = None) -> dict[str, int]:
        """Compute the shared memory of each pass.

        Parameters
        ----------
        dtype : str
            "float64" or "float32".
        tile : int, optional
            Pairs in shared memory at once. By default what `tile` chooses.

        Returns
        -------
        dict of str to int
            Bytes for each kernel.
        """
        s, t = self.sizes, self.tile(dtype) if tile is None else tile
        outer = t * (4 + s["N_OUTER_WAVELETS"] + (s["L_OUTER"] + 1) ** 2 + s["N_OUTER"])
        own = 2 * s["N_A"] + s["N_B"] + s["N_MODULI"] + s["N_MODULI2"]
        numbers = {
            "hold": 0,
            "fields": t * (4 + s["N_WAVELETS"] + s["N_HARMONICS"] + s["N_CHANNELS"]) + s["N_A"],
            "terms": own + max(outer, 2 * s["N_SPHERE"] * (s["N_DIRECTIONS"] + 1)),
            "messages": s["N_B"] + s["N_SOURCES"] + outer,
            "forces": s["N_A"] + s["N_B"] + s["N_SOURCES"] + s["N_CHANNELS"]
            + t * (
                4 + 2 * s["N_WAVELETS"] + 2 * s["N_HARMONICS"] + s["N_CHANNELS"] + s["N_SOURCES"]
                + 3 * (s["L_MAX"] + 1)
            ),
        }  # fmt: skip
        least = 8 * max(THREADS, 12 * t)  # what is summed in float64 at the end
        return {k: max(least, np.dtype(dtype).itemsize * n + 4 * t) for k, n in numbers.items()}

    def tile(self, dtype: str) -> int:
        """Choose how many pairs are in shared memory at once.

        Parameters
        ----------
        dtype : str
            "float64" or "float32".

        Returns
        -------
        int
            The largest of `TILES` that fits.
        """
        fitting = (t for t in TILES if max(self.shared(dtype, t).values()) <= SHARED)
        return next(fitting, TILES[-1])


def _bounds(sizes: Sequence[int] | Ints) -> Ints:
    return np.concatenate([[0], np.cumsum(np.asarray(sizes, dtype=np.int64))]).astype(np.int64)


def _inverse(places: Sequence[int], n: int) -> Ints:
    """Of each of n things its place, −1 for none."""
    table = np.full(n, -1)
    table[np.asarray(places, dtype=np.int64)] = np.arange(len(places))
    return table


def _sorted_by(keys: Sequence[int], n: int) -> tuple[Ints, Ints]:
    """Bounds (n + 1,) of each key's items, and the items."""
    return _bounds(np.bincount(np.asarray(keys, dtype=np.int64), minlength=n)), np.argsort(
        keys, kind="stable"
    )


def _links(n: int, links: Sequence[tuple[int, int, int]]) -> tuple[Ints, list[tuple[int, int]]]:
    """Of (owner, entry, term) the bounds (n + 1,) of each owner's, and (entry, term)."""
    bounds, order = _sorted_by([owner for owner, _, _ in links], n)
    return bounds, [links[k][1:] for k in order]


def _groups(triple: Ints) -> list[tuple[int, int, int]]:
    """First two fields and first term of runs that share them, and a last row that ends the last."""
    starts = [t for t in range(len(triple)) if t == 0 or tuple(triple[t, :2]) != tuple(triple[t - 1, :2])]
    return [(*triple[t, :2].tolist(), t) for t in starts] + [(0, 0, len(triple))]
