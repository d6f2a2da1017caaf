"""A potential on sites as a text that compiled engines read: tables of numbers, no code.

Each line is a name, the number of values and the values, which Python's ``repr`` writes and which are read
back to the last bit. The last line is a checksum of all that stands before it.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import ArrayLike, NDArray

from ..compute.files import write_whole
from ..errors import InputError
from ..model.committee import Committee
from ..model.model import Model
from ..model.repulsion import COULOMB, SCREENING_COEFFICIENTS, SCREENING_DECAYS, SCREENING_LENGTH
from ..scattering import SitesTransform
from ..scattering.harmonics import prefactors
from ..scattering.sites.columns import KINDS
from ..scattering.sites.plan import HELD, Plan

TITLE = "ase_scatter potential on sites, version 1"
"""First line of a file, which readers of other versions refuse."""

UNKNOWN = "-"
"""Stands for an element of the transform that the model has no energy for."""


def export(model: Model, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a potential as a text that compiled engines read.

    Parameters
    ----------
    model : Model
        A potential on sites.
    path : str or Path
        The file, which appears whole or not at all.
    overwrite : bool, optional
        Whether a file that exists is replaced.

    Raises
    ------
    InputError
        If the potential is not on sites, or the file exists and is not to be replaced.
    """
    text = exported(model)
    if Path(path).exists() and not overwrite:
        raise InputError(f"{path} exists; choose another name, or replace it with --force (overwrite=True)")
    write_whole(path, text)


def exported(model: Model) -> str:
    """Describe a potential as a text that compiled engines read.

    Parameters
    ----------
    model : Model
        A potential on sites.

    Returns
    -------
    str
        What `export` writes.

    Raises
    ------
    InputError
        If the potential is not on sites.
    """
    transform = sites_of(model)
    elements = transform.elements
    known = [symbol if symbol in model.e0 else UNKNOWN for symbol in elements]
    tables = _plan_tables(transform.layout.plan)
    tables |= _core_tables(model, elements)
    rows = [(model.weights, model.e0)]
    if model.committee is not None:
        tables |= _domain_tables(model.committee, transform)
        for k, weights in enumerate(model.committee.weights):
            rows.append((weights, {symbol: values[k] for symbol, values in model.committee.e0.items()}))
        factors = model.committee.factors
        tables["factors"] = [factors.get(kind, np.nan) for kind in ("energy", "force")]
    tables["rows"] = len(rows)
    for k, (weights, e0) in enumerate(rows):
        tables[f"e0_{k}"] = [e0.get(symbol, np.nan) for symbol in elements]
        tables[f"weights_{k}"] = np.concatenate([w.ravel() for w in transform.weights_of_terms(weights)])
    lines = [
        TITLE,
        f"name {' '.join(model.name.split())}",
        f"hash {model.hash}",
        f"elements {' '.join(known)}",
    ]
    lines += [_line(name, values) for name, values in tables.items()]
    text = "\n".join(lines) + "\n"
    return text + f"crc32 {zlib.crc32(text.encode()):08x}\n"


def sites_of(model: Model) -> SitesTransform:
    """Find the transform of a potential that engines can compute.

    Parameters
    ----------
    model : Model
        The potential.

    Returns
    -------
    SitesTransform
        Its transform.

    Raises
    ------
    InputError
        If the potential is not on sites.
    """
    if not isinstance(model.transform, SitesTransform):
        raise InputError(
            f"model {model.name!r} computes on a grid over the whole cell, which cannot be divided among "
            "processors that know the atoms around them only; LAMMPS and KIM take potentials on sites "
            "(fit --transform sites)"
        )
    return model.transform


def _line(name: str, values: ArrayLike) -> str:
    flat = np.asarray(values).ravel().tolist()
    return " ".join([name, str(len(flat)), *map(repr, flat)])


