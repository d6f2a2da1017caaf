"""What is found in a set of data, and the errors that it has usually come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something about a set of data that a user should know.

    Parameters
    ----------
    name : str
        What was looked at: "forces", "duplicates", …
    text : str
        What was found, as a clause.
    advice : str
        What to do.
    frames : tuple of int
        Frames that are concerned, counted from 0.
    worst : int, optional
        The frame to look at first.
    serious : bool
        Whether the data are very likely wrong. Other findings are notes: a fit may well be right.
    """

    name: str
    text: str
    advice: str
    frames: tuple[int, ...]
    worst: int | None = None
    serious: bool = True

    @property
    def sentence(self) -> str:
        """All of it as one text."""
        where = f" (frame {self.worst})" if self.worst is not None and len(self.frames) == 1 else ""
        return f"{self.name}: {self.text}{where}; {self.advice}"

    def to_dict(self) -> dict[str, object]:
        """Describe the finding as JSON can hold it.

        Returns
        -------
        dict
        """
        return {
            "name": self.name, "text": self.text, "advice": self.advice, "serious": self.serious,
            "frames": list(self.frames), "worst": self.worst,
        }  # fmt: skip


@dataclass(frozen=True)
class Slip:
    """A common mistake in labels, told by the factor that it brings.

    Parameters
    ----------
    kind : str
        Of labels: "energy", "force", "virial"; "lengths" for the positions and cells.
    factors : dict of str to float
        Kind of label → by how much it is too large.
    text : str
        What was done.
    advice : str
        What to do.
    """

    kind: str
    factors: dict[str, float]
    text: str
    advice: str


HARTREE, RYDBERG, BOHR = 27.211386, 13.605693, 0.52917721
KCAL, KJ = 23.060548, 96.485332
GPA, KBAR = 160.21766, 1602.1766

# ruff: noqa: E501 (a table)
SLIPS = (
    Slip("force", {"force": -1.0}, "forces have the wrong sign", "multiply them by −1"),
    Slip("force", {"force": BOHR / HARTREE}, "forces are in Hartree/Bohr", "multiply them by 51.4221"),
    Slip("force", {"force": -BOHR / HARTREE}, "forces are gradients in Hartree/Bohr", "multiply them by −51.4221"),
    Slip("force", {"force": BOHR / RYDBERG}, "forces are in Rydberg/Bohr", "multiply them by 25.7110"),
    Slip(
        "force", {"force": BOHR}, "forces are per Bohr, not per Å (eV/Bohr; or all labels in Hartree and Bohr)",
        "multiply them by 1.88973; if energies are in Hartree too, convert all labels to eV",
    ),
    Slip(
        "force", {"force": BOHR, "virial": BOHR**3}, "all labels are in Hartree and Bohr",
        "multiply energies by 27.2114, forces by 51.4221, stresses by 183.6315",
    ),
    Slip("force", {"force": 1000.0}, "forces are in meV/Å", "divide them by 1000"),
    Slip("force", {"force": KCAL}, "forces are in kcal/mol/Å", "divide them by 23.0605"),
    Slip("force", {"force": KJ}, "forces are in kJ/mol/Å", "divide them by 96.4853"),
    Slip("force", {"force": 10.0}, "forces are in eV/nm", "divide them by 10"),
    Slip("energy", {"energy": -1.0}, "energies have the wrong sign", "multiply them by −1"),
    Slip("energy", {"energy": 1.0 / HARTREE}, "energies are in Hartree", "multiply them by 27.2114"),
    Slip("energy", {"energy": 1.0 / RYDBERG}, "energies are in Rydberg", "multiply them by 13.6057"),
    Slip("energy", {"energy": 1000.0}, "energies are in meV", "divide them by 1000"),
    Slip("energy", {"energy": KCAL}, "energies are in kcal/mol", "divide them by 23.0605"),
    Slip("energy", {"energy": KJ}, "energies are in kJ/mol", "divide them by 96.4853"),
    Slip("virial", {"virial": -1.0}, "stresses have the wrong sign", "multiply them by −1: tension is positive"),
    Slip("virial", {"virial": GPA}, "stresses are in GPa", "divide them by 160.2177"),
    Slip("virial", {"virial": -GPA}, "stresses are pressures in GPa", "divide them by −160.2177"),
    Slip("virial", {"virial": KBAR}, "stresses are in kbar", "divide them by 1602.177"),
    Slip("virial", {"virial": -KBAR}, "stresses are in kbar with VASP's sign", "divide them by −1602.177"),
    Slip("virial", {"virial": BOHR**3 / HARTREE}, "stresses are in Hartree/Bohr³", "multiply them by 183.6315"),
    Slip("virial", {"virial": BOHR**3 / RYDBERG}, "stresses are in Rydberg/Bohr³", "multiply them by 91.8158"),
    Slip(
        "lengths", {"force": 1.0 / BOHR, "virial": BOHR**-3}, "positions and cells are in Bohr",
        "multiply them by 0.529177",
    ),
    Slip(
        "lengths", {"force": 1.0 / BOHR}, "positions are in Bohr, or forces are too large by that factor",
        "multiply positions and cells by 0.529177",
    ),
    Slip("energy", {"energy per atom": 1.0}, "energies are per atom", "multiply each by its number of atoms"),
    Slip(
        "virial", {"stress as virial": 1.0}, "stresses are virials (eV)", "divide each by the volume of its cell"
    ),
    Slip(
        "virial", {"stress as virial": -1.0}, "stresses are virials (eV) of the opposite sign",
        "divide each by minus the volume of its cell",
    ),
)  # fmt: skip
"""What a factor between labels tells. Keys that are no kind of label stand for labels taken another way."""


def serious(findings: Sequence[Finding]) -> list[Finding]:
    """Those findings that say that data are very likely wrong.

    Parameters
    ----------
    findings : sequence of Finding
        The findings.

    Returns
    -------
    list of Finding
    """
    return [finding for finding in findings if finding.serious]
