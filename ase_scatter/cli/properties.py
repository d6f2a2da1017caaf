"""The commands `elastic`, `eos`, `vacancy` and `surface`: properties of a crystal, with error bars."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .arguments import (
    add_common,
    add_device,
    add_model,
    add_outputs,
    add_rattle,
    add_structure,
    new_command,
    numbers,
    positive,
)
from .crystals import NOT_CONVERGED, at_rest
from .files import claim, write_json

if TYPE_CHECKING:
    from ..calculator import ScatteringCalculator
    from ..properties import Relaxation

ELASTIC_EXAMPLES = """examples:
  ase-scatter elastic Si Si
  ase-scatter elastic Mo Mo --plot mo.png --json mo.json
  ase-scatter elastic mine.json POSCAR --strain 0.002

Elastic constants and moduli are in GPa, with the half-widths of their 90 % intervals. The exit code is 1 for
a crystal that is not stable, and for strains that are too large.
"""
EOS_EXAMPLES = """examples:
  ase-scatter eos Si Si --plot si-eos.png
  ase-scatter eos mine.json crystal.cif --strain 0.02 --points 13 --relax-ions

Volumes are in Å³/atom, the bulk modulus in GPa, energies in eV/atom. The exit code is 1 if ions do not come
to rest.
"""
VACANCY_EXAMPLES = """examples:
  ase-scatter vacancy Mo Mo
  ase-scatter vacancy Si Si --repeat 3,3,3
  ase-scatter vacancy mine.json alloy.cif --index 4 --atom-energy -8.21

The formation energy is in eV, with the half-width of its 90 % interval. The exit code is 1 if the ions do not
come to rest.
"""
SURFACE_EXAMPLES = """examples:
  ase-scatter surface Mo Mo --miller 1,1,0
  ase-scatter surface Si Si --miller 1,0,0 --repeat 2,1 --rattle 0.05
  ase-scatter surface Si Si --miller 1,1,1 --termination 1      the cut through three bonds of each atom

The surface energy is in J/m², with the half-width of its 90 % interval. A crystal can be cut between each two
of its planes. All slabs are computed as they are cut and listed by energy; the ions of one are relaxed: by
default that of least energy. Slabs have the composition of the crystal. Where the two faces of a slab differ,
the energy is their mean. The exit code is 1 if the ions do not come to rest.
"""

SMALLEST = 10.0
"""Å: least width of the default supercell of a vacancy."""

IONS_MOVE = "NOT CONVERGED: the ions did not come to rest"


def run_elastic(options: argparse.Namespace) -> int:
    """Run the command `elastic`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_elastic` defines.

    Returns
    -------
    int
        The exit code.
    """
    from ..plotting import tensor_plot
    from ..properties import elastic_constants
    from ..reporting.crystals import moduli_table, tensor_table

    calculator, relaxed = _start(options)
    found = elastic_constants(relaxed.atoms, calculator, strain=options.strain, progress=not options.quiet)
    print(f"\nelastic tensor, relaxed ions (GPa), space group {found.symmetry.symbol}\n")
    print(f"{tensor_table(found)}\n\n{moduli_table(found)}\n")
    state = "stable" if found.stable else "NOT STABLE"
    print(
        f"{state} against small strains and displacements of the ions; doubling the strain changes an entry"
    )
    print(f"by at most {found.nonlinearity:.2g} GPa")
    if options.plot:
        tensor_plot(found, options.plot, title=_title(options, relaxed))
    result = {**found.to_dict(), "moduli": found.moduli().to_dict(), "stable": found.stable}
    warnings = []
    if not found.stable:
        warnings.append(
            "NOT STABLE: the crystal falls into another one, and these are no constants of a solid"
        )
    if not found.linear:
        warnings.append("NOT LINEAR: choose a smaller --strain")
    return _finish(options, relaxed, result, "\n".join(warnings))


def run_eos(options: argparse.Namespace) -> int:
    """Run the command `eos`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_eos` defines.

    Returns
    -------
    int
        The exit code.
    """
    from ..plotting import eos_plot
    from ..properties import energy_volume
    from ..reporting.crystals import eos_table

    calculator, relaxed = _start(options)
    curve = energy_volume(
        relaxed.atoms,
        calculator,
        strain=options.strain,
        points=options.points,
        relax_ions=options.relax_ions,
        progress=not options.quiet,
    )
    print(f"\n{eos_table(curve)}")
    if options.plot:
        eos_plot(curve, options.plot, title=_title(options, relaxed))
    return _finish(
        options, relaxed, curve.to_dict(), "" if curve.converged else f"{IONS_MOVE} at every volume"
    )


def run_vacancy(options: argparse.Namespace) -> int:
    """Run the command `vacancy`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_vacancy` defines.

    Returns
    -------
    int
        The exit code.
    """
    from ..properties import repetitions, vacancy_formation
    from ..reporting.crystals import defect_table

    if options.repeat and (len(options.repeat) != 3 or min(options.repeat) < 1):
        raise InputError("--repeat takes three positive numbers, such as 3,3,3")
    calculator, relaxed = _start(options)
    repeat = tuple(repetitions(relaxed.atoms, options.repeat or SMALLEST).tolist())
    found = vacancy_formation(
        relaxed.atoms.repeat(repeat),
        calculator,
        index=options.index,
        atom_energy=options.atom_energy,
        rattle=options.rattle,
        progress=not options.quiet,
    )
    print(f"\na vacancy among {found.n_atoms} atoms ({'×'.join(map(str, repeat))} cells)\n")
    print(defect_table(found))
    return _finish(options, relaxed, found.to_dict(), "" if found.converged else IONS_MOVE)


def run_surface(options: argparse.Namespace) -> int:
    """Run the command `surface`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_surface` defines.

    Returns
    -------
    int
        The exit code.
    """
    from ..properties import surface_energy
    from ..reporting.crystals import defect_table, termination_table

    if len(options.miller) != 3 or len(options.repeat) != 2:
        raise InputError("--miller takes three numbers, --repeat two")
    calculator, relaxed = _start(options)
    found = surface_energy(
        relaxed.atoms,
        calculator,
        options.miller,
        layers=options.layers,
        repeat=options.repeat,
        termination=options.termination,
        rattle=options.rattle,
        progress=not options.quiet,
    )
    print(f"\n({' '.join(map(str, found.miller))}) face, slab of {len(found.atoms)} atoms\n")
    print(f"{termination_table(found)}\n\n{defect_table(found)}")
    return _finish(options, relaxed, found.to_dict(), "" if found.converged else IONS_MOVE)


def _start(options: argparse.Namespace) -> tuple[ScatteringCalculator, Relaxation]:
    """The calculator, and the crystal at rest; refuses first what could not be written afterwards."""
    from ..calculator import ScatteringCalculator
    from ..structures.named import structure_of

    claim([options.json], options, plots=[getattr(options, "plot", None)])
    atoms = structure_of(options.structure)
    calculator = ScatteringCalculator(options.model, device=options.device, dtype=options.dtype)
    other = "Give a structure nearer to rest"
    relaxed = at_rest(atoms, calculator, quiet=options.quiet, otherwise=other)
    lengths = ", ".join(f"{length:.4f}" for length in relaxed.lengths)
    print(f"{options.structure} with model {calculator.model.name}: cell edges {lengths} Å")
    return calculator, relaxed


def _title(options: argparse.Namespace, relaxed: Relaxation) -> str:
    return f"{relaxed.atoms.get_chemical_formula(empirical=True)}, model {Path(options.model).stem}"


def _finish(
    options: argparse.Namespace, relaxed: Relaxation, result: dict[str, Any], warning: str = ""
) -> int:
    """Write the result, and say what is wrong with it; the exit code."""
    if options.json:
        write_json(options.json, {"model": options.model, "relaxed": relaxed.to_dict(), "result": result})
    if warning:
        print(warning)
    return NOT_CONVERGED if warning else 0


def add_elastic(commands: Any) -> None:
    """Add the command `elastic`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    text = "elastic constants of a crystal, moduli and stability"
    command = _new(commands, "elastic", run_elastic, text, ELASTIC_EXAMPLES)
    command.add_argument(
        "--strain", type=float, default=0.005, help="size of the strains (default: %(default)s)"
    )
    _add_rest(command, "draw the tensor")


