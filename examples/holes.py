"""Does a potential fall into holes? Random cells, pairs of atoms, compressed crystals.

    python examples/holes.py NbMoTaW LiSi.json --data train.extxyz --out holes.json

For each potential:

- random cells of 12 atoms, none nearer to another than 1 Å, at .7 to 1.4 times the volume of the data, are
  relaxed by FIRE with the cell held fixed. A hole is an energy far below all data, or atoms that fuse;
- two atoms of each pair of elements have to repel each other below their shortest distance in the data;
- dense structures of the data are compressed to half of their volume: the pressure has to rise all the way.

The exit code is 1 if any potential has a hole, and 2 if something could not be read.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import combinations_with_replacement
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from ase.formula import Formula
from ase.optimize import FIRE

from ase_scatter import Frame, InputError, Model, ScatteringCalculator, read_frames
from ase_scatter.structures.distances import shortest_distances
from ase_scatter.structures.sampling import spread
from ase_scatter.structures.system import System

ATOMS, NEAREST = 12, 1.0
"""Of a random cell, and their shortest distance (Å)."""
VOLUMES = (0.7, 1.4)
"""Of random cells, over that of the data."""
STEPS, FORCE = 200, 0.05
"""Of FIRE at most, and the largest force at its end (eV/Å)."""
BELOW = 0.5
"""A hole is so far below the lowest energy of the data (eV/atom, beyond the free atoms), …"""
FUSED = 0.6
"""… or two atoms nearer than this times the shortest distance in the data."""
RATIOS = np.linspace(0.4, 1.0, 31)
"""Distances of pairs, over the shortest in the data."""
SMALLEST, STAGES, SOLIDS = 0.5, 26, 12
"""Volume of compressed structures over that in the data, in so many stages, of so many structures."""


def main(arguments: list[str] | None = None) -> int:
    """Look, print and write; the exit code."""
    parser = argparse.ArgumentParser(description="Look for holes of potentials.")
    parser.add_argument("models", nargs="+", metavar="MODEL", help="shipped names or files")
    parser.add_argument("--data", nargs="+", required=True, help="frames that they were trained on")
    parser.add_argument("--cells", type=int, default=50, help="random cells (%(default)s)")
    parser.add_argument("--seconds", type=float, default=600.0, help="no new cell after that (%(default)s)")
    parser.add_argument("--out", type=Path, help="where to write")
    options = parser.parse_args(arguments)
    found = {}
    try:
        data = [frame for file in options.data for frame in read_frames(file)]
        for name in options.models:
            found[name] = holes(Model.load(name), data, options.cells, options.seconds)
            print(sentence(name, found[name]), flush=True)
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    return int(any(bad(each) for each in found.values()))


def bad(found: dict[str, Any]) -> bool:
    """Whether there is any hole."""
    return bool(found["holes"] or found["attractive pairs"] or found["soft solids"])


def sentence(name: str, found: dict[str, Any]) -> str:
    """What was found."""
    return (
        f"{name}: {len(found['holes'])} of {found['cells']} random cells fall into holes, lowest energy "
        f"{found['lowest']:.2f} eV/atom ({found['lowest of data']:.2f} in the data); attractive at short "
        f"distances: {', '.join(found['attractive pairs']) or 'no pair'}; pressure falls on compression in "
        f"{len(found['soft solids'])} of {found['solids']} solids {found['soft solids'] or ''}"
    )


def holes(model: Model, data: list[Frame], cells: int, seconds: float = 600.0) -> dict[str, Any]:
    """Look for holes of a potential; `data` are frames that it was trained on."""
    elements = sorted(model.e0)
    data = [frame for frame in data if set(symbols_of(frame.system)) <= set(elements)]
    solids = [f.system for f in data if f.system.pbc.all() and f.system.has_volume]
    volumes = np.array([system.volume / len(system) for system in solids])
    volume = float(np.median(volumes))
    closest = shortest_distances([frame.system for frame in data], elements)
    lowest = min(beyond_free(model, frame.system, frame.energy) for frame in data if len(frame.system) > 1)
    calculator = ScatteringCalculator(model)
    begin, energies, fell = perf_counter(), [], []
    for number in range(cells):
        if perf_counter() - begin > seconds:
            break
        atoms = random_cell(elements, volume, np.random.default_rng(number))
        atoms.calc = calculator
        energy, ratio = relaxed(model, atoms, closest, elements, lowest - BELOW)
        energies.append(energy)
        if energy < lowest - BELOW or ratio < FUSED:
            fell.append({"cell": number, "energy": energy, "shortest distance over data": ratio})
    dense = [s for s, v in zip(solids, volumes, strict=True) if v < 1.2 * np.quantile(volumes, 0.1)]
    several = spread(dense, SOLIDS)
    squeezed = [
        (Formula.from_list(symbols_of(system)).format("hill"), softens(model, system)) for system in several
    ]
    soft = [f"{symbols} at {stage:.2f}" for symbols, stage in squeezed if stage is not None]
    return {
        "cells": len(energies), "holes": fell, "lowest": min(energies, default=0.0), "lowest of data": lowest,
        "attractive pairs": attractive(model, closest, elements), "solids": len(several), "soft solids": soft,
        "seconds": perf_counter() - begin,
    }  # fmt: skip


def beyond_free(model: Model, system: System, energy: float) -> float:
    """Energy per atom beyond that of the free atoms (eV)."""
    return (energy - sum(model.e0[symbol] for symbol in symbols_of(system))) / len(system)


def symbols_of(system: System) -> list[str]:
    """Chemical symbols of the atoms."""
    return [chemical_symbols[z] for z in system.numbers]


def random_cell(elements: list[str], volume: float, rng: np.random.Generator) -> Atoms:
    """Atoms thrown into a cube, none too near to another."""
    edge = (ATOMS * volume * rng.uniform(*VOLUMES)) ** (1 / 3)
    positions: list[np.ndarray] = []
    while len(positions) < ATOMS:
        tried = rng.uniform(0.0, edge, 3)
        apart = np.array([tried - other for other in positions]).reshape(-1, 3)
        if np.all(np.linalg.norm(apart - edge * np.round(apart / edge), axis=1) > NEAREST):
            positions.append(tried)
    return Atoms(rng.choice(elements, ATOMS), positions, cell=[edge] * 3, pbc=True)


def relaxed(
    model: Model, atoms: Atoms, closest: np.ndarray, elements: list[str], floor: float
) -> tuple[float, float]:
    """Energy per atom beyond the free atoms, and the shortest distance over that in the data."""

    def now() -> float:
        return beyond_free(model, System.from_atoms(atoms), atoms.get_potential_energy())

    optimizer = FIRE(atoms, logfile=None)
    for _ in optimizer.irun(FORCE, STEPS):
        if not now() > floor - 1.0:  # it falls, or is not a number any more
            break
    kinds = np.array([elements.index(symbol) for symbol in atoms.symbols])
    apart = atoms.get_all_distances(mic=True) / closest[np.ix_(kinds, kinds)]
    return now(), float(np.min(apart[np.triu_indices(len(atoms), 1)]))


def attractive(model: Model, closest: np.ndarray, elements: list[str]) -> list[str]:
    """Pairs of elements that do not repel each other at some short distance."""
    found = []
    for one, other in combinations_with_replacement(elements, 2):
        near = closest[elements.index(one), elements.index(other)]
        numbers = np.array([atomic_numbers[one], atomic_numbers[other]])
        apart = [np.array([[0.0, 0.0, 0.0], [0.0, 0.0, x * near]]) for x in RATIOS]
        pairs = [System(numbers, positions, np.zeros((3, 3)), np.zeros(3, bool)) for positions in apart]
        if np.any(np.diff([values.energy for (values,) in model.evaluate(pairs)]) >= 0):
            found.append(f"{one}-{other}")
    return found


def softens(model: Model, system: System) -> float | None:
    """The volume, over that in the data, below which the pressure falls; None if it rises all the way."""
    volumes = np.linspace(1.0, SMALLEST, STAGES)
    squeezed = [
        System(system.numbers, v ** (1 / 3) * system.positions, v ** (1 / 3) * system.cell, system.pbc)
        for v in volumes
    ]
    energies = np.array([values.energy for (values,) in model.evaluate(squeezed)])
    pressures = np.diff(energies)
    falls = np.flatnonzero(np.diff(pressures) <= 0)
    return float(volumes[falls[0] + 1]) if len(falls) else None


if __name__ == "__main__":
    sys.exit(main())
