"""What a model is, as a text: one page, everything that its file says, or one line of a list."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..calculator import ScatteringCalculator
from ..compute.parallel import Progress, bar
from ..model.model import Model
from ..training.metrics import ErrorTable
from .samples import disturbed
from .tables import ERROR_COLUMNS, MISSING, error_cells, error_headings, error_table, number, text_table
from .timing import time_steps

LONGEST_LIST = 12
"""Longer lists are counted in a description, not printed."""

WIDTH = 100
"""Characters of a line."""

TIMED_ATOMS = 64
"""Atoms of the structures that `speeds_of` times."""

KINDS = {
    "sites": "sums over atoms within the cutoff; energies of single atoms are known",
    "grid": "sums over space on a grid; the energy of the cell alone is known",
    "both": "sums over atoms and over space; the energy of the cell alone is known",
}
"""Kind of transform → what its coefficients are."""


def describe(model: Model) -> str:
    """Describe a model on one page.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    str
        Elements, units, transform, cutoff (Å), repulsion, error bars, what it was trained on, errors on
        its test set and citation.
    """
    errors = model.metadata.get("errors", {})
    rows = description_rows(model)
    width = max(len(name) for name, _ in rows) + 2
    page = "\n".join(
        textwrap.fill(
            text,
            WIDTH,
            initial_indent=name.ljust(width),
            subsequent_indent=" " * width,
            break_long_words=False,
        )
        for name, text in rows
    )
    tables = {part: _judged(groups) for part, groups in errors.items() if _judged(groups)}
    shown = {part: groups for part, groups in tables.items() if part == "test"} or tables
    return f"{page}\n\n{error_table(shown)}" if shown else page


def description_rows(model: Model) -> list[tuple[str, str]]:
    """Describe a model in pairs of a name and a text.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    list of (str, str)
        Elements, units, transform, cutoff (Å), repulsion, error bars, E0 (eV), training data, citation.
    """
    fit, errors = model.metadata.get("fit", {}), model.metadata.get("errors", {})
    kind, cutoff = model.transform.kind, model.transform.cutoff
    known = (
        "the free atom, so that there are cohesive energies"
        if model.knows_free_atoms
        else "not the free atom but where energies are counted from: there are no cohesive energies"
    )
    return [
        ("model", f"{model.name}, hash {model.hash}"),
        ("elements", ", ".join(model.elements)),
        (
            "units",
            "energies in eV, forces in eV/Å, stresses in eV/Å³ (positive in tension)",
        ),
        (
            "transform",
            f"{kind}, {model.transform.n_columns} columns: {KINDS.get(kind, 'of another package')}",
        ),
        ("cutoff", f"{cutoff:g} Å" if cutoff > 0 else "none"),
        ("repulsion", _repulsion(model)),
        ("error bars", _committee(model)),
        *((f"E0 of {symbol}", f"{energy:.6f} eV per atom, {known}") for symbol, energy in model.e0.items()),
        ("trained on", _data(fit.get("data", {}).get("train", {}))),
        ("groups in it", _groups(errors.get("train", {}))),
        ("good for", _purpose(model)),
        ("citation", str(model.metadata.get("citation", MISSING))),
    ]


def list_models(models: Sequence[Model], speeds: Mapping[str, float] | None = None) -> str:
    """List models with elements, size and accuracy, and then their citations.

    Parameters
    ----------
    models : sequence of Model
        The models.
    speeds : mapping of str to float, optional
        µs per atom and step by the names of the models.

    Returns
    -------
    str
        A table with the errors on each model's test set, and the citations, each once.
    """
    accuracy = [k for k, name in enumerate(ERROR_COLUMNS) if name.endswith("_mae")]
    rows: list[list[str]] = []
    cited: dict[str, list[str]] = {}
    for model in models:
        cells = error_cells(_judged(model.metadata.get("errors", {}).get("test", {})).get("all", {}))
        count = [model.transform.kind, str(model.transform.n_columns)]
        row = [model.name, ", ".join(model.elements), *count, *(cells[k] for k in accuracy)]
        rows.append(row if speeds is None else [*row, number(speeds.get(model.name), ".0f")])
        cited.setdefault(str(model.metadata.get("citation", MISSING)), []).append(model.name)
    header = ["", "elements", "transform", "columns", *(error_headings()[k] for k in accuracy)]
    table = text_table(header if speeds is None else [*header, "µs/atom"], rows)
    timed = (
        "ase-scatter info --speed measures µs/atom here."
        if speeds is None
        else f"Times are for energy, forces and stress of about {TIMED_ATOMS} atoms, here and now."
    )
    texts = [
        textwrap.fill(f"{', '.join(names)}: {text}", WIDTH, subsequent_indent="  ")
        for text, names in cited.items()
    ]
    return "\n".join(
        [
            table,
            "",
            f"Errors are those on test data. {timed} To be cited:",
            *texts,
        ]
    )


def speeds_of(models: Sequence[Model], progress: Progress = False) -> dict[str, float]:
    """Time models on supercells of their own crystals.

    Parameters
    ----------
    models : sequence of Model
        The models.
    progress : bool or callable
        Whether, or by which function, progress is shown.

    Returns
    -------
    dict of str to float
        µs per atom and step (energy, forces and stress) by name, on as many threads as are set.
    """
    found = {}
    for model in bar(models, progress, "speed", len(models)):
        atoms = disturbed(model, TIMED_ATOMS)
        timing = time_steps(atoms, ScatteringCalculator(model), steps=5, seconds=5.0)
        found[model.name] = 1e6 / timing.atom_steps
    return found


def everything(model: Model) -> str:
    """List all that a model's file says: columns, settings, free-atom energies, metadata and committee.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    str
        One line for each entry, the names to the left and the values aligned behind them. Energies are
        in eV, lengths in Å.
    """
    rows: list[tuple[str, Any]] = [
        ("model", model.name),
        ("hash", model.hash),
        ("elements", ", ".join(model.elements)),
        ("columns", model.transform.n_columns),
        ("transform", model.transform.kind),
        *_flattened(model.transform.to_dict().get("settings", {}), "transform "),
        ("core", _repulsion(model)),
        *((f"E0 {symbol} (eV)", f"{energy:.6f}") for symbol, energy in model.e0.items()),
        *_flattened({key: value for key, value in model.metadata.items() if key != "golden"}),
    ]
    if model.committee is not None:
        rows.append(("committee", f"{len(model.committee)} members"))
        rows += [
            (f"committee factor {kind}", f"{value:.3g}") for kind, value in model.committee.factors.items()
        ]
    rows.append(("golden values", "yes" if "golden" in model.metadata else "no"))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _committee(model: Model) -> str:
    """Whether the model can say how sure it is."""
    if model.committee is None:
        return "none: there is no committee"
    grade = (
        ""
        if model.committee.domain is None
        else "; an extrapolation grade above 1 marks atoms unlike those of the training"
    )
    return f"90 % intervals from a committee of {len(model.committee)}{grade}"


def _data(data: Mapping[str, Any]) -> str:
    """Where the training data come from."""
    if "frames" not in data:
        return MISSING
    source = data.get("file", "given in Python")
    return f"{data['frames']} structures, {data.get('atoms', MISSING)} atoms ({source})"


def _groups(groups: Any) -> str:
    """The kinds of structures in the training data."""
    found = {name: values for name, values in _judged(groups).items() if name != "all"}
    return ", ".join(f"{name} ({values['n_frames']:.0f})" for name, values in found.items()) or MISSING


def _purpose(model: Model) -> str:
    """What may be computed with the model."""
    text = "structures like those that it was trained on"
    if model.committee is not None:
        text += f"; `ase-scatter singlepoint {model.name} STRUCTURE` says how far another one is from them"
    return text


def _judged(groups: Any) -> ErrorTable:
    """Those groups of an error table that have statistics."""
    if not isinstance(groups, Mapping):
        return {}
    return {
        name: dict(values)
        for name, values in groups.items()
        if isinstance(values, Mapping) and {"n_frames", "n_atoms"} <= set(values)
    }


def _repulsion(model: Model) -> str:
    """Kind and range of the short-range repulsion."""
    if model.core is None:
        return "none"
    low, high = model.core.r_outer.min(), model.core.r_outer.max()
    return f"ZBL, off beyond {low:.2f}" + (f" to {high:.2f} Å" if high > low else " Å")


def _flattened(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Leaves of nested mappings, each under the names that lead to it."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{key} ")
        else:
            yield f"{prefix}{key}", _shown(value)


def _shown(value: Any) -> str:
    """A value as a short text."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        many = len(value) > LONGEST_LIST
        return f"{len(value)} values" if many else ", ".join(map(_shown, value)) or "none"
    return str(value)
