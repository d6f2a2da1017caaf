"""Calls of the reference for a barrier: ase_scatter beside gpr-calc, on the example of its README.

A gold atom hops over Al(100) (13 atoms, EMT, two layers held), five images with the ends, forces on the band below
0.05 eV/Å. All start from the same relaxed ends, and all calls of EMT from there on are counted, those for the ends
included. Barriers are those of EMT on the band that each one ends with. In the cell of the README the atom hops by half
the cell, which `learn_barrier` refuses, since there are two ways; there a `LearningCalculator` drives ASE's band. The
second cell is longer by half. Writes onthefly_gpr_calc.json.

    pip install gpr-calc pyxtal mpich "scipy<1.17"
    python examples/onthefly_gpr_calc.py

The wheel of gpr-calc 0.0.7 holds kernels that Python cannot load; with g++, `CC=g++ python -m
gpr_calc.kernels.libdot_builder` (and `librbf_builder`), run in its parent folder, builds them.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import ase.constraints
import ase.stress
from ase.build import add_adsorbate, fcc100
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.io import write
from ase.mep import NEB
from ase.optimize import BFGS
from onthefly_figures import counted

from ase_scatter import LearningCalculator, learn_barrier

OUT = Path(__file__).with_suffix(".json")
FMAX = 0.05
MOVING = 3


def ends(length):
    slab = fcc100("Al", size=(length, 2, 3))
    add_adsorbate(slab, "Au", 1.7, "hollow")
    slab.center(axis=2, vacuum=4.0)
    slab.set_constraint(FixAtoms(mask=[atom.tag > 1 for atom in slab]))
    final = slab.copy()
    final[-1].x += slab.cell[0, 0] / length
    for atoms in (slab, final):
        atoms.calc = EMT()
        BFGS(atoms, logfile=None).run(fmax=0.02)
        atoms.calc = None
    return slab, final


def barrier(images):
    """Of EMT on these images, eV."""
    energies = [EMT().get_potential_energy(image) for image in images]
    return max(energies) - energies[0]


def relaxed_band(initial, final, calculator):
    """With ASE alone."""
    images = [initial.copy() for _ in range(MOVING + 1)] + [final.copy()]
    for image in images:
        image.calc = calculator
    band = NEB(images, k=0.1, method="aseneb", allow_shared_calculator=True)
    band.interpolate()
    converged = BFGS(band, logfile=None).run(fmax=FMAX, steps=100)
    return images, bool(converged)


def plain(initial, final):
    calculator, calls = counted(EMT())
    images, converged = relaxed_band(initial, final, calculator)
    return {"calls": len(calls), "barrier": barrier(images), "converged": converged}


def calculator_in_a_band(initial, final):
    began = time.process_time()
    calculator, calls = counted(EMT())
    images, converged = relaxed_band(initial, final, LearningCalculator(calculator))
    cpu = time.process_time() - began
    return {"calls": len(calls), "barrier": barrier(images), "converged": converged, "cpu_s": cpu}


def learnt(initial, final):
    began = time.process_time()
    calculator, calls = counted(EMT())
    found = learn_barrier(initial, final, calculator, images=MOVING, fmax=FMAX, ends="given")
    cpu = time.process_time() - began
    return {"calls": len(calls), "barrier": barrier(found.images), "converged": found.converged, "cpu_s": cpu}


def gpr(initial, final, tolerance):
    """As in the README of gpr-calc."""
    # It imports from where older versions of ASE had this.
    ase.constraints.full_3x3_to_voigt_6_stress = ase.stress.full_3x3_to_voigt_6_stress
    from gpr_calc.calculator import GPR
    from gpr_calc.gaussianprocess import GP
    from gpr_calc.NEB import get_images, neb_calc

    began = time.process_time()
    calculator, calls = counted(EMT())
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(open(os.devnull, "w")):
        names = [f"{folder}/{name}.traj" for name in ("initial", "final")]
        for name, atoms in zip(names, (initial, final), strict=True):
            write(name, atoms)
        images = get_images(*names, MOVING + 2)
        model = GP.set_GPR(images, calculator, noise_e=tolerance / len(initial), noise_f=0.1)
        band = neb_calc(images, GPR(base=calculator, ff=model, save=False), fmax=FMAX)
    return {
        "calls": len(calls),
        "barrier": barrier(band.images),
        "cpu_s": time.process_time() - began,
    }


def main(arguments=None):
    argparse.ArgumentParser(description="Calls for a barrier, beside gpr-calc.").parse_args(arguments)
    found = {}
    for length in (2, 3):
        pair = ends(length)
        here = found[f"{len(pair[0])} atoms"] = {"plain": plain(*pair)}
        here["LearningCalculator"] = calculator_in_a_band(*pair)
        if length > 2:
            here["learn_barrier"] = learnt(*pair)
        for tolerance in (0.02, 0.1, 0.2):
            here[f"gpr-calc, {tolerance} eV"] = gpr(*pair, tolerance)
        print(json.dumps(here, indent=1), flush=True)
    OUT.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
