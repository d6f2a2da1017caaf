"""A tour of a model: the properties of an elemental crystal, beside what others have for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers, reference_states

from ..calculator import ScatteringCalculator
from ..errors import InputError
from ..model.model import Model
from ..properties import (
    Barrier,
    DefectFormation,
    ElasticConstants,
    EnergyVolume,
    Progress,
    Relaxation,
    Result,
    elastic_constants,
    energy_volume,
    hop_end_points,
    migration_barrier,
    relax_cell,
    vacancy_formation,
)
from .tables import measured, number, text_table

REPEATS = {"diamond": 2, "bcc": 3, "fcc": 3}
"""Crystal structures of the tour → conventional cells along each edge of the supercell."""

PROPERTIES: dict[str, tuple[str, str]] = {
    "a": ("lattice parameter (Å)", ".3f"),
    "B": ("bulk modulus (GPa)", ".0f"),
    "C11": ("C11 (GPa)", ".0f"),
    "C12": ("C12 (GPa)", ".0f"),
    "C44": ("C44 (GPa)", ".0f"),
    "C44_clamped": ("C44, clamped ions (GPa)", ".0f"),
    "vacancy_formation": ("vacancy formation (eV)", ".3f"),
    "vacancy_migration": ("vacancy migration (eV)", ".3f"),
}
"""Name in `Tour.values` and in a model's reference values → heading, format."""

END_TOLERANCE = 0.02
"""eV: by how much the energies of the two ends of the hop may differ."""

UNCONVERGED = "* not converged: a relaxation is not finished, or the ends of the hop differ in energy"

Values = Mapping[str, float | None]


