"""How far does a potential carry beyond the bulk that it was trained on? Tungsten's defects and surfaces.

    python examples/tungsten_extrapolation.py --train W_train.extxyz --test W_extrapolation.extxyz

The training set holds one-atom cells under strain and hot bulk; the test set dislocations, gamma surfaces,
vacancies and surfaces (Szlachta, Bartók, Csányi, Phys. Rev. B 90, 104108 (2014)). From the same sums over the
data come the fit with the defaults, the mean of bagged selections, and a ridge regression on all columns; the
first with error bars. For each group: errors, what the error bars hold, and how many of the atoms with large
errors are announced, by a grade above 1 or a half-width that holds the error.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl

from ase_scatter import FitSettings, Frame, InputError, Model, read_frames
from ase_scatter.training.bagging import members
from ase_scatter.training.balance import Choice, choose, with_cutoff
from ase_scatter.training.design_matrix import Problem
from ase_scatter.training.fitting import predict, solve
from ase_scatter.training.metrics import errors
from ase_scatter.training.normal_equations import NormalEquations

LARGE = 0.3
"""eV/Å. An error of a force component that has to be announced."""


def main(arguments: list[str] | None = None) -> int:
    """Fit, compare, print and write; the exit code."""
    parser = argparse.ArgumentParser(description="Extrapolation from bulk tungsten to defects.")
    parser.add_argument("--train", default="W_train.extxyz", help="training frames (%(default)s)")
    parser.add_argument("--test", default="W_extrapolation.extxyz", help="test frames (%(default)s)")
    parser.add_argument("--out", default="tungsten.json", help="where to write (%(default)s)")
    parser.add_argument("--model", help="where to save the fit with the defaults")
    parser.add_argument("--cutoff", type=float, help="cutoff, Å (default: chosen by validation)")
    parser.add_argument("--workers", type=int, default=1, help="threads (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        frames, test = read_frames(options.train), read_frames(options.test)
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    elements = ["W"]
    settings = FitSettings(sites={} if options.cutoff is None else {"cutoff": options.cutoff})
    with threadpoolctl.threadpool_limits(1):
        settings = with_cutoff(settings, elements, frames, options.workers, False)
        problem = Problem(settings, elements, frames, options.workers, False)
        normals = problem.normals()
        default = solve(problem, normals, settings, "W")[0]
        if options.model:
            default.save(options.model, overwrite=True)
        found = {"defaults": {"groups": errors(predict(default, [f.system for f in test]), test)}}
        found["defaults"]["announced"] = announced(default, test, options.workers)
        write(options.out, settings, found)
        choice = choose(problem, normals, settings)
        for name, weights in {
            "bagged": bagged(choice),
            "all columns": with_all_columns(problem, choice),
        }.items():
            model = as_model(problem, name, weights)
            predictions = predict(model, [f.system for f in test], workers=options.workers)
            found[name] = {"columns": len(model.weights), "groups": errors(predictions, test)}
            write(options.out, settings, found)
    return 0


def bagged(choice: Choice) -> np.ndarray:
    """The mean of twelve bagged selections from the columns that the fit chooses."""
    ridge, size = choice.validation.best
    pool = choice.regression.choose(NormalEquations.summed(choice.parts), ridge, size)
    return members(choice.regression, choice.parts, ridge, pool, 12).mean(axis=0)


def with_all_columns(problem: Problem, choice: Choice) -> np.ndarray:
    """Ridge regression on all columns, the ridge chosen on parts left out."""
    total = NormalEquations.summed(choice.parts)
    columns = np.union1d(np.flatnonzero(np.diag(total.gram)[: problem.n] > 0), choice.regression.forced)
    losses = {}
    for ridge in problem.settings.ridges:
        fits = [choice.regression.weights(total - part, ridge, columns) for part in choice.parts[:4]]
        losses[ridge] = sum(part.loss(w) / part.count for part, w in zip(choice.parts[:4], fits, strict=True))
    return choice.regression.weights(total, min(losses, key=lambda ridge: losses[ridge]), columns)


def as_model(problem: Problem, name: str, weights: np.ndarray) -> Model:
    """A model without a committee."""
    used = np.flatnonzero(weights[: problem.n])
    e0 = dict(zip(problem.elements, problem.e0(weights).tolist(), strict=True))
    transform = problem.candidates.deployed(problem.transform).subset(used.tolist())
    return Model(name, transform, weights[used], e0, problem.core)


def announced(model: Model, test: list[Frame], workers: int) -> dict[str, Any]:
    """What the error bars and grades say of each group's atoms."""
    predictions = predict(model, [f.system for f in test], workers=workers)
    unsure = model.uncertainty([f.system for f in test], workers=workers)
    table: dict[str, list[np.ndarray]] = {}
    for frame, values, bars in zip(test, predictions, unsure, strict=True):
        wrong = np.abs(values.forces - frame.forces)
        energy = abs(values.energy - frame.energy) <= bars.energy
        inside = (wrong <= bars.forces[:, None]).mean(axis=1)
        row = np.c_[wrong.max(axis=1), bars.forces, bars.grade, inside, np.full(len(wrong), energy)]
        for group in (frame.group, "all"):
            table.setdefault(group, []).append(row)
    found = {}
    for group, rows in sorted(table.items()):
        wrong, bar, grade, inside, _ = np.concatenate(rows).T
        large = wrong > LARGE
        told = (grade > 1) | (wrong <= bar)
        found[group] = {
            "components of forces inside": float(inside.mean()),
            "energies inside": float(np.mean([each[0, 4] for each in rows])),
            "mean half-width of forces (eV/Å)": float(bar.mean()),
            "atoms with large errors": int(large.sum()),
            "of these outside or inside their half-width": float(told[large].mean()) if large.any() else None,
            "of these outside": float((grade > 1)[large].mean()) if large.any() else None,
            "atoms outside": float((grade > 1).mean()),
        }
    return found


def write(path: str, settings: FitSettings, found: dict[str, Any]) -> None:
    """Print and write what there is."""
    for name, result in found.items():
        for group, row in result["groups"].items():
            print(
                f"{name:12s} {group:24s} {row['energy_mae']:8.2f} meV/atom {row['force_mae']:7.3f} eV/Å",
                flush=True,
            )
    written = {"cutoff": dict(settings.sites)["cutoff"], "models": found}
    Path(path).write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
