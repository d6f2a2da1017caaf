"""Damaged model files, damaged data files and strange structures: each is computed, or refused in a sentence.

    python tests/fuzz.py models 600 data 400 structures 300 --seed 1

Cases run in a process of their own, one after the other. A case that takes longer than 20 s or ends the
process counts as a hang or a crash, and the next one gets a new process. The exit code is 1 if there is a
hang, a crash, an exception that is no refusal, or a result that cannot be right.
"""

from __future__ import annotations

import argparse
import copy
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.io import write

from ase_scatter.calculator import ScatteringCalculator
from ase_scatter.errors import DeviceError, InputError
from ase_scatter.model import model_file
from ase_scatter.model.model import Model
from ase_scatter.model.self_check import self_check
from ase_scatter.reporting.description import describe
from ase_scatter.structures.dataset import read_frames
from ase_scatter.training.fitting import fit
from ase_scatter.training.settings import FitSettings

LIMIT = 20.0
"""Seconds for a case."""

START = 300.0
"""Seconds until a process is ready: kernels may have to be compiled."""

REFUSED = (InputError, DeviceError, PropertyNotImplementedError)
FINE = ("computed", "refused")


class Wrong(Exception):
    """A result that cannot be right."""


def require(condition: bool, what: str) -> None:
    if not condition:
        raise Wrong(what)


# ---- model files ---------------------------------------------------------------------------------------

BASES = ("LiSi", "Si", "NbMoTaW", "Si-both")
VALUES: tuple[Any, ...] = (
    None, True, "x", "", "1.5", -1, 0, 1, 2.5, 7, 1000, 2**40, 10**30, 1e-300, 1e308, -1e308, float("nan"),
    float("inf"), [], [[]], {}, [1, 2], {"a": 1}, [None], ["Si", "Si"], "Xx", [[1, 2], [3]],
)  # fmt: skip


NESTED = "so many brackets"
"""Stands for lists in lists, which Python's own writer refuses."""


def documents() -> list[dict[str, Any]]:
    found = []
    for name in BASES:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.json")
            Model.load(name).save(path)
            found.append(json.loads(path.read_text()))
    return found


