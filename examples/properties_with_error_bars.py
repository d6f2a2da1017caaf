"""Properties of Si, Mo, Cu, Li and W with their error bars, beside those of density-functional theory.

Each element's model is a fit with the defaults, `ase-scatter fit Si_train.extxyz -o Si.json`. An error bar is
right if it holds the difference to DFT nine times of ten, and sharp if it is not much wider than that.

    python examples/properties_with_error_bars.py Si.json Mo.json Cu.json Li.json W.json --data mlearn/
        --out examples/properties.json --plot examples/properties.png

With --data, the folder of the training and test files, the surface energies of their relaxed slabs are added.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.units import J, m

from ase_scatter import InputError, Model, ScatteringCalculator, System, read_frames
from ase_scatter.plotting import require_format
from ase_scatter.properties import (
    defect_formation,
    elastic_constants,
    energy_volume,
    evaluate,
    hop_end_points,
    migration_barrier,
    relax_cell,
    surface_energy,
    vacancy_formation,
)

REPEATS = {"Si": 2, "Mo": 3, "Cu": 3, "Li": 3, "W": 3}
"""Conventional cells along each edge of the supercell."""

SET = "of the training set"
MLEARN = "Zuo et al., J. Phys. Chem. A 124, 731 (2020), as remembered"
SILICON = "PW91: Bartók et al., Phys. Rev. X 8, 041048 (2018)"
TUNGSTEN = "Szlachta et al., Phys. Rev. B 90, 104108 (2014), as remembered"

DFT: dict[str, dict[str, tuple[float, str]]] = {
    "Si": {
        "a": (5.469, SET), "C11": (153.0, SET), "C12": (57.0, SET), "C44 clamped": (99.0, SET),
        "C44": (72.0, SILICON), "vacancy": (3.25, MLEARN), "vacancy, 216 sites": (3.65, SILICON),
        "hop": (0.21, MLEARN),
        "hexagonal": (3.72, SILICON), "tetrahedral": (3.91, SILICON), "dumbbell": (3.66, SILICON),
        "surface (100)": (0.136 / (J / m**2), SILICON),
    },
    "Mo": {
        "a": (3.169, SET), "C11": (484.0, SET), "C12": (163.0, SET), "C44": (107.0, SET),
        "vacancy": (2.70, MLEARN), "hop": (1.22, MLEARN),
    },
    "Cu": {
        "a": (3.634, SET), "C11": (180.0, SET), "C12": (134.0, SET), "C44": (84.0, SET),
        "vacancy": (1.15, MLEARN), "hop": (0.79, MLEARN),
    },
    "Li": {
        "a": (3.439, SET), "C11": (17.0, SET), "C12": (14.0, SET), "C44": (11.0, MLEARN),
        "vacancy": (0.62, MLEARN), "hop": (0.06, MLEARN),
    },
    "W": {
        "C11": (517.0, TUNGSTEN), "C12": (198.0, TUNGSTEN), "C44": (142.0, TUNGSTEN),
        "vacancy": (3.27, TUNGSTEN),
        "surface (100)": (0.251 / (J / m**2), TUNGSTEN), "surface (110)": (0.204 / (J / m**2), TUNGSTEN),
    },
}  # fmt: skip
"""Element → property → value and source. Å, GPa, eV, J/m²."""

UNITS = {"a": "Å", "C11": "GPa", "C12": "GPa", "C44": "GPa", "C44 clamped": "GPa"}
"""Of properties; surfaces are in J/m², all others in eV."""
DUMBBELL = np.array([0.55, 0.55, 0.0])
"""Half of the vector between the two atoms of a split interstitial, Å."""
FMAX = 0.01
"""Tolerance of relaxations, eV/Å."""


class Row(NamedTuple):
    """One property of one element, and the largest grade in its structure."""

    element: str
    name: str
    value: float
    half_width: float
    grade: float
    dft: float
    unit: str
    source: str

    @property
    def inside(self) -> bool:
        """Whether the error bar holds the difference."""
        return abs(self.value - self.dft) <= self.half_width


def main(arguments: list[str] | None = None) -> int:
    """Compute, print, write and draw the table; the exit code."""
    parser = argparse.ArgumentParser(description="Properties with error bars beside DFT.")
    parser.add_argument("models", nargs="+", help="files of models, each of one element")
    parser.add_argument("--data", help="folder of {El}_train.extxyz and {El}_test.extxyz, for their slabs")
    parser.add_argument("--out", default="properties.json", help="where to write (%(default)s)")
    parser.add_argument("--plot", help="a figure")
    options = parser.parse_args(arguments)
    rows: list[Row] = []
    try:
        if options.plot:
            require_format(options.plot)
        for path in options.models:
            model = Model.load(path)
            (element,) = model.elements
            if element not in DFT:
                raise InputError(f"there are no DFT values of {element}; take {', '.join(DFT)}")
            calculator = ScatteringCalculator(model)
            found = properties(element, calculator)
            rows += [
                Row(element, name, *found[name], dft, unit_of(name), source)
                for name, (dft, source) in DFT[element].items()
                if name in found
            ]
            if options.data:
                rows += slabs(element, calculator, Path(options.data))
            print(table([row for row in rows if row.element == element]), flush=True)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    summary = {key: summarised(chosen) for key, chosen in parts(rows).items()}
    print(json.dumps(summary, indent=1))
    written = {"rows": [{**row._asdict(), "inside": row.inside} for row in rows], "summary": summary}
    Path(options.out).write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n")
    if options.plot:
        draw(rows, options.plot)
    return 0


def unit_of(name: str) -> str:
    """Unit of a property."""
    return UNITS.get(name, "J/m²" if name.startswith("surface") else "eV")


Found = dict[str, tuple[float, float, float]]
"""Property → value, half-width and largest grade."""


def properties(element: str, calculator: ScatteringCalculator) -> Found:
    """All properties of an element's crystal."""
    found: Found = {}
    crystal = relax_cell(bulk(element, cubic=True), calculator).atoms
    curve = energy_volume(crystal, calculator)
    inside = grade(crystal, calculator)
    found["a"] = curve.a, width(curve.a_half_width), inside
    constants = elastic_constants(crystal, calculator)
    for clamped in (False, True):
        values, widths = constants.cubic(clamped=clamped), constants.cubic_half_width(clamped=clamped)
        for name in ("c11", "c12", "c44"):
            key = name.upper() + (" clamped" if clamped else "")
            found[key] = getattr(values, name), width(widths and getattr(widths, name)), inside
    supercell = crystal.repeat(REPEATS[element])
    vacancy = vacancy_formation(supercell, calculator, fmax=FMAX)
    found["vacancy"] = vacancy.energy, width(vacancy.energy_half_width), grade(vacancy.atoms, calculator)
    hop = migration_barrier(vacancy.atoms, hop_end_points(supercell)[1], calculator, fmax=0.02)
    saddle = hop.images[int(hop.energies.argmax())]
    found["hop"] = hop.forward, width(hop.forward_half_width), grade(saddle, calculator)
    if element == "Si":
        found |= silicon(crystal, calculator)
    for name in DFT[element]:
        if name.startswith("surface"):
            face = tuple(int(digit) for digit in name[9:-1])
            cut = surface_energy(crystal, calculator, (face[0], face[1], face[2]), layers=8, fmax=FMAX)
            found[name] = cut.energy, width(cut.energy_half_width), grade(cut.atoms, calculator)
    return found