def _plan_tables(plan: Plan) -> dict[str, Any]:
    """The plan, with wavelets in order of their degree, and fields named by channel and wavelet."""
    n_outer = plan.n_outer_wavelets
    order = np.lexsort((plan.scale, plan.l))
    place = np.argsort(order)  # of each of the plan's wavelets
    outer = np.sort(place[:n_outer])
    outer_place = np.argsort(order[outer])

    def field(at: int) -> list[int]:
        """Channel and wavelet of what begins there in A."""
        channel, rest = divmod(at, plan.n_phi)
        return [channel, int(place[np.searchsorted(plan.offset, rest)])]

    def second(at: int) -> list[int]:
        """Source and outer wavelet of what begins there in B."""
        source, rest = divmod(at, plan.n_outer)
        return [source, int(outer_place[np.searchsorted(plan.offset, rest)])]

    moduli = [field(at) for at in plan.moduli[:, 0].tolist()]
    moduli2 = [second(at) for at in plan.moduli2[:, 0].tolist()]
    areas, directions = _half_the_directions(plan)
    return {
        "cutoff": plan.cutoff,
        "switch": plan.switch,
        "epsilon2": plan.epsilon2,
        "held": HELD,
        "closest": plan.closest,
        "betas": plan.betas,
        "l": plan.l[order],
        "scale": plan.scale[order],
        "polynomial": plan.polynomial[order],
        "outer": outer,
        "prefactor": prefactors(plan.l_max),
        "charges": plan.charges,
        "scale_a": plan.scale_a[:, plan.offset[order]],
        "scale_b": plan.scale_b[:, plan.offset[order[outer]]],
        "moduli": moduli,
        "modulus": plan.modulus,
        "exponent1": plan.exponent1,
        "cross": [field(a) + field(b) for a, b, _ in plan.cross.tolist()],
        "sphere": [field(at) for at in plan.sphere[:, 0].tolist()],
        "triple": plan.triple,
        "directions": directions,
        "areas": areas,
        "source": plan.source,
        "modulus2": [moduli2[k] for k in plan.modulus2.tolist()],
        "exponent2": plan.exponent2,
        "cross2": [second(b) + field(a) for b, a, _ in plan.cross2.tolist()],
    }


def _half_the_directions(plan: Plan) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The rule over directions; where products are even, one of each two opposite directions does."""
    real = np.flatnonzero(plan.areas)
    areas, directions = plan.areas[real], plan.directions[:, real]
    degrees = np.round(np.sqrt(plan.sphere[:, 2]))[plan.triple].sum(axis=1)
    if len(directions) >= 4 and not (degrees % 2).any():
        y, z, x = np.where(np.abs(directions[1:4]) > 1e-9, np.sign(directions[1:4]), 0.0)
        half = 4 * z + 2 * y + x > 0
        if 2 * half.sum() == len(half):
            return 2.0 * areas[half], directions[:, half]
    return areas, directions


def _core_tables(model: Model, elements: tuple[str, ...]) -> dict[str, Any]:
    """The repulsion of each pair of elements; none beyond a distance of 0 where there is no repulsion."""
    n, core = len(elements), model.core
    inner, outer = np.zeros((n, n)), np.zeros((n, n))
    if core is not None:
        which = [k for k, symbol in enumerate(elements) if symbol in core.elements]
        theirs = [core.elements.index(elements[k]) for k in which]
        inner[np.ix_(which, which)] = core.r_inner[np.ix_(theirs, theirs)]
        outer[np.ix_(which, which)] = core.r_outer[np.ix_(theirs, theirs)]
    z = np.array([atomic_numbers[symbol] for symbol in elements], dtype=np.float64)
    return {
        "core_inner": inner,
        "core_outer": outer,
        "core_charge": COULOMB * z[:, None] * z,
        "core_screening": (z[:, None] ** 0.23 + z**0.23) / SCREENING_LENGTH,
        "screening": SCREENING_COEFFICIENTS,
        "decays": SCREENING_DECAYS,
    }


def _domain_tables(committee: Committee, transform: SitesTransform) -> dict[str, Any]:
    """Where the training data lie; regions name terms in the order of the weights."""
    if committee.domain is None:
        return {}
    regions, elements = committee.domain.regions, transform.elements
    terms = [term for kind in KINDS for term in transform.layout.terms[kind]]
    index = {term: k for k, term in enumerate(terms)}
    if not all(symbol in regions for symbol in elements):
        return {}
    tables: dict[str, Any] = {
        "shortest": [[regions[a].shortest.get(b, 0.0) for b in elements] for a in elements]
    }
    for k, symbol in enumerate(elements):
        region = regions[symbol]
        tables |= {
            f"terms_{k}": [index[transform.terms[column].term] for column in region.columns.tolist()],
            f"mean_{k}": region.mean,
            f"deviation_{k}": region.scale,
            f"axes_{k}": region.axes,
            f"lengths_{k}": region.lengths,
            f"region_{k}": [region.rest or np.inf, region.edge],
        }
    return tables
