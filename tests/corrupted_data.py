"""Small sets of data, and the ways in which data are usually wrong.

python tests/corrupted_data.py        what is found, as a table
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from ase_scatter.structures.dataset import Frame
from ase_scatter.structures.system import System

HARTREE, RYDBERG, BOHR, GPA = 27.211386, 13.605693, 0.52917721, 160.21766
N_FRAMES = 48


def _copper(rng):
    atoms = bulk("Cu", a=3.6, cubic=True)
    atoms.symbols[: rng.integers(0, 5)] = "Ni"
    return atoms, EMT(), 0.1


def _silicon(rng):
    # Not among the oldest versions, which have tests of their own.
    from matscipy.calculators.manybody import Manybody
    from matscipy.calculators.manybody.explicit_forms import TersoffBrenner
    from matscipy.calculators.manybody.explicit_forms.tersoff_brenner import Tersoff_PRB_39_5566_Si_C

    return bulk("Si", a=5.43, cubic=True), Manybody(**TersoffBrenner(Tersoff_PRB_39_5566_Si_C)), 0.12


def _argon(rng):
    atoms = bulk("Ar", a=5.26, cubic=True)
    return atoms, LennardJones(sigma=3.4, epsilon=0.0104, rc=8.0, smooth=True), 0.2


BASES = {"CuNi": _copper, "Si": _silicon, "Ar": _argon}


@lru_cache
def clean(base: str) -> tuple[Frame, ...]:
    """Strained, rattled cells, some with a vacancy, in two groups."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'where' used without 'out'")  # matscipy
        return tuple(_frame(base, k) for k in range(N_FRAMES))


def _frame(base: str, k: int) -> Frame:
    rng = np.random.default_rng(k)
    atoms, calculator, rattle = BASES[base](rng)
    strain = rng.normal(scale=0.02, size=(3, 3)) + rng.uniform(-0.04, 0.04) * np.eye(3)
    atoms.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
    if k % 3 == 2:
        atoms = atoms.repeat((2, 1, 1))
        del atoms[rng.integers(len(atoms))]
    atoms.rattle(rattle * rng.uniform(0.3, 1.0), rng=rng)
    atoms.calc = calculator
    return Frame(
        System.from_atoms(atoms), atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(),
        "hot" if k % 2 else "cold",
    )  # fmt: skip


Corruption = Callable[[Frame, int], Frame]


def energy(factor: float) -> Corruption:
    return lambda f, k: replace(f, energy=factor * f.energy)


def forces(factor: float) -> Corruption:
    return lambda f, k: replace(f, forces=factor * f.forces)


def stress(factor: float) -> Corruption:
    return lambda f, k: replace(f, stress=factor * f.stress)


def lengths(factor: float) -> Corruption:
    def corrupted(f, k):
        system = replace(f.system, positions=factor * f.system.positions, cell=factor * f.system.cell)
        return replace(f, system=system)

    return corrupted


def only(corruption: Corruption, which: Callable[[int], bool]) -> Corruption:
    return lambda f, k: corruption(f, k) if which(k) else f


def hot(k: int) -> bool:
    return bool(k % 2)


def one(k: int) -> bool:
    return k == 17


def few(k: int) -> bool:
    return k in (5, 17, 28, 40)


def off(energy_per_atom: float) -> Corruption:
    """Energies moved, of argon by a tenth of that."""

    def corrupted(f, k):
        size = energy_per_atom * (0.1 if f.system.numbers[0] == 18 else 1.0)
        return replace(f, energy=f.energy + size * len(f.system))

    return corrupted


def spike(f: Frame, k: int) -> Frame:
    wild = f.forces.copy()
    wild[1] += 30.0 * np.sqrt(np.mean(f.forces**2)) * np.array([1.0, -0.5, 0.3])
    wild -= wild.mean(axis=0)
    return replace(f, forces=wild)


def pulay(f: Frame, k: int) -> Frame:
    """A virial per atom as large as is usual of the others."""
    size = 0.4 if f.system.numbers[0] != 18 else 0.02
    return replace(f, stress=f.stress + size * len(f.system) / f.system.volume * np.array([1, 1, 1, 0, 0, 0]))


def shuffled(f: Frame, k: int) -> Frame:
    return replace(f, forces=np.roll(f.forces, 1, axis=0))


def voigt(f: Frame, k: int) -> Frame:
    return replace(f, stress=f.stress[[0, 1, 2, 5, 3, 4]])


def again(label: float) -> Callable[[tuple[Frame, ...]], list[Frame]]:
    return lambda frames: [
        *frames,
        *(replace(f, energy=f.energy + label * len(f.system)) for f in frames[:3]),
    ]