def silicon(crystal: Atoms, calculator: ScatteringCalculator) -> Found:
    """The vacancy and the interstitials in 216 sites."""
    supercell = crystal.repeat(3)
    a = crystal.cell.lengths()[0]
    split = supercell.copy()
    split.positions[0] -= DUMBBELL
    starts = {
        "hexagonal": (supercell, np.array([0.625, 0.625, 0.625]) * a),
        "tetrahedral": (supercell, np.array([0.5, 0.5, 0.5]) * a),
        "dumbbell": (split, supercell.positions[0] + DUMBBELL),
    }
    defects = {name: host + Atoms("Si", positions=[where]) for name, (host, where) in starts.items()}
    defects["vacancy, 216 sites"] = supercell[1:]
    found = {}
    for name, defect in defects.items():
        result = defect_formation(supercell, defect, calculator, fmax=FMAX)
        found[name] = result.energy, width(result.energy_half_width), grade(result.atoms, calculator)
    return found


def slabs(element: str, calculator: ScatteringCalculator, folder: Path) -> list[Row]:
    """Surface energies of the relaxed slabs of a set, at their own positions."""
    sets = {}
    for part in ("train", "test"):
        path = folder / f"{element}_{part}.extxyz"
        sets[part] = read_frames(path) if path.exists() else []
    perfect = [frame for frame in sets["train"] if frame.group == "Elastic"]
    if not perfect:
        return []
    crystal = min(perfect, key=lambda frame: frame.energy / len(frame.system))
    rows = []
    for part, frames in sets.items():
        for number, frame in enumerate(f for f in frames if f.group == "Surface"):
            cell = frame.system.cell
            area = 2 * float(np.linalg.norm(np.cross(cell[0], cell[1]))) * (J / m**2)
            units = len(frame.system) / len(crystal.system)
            found = evaluate([as_atoms(frame.system), as_atoms(crystal.system)], calculator)
            values = (found.energy[:, 0] - units * found.energy[:, 1]) / area
            far = float(calculator.model.grade(frame.system).max())
            dft = (frame.energy - units * crystal.energy) / area
            spread = width(found.half_width(values, "energy"))
            rows.append(
                Row(element, f"slab {number}, {part}", float(values[0]), spread, far, dft, "J/m²", SET)
            )
    return rows