def add_eos(commands: Any) -> None:
    """Add the command `eos`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    text = "energy against volume: lattice, bulk modulus"
    command = _new(commands, "eos", run_eos, text, EOS_EXAMPLES)
    command.add_argument(
        "--strain",
        type=float,
        default=0.01,
        help="largest change of lengths, relative; a wide range bends the curve more than three parameters "
        "can follow (default: %(default)s)",
    )
    command.add_argument(
        "--points", type=positive, default=9, help="number of volumes (default: %(default)s)"
    )
    command.add_argument("--relax-ions", action="store_true", help="relax the ions at each volume")
    _add_rest(command, "draw the curve")


def add_vacancy(commands: Any) -> None:
    """Add the command `vacancy`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    text = "formation energy of a vacancy"
    command = _new(commands, "vacancy", run_vacancy, text, VACANCY_EXAMPLES)
    command.add_argument(
        "--repeat",
        type=numbers(int),
        metavar="A,B,C",
        help=f"cells along each edge (default: the fewest that make it {SMALLEST:g} Å wide)",
    )
    command.add_argument("--index", type=int, default=0, help="atom that is taken out (default: %(default)s)")
    command.add_argument(
        "--atom-energy",
        type=float,
        metavar="EV",
        help="energy of that atom in its reservoir, eV (needed in compounds)",
    )
    add_rattle(command)
    _add_rest(command)


def add_surface(commands: Any) -> None:
    """Add the command `surface`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    text = "energy of a crystal's face"
    command = _new(commands, "surface", run_surface, text, SURFACE_EXAMPLES)
    command.add_argument("--miller", type=numbers(int), required=True, metavar="H,K,L", help="the face")
    command.add_argument(
        "--layers", type=positive, default=8, help="layers of the slab (default: %(default)s)"
    )
    command.add_argument(
        "--repeat",
        type=numbers(int),
        default=(1, 1),
        metavar="A,B",
        help="cells along the two edges of the face (default: 1,1)",
    )
    command.add_argument(
        "--termination",
        type=int,
        default=0,
        metavar="K",
        help="where the crystal is cut, by the printed table (default: 0, the least energy unrelaxed)",
    )
    add_rattle(command)
    _add_rest(command)


def _new(commands: Any, name: str, run: Any, text: str, examples: str) -> argparse.ArgumentParser:
    """A command on a crystal that is relaxed first."""
    command = new_command(commands, name, run, text, examples)
    add_model(command)
    add_structure(command, "; relaxed first")
    return command


def _add_rest(command: argparse.ArgumentParser, plot: str = "") -> None:
    """What the commands have after their own arguments."""
    add_outputs(command, json="write everything as data", plot=plot)
    add_device(command)
    add_common(command)
