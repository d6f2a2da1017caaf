"""Formation energies: vacancies and other point defects, and surfaces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import surface
from ase.calculators.calculator import BaseCalculator
from ase.units import J, m
from numpy.typing import NDArray

from ..errors import InputError
from .common import Progress, Result, band, members_of, require_crystal, with_calculator
from .relax import relax_positions

Formation = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""Energies of what is broken and of what is sound → what breaking it costs."""

NEAREST = 0.5
"""An interstitial nearer (Å) to another atom than this is a mistake."""


@dataclass(frozen=True)
class DefectFormation(Result):
    """A point defect in a supercell.

    energy: formation energy with relaxed ions, eV. unrelaxed: the same with the atoms where they were put,
    eV. energy_band: half-width of the 90 % band of `energy`, None without a committee: from the members'
    energies of the relaxed structures, which to first order is the spread of each member's own relaxed
    defect. n_atoms: atoms of the perfect supercell. atoms: the relaxed structure, without a calculator.
    max_force: what is left of the forces, eV/Å. converged: whether they are below the tolerance.
    """

    energy: float
    unrelaxed: float
    energy_band: float | None
    n_atoms: int
    atoms: Atoms
    max_force: float
    converged: bool


@dataclass(frozen=True)
class SurfaceEnergy(Result):
    """A crystal cut in two.

    energy: of one face of a slab with relaxed ions, J/m²; unrelaxed: as it was cut; energy_band: as in
    `DefectFormation`. area: of the cell's face, Å². layers: as asked for. atoms, max_force, converged: of
    the slab.
    """

    energy: float
    unrelaxed: float
    energy_band: float | None
    area: float
    miller: tuple[int, int, int]
    layers: int
    atoms: Atoms
    max_force: float
    converged: bool


def vacancy_formation(
    supercell: Atoms,
    calculator: BaseCalculator,
    *,
    index: int = 0,
    atom_energy: float | None = None,
    rattle: float = 0.0,
    fmax: float = 0.01,
    steps: int = 300,
    progress: Progress = False,
    name: str = "vacancy",
) -> DefectFormation:
    """E_f = E(supercell without one atom) + μ − E(supercell), at the supercell's volume.

    supercell: the perfect crystal, relaxed, large enough that a vacancy does not see its images.
    index: the atom to be taken out. atom_energy: μ, the energy of that atom in its reservoir, eV;
    by default the crystal's energy per atom, which only an elemental crystal has. rattle: width
    (Å) of random displacements (the same each time) before relaxing, for vacancies that lower
    their symmetry. Check `converged`. Raises InputError for a compound without atom_energy.
    """
    require_crystal(supercell)
    if not -len(supercell) <= index < len(supercell) or len(supercell) < 2:
        raise InputError(f"there is no atom {index} to take out of {len(supercell)} atoms")
    defect = supercell.copy()
    symbol = defect[index].symbol
    del defect[index]
    return defect_formation(
        supercell, defect, calculator, reservoirs=None if atom_energy is None else {symbol: atom_energy},
        rattle=rattle, fmax=fmax, steps=steps, progress=progress, name=name,
    )  # fmt: skip


def interstitial_formation(
    supercell: Atoms,
    calculator: BaseCalculator,
    *,
    element: str,
    position: NDArray[np.float64],
    atom_energy: float | None = None,
    rattle: float = 0.0,
    fmax: float = 0.01,
    steps: int = 300,
    progress: Progress = False,
    name: str = "interstitial",
) -> DefectFormation:
    """E_f of one atom more, put at a position (3,) in Å; the rest as in `vacancy_formation`."""
    require_crystal(supercell)
    defect = supercell.copy() + Atoms(element, positions=[np.asarray(position, dtype=np.float64)])
    distances = defect.get_distances(-1, range(len(supercell)), mic=True)
    if distances.min() < NEAREST:
        raise InputError(
            f"the interstitial would be {distances.min():.2f} Å from atom {int(np.argmin(distances))}; "
            "give it a place between the atoms"
        )
    return defect_formation(
        supercell, defect, calculator, reservoirs=None if atom_energy is None else {element: atom_energy},
        rattle=rattle, fmax=fmax, steps=steps, progress=progress, name=name,
    )  # fmt: skip


