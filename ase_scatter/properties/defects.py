"""Formation energies of point defects: vacancies, interstitials, antisites and others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from numpy.typing import ArrayLike, NDArray

from ..compute.parallel import Progress
from ..errors import InputError
from .common import require_crystal
from .formation import formation
from .result import Result

NEAREST = 0.5
"""Å. An interstitial nearer to another atom than this is a mistake."""


@dataclass(frozen=True)
class DefectFormation(Result):
    """A point defect in a supercell.

    Parameters
    ----------
    energy : float
        Formation energy with relaxed ions, eV.
    unrelaxed : float
        Formation energy with the atoms where they were put, eV.
    energy_half_width : float or None
        Half-width of the 90 % interval of `energy`, eV; None without a committee. It follows from the
        members' energies of the relaxed structures, which to first order is the spread of each member's
        own relaxed defect.
    n_atoms : int
        Atoms of the perfect supercell.
    atoms : Atoms
        The relaxed structure, without a calculator.
    max_force : float
        Largest force that is left, eV/Å.
    converged : bool
        Whether the forces are below the tolerance.
    """

    energy: float
    unrelaxed: float
    energy_half_width: float | None
    n_atoms: int
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
    """Formation energy of a vacancy, E(supercell without one atom) + μ − E(supercell).

    Parameters
    ----------
    supercell : Atoms
        The perfect crystal, relaxed, large enough that a vacancy does not see its periodic images. The
        vacancy has the same cell.
    calculator : BaseCalculator
        Any calculator of ASE; one with a committee gives a half-width.
    index : int, default 0
        The atom to be taken out.
    atom_energy : float, optional
        μ, the energy of that atom in its reservoir, eV. By default the crystal's energy per atom, which
        only an elemental crystal has.
    rattle : float, default 0
        Width (Å) of random displacements before the relaxation, the same each time; for vacancies that
        lower their symmetry.
    fmax : float, default 0.01
        Tolerance on the forces, eV/Å.
    steps : int, default 300
        Most steps of the relaxation; check `converged`.
    progress : bool or callable, default False
        As in `compute.parallel.Progress`.
    name : str, default "vacancy"
        What the progress is called.

    Returns
    -------
    DefectFormation
        The formation energy and the relaxed structure.

    Raises
    ------
    InputError
        If the supercell is no crystal or has no such atom, and for a compound without `atom_energy`.
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
    position: ArrayLike,
    atom_energy: float | None = None,
    rattle: float = 0.0,
    fmax: float = 0.01,
    steps: int = 300,
    progress: Progress = False,
    name: str = "interstitial",
) -> DefectFormation:
    """Formation energy of an interstitial, E(supercell with one atom more) − μ − E(supercell).

    Parameters
    ----------
    supercell : Atoms
        The perfect crystal, relaxed, large enough that an interstitial does not see its periodic images.
    calculator : BaseCalculator
        Any calculator of ASE; one with a committee gives a half-width.
    element : str
        Chemical symbol of the atom that is put in.
    position : array_like, shape (3,)
        Where it is put, Cartesian, Å.
    atom_energy : float, optional
        μ, the energy of that atom in its reservoir, eV; by default the crystal's energy per atom, if it is
        an elemental crystal of this element.
    rattle : float, default 0
        Width (Å) of random displacements before the relaxation, the same each time.
    fmax : float, default 0.01
        Tolerance on the forces, eV/Å.
    steps : int, default 300
        Most steps of the relaxation; check `converged`.
    progress : bool or callable, default False
        As in `compute.parallel.Progress`.
    name : str, default "interstitial"
        What the progress is called.

    Returns
    -------
    DefectFormation
        The formation energy and the relaxed structure.

    Raises
    ------
    InputError
        If the supercell is no crystal, if an atom is at this position already, and without a reservoir for
        the element.
    """
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
    """Formation energy of any point defect, E(defect) − E(perfect) − Σ Δn μ, at the same cell.

    Parameters
    ----------
    perfect : Atoms
        The crystal's supercell, relaxed.
    defect : Atoms
        The same with atoms taken out, put in or exchanged; its ions are relaxed.
    calculator : BaseCalculator
        Any calculator of ASE; one with a committee gives a half-width.
    reservoirs : mapping, optional
        Element → μ in eV, of the elements whose number Δn changes. In an elemental crystal the default is
        its energy per atom.
    rattle : float, default 0
        Width (Å) of random displacements before the relaxation, the same each time.
    fmax : float, default 0.01
        Tolerance on the forces, eV/Å.
    steps : int, default 300
        Most steps of the relaxation; check `converged`.
    progress : bool or callable, default False
        As in `compute.parallel.Progress`.
    name : str, default "defect"
        What the progress is called.

    Returns
    -------
    DefectFormation
        The formation energy and the relaxed structure.

    Raises
    ------
    InputError
        If `perfect` is no crystal, if the cells or compositions do not make a point defect, and if a
        reservoir is missing.

    References
    ----------
    Freysoldt et al., Rev. Mod. Phys. 86, 253 (2014), https://doi.org/10.1103/RevModPhys.86.253
    """
    require_crystal(perfect)
    if not np.allclose(perfect.cell, defect.cell, atol=1e-8):
        raise InputError("the defect must be in the same cell as the perfect crystal")
    change = Counter(defect.get_chemical_symbols())
    change.subtract(perfect.get_chemical_symbols())
    changed = {symbol: n for symbol, n in change.items() if n}
    if not changed:
        raise InputError("nothing was taken out, put in or exchanged: this is no point defect")
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

    def cost(broken: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
        return broken - whole - fixed - taken * whole

    found = formation(
        defect, perfect, cost, calculator,
        rattle=rattle, fmax=fmax, steps=steps, progress=progress, name=name,
    )  # fmt: skip
    return DefectFormation(**found._asdict(), n_atoms=len(perfect))
