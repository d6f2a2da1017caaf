"""Elastic bands in a trajectory file, one after the other, from which a calculation goes on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from ase.io.trajectory import TrajectoryReader, TrajectoryWriter
from numpy.typing import NDArray

from ..errors import InputError

MARK = "ase_scatter_band"
"""Key in `info` of a file's first image: the images in a band, and the end points as they were given."""
SAME = 1e-3
"""Å. End points that differ by less are the same."""


class BandFile:
    """A trajectory with energies and forces of all elastic bands that a calculation goes through.

    A file that exists is added to. A band that was not written to its end is taken off first.

    Parameters
    ----------
    path : str or Path
        The trajectory file of ASE.
    initial, final : Atoms
        The end points of the calculation before they are relaxed.
    images : int
        Images in an elastic band, ends included.

    Raises
    ------
    InputError
        If the folder does not exist, and for a file that does not hold such bands between the same end
        points.
    """

    def __init__(self, path: str | Path, initial: Atoms, final: Atoms, images: int) -> None:
        self.path, self._images = Path(path), images
        self._ends = (initial, final)
        self._last: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        self._surplus = False
        if not self.path.parent.is_dir():
            raise InputError(f"{path} cannot be written: there is no folder {self.path.parent}")
        self.last: list[Atoms] | None = None
        """The last whole band, without calculators; None where nothing has been written yet."""
        if self.path.exists():
            self.last = self._resumed()

    def write(self, band: Sequence[Atoms]) -> None:
        """Add an elastic band, unless it is the one that was added last.

        Parameters
        ----------
        band : sequence of Atoms
            The images, with energies and forces.
        """
        state = (
            np.array([image.positions for image in band]),
            np.array([image.get_potential_energy() for image in band]),
        )
        if self._last is not None and all(
            np.array_equal(a, b) for a, b in zip(state, self._last, strict=True)
        ):
            return
        if self._surplus:
            self._cut()
        new = not self.path.exists()
        with TrajectoryWriter(str(self.path), "w" if new else "a") as file:
            for number, image in enumerate(band):
                file.write(self._marked(image) if new and number == 0 else image)
        self._last = state

    def _marked(self, image: Atoms) -> Atoms:
        initial, final = self._ends
        marked: Atoms = image.copy()
        marked.info[MARK] = {
            "images": self._images,
            "initial": initial.positions.tolist(),
            "final": final.positions.tolist(),
        }
        marked.calc = image.calc
        return marked

    def _resumed(self) -> list[Atoms] | None:
        try:
            with TrajectoryReader(str(self.path)) as file:
                count = len(file)
                mark = file[0].info.get(MARK)
                whole = count // self._images
                start = (whole - 1) * self._images
                band = [file[i] for i in range(start, start + self._images)] if whole else []
        # A broken file fails in many ways.
        except Exception as error:
            raise InputError(f"{self.path} cannot be read as a trajectory ({error}); {_ADVICE}") from error
        self._require_ours(mark, band)
        self._surplus = count % self._images != 0 or not whole
        if not whole:
            return None
        for image in band:
            image.calc = None
            image.info.pop(MARK, None)
        return band

    def _require_ours(self, mark: Any, band: Sequence[Atoms]) -> None:
        if not isinstance(mark, dict) or {"images", "initial", "final"} - set(mark):
            raise InputError(f"{self.path} was not written by the calculation of a barrier; {_ADVICE}")
        if mark["images"] != self._images:
            raise InputError(
                f"the bands in {self.path} have {mark['images'] - 2} images between the ends, not "
                f"{self._images - 2}; {_ADVICE}"
            )
        initial = self._ends[0]
        for image in band:
            if len(image) != len(initial) or (image.numbers != initial.numbers).any():
                raise InputError(
                    f"{self.path} is of {image.get_chemical_formula()}, not of "
                    f"{initial.get_chemical_formula()} in this order; {_ADVICE}"
                )
            if (image.pbc != initial.pbc).any() or not np.allclose(image.cell, initial.cell, atol=SAME):
                raise InputError(f"the cell in {self.path} is another one; {_ADVICE}")
        for end, name in zip(self._ends, ("initial", "final"), strict=True):
            vectors = np.reshape(mark[name], (-1, 3))
            if vectors.shape != end.positions.shape or not _same(vectors, end):
                raise InputError(f"{self.path} is of another path: its {name} structure differs; {_ADVICE}")

    def _cut(self) -> None:
        """Leave only whole bands in the file."""
        with TrajectoryReader(str(self.path)) as file:
            frames = [file[i] for i in range(len(file) - len(file) % self._images)]
        if frames:
            kept = self.path.with_name(self.path.name + ".part")
            with TrajectoryWriter(str(kept), "w") as file:
                for frame in frames:
                    file.write(frame)
            os.replace(kept, self.path)
        else:
            self.path.unlink()
        self._surplus = False


_ADVICE = "name another file for this band, or move that one away"


def _same(positions: NDArray[np.float64], atoms: Atoms) -> bool:
    _, lengths = find_mic(positions - atoms.positions, atoms.cell, atoms.pbc)
    return bool(np.max(lengths, initial=0.0) < SAME)
