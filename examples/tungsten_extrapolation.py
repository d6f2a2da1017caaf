"""How far do potentials carry beyond the bulk that they were trained on? Tungsten's defects and surfaces.

    ase-scatter fit W_train.extxyz -o W.json
    ase-scatter fit W_train.extxyz -o strong.json --ridge 1e-6
    ase-scatter fit W_train.extxyz -o sparse.json --columns 150
    python examples/tungsten_extrapolation.py defaults=W.json ridge=strong.json sparse=sparse.json
        --test W_extrapolation.extxyz --out examples/tungsten.json

The training set holds one-atom cells under strain and hot bulk; the test set dislocations, gamma surfaces,
vacancies and surfaces (Szlachta, Bartók, Csányi, Phys. Rev. B 90, 104108 (2014)). For each group: errors,
what the error bars hold, and how many of the atoms with large errors are announced, by a grade above 1 or a
half-width that holds the error.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ase_scatter import Frame, InputError, Model, read_frames
from ase_scatter.training.fitting import predict
from ase_scatter.training.metrics import Prediction, errors

LARGE = 0.3
"""eV/Å. An error of a force component that has to be announced."""


def main(arguments: list[str] | None = None) -> int:
    """Compare, print and write; the exit code."""
    parser = argparse.ArgumentParser(description="Extrapolation from bulk tungsten to defects.")
    parser.add_argument("models", nargs="+", metavar="NAME=FILE", help="models and what to call them")
    parser.add_argument("--test", default="W_extrapolation.extxyz", help="test frames (%(default)s)")
    parser.add_argument("--every", type=int, default=1, help="take every so many frames (%(default)s)")
    parser.add_argument("--out", default="tungsten.json", help="where to write (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="threads (%(default)s)")
    options = parser.parse_args(arguments)
    found: dict[str, Any] = {}
    try:
        test = read_frames(options.test)[:: options.every]
        for given in options.models:
            name, _, path = given.rpartition("=")
            model = Model.load(path)
            predictions = predict(model, test, workers=options.workers)
            found[name or path] = {"columns": len(model.weights), "errors": errors(predictions, test)}
            if model.committee is not None:
                found[name or path]["announced"] = announced(model, test, predictions, options.workers)
            print(table(name or path, found[name or path]), flush=True)
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    written = {"frames": len(test), "every": options.every, "models": found}
    Path(options.out).write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n")
    return 0


def announced(
    model: Model, test: list[Frame], predictions: list[Prediction], workers: int
) -> dict[str, dict[str, float]]:
    """What the error bars and grades say of each group's atoms."""
    unsure = model.uncertainty([frame.system for frame in test], workers=workers)
    rows: dict[str, list[np.ndarray]] = {}
    for frame, values, bars in zip(test, predictions, unsure, strict=True):
        wrong = np.abs(values.forces - frame.forces)
        inside = (wrong <= bars.forces[:, None]).mean(axis=1)
        energy = abs(values.energy - frame.energy) <= bars.energy
        row = np.c_[wrong.max(axis=1), bars.forces, bars.grade, inside, np.full(len(wrong), energy)]
        for group in ("all", frame.group):
            rows.setdefault(group, []).append(row)
    found = {}
    for group, each in rows.items():
        wrong, bar, grade, inside, _ = np.concatenate(each).T
        large = wrong > LARGE
        found[group] = {
            "force components inside": float(inside.mean()),
            "energies inside": float(np.mean([row[0, 4] for row in each])),
            "mean half-width of forces": float(bar.mean()),
            "atoms": len(wrong),
            "atoms outside": float((grade > 1).mean()),
            "atoms with large errors": int(large.sum()),
            "of these outside": float((grade > 1)[large].mean()) if large.any() else 1.0,
            "of these outside or inside their half-width": float(((grade > 1) | (wrong <= bar))[large].mean())
            if large.any()
            else 1.0,
        }
    return found


def table(name: str, result: dict[str, Any]) -> str:
    """The errors of a model, and what it announced, as text."""
    lines = [f"{name}, {result['columns']} columns"]
    for group, row in result["errors"].items():
        line = f"  {group:24s}{row['energy_mae']:8.1f} meV/atom{row['force_mae']:8.3f} eV/Å"
        if "announced" in result:
            told = result["announced"][group]
            line += f"   of {told['atoms with large errors']} atoms with large errors announced"
            line += f" {100 * told['of these outside or inside their half-width']:.1f} %"
        lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
