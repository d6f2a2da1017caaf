"""Tables that the derivatives of the atom-centred columns go by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .columns import Field, Term
from .plan import Layout

Ints = NDArray[np.int64]
Columns = Mapping[Term, Ints]
"""Per term the column of each element, or −1."""


class Slice(NamedTuple):
    """Derivatives with respect to one field.

    Parameters
    ----------
    size : int
        Components of the field, 2l + 1.
    start, stop : int
        Rows of the derivatives with respect to fields of this size.
    at : int
        Where the field's components begin among those of its channel or source.
    """

    size: int
    start: int
    stop: int
    at: int


class Table(NamedTuple):
    """What the columns of one element are made of.

    Components count in A and, from there on, in B.

    Parameters
    ----------
    powers : dict of (int, float) to ndarray of int, shape (t, 2l + 1)
        For each size 2l + 1 and exponent the components of fields that moduli are taken of.
    products : dict of int to pair of ndarray of int, shape (t, 2l + 1)
        For each size the components of both fields of products.
    sphere : dict of int to ndarray of int, shape (n, 2l + 1)
        For each l the components of fields in triple products.
    triples : ndarray of int, shape (t, 3)
        Which of the fields on the sphere.
    columns : ndarray of int, shape (c,)
        Columns of the values: of powers and products by size, then of triples.
    thirds : dict of int to tuple of ndarray
        For each size rows of `triples`, the slot that is differentiated, and how often its field occurs.
    order : dict of int to ndarray of int, shape (e,)
        For each size the order that sorts the derivatives by field.
    scale : dict of int to ndarray, shape (e,)
        1/√c of the fields of these.
    parts : list of list of Slice
        The fields of each channel, then those of each source.
    paired : list of ndarray of int
        For each source the columns of its slices.
    first : ndarray of int, shape (c,)
        Of all derivatives, in the order of `parts`, one of each column.
    further : list of (ndarray of int, ndarray of int)
        Columns, and derivatives that are to be added to them.
    """

    powers: dict[tuple[int, float], Ints]
    products: dict[int, tuple[Ints, Ints]]
    sphere: dict[int, Ints]
    triples: Ints
    columns: Ints
    thirds: dict[int, tuple[Ints, Ints, NDArray[np.float64]]]
    order: dict[int, Ints]
    scale: dict[int, NDArray[np.float64]]
    parts: list[list[Slice]]
    paired: list[Ints]
    first: Ints
    further: list[tuple[Ints, Ints]]


def make_tables(layout: Layout, columns: Columns) -> list[Table]:
    """Make a table for each element.

    Parameters
    ----------
    layout : Layout
        Tables of the transform.
    columns : mapping of Term to ndarray of int, shape (n_elements,)
        The column of each element, or −1.

    Returns
    -------
    list of Table
        One for each element.
    """
    n_elements = len(next(iter(columns.values())))
    return [
        _table(layout, {t: int(c[k]) for t, c in columns.items() if c[k] >= 0}) for k in range(n_elements)
    ]


def _table(layout: Layout, columns: Mapping[Term, int]) -> Table:
    plan = layout.plan
    n_a = plan.scale_a.size
    scales = np.concatenate([plan.scale_a.ravel(), plan.scale_b.ravel()])

    def components(key: Any) -> Ints:
        at, size = layout.fields[key] if isinstance(key, Field) else layout.pairs[key]
        return np.arange(at, at + size) + (0 if isinstance(key, Field) else n_a)

    def by_size(terms: Sequence[Term]) -> Iterator[tuple[int, list[tuple[Term, Ints]]]]:
        known = [(t, components(t.fields[0] if t.second is None else (t.fields[0], t.second))) for t in terms]
        for size in sorted({len(where) for _, where in known}):
            yield size, [(t, where) for t, where in known if len(where) == size]

    of_kind = {kind: [t for t in terms if t in columns] for kind, terms in layout.terms.items()}
    powers, products, thirds, sphere = {}, {}, {}, {}
    ordered: list[Term] = []
    # Per size what is differentiated: (first component of the field, column).
    slots: dict[int, list[tuple[int, int]]] = {}
    for size, found in by_size(of_kind["modulus"] + of_kind["modulus2"]):
        for q in sorted({t.exponent for t, _ in found if t.exponent is not None}):
            of_q = [(t, w) for t, w in found if t.exponent == q]
            ordered += [t for t, _ in of_q]
            powers[size, q] = np.array([w for _, w in of_q])
            slots.setdefault(size, []).extend((int(w[0]), columns[t]) for t, w in of_q)
    for size, found in by_size(of_kind["cross"] + of_kind["cross2"]):
        ordered += [t for t, _ in found]
        one, two = np.array([w for _, w in found]), np.array([components(t.fields[1]) for t, _ in found])
        products[size] = one, two
        for side in (one, two):
            of_side = zip(side[:, 0].tolist(), found, strict=True)
            slots.setdefault(size, []).extend((at, columns[t]) for at, (t, _) in of_side)
    ordered += of_kind["triple"]
    turned = sorted({f for t in of_kind["triple"] for f in t.fields}, key=lambda f: (f.wavelet.l, f))
    for l in sorted({f.wavelet.l for f in turned}):
        sphere[l] = np.array([components(f) for f in turned if f.wavelet.l == l])
        chosen = []
        for row, t in enumerate(of_kind["triple"]):
            for f, times in Counter(t.fields).items():
                if f.wavelet.l == l:
                    chosen.append((row, t.fields.index(f), times))
                    slots.setdefault(2 * l + 1, []).append((int(components(f)[0]), columns[t]))
        rows, slot, count = np.array(chosen).T
        thirds[2 * l + 1] = rows, slot, count.astype(np.float64)

    order = {size: np.argsort([at for at, _ in known], kind="stable") for size, known in slots.items()}
    after = {size: np.array(known)[order[size]] for size, known in slots.items()}
    # Channels stand in A one after the other, and sources in B.
    bounds = [k * plan.n_phi for k in range(len(plan.charges))]
    bounds += [n_a + s * plan.n_outer for s in range(len(layout.sources))]
    parts: list[list[Slice]] = [[] for _ in bounds]
    gaining: list[list[Ints]] = [[] for _ in bounds]  # columns, in the order of the slices
    for size, known in after.items():
        fields, starts, counts = np.unique(known[:, 0], return_index=True, return_counts=True)
        for at, start, stop in zip(fields.tolist(), starts.tolist(), (starts + counts).tolist(), strict=True):
            part = int(np.searchsorted(bounds, at, side="right")) - 1
            parts[part].append(Slice(size, start, stop, at - bounds[part]))
            gaining[part].append(known[start:stop, 1])
    paired = [np.concatenate([np.zeros(0, np.int64), *those]) for those in gaining[len(plan.charges) :]]
    gains = [columns for those in gaining for columns in those]
    first, further = _rounds(np.concatenate([np.zeros(0, np.int64), *gains]))
    return Table(
        powers=powers,
        products=products,
        sphere=sphere,
        triples=np.array([[turned.index(f) for f in t.fields] for t in of_kind["triple"]]).reshape(-1, 3),
        columns=np.array([columns[t] for t in ordered], dtype=np.int64),
        thirds=thirds,
        order=order,
        scale={size: scales[known[:, 0]] for size, known in after.items()},
        parts=parts,
        paired=paired,
        first=first,
        further=further,
    )


def _rounds(columns: Ints) -> tuple[Ints, list[tuple[Ints, Ints]]]:
    """First occurrence of each column (in their order), and then (which column, where) of the second
    ones, of the third ones, …, so that no round meets a column twice."""
    place = np.argsort(columns, kind="stable")
    _, start, counts = np.unique(columns[place], return_index=True, return_counts=True)
    further = []
    for k in range(1, int(counts.max(initial=1))):
        which = np.flatnonzero(counts > k)
        further.append((which, place[start[which] + k]))
    return place[start], further
