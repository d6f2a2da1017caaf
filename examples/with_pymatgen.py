"""pymatgen cuts surfaces, places adsorbates and builds grain boundaries; the calculator gives their energies.

    pip install pymatgen
    python examples/with_pymatgen.py                              seconds to a minute
    python examples/with_pymatgen.py --only boundary --json found.json

surfaces    all terminations of Si(111) and Si(100), unrelaxed and relaxed, J/m²
adsorbate   Li on Si(111): where it binds, relative to the site of least energy, eV
boundary    the Σ5 (310) tilt boundary of molybdenum, J/m²
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.constraints import FixAtoms

from ase_scatter import ScatteringCalculator
from ase_scatter.properties import relax_cell, relax_positions

JOULE_PER_SQUARE_METRE = units.J / units.m**2


def surfaces() -> dict[str, Any]:
    """Surface energy of each termination that pymatgen finds."""
    from pymatgen.core.surface import SlabGenerator
    from pymatgen.io.ase import AseAtomsAdaptor

    calculator = ScatteringCalculator("Si")
    crystal = relax_cell(bulk("Si", cubic=True), calculator)
    per_atom = crystal.energy / len(crystal.atoms)
    structure = AseAtomsAdaptor.get_structure(crystal.atoms)
    found = {}
    for miller in ((1, 1, 1), (1, 0, 0)):
        slabs = SlabGenerator(structure, miller, 12.0, 12.0, center_slab=True, primitive=True).get_slabs()
        for k, slab in enumerate(slabs):
            atoms = plain(AseAtomsAdaptor.get_atoms(slab))
            area = 2 * np.linalg.norm(np.cross(*atoms.cell[:2]))
            atoms.calc = calculator
            cut = atoms.get_potential_energy()
            relaxed = relax_positions(atoms, calculator, fmax=0.02)
            energies = [(e - len(atoms) * per_atom) / area for e in (cut, relaxed.energy)]
            unrelaxed, at_rest = (round(float(e / JOULE_PER_SQUARE_METRE), 3) for e in energies)
            name = f"Si({''.join(map(str, miller))}), termination {k}, {len(atoms)} atoms"
            found[name] = {"unrelaxed (J/m²)": unrelaxed, "relaxed (J/m²)": at_rest}
    return found


def adsorbate() -> dict[str, Any]:
    """Li on the sites of Si(111) that pymatgen names."""
    from pymatgen.analysis.adsorption import AdsorbateSiteFinder
    from pymatgen.core import Molecule
    from pymatgen.core.surface import SlabGenerator
    from pymatgen.io.ase import AseAtomsAdaptor

    calculator = ScatteringCalculator("LiSi")
    crystal = relax_cell(bulk("Si", cubic=True), calculator).atoms
    structure = AseAtomsAdaptor.get_structure(crystal)
    slabs = SlabGenerator(structure, (1, 1, 1), 9.0, 14.0, center_slab=True, primitive=True).get_slabs()
    finder = AdsorbateSiteFinder(slabs[0])
    energies, grades = {}, {}
    for kind, sites in finder.find_adsorption_sites(distance=1.8).items():
        for k, site in enumerate(sites if kind != "all" else []):
            atoms = plain(
                AseAtomsAdaptor.get_atoms(finder.add_adsorbate(Molecule(["Li"], [[0, 0, 0]]), site))
            )
            lowest = atoms.positions[:, 2].min()
            atoms.set_constraint(FixAtoms(mask=atoms.positions[:, 2] < lowest + 4.0))
            relaxed = relax_positions(atoms, calculator, fmax=0.03)
            name = f"{kind} {k}"
            energies[name] = relaxed.energy
            grades[name] = float(calculator.get_uncertainty(relaxed.atoms).grade.max())
    least = min(energies.values())
    return {
        name: {"above the lowest (eV)": round(energy - least, 3), "largest grade": round(grades[name], 2)}
        for name, energy in energies.items()
    }


def boundary() -> dict[str, Any]:
    """Energy of a grain boundary, relaxed."""
    from pymatgen.core.interface import GrainBoundaryGenerator
    from pymatgen.io.ase import AseAtomsAdaptor

    calculator = ScatteringCalculator("Mo")
    crystal = relax_cell(bulk("Mo", cubic=True), calculator)
    per_atom = crystal.energy / len(crystal.atoms)
    generator = GrainBoundaryGenerator(AseAtomsAdaptor.get_structure(crystal.atoms))
    built = generator.gb_from_parameters(
        rotation_axis=(0, 0, 1), rotation_angle=36.8698976, expand_times=2, plane=(3, 1, 0), rm_ratio=0.5
    )
    atoms = plain(AseAtomsAdaptor.get_atoms(built))
    atoms.rattle(0.02, seed=0)
    relaxed = relax_cell(atoms, calculator, keep="nothing", fmax=0.03)
    unsure = calculator.get_uncertainty(relaxed.atoms)
    area = 2 * np.linalg.norm(np.cross(*relaxed.atoms.cell[:2]))
    excess = (relaxed.energy - len(atoms) * per_atom) / area / JOULE_PER_SQUARE_METRE
    return {
        f"Mo Σ5 (310), {len(atoms)} atoms": {
            "energy (J/m²)": round(float(excess), 3),
            "half-width (J/m²)": round(float(unsure.energy / area / JOULE_PER_SQUARE_METRE), 3),
            "largest grade": round(float(unsure.grade.max()), 2),
            "converged": relaxed.converged,
        }
    }


def plain(atoms: Atoms) -> Atoms:
    """Nothing but the atoms: pymatgen notes further things about them."""
    return Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "surfaces": surfaces,
    "adsorbate": adsorbate,
    "boundary": boundary,
}


def main(arguments: list[str] | None = None) -> int:
    """Compute and report; the exit code."""
    parser = argparse.ArgumentParser(description="Surfaces, adsorbates and grain boundaries of pymatgen.")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; again for more")
    parser.add_argument("--json", type=Path, help="write the results")
    options = parser.parse_args(arguments)
    results = {}
    for name in options.only or PARTS:
        results[name] = PARTS[name]()
        print(name)
        for what, values in results[name].items():
            print(f"  {what}: {', '.join(f'{key} {value}' for key, value in values.items())}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