SINGLE: dict[str, tuple[str, Corruption]] = {
    "energies in Hartree": ("energies", energy(1 / HARTREE)),
    "energies in Rydberg": ("energies", energy(1 / RYDBERG)),
    "energies in meV": ("energies", energy(1000.0)),
    "energies in kcal/mol": ("energies", energy(23.060548)),
    "energies per atom": ("energies", lambda f, k: replace(f, energy=f.energy / len(f.system))),
    "energies flipped": ("energies|forces", energy(-1.0)),
    "one energy off by 3 eV/atom": ("energies", only(off(3.0), one)),
    "one energy missing a digit": ("energies", only(energy(0.1), one)),
    "energies of one group off": ("mixed labels", only(off(0.5), hot)),
    "energies of a quarter off, no groups": (
        "mixed labels", lambda f, k: replace(off(0.5)(f, k) if k % 4 == 0 else f, group=""),
    ),
    "forces flipped": ("forces", forces(-1.0)),
    "forces in Hartree/Bohr": ("forces", forces(BOHR / HARTREE)),
    "forces per Bohr": ("forces", forces(BOHR)),
    "forces in meV/Å": ("forces", forces(1000.0)),
    "forces in kcal/mol/Å": ("forces", forces(23.060548)),
    "forces of one group flipped": ("forces", only(forces(-1.0), lambda k: k % 3 == 0)),
    "forces of four frames in Hartree/Bohr": ("forces", only(forces(BOHR / HARTREE), few)),
    "forces of two frames flipped": ("forces", only(forces(-1.0), lambda k: k in (17, 28))),
    "forces with a net force": ("net forces", lambda f, k: replace(f, forces=f.forces + np.std(f.forces))),
    "forces of atoms permuted in four frames": ("forces", only(shuffled, few)),
    "forces of one atom wild": ("forces", only(spike, one)),
    "forces of four frames zero": ("forces", only(forces(0.0), few)),
    "stresses flipped": ("stresses", stress(-1.0)),
    "stresses in GPa": ("stresses", stress(GPA)),
    "stresses in kbar, VASP's sign": ("stresses", stress(-10 * GPA)),
    "stresses as virials": ("stresses", lambda f, k: replace(f, stress=-f.stress * f.system.volume)),
    "stresses in Hartree/Bohr³": ("stresses", stress(BOHR**3 / HARTREE)),
    "stresses with a constant virial": ("stresses", pulay),
    "stresses in another order": ("stresses", voigt),
    "stresses of one group flipped": ("stresses", only(stress(-1.0), lambda k: k % 3 == 0)),
    "lengths in Bohr": ("positions", lengths(1 / BOHR)),
    "lengths in nm": ("positions", lengths(0.1)),
    "lengths of one frame in nm": ("positions", only(lengths(0.1), one)),
    "all labels in Hartree and Bohr": (
        "forces", lambda f, k: replace(f, energy=f.energy / HARTREE, forces=f.forces * BOHR / HARTREE,
                                       stress=f.stress * BOHR**3 / HARTREE),
    ),
}  # fmt: skip
"""Name → names of findings, one of which must be there, and what is done to each frame."""

WHOLE: dict[str, tuple[str, Callable[[tuple[Frame, ...]], list[Frame]]]] = {
    "structures twice": ("duplicates", again(0.0)),
    "structures twice with other energies": ("duplicates", again(0.05)),
}


def cases() -> list[tuple[str, str]]:
    """All sets and corruptions that go together."""
    found = [(base, name) for base in BASES for name in (*SINGLE, *WHOLE)]
    # Distances of noble gases tell no unit; that of all lengths is told by the labels.
    found.remove(("Ar", "lengths in nm"))
    found.remove(("Ar", "lengths of one frame in nm"))
    return found


def corrupted(base: str, name: str) -> list[Frame]:
    """A set with one of the corruptions."""
    if name in WHOLE:
        return WHOLE[name][1](clean(base))
    return [SINGLE[name][1](frame, k) for k, frame in enumerate(clean(base))]


def expected(name: str) -> set[str]:
    """Names of the findings of which one must be there."""
    return set({**SINGLE, **WHOLE}[name][0].split("|"))


if __name__ == "__main__":
    import time

    from ase_scatter.training.data_checks import check_data

    for base in BASES:
        start = time.process_time()
        told = [finding.sentence for finding in check_data(clean(base), workers=1)]
        print(f"{base:5} clean: {told} {time.process_time() - start:.2f} s")
    missed = 0
    for base, name in cases():
        found = check_data(corrupted(base, name), workers=1)
        right = bool(expected(name) & {finding.name for finding in found})
        missed += not right
        print(
            f"{base:5} {'found ' if right else 'MISSED'} {name:40}", *(f"[{f.name}: {f.text}]" for f in found)
        )
    print(f"{len(cases()) - missed} of {len(cases())} found")