@dataclass(frozen=True)
class Tour(Result):
    """Properties of an element's crystal.

    Parameters
    ----------
    model, hash : str
        Name and hash of the model.
    element : str
        Chemical symbol.
    structure : str
        Name of the crystal structure: diamond, bcc or fcc.
    relaxed : Relaxation
        The conventional cell, relaxed.
    curve : EnergyVolume
        Energy against volume.
    elastic : ElasticConstants
        Elastic constants.
    vacancy : DefectFormation
        A vacancy in a supercell of the relaxed crystal.
    barrier : Barrier
        The hop of a nearest neighbour into that vacancy.
    references : mapping
        Source → property → value (units as in `PROPERTIES`) that the model came with.
    seconds : float
        Wall time.
    """

    model: str
    hash: str
    element: str
    structure: str
    relaxed: Relaxation
    curve: EnergyVolume
    elastic: ElasticConstants
    vacancy: DefectFormation
    barrier: Barrier
    references: Mapping[str, Values]
    seconds: float

    def values(self) -> dict[str, float]:
        """Collect the properties.

        Returns
        -------
        dict of str to float
            Name → value, in the units of `PROPERTIES`.
        """
        constants = self.elastic.cubic()
        return {
            "a": float(self.relaxed.lengths[0]),
            "B": self.curve.bulk_modulus,
            "C11": constants.c11,
            "C12": constants.c12,
            "C44": constants.c44,
            "C44_clamped": self.elastic.cubic(clamped=True).c44,
            "vacancy_formation": self.vacancy.energy,
            "vacancy_migration": self.barrier.forward,
        }

    def half_widths(self) -> dict[str, float | None]:
        """Collect the error bars of `values`.

        Returns
        -------
        dict
            Name → half-width of the 90 % interval; None without a committee.
        """
        relaxed, clamped = self.elastic.cubic_half_width(), self.elastic.cubic_half_width(clamped=True)
        return {
            "a": self.curve.a_half_width,
            "B": self.curve.bulk_modulus_half_width,
            "C11": None if relaxed is None else relaxed.c11,
            "C12": None if relaxed is None else relaxed.c12,
            "C44": None if relaxed is None else relaxed.c44,
            "C44_clamped": None if clamped is None else clamped.c44,
            "vacancy_formation": self.vacancy.energy_half_width,
            "vacancy_migration": self.barrier.forward_half_width,
        }

    def unconverged(self) -> set[str]:
        """Find the properties that are not to be trusted.

        Returns
        -------
        set of str
            Names of those for which a relaxation was not finished, and of the hop's barrier if its two
            ends, which are one vacancy in two places, have different energies.
        """
        origins = {
            "a": self.relaxed.converged,
            "B": self.curve.converged,
            "C11": self.elastic.linear,
            "C12": self.elastic.linear,
            "C44": self.elastic.linear,
            "vacancy_formation": self.vacancy.converged,
            # The two ends are one vacancy: if their energies differ, they are not what they should be.
            "vacancy_migration": self.barrier.converged
            and abs(self.barrier.forward - self.barrier.backward) < END_TOLERANCE,
        }
        # What was computed at a cell that is not the relaxed one is no better than the cell.
        return {name for name in PROPERTIES if not (self.relaxed.converged and origins.get(name, True))}

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain data.

        Returns
        -------
        dict
            The fields, and values, error bars and what is not converged by name, as JSON can hold them.
        """
        return {
            **super().to_dict(),
            "values": self.values(),
            "bands": self.half_widths(),
            "unconverged": sorted(self.unconverged()),
        }

    def rows(self) -> tuple[list[str], list[list[str]]]:
        """Set the values with their error bars beside the references.

        Returns
        -------
        header : list of str
            Headings.
        rows : list of list of str
            One row for each property. Values that are not converged have an asterisk.
        """
        values, bands, unconverged = self.values(), self.half_widths(), self.unconverged()
        rows = []
        for name, (heading, form) in PROPERTIES.items():
            mark = "*" if name in unconverged else ""
            others = [number(source.get(name), form) for source in self.references.values()]
            rows.append([heading, measured(values[name], bands[name], form) + mark, *others])
        return ["", self.model, *self.references], rows

    def table(self) -> str:
        """Tabulate `rows`.

        Returns
        -------
        str
            The table, with a remark if anything is not converged.
        """
        text = text_table(*self.rows())
        return f"{text}\n{UNCONVERGED}" if self.unconverged() else text


def element_of(model: Model, element: str | None) -> str:
    """Choose the element of a tour.

    Parameters
    ----------
    model : Model
        The model.
    element : str or None
        Chemical symbol; None for a model's only element.

    Returns
    -------
    str
        Chemical symbol.

    Raises
    ------
    InputError
        If the model has several elements and none is given, does not know the element, or the element's
        crystal is not cubic.
    """
    known = ", ".join(model.elements)
    if element is None:
        if len(model.elements) > 1:
            raise InputError(f"model {model.name!r} knows {known}; choose one of them with --element")
        element = model.elements[0]
    if element not in model.elements:
        raise InputError(f"model {model.name!r} does not know {element!r}; it was trained for {known}")
    if _structure(element) not in REPEATS:
        raise InputError(f"the tour is for {', '.join(REPEATS)} crystals, which {element} is not")
    return element


def _structure(element: str) -> str:
    """Name of the crystal structure that the element has in nature ("" if none is known)."""
    state: Any = reference_states[atomic_numbers[element]]
    return str(state["symmetry"]) if state else ""


def references_of(model: Model) -> dict[str, Values]:
    """Collect the values to compare with from a model's metadata.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    dict
        Source → property → value; "DFT" first, then published potentials.
    """
    reference = model.metadata.get("reference", {})
    sources = {"DFT": reference.get("properties", {}), **reference.get("peers", {})}
    return {name: values for name, values in sources.items() if values}


def tour(
    model: Model,
    *,
    element: str | None = None,
    device: str = "cpu",
    dtype: str = "float64",
    images: int = 5,
    progress: Progress = False,
) -> Tour:
    """Relax an element's crystal, strain it, take an atom out, and let a neighbour hop there.

    Parameters
    ----------
    model : Model
        The model.
    element : str, optional
        Chemical symbol; by default a model's only element.
    device, dtype : str
        Where and how precisely.
    images : int
        Moving images of the hop's path.
    progress : bool or callable
        Whether, or by which function, progress is shown.

    Returns
    -------
    Tour
        The properties.

    Raises
    ------
    InputError
        For elements that the model does not know or whose crystals are not cubic, and for crystals that do
        not relax.
    DeviceError
        If the device is not there.
    """
    start = perf_counter()
    element = element_of(model, element)
    structure = _structure(element)
    calculator = ScatteringCalculator(model, device=device, dtype=dtype)

    relaxed = relax_cell(bulk(element, cubic=True), calculator, progress=progress)
    crystal = relaxed.atoms
    curve = energy_volume(crystal, calculator, progress=progress)
    elastic = elastic_constants(crystal, calculator, progress=progress)
    supercell: Atoms = crystal.repeat(REPEATS[structure])
    vacancy = vacancy_formation(supercell, calculator, fmax=0.01, progress=progress)
    _, final = hop_end_points(supercell)
    # The first end is the vacancy that is relaxed already.
    barrier = migration_barrier(vacancy.atoms, final, calculator, images=images, fmax=0.03, progress=progress)
    return Tour(
        model=model.name,
        hash=model.hash,
        element=element,
        structure=structure,
        relaxed=relaxed,
        curve=curve,
        elastic=elastic,
        vacancy=vacancy,
        barrier=barrier,
        references=references_of(model),
        seconds=perf_counter() - start,
    )
