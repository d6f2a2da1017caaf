"""Let a neighbour hop into a vacancy of molybdenum, and see how sure the potential is of the barrier.

python examples/vacancy_hop_mo.py
python examples/vacancy_hop_mo.py --repeat 4 --images 7 --out hop.png --trajectory hop.traj
"""

from __future__ import annotations

import argparse
import sys

from ase.build import bulk

from ase_scatter import InputError, Model, ScatteringCalculator
from ase_scatter.plotting import barrier_plot, require_format
from ase_scatter.properties import Barrier, relax_cell, vacancy_hop


def main(arguments: list[str] | None = None) -> int:
    """Find the barrier, print and draw it; the exit code."""
    parser = argparse.ArgumentParser(description="Barrier of a vacancy's hop in molybdenum.")
    parser.add_argument("--model", default="Mo", help="a shipped name or a file (%(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="conventional cells per edge (%(default)s)")
    parser.add_argument("--images", type=int, default=5, help="moving images (%(default)s)")
    parser.add_argument("--out", default="vacancy-hop-Mo.png", help="the figure (%(default)s)")
    parser.add_argument("--trajectory", help="write all bands, or go on from the last one")
    options = parser.parse_args(arguments)
    try:
        require_format(options.out)
        model = Model.load(options.model)
        barrier = hop(model, options.repeat, options.images, options.trajectory)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    peers = model.metadata.get("reference", {}).get("peers", {})
    published = {name: values["vacancy_migration"] for name, values in peers.items()}
    barrier_plot(barrier, options.out, references=published, title=f"Vacancy in Mo, model {model.name}")
    state = "converged" if barrier.converged else "NOT converged"
    print(f"{state} in {barrier.steps} steps, {len(barrier.images[0])} atoms")
    half_width = barrier.forward_half_width
    print(f"barrier {barrier.forward:.3f} eV" + ("" if half_width is None else f" ± {half_width:.3f} eV"))
    for name, value in published.items():
        where = ""
        if half_width is not None:
            inside = abs(value - barrier.forward) <= half_width
            where = ", inside the error bar" if inside else ", outside the error bar"
        print(f"{name} {value:.3f} eV{where}")
    return 0 if barrier.converged else 1


def hop(model: Model, repeat: int, images: int, trajectory: str | None) -> Barrier:
    """The barrier in a supercell of the relaxed crystal."""
    calculator = ScatteringCalculator(model)
    crystal = relax_cell(bulk("Mo", cubic=True), calculator).atoms
    return vacancy_hop(
        crystal.repeat(repeat), calculator, images=images, fmax=0.02, trajectory=trajectory, progress=True
    )


if __name__ == "__main__":
    sys.exit(main())
