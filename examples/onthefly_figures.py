"""How many reference calculations properties take when a potential learns while it is used.

Each part runs with a cheap reference, plainly and by learning, and writes what it found into a JSON file at
once. Elastic constants and phonons of silicon, hops with EMT, Kumagai's potential (matscipy) and GFN1-xTB
(tblite), and dynamics of silicon from 300 to 1500 K. Parts whose reference is not installed are left out.

    python examples/onthefly_figures.py                  # all parts, about five minutes of CPU
    python examples/onthefly_figures.py silicon dynamics # some of them
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from ase.build import add_adsorbate, bulk, fcc100
from ase.calculators.calculator import all_changes
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.io import read
from ase.optimize import BFGS, LBFGS
from ase.spacegroup import crystal

from ase_scatter import learn_barrier, learn_elastic, learn_md, learn_phonons
from ase_scatter.plotting import learned_barrier_plot
from ase_scatter.properties import elastic_constants, hop_end_points, phonons, relax_cell
from ase_scatter.properties.elastic_band import BatchedNEB, first_guess, optimise

HERE = Path(__file__).parent
OUT = HERE / "onthefly_figures.json"


def kumagai():
    from matscipy.calculators.manybody import Manybody
    from matscipy.calculators.manybody.explicit_forms.kumagai import Kumagai, Kumagai_Comp_Mat_Sci_39_Si

    return Manybody(**Kumagai(Kumagai_Comp_Mat_Sci_39_Si))


def gfn1():
    from tblite.ase import TBLite

    return TBLite(method="GFN1-xTB", verbosity=0)


def bks():
    """Silica by van Beest, Kramer and van Santen, Phys. Rev. Lett. 64, 1955 (1990), within 10 Å.

    Charges are damped and shifted as by C. J. Fennell and J. D. Gezelter, J. Chem. Phys. 124, 234104 (2006).
    """
    from matscipy.calculators.pair_potential.calculator import BeestKramerSanten, PairPotential
    from scipy.special import erfc

    cutoff, damping = 10.0, 0.2
    edge = erfc(damping * cutoff) / cutoff
    slope = -edge / cutoff - 2 * damping / np.sqrt(np.pi) * np.exp(-((damping * cutoff) ** 2)) / cutoff

    class Silica(BeestKramerSanten):
        def __init__(self, charges, a=0.0, b=1.0, c=0.0):
            super().__init__(a, b, c, cutoff)
            self.charges = 14.399645 * charges

        def __call__(self, r, *args):
            return super().__call__(r) + self.charges * (erfc(damping * r) / r - edge - slope * (r - cutoff))

        def first_derivative(self, r, *args):
            gauss = 2 * damping / np.sqrt(np.pi) * np.exp(-((damping * r) ** 2))
            return super().first_derivative(r) - self.charges * (erfc(damping * r) / r**2 + gauss / r + slope)

    return PairPotential(
        {
            (14, 14): Silica(2.4 * 2.4),
            (8, 14): Silica(-1.2 * 2.4, 18003.7572, 4.87318, 133.5381),
            (8, 8): Silica(1.2 * 1.2, 1388.7730, 2.76, 175.0),
        }
    )


def counted(calculator):
    """The calculator, and a list with one entry for each structure that it has computed."""
    calls = []
    inner = calculator.calculate

    def calculate(atoms=None, properties=("energy",), system_changes=all_changes):
        if system_changes:
            calls.append(1)
        inner(atoms, properties, system_changes)

    calculator.calculate = calculate
    return calculator, calls


# ---- barriers --------------------------------------------------------------------------------------------


def adatom():
    slab = fcc100("Al", size=(3, 3, 3))
    add_adsorbate(slab, "Au", 1.7, "hollow")
    slab.center(axis=2, vacuum=4.0)
    slab.set_constraint(FixAtoms(mask=[atom.tag > 1 for atom in slab]))
    final = slab.copy()
    final[-1].x += slab.cell[0, 0] / 3
    return slab, final


def plain_barrier(ends, make):
    """The same band, relaxed by the reference alone."""
    calculator, calls = counted(make())
    relaxed = []
    for end in ends:
        atoms = end.copy()
        atoms.calc = calculator
        BFGS(atoms, logfile=None).run(fmax=0.02)
        relaxed.append(atoms)
    n_ends = len(calls)
    band = first_guess(*relaxed, 5)
    neb = BatchedNEB(band, calculator, method="improvedtangent", k=0.1)
    converged, _ = optimise(neb, True, 0.05, 300, lambda: None, LBFGS)
    energies = [image.get_potential_energy() for image in band]
    return {
        "barrier": max(energies) - energies[0],
        "calls_band": len(calls) - n_ends,
        "calls_ends": n_ends,
        "converged": bool(converged),
    }


def barrier(ends, make, figure=None):
    plain = plain_barrier(ends, make)
    began = time.process_time()
    found = learn_barrier(*ends, make())
    if figure:
        learned_barrier_plot(found, HERE / figure, title="Vacancy in 64 Si, Kumagai's potential")
    return {
        "plain": plain,
        "learnt": {
            "barrier": found.forward,
            "calls_band": found.n_reference,
            "calls_ends": found.n_reference_ends,
            "converged": found.converged,
            "saddle_error": found.saddle_error,
            "history": found.history,
            "cpu_s": time.process_time() - began,
        },
        "difference_meV": 1000 * (found.forward - plain["barrier"]),
    }


# ---- crystals and dynamics -------------------------------------------------------------------------------


def elastic(start, make):
    calculator, calls = counted(make())
    rest = relax_cell(start, calculator, keep="nothing", fmax=0.001).atoms
    n_relax = len(calls)
    plain = elastic_constants(rest, calculator).tensor
    found = learn_elastic(start, make())
    size = np.maximum(np.abs(plain), 0.1 * np.abs(plain).max())
    error = np.abs(found.found.tensor - plain)
    within = (error <= 0.02 * np.abs(plain)) | (error <= found.found.tensor_half_width)
    there = np.abs(plain) > 1e-3 * np.abs(plain).max()
    return {
        "plain": {"tensor": plain.tolist(), "calls_relaxation": n_relax, "calls": len(calls) - n_relax},
        "learnt": {
            "tensor": found.found.tensor.tolist(),
            "half_width": found.found.tensor_half_width.tolist(),
            "calls": found.n_reference,
            "converged": found.converged,
        },
        "largest_error": float((error / size).max()),
        "within_2_percent_or_bar": bool(within[there].all()),
    }


def silicon():
    start = bulk("Si", cubic=True)
    start.rattle(0.05, seed=0)
    start.set_cell(start.cell * 1.01, scale_atoms=True)
    return elastic(start, kumagai)


def quartz():
    """α-quartz, from the lattice and the positions of the experiment."""
    start = crystal(
        ("Si", "O"), [(0.4697, 0, 2 / 3), (0.4133, 0.2672, 0.7855)], spacegroup=154,
        cellpar=[4.9134, 4.9134, 5.4052, 90, 90, 120],
    )  # fmt: skip
    return elastic(start, bks)


def vibrations():
    crystal = relax_cell(bulk("Si"), kumagai()).atoms
    plain = phonons(crystal, kumagai(), supercell=(4, 4, 4)).frequencies
    found = learn_phonons(crystal, kumagai(), supercell=(4, 4, 4))
    error = np.abs(found.found.frequencies - plain)
    return {
        "learnt": {"calls": found.n_reference, "converged": found.converged},
        "largest_error_THz": float(error.max()),
        "largest_relative_error": float((error / np.maximum(plain, 0.1 * plain.max())).max()),
        "inside": float(np.mean(error <= found.found.frequencies_half_width)),
    }


def dynamics():
    began = time.process_time()
    found = learn_md(
        bulk("Si", cubic=True).repeat(2), kumagai(), temperature=(300.0, 1500.0), steps=10_000, checks=100
    )
    return {
        "plain": {"calls": found.steps},
        "learnt": {
            "calls": found.n_reference,
            "checks": found.n_checks,
            "inside": found.inside,
            "error": found.error,
            "last_temperature": float(found.temperatures[-20:].mean()),
            "cpu_s": time.process_time() - began,
        },
    }


PARTS = {
    "adatom": lambda: barrier(adatom(), EMT),
    "copper": lambda: barrier(hop_end_points(bulk("Cu", cubic=True).repeat(3)), EMT),
    "silicon_vacancy": lambda: barrier(
        hop_end_points(bulk("Si", cubic=True).repeat(2)), kumagai, "onthefly_barrier.png"
    ),
    "acetylacetone": lambda: barrier(read(HERE / "acetylacetone.xyz", ":"), gfn1),
    "silicon": silicon,
    "quartz": quartz,
    "vibrations": vibrations,
    "dynamics": dynamics,
}


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Reference calculations that properties take by learning.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; by default all")
    names = parser.parse_args(arguments).parts
    if strange := sorted(set(names) - set(PARTS)):
        parser.error(f"no such part: {', '.join(strange)}")
    found = json.loads(OUT.read_text()) if OUT.exists() else {}
    for name in names or PARTS:
        try:
            found[name] = PARTS[name]()
        except ImportError as error:
            print(f"{name}: left out, {error}")
            continue
        OUT.write_text(json.dumps(found, indent=1, default=float) + "\n")
        print(name, json.dumps(found[name], default=float)[:400], flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