def as_atoms(system: System) -> Atoms:
    """The structure as ASE has it."""
    return Atoms(numbers=system.numbers, positions=system.positions, cell=system.cell, pbc=system.pbc)


def grade(atoms: Atoms, calculator: ScatteringCalculator) -> float:
    """The largest extrapolation grade of an atom."""
    return float(calculator.model.grade(System.from_atoms(atoms)).max())


def width(value: float | np.ndarray | None) -> float:
    """A half-width, nan for models without a committee."""
    return float("nan") if value is None else float(value)


def parts(rows: list[Row]) -> dict[str, list[Row]]:
    """All rows, those of each element, and those of slabs apart."""
    elements = dict.fromkeys(row.element for row in rows)
    found = {"all": rows, "slabs of the test files": [row for row in rows if row.name.endswith(", test")]}
    found["without slabs"] = [row for row in rows if not row.name.startswith("slab")]
    found |= {element: [row for row in rows if row.element == element] for element in elements}
    return {key: chosen for key, chosen in found.items() if chosen}


def summarised(rows: list[Row]) -> dict[str, Any]:
    """Fraction inside, and how wide error bars are beside the errors, each over the DFT value's size."""
    wrong = [abs((row.value - row.dft) / row.dft) for row in rows]
    wide = [row.half_width / abs(row.dft) for row in rows]
    return {
        "properties": len(rows),
        "inside": round(float(np.mean([row.inside for row in rows])), 3),
        "mean half-width over mean error": round(float(np.mean(wide) / np.mean(wrong)), 2),
        "outside": [f"{row.element} {row.name}" for row in rows if not row.inside],
        "of these with a grade above 1": [
            f"{row.element} {row.name}" for row in rows if not row.inside and row.grade > 1
        ],
    }


def table(rows: list[Row]) -> str:
    """The table as text."""
    lines = []
    for row in rows:
        mark = "" if row.inside else "  outside"
        if row.grade > 1:
            mark += f"  grade {row.grade:.1f}"
        value = f"{row.value:9.3f} ± {row.half_width:7.3f}   DFT {row.dft:8.3f} {row.unit:5s}"
        lines.append(f"{row.element:3s}{row.name:22s}{value}{mark}")
    return "\n".join(lines)


def draw(rows: list[Row], path: str) -> None:
    """Differences to DFT with error bars, both in percent of the DFT value."""
    import matplotlib.pyplot as plt

    shown = [row for row in rows if not row.name.startswith("slab")]
    figure, axes = plt.subplots(figsize=(7, 0.22 * len(shown) + 1), layout="constrained")
    for place, row in enumerate(shown):
        wrong, wide = (100 * x / row.dft for x in (row.value - row.dft, row.half_width))
        axes.errorbar(wrong, place, xerr=wide, fmt="o", ms=4, capsize=2, color="C0" if row.inside else "C3")
    axes.set_yticks(range(len(shown)), [f"{row.element} {row.name}" for row in shown], fontsize=7)
    axes.axvline(0, color="grey", lw=0.8)
    axes.set(xlabel="difference to DFT, %", xlim=(-60, 60))
    axes.invert_yaxis()
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