def place(document: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """A container somewhere in a document, and a key in it."""
    at = document
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = keys[rng.integers(len(keys))]
        inner = at[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.15:
            return at, key
        at = inner


def mutate(document: dict[str, Any], rng: np.random.Generator) -> tuple[str, bool]:
    """The text of a damaged model file, and whether its checksums were made anew."""
    document = copy.deepcopy(document)
    for _ in range(int(rng.integers(1, 3))):
        at, key = place(document, rng)
        change = rng.integers(6)
        if change == 0:
            del at[key]
        elif change == 1 and isinstance(at[key], int | float):
            at[key] = at[key] * float(rng.choice([3.0, -1.0, 1e6, 1e-9]))
        elif change == 2 and isinstance(at, list):
            at.insert(key, copy.deepcopy(at[key]))
        elif change == 3:
            at[key] = NESTED
        else:
            at[key] = copy.deepcopy(VALUES[rng.integers(len(VALUES))])
    signed = bool(rng.random() < 0.8)
    if signed:
        content = {key: document.get(key) for key in ("transform", "weights", "e0", "core")}
        document["sha256"] = model_file.checksum(content)
        document["committee_sha256"] = model_file.checksum(document.get("committee"))
        document.pop("metadata_sha256", None)
    depth = int(rng.choice([3, 60, 990]))
    text = json.dumps(document).replace(f'"{NESTED}"', "[" * depth + "1" + "]" * depth)
    if rng.random() < 0.1:
        where = int(rng.integers(len(text)))
        text = (text[:where], text[:where] + "\x00" + text[where + 1 :], "[" * 5000)[rng.integers(3)]
    return text, signed


def models(folder: Path) -> Callable[[np.random.Generator], None]:
    known = documents()
    base = [Model.load(name) for name in BASES]

    def one(rng: np.random.Generator) -> None:
        which = int(rng.integers(len(known)))
        text, signed = mutate(known[which], rng)
        path = folder / "model.json"
        path.write_text(text)
        model = Model.load(path)
        require(signed or model.hash == base[which].hash, "a damaged file was accepted")
        describe(model)
        atoms = bulk("Si", cubic=True)
        atoms.symbols[: len(model.elements)] = list(model.elements)
        if len(model.elements) > 1 or "Si" not in model.elements:
            atoms.symbols[:] = [model.elements[k % len(model.elements)] for k in range(len(atoms))]
        calc = ScatteringCalculator(model)
        check_results(calc, atoms)
        if model.committee is not None:
            calc.get_uncertainty(atoms)
        self_check(model)

    return one


# ---- data files ----------------------------------------------------------------------------------------

TOKENS = (
    "nan", "inf", "-inf", "1e308", "-1e308", "1e400", "abc", "", "0", "-5", "T", "F", "Xx", "Uuo", "1e-9",
    "7", '"', "=", "Lattice=", "1e6", "0x10", "é",
)  # fmt: skip
SETTINGS = FitSettings(
    members=0,
    columns=20,
    sites={"first": (2,), "inner": (), "outer": (), "exponents2": (), "triple": 0},
)


def data(folder: Path) -> Callable[[np.random.Generator], None]:
    path = folder / "data.extxyz"
    rng = np.random.default_rng(0)
    frames = []
    for seed in range(5):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=seed)
        atoms.info |= {"energy": -3.5 * len(atoms) + rng.normal(0, 0.1)}
        atoms.arrays["forces"] = rng.normal(0, 0.5, (len(atoms), 3))
        frames.append(atoms)
    write(path, frames)
    good = path.read_text()

    def one(rng: np.random.Generator) -> None:
        lines = good.splitlines()
        for _ in range(int(rng.integers(1, 3))):
            k = int(rng.integers(len(lines)))
            change = rng.integers(7)
            if change == 0:
                del lines[k]
            elif change == 1:
                lines.insert(k, lines[int(rng.integers(len(lines)))])
            elif change == 2:
                lines[k] = lines[k][: int(rng.integers(len(lines[k]) + 1))]
            elif change == 3:  # other units, or a slip of the point
                scale = float(rng.choice([0.1, 10.0, 1e3, 1e-4]))
                lines = [scaled(line, scale) for line in lines]
            else:
                words = lines[k].split(" ")
                words[int(rng.integers(len(words)))] = TOKENS[rng.integers(len(TOKENS))]
                lines[k] = " ".join(words)
            if not lines:
                break
        text = "\n".join(lines) + "\n"
        path.write_text(text if rng.random() < 0.95 else text[: int(rng.integers(len(text)))])
        result = fit(read_frames(path), settings=SETTINGS, progress=False, workers=1)
        require(bool(np.isfinite(result.model.weights).all()), "weights that are not finite")

    return one


def scaled(line: str, scale: float) -> str:
    """Coordinates of an atom times a number."""
    words = line.split()
    if not words or words[0] != "Cu" or len(words) < 4:
        return line
    try:
        moved = [f"{float(word) * scale:.8f}" for word in words[1:4]]
    except ValueError:
        return line
    return " ".join(["Cu", *moved, *words[4:]])


# ---- structures ----------------------------------------------------------------------------------------


def structures(folder: Path) -> Callable[[np.random.Generator], None]:
    sites = [ScatteringCalculator(name) for name in ("Si", "LiSi")]
    grid = ScatteringCalculator("Si-grid")

    def one(rng: np.random.Generator) -> None:
        atoms = strange(rng)
        calc = grid if rng.random() < 0.1 else sites[rng.integers(2)]
        if calc is grid and (not atoms.pbc.all() or 5e3 < abs(np.linalg.det(atoms.cell[:])) < 1e7):
            calc = sites[0]  # grids take their time for vacuum
        values = check_results(calc, atoms)
        if calc is grid:
            return
        turned = atoms.copy()  # the axes of space renamed
        turned.set_cell(atoms.cell[:][:, [1, 2, 0]])
        turned.positions = atoms.positions[:, [1, 2, 0]]
        again = check_results(calc, turned)
        off = abs(values["energy"] - again["energy"])
        require(off < 1e-6 * max(1.0, abs(values["energy"])), f"the energy depends on the axes by {off} eV")

    return one


def strange(rng: np.random.Generator) -> Atoms:
    n = int(rng.choice([0, 1, 2, 5, 12, 40]))
    length = float(10.0 ** rng.uniform(-1.5, 2) if rng.random() < 0.4 else 5.4)
    atoms = Atoms(f"Si{n}" if n else "", rng.uniform(0, length, (n, 3)), cell=np.eye(3) * length)
    atoms.pbc = rng.random(3) < 0.6
    cell = atoms.cell[:].copy()
    axis, other = rng.permutation(3)[:2]
    change = rng.integers(11)
    if change == 0:
        cell[axis] *= 10.0 ** rng.uniform(-3, 6)
    elif change == 1:
        cell[axis] += 10.0 ** rng.uniform(0, 4) * cell[other]
    elif change == 2:
        cell[axis] = cell[other] + 10.0 ** rng.uniform(-8, -1) * cell[axis]
    elif change == 3:
        cell[axis] = 0.0
    elif change == 4:
        cell[axis, other] = rng.choice([np.nan, np.inf, 1e300, -1e20])
    elif change == 5:
        cell[axis] *= -1.0
    elif change == 6 and n:
        atoms.positions[rng.integers(n), axis] += 10.0 ** rng.uniform(1, 12)
    elif change == 7 and n:
        atoms.positions[rng.integers(n)] = rng.choice([np.nan, np.inf, 1e300, 0.0])
    elif change == 8 and n:
        atoms.numbers[rng.integers(n)] = rng.choice([-105, -1, 0, 3, 14, 118, 119, 10_000])
    elif change == 9 and n:
        atoms.positions *= 10.0 ** rng.uniform(-3, 3)
    elif change == 10:
        cell *= 10.0 ** rng.uniform(-2, 2)
    atoms.set_cell(cell)
    return atoms


# ---- running -------------------------------------------------------------------------------------------


def check_results(calc: ScatteringCalculator, atoms: Atoms) -> dict[str, Any]:
    """Results that are finite and whose forces cancel."""
    atoms.calc = calc
    atoms.get_potential_energy()
    values = calc.results
    forces = values["forces"]
    require(bool(np.isfinite(values["energy"])), "an energy that is not finite")
    require(bool(np.isfinite(forces).all()), "forces that are not finite")
    net = np.abs(forces.sum(axis=0)).max()
    if calc.model.transform.invariant:
        # Forces have no more digits than the energies that cancel in them.
        largest = max(1.0, np.abs(forces).max(), 1e-6 * abs(values["energy"]))
        require(net <= 1e-6 * largest, f"a net force of {net} eV/Å")
    return dict(values)


KINDS: dict[str, Callable[[Path], Callable[[np.random.Generator], None]]] = {
    "models": models,
    "data": data,
    "structures": structures,
}


def serve(kind: str, start: int, stop: int, seed: int) -> None:
    """Run cases and print a line for each; the number of a case and the seed decide all of it."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        one = KINDS[kind](Path(name))
        ScatteringCalculator("Si").get_potential_energy(bulk("Si"))  # compiles
        print("ready", flush=True)
        for case in range(start, stop):
            try:
                one(np.random.default_rng([seed, case]))
                said = "computed"
            except REFUSED:
                said = "refused"
            except Wrong as error:
                said = f"wrong result: {error}"
            except Exception as error:
                said = f"internal exception: {type(error).__name__}: {error}".replace("\n", " ")[:300]
            print(said, flush=True)


def run(kind: str, count: int, seed: int) -> Iterator[tuple[int, str]]:
    """Run cases in processes of their own.

    Yields the number of each case and what happened: "computed", "refused" or what went wrong.
    """
    case = 0
    while case < count:
        command = [sys.executable, __file__, "--serve", kind, str(case), str(count), str(seed)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            lines: queue.Queue[str] = queue.Queue()
            reader = threading.Thread(target=_forward, args=(process, lines), daemon=True)
            reader.start()
            try:
                if lines.get(timeout=START) != "ready":
                    raise RuntimeError(f"the process for {kind} did not start")
                while case < count:
                    said = lines.get(timeout=LIMIT)
                    if not said:
                        yield case, f"crash: exit code {process.wait()}"
                        case += 1
                        break
                    yield case, said
                    case += 1
            except queue.Empty:
                yield case, f"hang: no answer in {LIMIT:.0f} s"
                case += 1
            finally:
                process.kill()
                reader.join()


def _forward(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line.rstrip("\n"))
    lines.put("")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", nargs="*", help="pairs of models, data or structures and a number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        kind, *numbers = options.serve
        serve(kind, *map(int, numbers))
        return 0
    given = options.cases or ["models", "600", "data", "400", "structures", "300"]
    bad = 0
    for kind, count in zip(given[::2], map(int, given[1::2]), strict=True):
        began, counts = time.time(), Counter[str]()
        for case, said in run(kind, count, options.seed):
            counts[said.split(":")[0]] += 1
            if said not in FINE:
                bad += 1
                print(f"{kind} {case}: {said}", flush=True)
        listed = ", ".join(f"{number} {what}" for what, number in counts.most_common())
        print(f"{kind}: {count} cases in {time.time() - began:.0f} s: {listed}", flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
