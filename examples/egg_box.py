"""What the grid costs in accuracy: energies that should be equal, and how far apart they are.

    python examples/egg_box.py                     all shipped potentials
    python examples/egg_box.py --model Si-grid --shifts 10

In meV per atom, peak to peak: a crystal, perfect and disturbed (0.1 Å), moved rigidly over the grid; a
cluster turned rigidly; a slab in a cell with 25 and with 50 Å of vacuum, periodic in three directions and
in two; a 2×2×2 supercell on a grid of 2×2×2 times the points; one of a grid of its own.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from ase import Atoms
from ase.build import bulk, surface
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ase_scatter import InputError, Model, shipped_models
from ase_scatter.compute.target import Target
from ase_scatter.reporting.tables import text_table
from ase_scatter.structures.system import System

MEV = 1000.0


def crystal(model: Model, repeat: int = 1, *, rattle: float = 0.0) -> Atoms:
    """The conventional cell of the model's element at the lattice parameter of its data, repeated."""
    properties = model.metadata.get("reference", {}).get("properties", {})
    atoms: Atoms = bulk(model.elements[0], a=properties.get("a"), cubic=True).repeat(repeat)
    if rattle:
        atoms.rattle(rattle, seed=1)
    return atoms


def slab(model: Model, vacuum: float, *, pbc: tuple[bool, bool, bool] = (True, True, True)) -> Atoms:
    """A (100) slab of about 10 Å, one cell wide, disturbed by 0.1 Å, with so much vacuum (Å) in all."""
    unit = crystal(model)
    layers = round(10.0 / unit.cell.lengths()[2])
    atoms: Atoms = surface(unit, (1, 0, 0), layers)
    atoms.rattle(0.1, seed=1)
    height = float(np.ptp(atoms.positions[:, 2]))
    atoms.cell[2] = [0.0, 0.0, height + vacuum]
    atoms.pbc = pbc
    return atoms


def cluster(model: Model) -> Atoms:
    """The eight atoms of a crystal that are nearest to an empty place in it, disturbed by 0.1 Å."""
    atoms = crystal(model, 3)
    center = atoms.cell.sum(axis=0) * 0.5 + [0.3, 0.2, 0.1]
    near = np.argsort(np.linalg.norm(atoms.positions - center, axis=1))[:8]
    atoms = Atoms(atoms.symbols[near], atoms.positions[near] - center)
    atoms.rattle(0.1, seed=1)
    return atoms


def energy(model: Model, atoms: Atoms, shapes: NDArray[np.int64] | None = None) -> float:
    """Energy in meV per atom."""
    return MEV * model.evaluate_one(System.from_atoms(atoms), Target(grids=shapes)).energy / len(atoms)


def translation(model: Model, atoms: Atoms, shifts: int = 6) -> float:
    """Peak-to-peak energy (meV/atom) over rigid translations: none, and random ones."""
    rng = np.random.default_rng(0)
    energies = [energy(model, atoms)]
    for _ in range(shifts):
        moved = atoms.copy()
        moved.positions += rng.uniform(0.0, 3.0, size=3)
        energies.append(energy(model, moved))
    return float(np.ptp(energies))


def rotation(model: Model, atoms: Atoms, turns: int = 3) -> float:
    """Peak-to-peak energy (meV/atom) over rigid rotations of what is periodic nowhere."""
    energies = [energy(model, atoms)]
    for turn in Rotation.random(turns, rng=np.random.default_rng(0)):
        moved = atoms.copy()
        moved.positions = turn.apply(moved.positions)
        energies.append(energy(model, moved))
    return float(np.ptp(energies))


def vacuum(model: Model, pbc: tuple[bool, bool, bool]) -> float:
    """Change of a slab's energy (meV/atom) from 25 to 50 Å of vacuum (the models reach over 23 to 26 Å)."""
    return energy(model, slab(model, 50.0, pbc=pbc)) - energy(model, slab(model, 25.0, pbc=pbc))


def supercell(model: Model, *, same_grid: bool) -> float:
    """Energy of a 2×2×2 supercell over that of its cell, minus 1 (no unit: meV/atom if not same_grid)."""
    unit = crystal(model, rattle=0.1)
    double = unit.repeat(2)
    one = energy(model, unit)
    if not same_grid:
        return energy(model, double) - one
    shapes = model.transform.grid_shapes(System.from_atoms(unit))
    return energy(model, double, None if shapes is None else 2 * shapes) / one - 1.0


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(
        description="Measure what energies that should be equal differ by, in meV/atom."
    )
    parser.add_argument("--model", action="append", help="a shipped name or a file (default: all shipped)")
    parser.add_argument("--shifts", type=int, default=6, help="random translations (%(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="random rotations (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        models = [Model.load(name) for name in options.model or shipped_models()]
    except InputError as error:
        print(error, file=sys.stderr)
        return 2

    rows: dict[str, list[str]] = {}

    def row(label: str, value: float, form: str = ".4f") -> None:
        rows.setdefault(label, []).append(format(value, form))

    for model in models:
        large = 2 if len(crystal(model)) == 8 else 3
        for label, repeat, rattle in (
            ("small perfect crystal moved", 1, 0.0),
            ("small disturbed crystal moved", 1, 0.1),
            ("large disturbed crystal moved", large, 0.1),
        ):
            row(label, translation(model, crystal(model, repeat, rattle=rattle), options.shifts))
        row("cluster of 8 atoms turned", rotation(model, cluster(model), options.turns))
        row("slab, periodic in 3: 50 Å of vacuum - 25 Å", vacuum(model, (True, True, True)))
        row("slab, periodic in 2: 50 Å of vacuum - 25 Å", vacuum(model, (True, True, False)))
        row("2×2×2 supercell - cell, grids of their own", supercell(model, same_grid=False))
        row("2×2×2 supercell / cell - 1, same grid (no unit)", supercell(model, same_grid=True), ".1e")
    print(text_table(["meV/atom", *(m.name for m in models)], [[key, *row] for key, row in rows.items()]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
