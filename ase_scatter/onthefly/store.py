"""Results of a reference on disk: a folder of files that appear whole or not at all.

`reference.json` says whose results they are. `frames/000001.json` and so on hold a structure and its labels
each, in the order in which they were computed; numbers are written so that they are read back bit for bit. A
calculation that failed leaves a file with the reason.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compute.files import write_whole
from ..errors import InputError
from ..structures.dataset import Frame
from ..structures.system import System

CHECK = "check"
"""Purpose of calculations that are not learnt from."""
SAME = 1e-7
"""Å. Structures that differ by less are one."""


@dataclass(frozen=True, eq=False)
class Entry:
    """A structure that the reference has been asked about.

    Parameters
    ----------
    system : System
        The structure.
    purpose : str
        What it was asked for.
    frame : Frame or None
        The structure with its labels; None if the calculation failed.
    failure : str
        Why it failed, or "".
    """

    system: System
    purpose: str
    frame: Frame | None
    failure: str = ""


class Store:
    """Results of one reference, in memory and, if there is a folder, on disk.

    Parameters
    ----------
    folder : str, Path or None
        Where the results are; None keeps them in memory only.
    reference : mapping
        What tells the reference from others, as JSON can hold it.

    Raises
    ------
    InputError
        If the folder cannot be written, holds the results of another reference, or something else.
    """

    def __init__(self, folder: str | Path | None, reference: dict[str, Any]) -> None:
        self.folder = None if folder is None else Path(folder)
        self.entries: list[Entry] = []
        if self.folder is None:
            return
        frames = self.folder / "frames"
        try:
            frames.mkdir(parents=True, exist_ok=True)
            about = self.folder / "reference.json"
            if not about.exists():
                if any(frames.iterdir()):
                    raise InputError(
                        f"the store {self.folder} holds frames, but no reference.json says whose; give "
                        "another folder"
                    )
                write_whole(about, json.dumps(reference, indent=1) + "\n")
        except OSError as error:
            raise InputError(
                f"the store {self.folder} cannot be written ({error.strerror}); give a folder that you may "
                "write to"
            ) from error
        known = _read(about)
        if known != json.loads(json.dumps(reference)):
            raise InputError(
                f"the store {self.folder} holds results of another reference ({_told(known)}; here: "
                f"{_told(reference)}); give another folder, or none"
            )
        self.entries = [_entry(_read(path)) for path in sorted(frames.glob("*.json"))]

    def find(self, system: System) -> Entry | None:
        """What is known of a structure.

        Parameters
        ----------
        system : System
            The structure.

        Returns
        -------
        Entry or None
        """
        for entry in reversed(self.entries):
            mine = entry.system
            if (
                np.array_equal(mine.numbers, system.numbers)
                and np.array_equal(mine.pbc, system.pbc)
                and np.allclose(mine.cell, system.cell, rtol=0.0, atol=SAME)
                and np.allclose(mine.positions, system.positions, rtol=0.0, atol=SAME)
            ):
                return entry
        return None

    def add(self, entry: Entry) -> None:
        """Write an entry; it is on disk when this returns.

        Parameters
        ----------
        entry : Entry
            What the reference gave.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        self.entries.append(entry)
        if self.folder is None:
            return
        path = self.folder / "frames" / f"{len(self.entries):06d}.json"
        try:
            write_whole(path, json.dumps(_plain(entry)) + "\n")
        except OSError as error:
            raise InputError(
                f"the store {self.folder} cannot be written any more ({error.strerror})"
            ) from error

    @property
    def frames(self) -> list[Frame]:
        """All results to learn from, in the order in which they were computed."""
        return [e.frame for e in self.entries if e.frame is not None and e.purpose != CHECK]


def read_store(folder: str | Path) -> list[Frame]:
    """Read the results in a store, whosever they are.

    Parameters
    ----------
    folder : str or Path
        A store.

    Returns
    -------
    list of Frame

    Raises
    ------
    InputError
        If it is no store, or damaged.
    """
    if not (Path(folder) / "reference.json").is_file():
        raise InputError(f"{folder} is no store: it has no reference.json")
    return Store(folder, _read(Path(folder) / "reference.json")).frames


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); mend or remove it") from error


def _told(reference: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in reference.items() if value) or "unnamed"


def _plain(entry: Entry) -> dict[str, Any]:
    system, frame = entry.system, entry.frame
    described: dict[str, Any] = {
        "purpose": entry.purpose,
        "numbers": system.numbers.tolist(),
        "positions": system.positions.tolist(),
        "cell": system.cell.tolist(),
        "pbc": system.pbc.tolist(),
    }
    if frame is None:
        return {**described, "failure": entry.failure}
    labels = {"energy": frame.energy, "forces": _list(frame.forces), "stress": _list(frame.stress)}
    return {**described, **labels}


def _list(values: NDArray[np.float64] | None) -> list[Any] | None:
    return None if values is None else values.tolist()


def _entry(data: dict[str, Any]) -> Entry:
    try:
        system = System(
            np.array(data["numbers"], dtype=np.int64),
            np.array(data["positions"], dtype=np.float64).reshape(-1, 3),
            np.array(data["cell"], dtype=np.float64),
            np.array(data["pbc"], dtype=bool),
        )
        if "failure" in data:
            return Entry(system, data["purpose"], None, data["failure"])
        forces, stress = (
            None if data[name] is None else np.array(data[name], dtype=np.float64)
            for name in ("forces", "stress")
        )
        return Entry(system, data["purpose"], Frame(system, data["energy"], forces, stress, data["purpose"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"a frame of the store is damaged ({error}); remove it") from error
