"""Tables of the properties of crystals: elastic constants, equation of state, defects, barriers."""

from __future__ import annotations

from ..properties import Barrier, DefectFormation, ElasticConstants, EnergyVolume, SurfaceEnergy
from .tables import measured, text_table, value_table

VOIGT_NAMES = ("xx", "yy", "zz", "yz", "xz", "xy")
"""Rows and columns of the elastic tensor."""

FIRST_CUBIC = 195
"""Number of the first cubic space group."""

MODULI = {
    "bulk": ("bulk modulus, Hill (GPa)", ".1f"),
    "shear": ("shear modulus, Hill (GPa)", ".1f"),
    "young": ("Young's modulus, Hill (GPa)", ".1f"),
    "poisson": ("Poisson's ratio", ".3f"),
    "anisotropy": ("universal anisotropy", ".3f"),
}
"""Field of `Moduli` → heading, format."""


def tensor_table(constants: ElasticConstants) -> str:
    """Tabulate the elastic tensor of relaxed ions.

    Parameters
    ----------
    constants : ElasticConstants
        The elastic constants.

    Returns
    -------
    str
        The 6 × 6 entries in GPa with their error bars, in Voigt order. Entries that are zero by symmetry
        have no decimals.
    """
    band = constants.tensor_half_width
    cells = [
        "0" if abs(value) < 1e-6 else measured(value, None if band is None else band.flat[k], ".1f")
        for k, value in enumerate(constants.tensor.ravel().tolist())
    ]
    rows = [[name, *cells[6 * i : 6 * i + 6]] for i, name in enumerate(VOIGT_NAMES)]
    return text_table(["", *VOIGT_NAMES], rows)


def moduli_table(constants: ElasticConstants) -> str:
    """Tabulate averages over all directions; of a cubic crystal its three constants first.

    Parameters
    ----------
    constants : ElasticConstants
        The elastic constants.

    Returns
    -------
    str
        Constants, relaxed and with clamped ions, and moduli in GPa, with error bars.
    """
    rows = []
    if constants.symmetry.number >= FIRST_CUBIC:
        for clamped in (False, True):
            cubic, half_widths = constants.cubic(clamped=clamped), constants.cubic_half_width(clamped=clamped)
            for name in ("c11", "c12", "c44"):
                heading = f"{name.upper()} (GPa){', clamped ions' if clamped else ''}"
                rows.append((heading, getattr(cubic, name), getattr(half_widths, name, None), ".1f"))
    averages, half_widths_of = constants.moduli(), constants.moduli_half_width()
    for name, (heading, form) in MODULI.items():
        rows.append((heading, getattr(averages, name), getattr(half_widths_of, name, None), form))
    return value_table(rows)


def eos_table(curve: EnergyVolume) -> str:
    """Tabulate what the equation of state gives.

    Parameters
    ----------
    curve : EnergyVolume
        Energies over volumes.

    Returns
    -------
    str
        Volume (Å³/atom), length of the first cell vector (Å), bulk modulus (GPa) and its derivative with
        respect to pressure, energy (eV/atom) and deviation of the fit (meV/atom).
    """
    per_atom = None if curve.v0_half_width is None else curve.v0_half_width / curve.n_atoms
    rows = [
        ("volume (Å³/atom)", curve.v0 / curve.n_atoms, per_atom, ".4f"),
        ("length of the first cell vector (Å)", curve.a, curve.a_half_width, ".4f"),
        ("bulk modulus (GPa)", curve.bulk_modulus, curve.bulk_modulus_half_width, ".1f"),
        ("its derivative with pressure", curve.bulk_derivative, None, ".2f"),
        ("energy (eV/atom)", curve.e0 / curve.n_atoms, None, ".5f"),
        ("rms of the fit (meV/atom)", curve.rmse, None, ".3f"),
    ]
    return value_table(rows)


def defect_table(found: DefectFormation | SurfaceEnergy) -> str:
    """Tabulate the energy of a defect or a surface, relaxed and not.

    Parameters
    ----------
    found : DefectFormation or SurfaceEnergy
        The defect (eV) or the surface (J/m²).

    Returns
    -------
    str
        The two energies, the relaxed one with its error bar.
    """
    name, unit = ("formation", "eV") if isinstance(found, DefectFormation) else ("surface", "J/m²")
    rows = [
        (f"{name} energy ({unit})", found.energy, found.energy_half_width, ".3f"),
        (f"with unrelaxed ions ({unit})", found.unrelaxed, None, ".3f"),
    ]
    return value_table(rows)


def termination_table(found: SurfaceEnergy) -> str:
    """Tabulate the places where the crystal can be cut.

    Parameters
    ----------
    found : SurfaceEnergy
        The surface.

    Returns
    -------
    str
        Gap between the planes that the cut parts (Å), elements of the outermost planes, whether both faces
        are alike, and the energy with unrelaxed ions (J/m²); an asterisk marks the one that was taken.
    """
    rows = [
        [
            f"{k}{'*' if k == found.termination else ''}",
            f"{cut.gap:.2f}",
            " / ".join(cut.faces),
            "alike" if cut.symmetric else "differ: mean",
            f"{cut.energy:.3f}",
        ]
        for k, cut in enumerate(found.terminations)
    ]
    return text_table(["termination", "gap (Å)", "outermost", "faces", "unrelaxed (J/m²)"], rows)


def barrier_table(barrier: Barrier) -> str:
    """Tabulate the images of a path, and its barriers in both directions.

    Parameters
    ----------
    barrier : Barrier
        The barrier.

    Returns
    -------
    str
        Two tables: lengths along the path (Å) and energies (eV) of the images; barriers (eV) at the
        highest image and from the fit.
    """
    half_widths, above = barrier.energies_half_width, barrier.energies - barrier.energies[0]
    rows = [
        [str(i), f"{s:.3f}", measured(e, None if half_widths is None else half_widths[i], "z.4f")]
        for i, (s, e) in enumerate(zip(barrier.path, above, strict=True))
    ]
    known = "" if half_widths is None else " ± 90 %"
    images = text_table(["image", "path (Å)", f"energy (eV){known}"], rows)
    rows = [
        [
            name,
            measured(getattr(barrier, name), getattr(barrier, f"{name}_half_width"), ".4f"),
            f"{getattr(barrier, f'fitted_{name}'):.4f}",
        ]
        for name in ("forward", "backward")
    ]
    heights = text_table(["barrier (eV)", f"highest image{known}", "from the fit"], rows)
    return f"{images}\n\n{heights}"


def barrier_remarks(barrier: Barrier) -> list[str]:
    """Say what a reader of a barrier must know.

    Parameters
    ----------
    barrier : Barrier
        The barrier.

    Returns
    -------
    list of str
        One sentence each for atoms that were matched, a stable image in between, and a path that is not
        converged.
    """
    remarks = []
    if barrier.mapping is not None:
        remarks.append("the atoms of the last structure were matched to those of the first")
    if barrier.intermediate is not None:
        remarks.append(
            f"image {barrier.intermediate} is more stable than both ends, so that this is not one hop; the "
            "band of the barriers is that of the least certain image"
        )
    if not barrier.converged:
        remarks.append(
            f"NOT CONVERGED after {barrier.steps} steps: forces of {barrier.max_force:.3f} eV/Å are left, "
            "or an end is not relaxed; the barrier is not to be relied on"
        )
    return remarks
