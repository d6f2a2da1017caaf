"""The command `phonons`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import add_device, at_rest, claim, new_command, numbers, structure_of, write_json

if TYPE_CHECKING:
    from ..properties import Phonons, QuasiHarmonic

SHOWN = 300.0
"""K: the temperature of the table."""

PHONONS_EXAMPLES = """examples:
  ase-scatter phonons Si Si                                  a table; the crystal is relaxed first
  ase-scatter phonons Si Si --plot Si.png --json Si.json     bands and density of states, all data
  ase-scatter phonons mine.json POSCAR --supercell 3,3,2 --out phonopy/
  phonopy-load phonopy/phonopy_params.yaml --mesh 30 30 30 -t   go on with phonopy's commands
  ase-scatter phonons Si Si --qha --plot Si.png              thermal expansion too (minutes)
"""


def run_phonons(options: argparse.Namespace) -> None:
    from ..calculator import ScatteringCalculator
    from ..properties import phonons, quasi_harmonic
    from ..properties.force_sets import require_phonopy

    require_phonopy()
    plots = _plots(options)
    files = []
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        files = [options.out / "phonopy_params.yaml", options.out / "FORCE_SETS"]
    claim([*plots, *files, *([] if options.json is None else [options.json])], options.force)

    calculator = ScatteringCalculator(options.model, device=options.device, dtype=options.dtype)
    settings = {
        "supercell": options.supercell or options.length,
        "displacement": options.displacement,
        "progress": not options.quiet,
    }
    atoms, relaxed = structure_of(options.structure), None
    if options.relax:
        other = "Relax it by other means, and give --no-relax"
        relaxed = at_rest(atoms, calculator, quiet=options.quiet, otherwise=other)
        atoms = relaxed.atoms
    found = phonons(atoms, calculator, **settings)
    expansion = quasi_harmonic(atoms, calculator, **settings) if options.qha and found.stable else None

    formula = atoms.get_chemical_formula(empirical=True)
    title = f"{formula}, model {calculator.model.name}"
    _draw(plots, found, expansion, title)
    if options.json is not None:
        document = {
            "model": {"name": calculator.model.name, "hash": calculator.model.hash},
            "relaxation": None if relaxed is None else relaxed.to_dict(),
            "phonons": found.to_dict(),
            "quasi_harmonic": None if expansion is None else expansion.to_dict(),
        }
        write_json(options.json, document)
    if options.out is not None:
        found.force_sets.write(options.out)
    repeat = "×".join(map(str, found.force_sets.supercell))
    n_atoms = found.force_sets.forces.shape[1]
    print(f"{title} {calculator.model.hash}; supercell {repeat}, {n_atoms} atoms\n")
    print(_table(found, expansion))
    print(f"\n{_verdict(found)}")


def _plots(options: argparse.Namespace) -> list[Path]:
    """Files of bands and density of states, of thermal properties, and of thermal expansion."""
    from ..plotting import require_format

    path = options.plot
    if path is None:
        return []
    require_format(path)
    plots = [path, path.with_stem(f"{path.stem}-thermal"), path.with_stem(f"{path.stem}-qha")]
    return plots if options.qha else plots[:2]


def _draw(plots: Sequence[Path], found: Phonons, expansion: QuasiHarmonic | None, title: str) -> None:
    from ..plotting import expansion_plot, phonon_plot, thermal_plot

    if not plots:
        return
    phonon_plot(found, plots[0], title=title)
    if found.thermal is not None:
        thermal_plot(found.thermal, plots[1], title=title)
    if expansion is not None:
        expansion_plot(expansion, plots[2], title=title)


def _table(found: Phonons, expansion: QuasiHarmonic | None) -> str:
    """Values with their error bars."""
    from ..reporting.tables import number, text_table

    rows = [
        [heading, number(value, form), number(band, form)]
        for heading, value, band, form in [*_modes(found), *_at_temperature(found, expansion)]
    ]
    return text_table(["", "value", "± (90 %)"], rows)


Row = tuple[str, float, float | None, str]
"""Heading, value, half-width of its band, format."""


def _modes(found: Phonons) -> list[Row]:
    """Optical modes at Γ, those that are degenerate in one row, and the highest frequency."""
    rows: list[Row] = []
    values, bands = found.optical, found.optical_half_width
    levels = list(dict.fromkeys(values.round(3).tolist()))
    for level in levels:
        same = [index for index, value in enumerate(values.round(3)) if value == level]
        times = f" (×{len(same)})" if len(same) > 1 else ""
        band = None if bands is None else float(bands[same[0]])
        rows.append((f"optical mode at Γ{times} (THz)", level, band, ".2f"))
    highest = int(found.frequencies[:, -1].argmax())
    band = None if found.frequencies_half_width is None else float(found.frequencies_half_width[highest, -1])
    rows.append(("highest frequency (THz)", float(found.frequencies[highest, -1]), band, ".2f"))
    return rows


def _at_temperature(found: Phonons, expansion: QuasiHarmonic | None) -> list[Row]:
    """What depends on temperature, near that which is shown."""
    from ase.units import kJ, mol

    molar = mol / kJ * 1000  # eV to J/mol
    columns: tuple[tuple[Any, str, str, float, str], ...] = (
        (found.thermal, "free_energy", "free energy at {} K (meV/atom)", 1000.0, ".1f"),
        (found.thermal, "entropy", "entropy at {} K (J/K/mol)", molar, ".2f"),
        (found.thermal, "heat_capacity", "heat capacity Cv at {} K (J/K/mol)", molar, ".2f"),
        (expansion, "heat_capacity", "heat capacity Cp at {} K (J/K/mol)", molar, ".2f"),
        (expansion, "volume", "volume at {} K (Å³/atom)", 1.0, ".3f"),
        (expansion, "expansion", "linear expansion at {} K (10⁻⁶/K)", 1e6, ".2f"),
        (expansion, "bulk_modulus", "bulk modulus at {} K (GPa)", 1.0, ".1f"),
    )
    rows: list[Row] = []
    for result, field, heading, scale, form in columns:
        if result is not None:
            here = int(abs(result.temperatures - SHOWN).argmin())
            band = getattr(result, f"{field}_half_width")
            width = None if band is None else scale * float(band[here])
            kelvin = f"{result.temperatures[here]:g}"
            rows.append((heading.format(kelvin), scale * float(getattr(result, field)[here]), width, form))
    return rows


def _verdict(found: Phonons) -> str:
    """A clear word on imaginary modes."""
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


def add_phonons(commands: Any) -> None:
    text = "phonons of a crystal: frequencies, stability, thermal properties, thermal expansion"
    command = new_command(commands, "phonons", run_phonons, text, PHONONS_EXAMPLES)
    command.add_argument("model", help="a shipped name or a file")
    command.add_argument("structure", help="a file that ASE reads, or an element such as Si")
    size = command.add_mutually_exclusive_group()
    size.add_argument("--supercell", type=numbers(int), metavar="N,N,N", help="repetitions of the cell")
    size.add_argument(
        "--length",
        type=float,
        default=10.0,
        metavar="Å",
        help="shortest edge of the supercell (default: %(default)s)",
    )
    command.add_argument(
        "--displacement", type=float, default=0.01, metavar="Å", help="of atoms (default: %(default)s)"
    )
    command.add_argument(
        "--relax",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="relax cell and positions first (default: yes)",
    )
    command.add_argument("--qha", action="store_true", help="thermal expansion too (quasi-harmonic)")
    command.add_argument("--json", type=Path, metavar="FILE", help="write all data")
    command.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw bands and density of states; beside it, FILE-thermal and (with --qha) FILE-qha",
    )
    command.add_argument("--out", type=Path, metavar="DIR", help="write phonopy_params.yaml and FORCE_SETS")
    add_device(command)
    command.add_argument("--force", action="store_true", help="overwrite existing files")
    command.add_argument("--quiet", action="store_true", help="no progress bars")
