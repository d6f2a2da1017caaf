"""Tables of phonons and of what follows from them at a temperature."""

from __future__ import annotations

from typing import Any, NamedTuple

from ase.units import kJ, mol

from ..properties import Phonons, QuasiHarmonic
from .tables import value_table

SHOWN = 300.0
"""K: the temperature of the table."""

MOLAR = mol / kJ * 1000
"""eV/atom to J/mol."""


class Row(NamedTuple):
    """A value of the table.

    Parameters
    ----------
    heading : str
        What it is, with its unit.
    value : float
        The value.
    half_width : float or None
        Half-width of its 90 % interval; None without a committee.
    form : str
        A format such as ".2f".
    """

    heading: str
    value: float
    half_width: float | None
    form: str


def phonon_table(found: Phonons, expansion: QuasiHarmonic | None = None) -> str:
    """Tabulate frequencies and thermal properties with their error bars.

    Parameters
    ----------
    found : Phonons
        The phonons.
    expansion : QuasiHarmonic, optional
        Thermal expansion of the same crystal.

    Returns
    -------
    str
        Optical modes at Γ and the highest frequency (THz); for a stable crystal thermal properties at
        the temperature nearest to 300 K.
    """
    return value_table([*_modes(found), *_at_temperature(found, expansion)])


def phonon_verdict(found: Phonons) -> str:
    """Say whether the crystal is stable.

    Parameters
    ----------
    found : Phonons
        The phonons.

    Returns
    -------
    str
        A sentence, with the largest imaginary frequency (THz) and its wave vector if there is one, and
        with the number of committee members that find the crystal unstable if there are any.
    """
    if found.stable:
        text = "No imaginary modes: the crystal is stable."
    else:
        place = ", ".join(f"{q:.3f}" for q in found.imaginary_at)
        text = (
            f"UNSTABLE: imaginary frequencies up to {found.imaginary:.2f} THz, at the wave vector "
            f"({place}). There are no thermal properties. If that is near Γ, try a larger supercell."
        )
    if found.unstable_members:
        text += f"\n{found.unstable_members} members of the committee find the crystal unstable."
    return text


def _modes(found: Phonons) -> list[Row]:
    """Optical modes at Γ, those that are degenerate in one row, and the highest frequency."""
    rows: list[Row] = []
    values, half_widths = found.optical.round(3).tolist(), found.optical_half_width
    for level in dict.fromkeys(values):
        times = f" (×{values.count(level)})" if values.count(level) > 1 else ""
        half_width = None if half_widths is None else float(half_widths[values.index(level)])
        rows.append(Row(f"optical mode at Γ{times} (THz)", level, half_width, ".2f"))
    highest = int(found.frequencies[:, -1].argmax())
    half_width = (
        None if found.frequencies_half_width is None else float(found.frequencies_half_width[highest, -1])
    )
    rows.append(Row("highest frequency (THz)", float(found.frequencies[highest, -1]), half_width, ".2f"))
    return rows


def _at_temperature(found: Phonons, expansion: QuasiHarmonic | None) -> list[Row]:
    """What depends on temperature, near that which is shown."""
    columns: tuple[tuple[Any, str, str, float, str], ...] = (
        (found.thermal, "free_energy", "free energy at {} K (meV/atom)", 1000.0, ".1f"),
        (found.thermal, "entropy", "entropy at {} K (J/K/mol)", MOLAR, ".2f"),
        (found.thermal, "heat_capacity", "heat capacity Cv at {} K (J/K/mol)", MOLAR, ".2f"),
        (expansion, "heat_capacity", "heat capacity Cp at {} K (J/K/mol)", MOLAR, ".2f"),
        (expansion, "volume", "volume at {} K (Å³/atom)", 1.0, ".3f"),
        (expansion, "expansion", "linear expansion at {} K (10⁻⁶/K)", 1e6, ".2f"),
        (expansion, "bulk_modulus", "bulk modulus at {} K (GPa)", 1.0, ".1f"),
    )
    rows: list[Row] = []
    for result, field, heading, scale, form in columns:
        if result is not None:
            here = int(abs(result.temperatures - SHOWN).argmin())
            half_widths = getattr(result, f"{field}_half_width")
            half_width = None if half_widths is None else scale * float(half_widths[here])
            value = scale * float(getattr(result, field)[here])
            rows.append(Row(heading.format(f"{result.temperatures[here]:g}"), value, half_width, form))
    return rows
