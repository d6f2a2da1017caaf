"""Tables of structures as they are, relaxed structures, and runs of molecular dynamics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..properties import Dynamics, Relaxation, Sample, SinglePoint
from ..units import GPA
from .tables import MISSING, measured, number, text_table, value_table

RUN = f"{'step':>8} {'time (fs)':>10} {'T (K)':>8} {'E (eV/atom)':>12} {'total (eV/atom)':>16}"
"""Heading of `sample_line`."""


def single_point_table(found: Sequence[SinglePoint]) -> str:
    """Tabulate energies, largest forces, pressures and extrapolation grades of structures.

    Parameters
    ----------
    found : sequence of SinglePoint
        The structures, one at least.

    Returns
    -------
    str
        One row for each; what no structure has is left out.
    """
    judged = found[0].grade is not None
    pressed = any(each.stress is not None for each in found)
    header = ["", "formula", "energy (eV)", "per atom (eV)", "largest force (eV/Å)"]
    header += ["pressure (GPa)"] * pressed + ["grade"] * judged
    rows = []
    for index, each in enumerate(found):
        lengths, n = np.linalg.norm(each.forces, axis=1), len(each.atoms)
        worst = int(lengths.argmax())
        width = None if each.forces_half_width is None else float(each.forces_half_width[worst])
        row = [
            str(index),
            each.atoms.get_chemical_formula(),
            measured(each.energy, each.energy_half_width, ".4f"),
            measured(each.energy / n, _over(each.energy_half_width, n), ".5f"),
            measured(float(lengths[worst]), width, ".4f"),
        ]
        if pressed:
            value = None if each.stress is None else -float(each.stress[:3].mean()) / GPA
            row.append(measured(value, _over(each.stress_half_width, GPA), ".3f"))
        if each.grade is not None:
            row.append(f"{each.grade.max():.2f}")
        rows.append(row)
    return text_table(header, rows)


def relaxation_table(found: Relaxation, point: SinglePoint) -> str:
    """Tabulate a relaxed structure.

    Parameters
    ----------
    found : Relaxation
        The relaxation.
    point : SinglePoint
        What the calculator gives for the relaxed structure.

    Returns
    -------
    str
        Energy, largest force, pressure, cell edges and volume, and the extrapolation grade.
    """
    n = len(found.atoms)
    rows: list[tuple[str, float | None, float | None, str]] = [
        ("energy (eV)", point.energy, point.energy_half_width, ".4f"),
        ("energy (eV/atom)", point.energy / n, _over(point.energy_half_width, n), ".5f"),
        ("largest force that is left (eV/Å)", found.max_force, None, ".5f"),
    ]
    if point.stress is not None:
        pressure = -float(point.stress[:3].mean()) / GPA
        rows.append(("pressure (GPa)", pressure, _over(point.stress_half_width, GPA), ".3f"))
        rows += [
            (f"cell edge {name} (Å)", length, None, ".4f")
            for name, length in zip("abc", found.lengths.tolist(), strict=True)
        ]
        rows.append(("volume (Å³/atom)", float(found.atoms.get_volume()) / n, None, ".4f"))
    if point.grade is not None:
        rows.append(("largest extrapolation grade", float(point.grade.max()), None, ".2f"))
    return value_table(rows)


def sample_line(sample: Sample, n_atoms: int) -> str:
    """Describe one moment of a run, under the heading `RUN`.

    Parameters
    ----------
    sample : Sample
        The moment.
    n_atoms : int
        Number of atoms.

    Returns
    -------
    str
        Step, time (fs), temperature (K), potential and total energy (eV/atom), and, where the committee was
        asked, the largest half-width of a force (eV/Å) and the largest extrapolation grade.
    """
    energies = (sample.potential_energy / n_atoms, sample.total_energy / n_atoms)
    line = f"{sample.step:8d} {sample.time:10.1f} {sample.temperature:8.1f}"
    line += f" {energies[0]:12.5f} {energies[1]:16.5f}"
    if np.isfinite(sample.grade):
        line += f"  forces ± {sample.force_half_width:.2g} eV/Å, grade {sample.grade:.2f}"
    return line


def dynamics_table(found: Dynamics, pressed: bool) -> str:
    """Tabulate means and fluctuations over the second half of a run.

    Parameters
    ----------
    found : Dynamics
        The run.
    pressed : bool
        Whether the volume changed.

    Returns
    -------
    str
        Mean and standard deviation of temperature (K), potential and total energy (meV/atom above the start)
        and volume (Å³/atom).
    """
    n, half = len(found.atoms), len(found.samples) // 2
    rows = [_spread("temperature (K)", found.series("temperature")[half:], ".1f")]
    for name in ("potential_energy", "total_energy"):
        values = found.series(name)
        above = 1000 * (values - values[0])[half:] / n
        rows.append(_spread(f"{name.replace('_', ' ')} above the start (meV/atom)", above, ".3f"))
    if pressed:
        rows.append(_spread("volume (Å³/atom)", found.series("volume")[half:] / n, ".3f"))
    watched = found.series("grade")
    if np.isfinite(watched).any():
        width = float(np.nanmax(found.series("force_half_width")))
        rows.append(["largest half-width of a force (eV/Å)", number(width, ".3f"), MISSING])
        rows.append(["largest extrapolation grade", number(float(np.nanmax(watched)), ".2f"), MISSING])
    return text_table(["second half of the run", "mean", "standard deviation"], rows)


def _spread(name: str, values: np.ndarray, form: str) -> list[str]:
    return [name, format(values.mean(), form), format(values.std(), form)]


def _over(value: float | None, divisor: float) -> float | None:
    return None if value is None else value / divisor
