"""The commands `elastic`, `eos`, `vacancy` and `surface`: properties of a crystal, with error bars."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .common import add_device, at_rest, claim, new_command, numbers, positive, structure_of, write_json

if TYPE_CHECKING:
    from ..calculator import ScatteringCalculator
    from ..properties import Relaxation

ELASTIC_EXAMPLES = """examples:
  ase-scatter elastic Si Si
  ase-scatter elastic Mo Mo --plot mo.png --json mo.json
  ase-scatter elastic mine.json POSCAR --strain 0.002
"""
EOS_EXAMPLES = """examples:
  ase-scatter eos Si Si --plot si-eos.png
  ase-scatter eos mine.json crystal.cif --strain 0.06 --points 13 --relax-ions
"""
VACANCY_EXAMPLES = """examples:
  ase-scatter vacancy Mo Mo
  ase-scatter vacancy Si Si --repeat 3,3,3
  ase-scatter vacancy mine.json alloy.cif --index 4 --atom-energy -8.21
"""
SURFACE_EXAMPLES = """examples:
  ase-scatter surface Mo Mo --miller 1,1,0
  ase-scatter surface Si Si --miller 1,0,0 --repeat 2,1 --rattle 0.05
"""
FIRST_CUBIC = 195
"""Number of the first cubic space group."""
SMALLEST = 10.0
"""Å; supercells are repeated until each edge is at least so long."""


def run_elastic(options: argparse.Namespace) -> None:
    from ..properties import elastic_constants
    from ..reporting.tables import measured, text_table

    calculator, relaxed = _start(options)
    found = elastic_constants(relaxed.atoms, calculator, strain=options.strain, progress=not options.quiet)
    names = ("xx", "yy", "zz", "yz", "xz", "xy")
    band = found.tensor_half_width
    # What the symmetry makes zero is written without decimals.
    cells = [
        "0" if abs(value) < 1e-6 else measured(value, None if band is None else band.flat[k], ".1f")
        for k, value in enumerate(found.tensor.ravel().tolist())
    ]
    rows = [[name, *cells[6 * i : 6 * i + 6]] for i, name in enumerate(names)]
    print(f"\nelastic tensor, relaxed ions (GPa), space group {found.symmetry.symbol}\n")
    print(text_table(["", *names], rows))
    singles = []
    if found.symmetry.number >= FIRST_CUBIC:
        for clamped in (False, True):
            constants, widths = found.cubic(clamped=clamped), found.cubic_half_width(clamped=clamped)
            for name in ("c11", "c12", "c44"):
                label = f"{name.upper()} (GPa){', clamped ions' if clamped else ''}"
                cell = measured(getattr(constants, name), getattr(widths, name, None), ".1f")
                singles.append([label, cell])
    averages, widths_of = found.moduli(), found.moduli_half_width()
    for name, label, form in (
        ("bulk", "bulk modulus, Hill (GPa)", ".1f"),
        ("shear", "shear modulus, Hill (GPa)", ".1f"),
        ("young", "Young's modulus, Hill (GPa)", ".1f"),
        ("poisson", "Poisson's ratio", ".3f"),
        ("anisotropy", "universal anisotropy", ".3f"),
    ):
        singles.append([label, measured(getattr(averages, name), getattr(widths_of, name, None), form)])
    print()
    print(text_table(["", "value ± 90 % band"], singles))
    state = "stable" if found.stable else "NOT STABLE"
    linear = "" if found.linear else ": NOT LINEAR, choose a smaller --strain"
    print(
        f"\n{state} against small strains and displacements of the ions; doubling the strain changes an entry"
    )
    print(f"by at most {found.nonlinearity:.2g} GPa{linear}")
    if options.plot:
        from ..plotting import tensor_plot

        tensor_plot(found, options.plot, title=_title(options, relaxed))
    _finish(options, relaxed, {**found.to_dict(), "moduli": averages.to_dict(), "stable": found.stable})


def run_eos(options: argparse.Namespace) -> None:
    from ..plotting import eos_plot
    from ..properties import energy_volume
    from ..reporting.tables import measured, text_table

    calculator, relaxed = _start(options)
    curve = energy_volume(
        relaxed.atoms,
        calculator,
        strain=options.strain,
        points=options.points,
        relax_ions=options.relax_ions,
        progress=not options.quiet,
    )
    per_atom = None if curve.v0_half_width is None else curve.v0_half_width / curve.n_atoms
    rows = [
        ["volume (Å³/atom)", measured(curve.v0 / curve.n_atoms, per_atom, ".4f")],
        ["length of the first cell vector (Å)", measured(curve.a, curve.a_half_width, ".4f")],
        ["bulk modulus (GPa)", measured(curve.bulk_modulus, curve.bulk_modulus_half_width, ".1f")],
        ["its derivative with pressure", f"{curve.bulk_derivative:.2f}"],
        ["energy (eV/atom)", f"{curve.e0 / curve.n_atoms:.5f}"],
        ["rms of the fit (meV/atom)", f"{curve.rmse:.3f}"],
    ]
    print()
    print(text_table(["", "value ± 90 % band"], rows))
    if options.plot:
        eos_plot(curve, options.plot, title=_title(options, relaxed))
    _finish(options, relaxed, curve.to_dict())
    if not curve.converged:
        print("NOT CONVERGED: the ions did not come to rest at every volume")


def run_vacancy(options: argparse.Namespace) -> None:
    from ..properties import vacancy_formation
    from ..properties.force_sets import repetitions
    from ..reporting.tables import measured, text_table

    calculator, relaxed = _start(options)
    repeat = options.repeat or tuple(repetitions(relaxed.atoms, SMALLEST).tolist())
    found = vacancy_formation(
        relaxed.atoms.repeat(repeat),
        calculator,
        index=options.index,
        atom_energy=options.atom_energy,
        rattle=options.rattle,
        progress=not options.quiet,
    )
    rows = [
        ["formation energy (eV)", measured(found.energy, found.energy_half_width, ".3f")],
        ["with unrelaxed ions (eV)", f"{found.unrelaxed:.3f}"],
    ]
    print(f"\na vacancy among {found.n_atoms} atoms ({'×'.join(map(str, repeat))} cells)\n")
    print(text_table(["", "value ± 90 % band"], rows))
    _finish(options, relaxed, found.to_dict())
    if not found.converged:
        print("NOT CONVERGED: the ions did not come to rest")


def run_surface(options: argparse.Namespace) -> None:
    from ..properties import surface_energy
    from ..reporting.tables import measured, text_table

    if len(options.miller) != 3 or len(options.repeat) != 2:
        raise InputError("--miller takes three numbers, --repeat two")
    calculator, relaxed = _start(options)
    found = surface_energy(
        relaxed.atoms,
        calculator,
        options.miller,
        layers=options.layers,
        repeat=options.repeat,
        rattle=options.rattle,
        progress=not options.quiet,
    )
    rows = [
        ["surface energy (J/m²)", measured(found.energy, found.energy_half_width, ".3f")],
        ["with unrelaxed ions (J/m²)", f"{found.unrelaxed:.3f}"],
    ]
    print(f"\n({' '.join(map(str, found.miller))}) face, slab of {len(found.atoms)} atoms\n")
    print(text_table(["", "value ± 90 % band"], rows))
    _finish(options, relaxed, found.to_dict())
    if not found.converged:
        print("NOT CONVERGED: the ions did not come to rest")


def _start(options: argparse.Namespace) -> tuple[ScatteringCalculator, Relaxation]:
    """The calculator, and the crystal at rest; refuses first what could not be written afterwards."""
    from ..calculator import ScatteringCalculator
    from ..plotting import require_format

    plot = getattr(options, "plot", None)
    claim([Path(path) for path in (options.json, plot) if path], options.force)
    if plot:
        require_format(plot)
    atoms = structure_of(options.structure)
    calculator = ScatteringCalculator(options.model, device=options.device, dtype=options.dtype)
    other = "Give a structure nearer to rest"
    relaxed = at_rest(atoms, calculator, quiet=options.quiet, otherwise=other)
    lengths = ", ".join(f"{length:.4f}" for length in relaxed.lengths)
    print(f"{options.structure} with model {calculator.model.name}: cell edges {lengths} Å")
    return calculator, relaxed


def _title(options: argparse.Namespace, relaxed: Relaxation) -> str:
    return f"{relaxed.atoms.get_chemical_formula(empirical=True)}, model {Path(options.model).stem}"


def _finish(options: argparse.Namespace, relaxed: Relaxation, result: dict[str, Any]) -> None:
    if options.json:
        write_json(
            Path(options.json), {"model": options.model, "relaxed": relaxed.to_dict(), "result": result}
        )


def _new(commands: Any, name: str, run: Any, text: str, examples: str) -> argparse.ArgumentParser:
    command = new_command(commands, name, run, text, examples)
    command.add_argument("model", metavar="MODEL", help="a shipped name or a model file")
    command.add_argument(
        "structure", metavar="STRUCTURE", help="a file that ASE reads, or a name such as Si; relaxed first"
    )
    return command


def _outputs(command: argparse.ArgumentParser, plot: str = "") -> None:
    command.add_argument("--json", metavar="OUT.json", help="write everything as data")
    if plot:
        command.add_argument("--plot", metavar="PNG", help=plot)
    add_device(command)
    command.add_argument("--force", action="store_true", help="overwrite existing files")
    command.add_argument("--quiet", action="store_true", help="no progress bars")


def add_elastic(commands: Any) -> None:
    text = "elastic constants of a crystal, moduli and stability"
    command = _new(commands, "elastic", run_elastic, text, ELASTIC_EXAMPLES)
    command.add_argument("--strain", type=float, default=0.005, help="(default: %(default)s)")
    _outputs(command, "draw the tensor")


def add_eos(commands: Any) -> None:
    text = "energy against volume: lattice, bulk modulus"
    command = _new(commands, "eos", run_eos, text, EOS_EXAMPLES)
    command.add_argument(
        "--strain", type=float, default=0.04, help="largest change of lengths (default: %(default)s)"
    )
    command.add_argument("--points", type=positive, default=9, help="(default: %(default)s)")
    command.add_argument("--relax-ions", action="store_true", help="relax the ions at each volume")
    _outputs(command, "draw the curve")


def add_vacancy(commands: Any) -> None:
    text = "formation energy of a vacancy"
    command = _new(commands, "vacancy", run_vacancy, text, VACANCY_EXAMPLES)
    command.add_argument(
        "--repeat",
        type=numbers(int),
        help=f"cells along each edge (default: edges of {SMALLEST:g} Å at least)",
    )
    command.add_argument("--index", type=int, default=0, help="of the atom taken out (default: %(default)s)")
    command.add_argument(
        "--atom-energy", type=float, metavar="EV", help="of that atom in its reservoir (needed in compounds)"
    )
    _rattle(command)
    _outputs(command)


def add_surface(commands: Any) -> None:
    text = "energy of a crystal's face"
    command = _new(commands, "surface", run_surface, text, SURFACE_EXAMPLES)
    command.add_argument("--miller", type=numbers(int), required=True, metavar="H,K,L", help="the face")
    command.add_argument("--layers", type=positive, default=8, help="of the slab (default: %(default)s)")
    command.add_argument(
        "--repeat", type=numbers(int), default=(1, 1), help="cells in the plane (default: 1,1)"
    )
    _rattle(command)
    _outputs(command)


def _rattle(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--rattle",
        type=float,
        default=0.0,
        metavar="Å",
        help="displace ions at random first (default: 0)",
    )