def defect_formation(
    perfect: Atoms,
    defect: Atoms,
    calculator: BaseCalculator,
    *,
    reservoirs: Mapping[str, float] | None = None,
    rattle: float = 0.0,
    fmax: float = 0.01,
    steps: int = 300,
    progress: Progress = False,
    name: str = "defect",
) -> DefectFormation:
    """E_f = E(defect) − E(perfect) − Σ Δn μ, at the same cell: vacancies, interstitials, antisites, …

    perfect: the crystal's supercell, relaxed. defect: the same with atoms taken out, put in or exchanged;
    its ions are relaxed. reservoirs: element → μ in eV, of the elements whose number Δn changes; in an
    elemental crystal by default its energy per atom. rattle, fmax, steps: as in `vacancy_formation`.
    """
    require_crystal(perfect)
    if not np.allclose(perfect.cell, defect.cell, atol=1e-8):
        raise InputError("the defect must be in the same cell as the perfect crystal")
    change = Counter(defect.get_chemical_symbols())
    change.subtract(perfect.get_chemical_symbols())
    changed = {symbol: n for symbol, n in change.items() if n}
    if not changed:
        raise InputError("nothing was taken out, put in or exchanged: this is no point defect")
    whole = with_calculator(perfect, calculator)
    energy = float(whole.get_potential_energy())
    known = dict(reservoirs or {})
    own = set(perfect.get_chemical_symbols())
    # The crystal itself is a reservoir of its only element.
    itself = next(iter(own)) if len(own) == 1 and own - set(known) else None
    if missing := sorted(set(changed) - set(known) - {itself}):
        raise InputError(
            "the formation energy depends on where atoms go to or come from; give the energy of an "
            f"atom of {', '.join(missing)} in its reservoir (atom_energy, or reservoirs)"
        )
    fixed = sum(n * known[symbol] for symbol, n in changed.items() if symbol != itself)
    taken = changed.get(itself, 0) / len(perfect) if itself else 0.0

    def formation(with_defect: NDArray[np.float64], without: NDArray[np.float64]) -> NDArray[np.float64]:
        return with_defect - without - fixed - taken * without

    unrelaxed = float(with_calculator(defect, calculator).get_potential_energy())
    moved = _rattled(defect, rattle)
    relaxed = relax_positions(moved, calculator, fmax=fmax, steps=steps, progress=progress, name=name)
    reference = np.array(energy)
    return DefectFormation(
        energy=float(formation(np.array(relaxed.energy), reference)),
        unrelaxed=float(formation(np.array(unrelaxed), reference)),
        energy_band=_band(calculator, relaxed.atoms, whole, formation),
        n_atoms=len(perfect),
        atoms=relaxed.atoms,
        max_force=relaxed.max_force,
        converged=relaxed.converged,
    )


def surface_energy(
    crystal: Atoms,
    calculator: BaseCalculator,
    miller: tuple[int, int, int],
    *,
    layers: int = 8,
    repeat: tuple[int, int] = (1, 1),
    rattle: float = 0.0,
    fmax: float = 0.01,
    steps: int = 300,
    progress: Progress = False,
    name: str = "surface",
) -> SurfaceEnergy:
    """γ = (E(slab) − N E(crystal)/N_crystal) / 2A of a slab with two faces.

    crystal: relaxed, conventional cell (whose axes miller refers to), of one element or such that both
    faces of the slab have the crystal's composition. layers: of the slab, as `ase.build.surface` counts
    them. repeat: cells in the plane, for reconstructions. The slab is open in its third direction: vacuum
    does not come in. rattle: as in `vacancy_formation`.
    """
    require_crystal(crystal)
    if layers < 2 or not any(miller):
        raise InputError("a slab needs Miller indices that are not all zero, and at least two layers")
    slab = surface(crystal, tuple(miller), layers, vacuum=5.0).repeat((*repeat, 1))
    slab.pbc = (True, True, False)
    units = len(slab) / len(crystal)
    if Counter(slab.get_chemical_symbols()) != Counter(
        {symbol: n * units for symbol, n in Counter(crystal.get_chemical_symbols()).items()}
    ):
        raise InputError("the slab has not the composition of the crystal; choose another number of layers")
    area = float(np.linalg.norm(np.cross(slab.cell[0], slab.cell[1])))
    whole = with_calculator(crystal, calculator)
    energy = float(whole.get_potential_energy())
    unrelaxed = float(with_calculator(slab, calculator).get_potential_energy())
    moved = _rattled(slab, rattle)
    relaxed = relax_positions(moved, calculator, fmax=fmax, steps=steps, progress=progress, name=name)

    def gamma(cut: NDArray[np.float64], sound: NDArray[np.float64]) -> NDArray[np.float64]:
        return (cut - units * sound) / (2 * area) / (J / m**2)

    return SurfaceEnergy(
        energy=float(gamma(np.array(relaxed.energy), np.array(energy))),
        unrelaxed=float(gamma(np.array(unrelaxed), np.array(energy))),
        energy_band=_band(calculator, relaxed.atoms, whole, gamma),
        area=area,
        miller=miller,
        layers=layers,
        atoms=relaxed.atoms,
        max_force=relaxed.max_force,
        converged=relaxed.converged,
    )


def _rattled(atoms: Atoms, width: float) -> Atoms:
    """A copy with random displacements of that width (Å), the same each time."""
    moved: Atoms = atoms.copy()
    if width > 0:
        moved.positions += np.random.default_rng(0).normal(scale=width, size=(len(moved), 3))
    return moved


def _band(calculator: BaseCalculator, broken: Atoms, sound: Atoms, formation: Formation) -> float | None:
    """Half-width of the 90 % band of a formation energy, of the members' energies of both structures."""
    defect, perfect = members_of(calculator, broken), members_of(calculator, sound)
    if defect is None or perfect is None:
        return None
    return float(band(formation(defect.energy, perfect.energy), defect.factors.get("energy", np.nan)))
