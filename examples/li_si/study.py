"""Does selection and bagging make a linear model extrapolate? Lithium silicides, after Sinz et al. (2020).

    python examples/li_si/study.py --data DIR --out lisi/

DIR holds lisi_train.extxyz, lisi_test.extxyz, lisi_large.extxyz, lisi_barriers.extxyz,
lisi_relaxed.extxyz and lisi_properties.json (DFTB results for amorphous and crystalline Li–Si). The
potential is trained on small amorphous cells and a few rattled crystals alone. Then come: unseen cells,
cells of hundreds of atoms, elastic constants and bulk moduli of relaxed crystals and glasses, and the
barrier of lithium in silicon. Three models are compared, from the same sums over the data: all columns,
selected columns, selected and bagged; each number stands beside its reference, those of the selected one with
the error bar of the committee. Tables are printed; study.json, study.png and the potential LiSi.json are
written.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl
from ase import Atoms
from ase.io import read
from matplotlib.figure import Figure
from tqdm import tqdm

from ase_scatter import FitSettings, Frame, InputError, Model, ScatteringCalculator, fit, read_frames
from ase_scatter.properties import elastic_constants, migration_barrier, relax_cell
from ase_scatter.reporting.tables import text_table
from ase_scatter.training.bagging import members
from ase_scatter.training.balance import choose
from ase_scatter.training.design_matrix import Problem
from ase_scatter.training.fitting import predict, solve
from ase_scatter.training.metrics import energy_pairs, errors
from ase_scatter.training.normal_equations import NormalEquations
from ase_scatter.training.rows import Normals
from ase_scatter.training.validation import geometric_mean

SETTINGS = FitSettings(
    sites={"cutoff": 4.8},
    columns=500,
    sigma_energy=1.5e-3,
    sigma_force=0.06,
    sigma_stress=0.1,
    ridges=(1e-10, 1e-9, 1e-8, 1e-7, 1e-6),
)
"""As the shipped potential was fitted, but for what has changed in fits since (see fit_potentials.py)."""

CITATION = (
    "Reference data: DFTB after Ma. B. Oviedo, F. Fernandez, M. Otero, E. P. M. Leiva, S. A. Paz, "
    "J. Phys. Chem. A 127, 2637 (2023), doi:10.1021/acs.jpca.3c00075 (repository alexispaz/DFTB_LiSi, "
    "CC BY-SA 4.0), with smoothed tables; crystal structures from the Materials Project, A. Jain et al., APL "
    "Materials 1, 011002 (2013)"
)

# Voigt entries of the crystals, numbered from 1.
ELASTIC = {
    "Si": ("C11", "C12", "C44"),
    "LiSi": ("C11", "C12", "C13", "C33", "C44", "C66"),
    "Li15Si4": ("C11", "C12", "C44"),
}
GLASSES = ("3-Li0Si12", "Li12Si12-3")
BARRIER = "Li in Si, barrier (eV)"


def references(data: Path) -> dict[str, float]:
    """What the reference method gives, by the names that `properties` uses."""
    table = json.loads((data / "lisi_properties.json").read_text())
    values = {}
    for crystal, entries in ELASTIC.items():
        known = table["crystals"][crystal]
        for entry in entries:
            values[f"{crystal}, {entry} (GPa)"] = known["elastic_constants_GPa"][entry]
        values[f"{crystal}, B (GPa)"] = known["K_voigt_GPa"]
    values["Li, B (GPa)"] = table["crystals"]["Li"]["K_voigt_GPa"]
    for glass in GLASSES:
        values[f"{glass}, B (GPa)"] = table["amorphous_bulk_modulus"][glass]["B_relaxed_ions_GPa"]
    values[BARRIER] = table["barriers"]["Li_in_Si64"]["neb_barrier_eV"]
    return values


def structures(data: Path) -> dict[str, Atoms]:
    """Relaxed by the reference method, by source; and both ends of the barrier."""
    found = {atoms.info["source"]: atoms for atoms in read(data / "lisi_relaxed.extxyz", ":")}
    images = read(data / "lisi_barriers.extxyz", ":")
    found["start"], found["end"] = images[0], images[-1]
    return found


def properties(
    model: Model, start: Mapping[str, Atoms], progress: bool
) -> tuple[dict[str, float], dict[str, float]]:
    """Elastic constants, bulk moduli and barrier, everything relaxed with the model itself, and the
    half-widths of their 90 % bands (none without a committee).

    nan for what comes out of no crystal that is at rest.
    """
    calculator = ScatteringCalculator(model)
    values, bands = {}, {}
    for crystal in tqdm((*ELASTIC, "Li", *GLASSES), "crystals", disable=not progress):
        # Glasses have no symmetry to keep.
        cell = relax_cell(start[crystal], calculator, fmax=0.002, steps=600)
        tensors, factor = np.full((1, 6, 6), np.nan), np.nan
        try:
            found = elastic_constants(cell.atoms, calculator, fmax=0.002, steps=400)
        except InputError as error:
            print(f"{model.name}, {crystal}: {error}", file=sys.stderr)
        else:
            members = () if found.tensor_members is None else found.tensor_members
            tensors, factor = np.array([found.tensor, *members]), found.factor
        wanted = {
            entry: tensors[:, int(entry[1]) - 1, int(entry[2]) - 1] for entry in ELASTIC.get(crystal, ())
        }
        wanted["B"] = tensors[:, :3, :3].mean(axis=(1, 2))
        for entry, (value, *spread) in wanted.items():
            values[f"{crystal}, {entry} (GPa)"] = float(value)
            if spread:
                bands[f"{crystal}, {entry} (GPa)"] = factor * float(np.std(spread, ddof=1))
    hop = migration_barrier(start["start"], start["end"], calculator, images=5, fmax=0.05)
    values[BARRIER] = hop.forward
    if hop.forward_half_width is not None:
        bands[BARRIER] = hop.forward_half_width
    return values, bands


def with_all_columns(problem: Problem, parts: list[NormalEquations], settings: FitSettings) -> Model:
    """Ridge regression on every column, the ridge chosen on parts left out."""
    regression, total = problem.regression(), NormalEquations.summed(parts)
    columns = np.flatnonzero(np.diag(total.gram) > 0)
    losses = {}
    for ridge in settings.ridges:
        per_part = []
        for part in parts:
            weights = regression.weights(total - part, ridge, columns)
            per_part.append(part.loss(weights) / part.count)
        losses[ridge] = geometric_mean(per_part)
    weights = regression.weights(total, min(losses, key=losses.get), columns)
    e0 = dict(zip(problem.elements, problem.e0(weights).tolist(), strict=True))
    transform = problem.candidates.deployed(problem.transform)
    return Model("all columns", transform, weights[: problem.n], e0, problem.core)


def bagged(problem: Problem, normals: Normals, settings: FitSettings, n_bags: int = 12) -> Model:
    """The mean of bagged selections from the columns that a fit chooses."""
    choice = choose(problem, normals, settings)
    ridge, size = choice.validation.best
    pool = choice.regression.choose(NormalEquations.summed(choice.parts), ridge, size)
    weights = members(choice.regression, choice.parts, ridge, pool, n_bags, workers=problem.workers).mean(
        axis=0
    )
    used = np.flatnonzero(weights[: problem.n])
    e0 = dict(zip(problem.elements, problem.e0(weights).tolist(), strict=True))
    transform = problem.candidates.deployed(problem.transform).subset(used.tolist())
    return Model("selected and bagged", transform, weights[used], e0, problem.core)


def errors_of(model: Model, sets: Mapping[str, list[Frame]], workers: int) -> dict[str, dict[str, float]]:
    """Errors on each set."""
    return {
        name: errors(predict(model, [f.system for f in frames], workers=workers), frames)["all"]
        for name, frames in sets.items()
    }


def energy_bands(model: Model, frames: list[Frame], workers: int) -> tuple[float, float]:
    """Mean half-width of the bands of the energies (meV/atom), and the fraction of references inside."""
    predictions = predict(model, [f.system for f in frames], workers=workers)
    reference, predicted = energy_pairs(predictions, frames)
    bands = np.array([model.uncertainty([f.system])[0].energy / len(f.system) for f in frames])
    return 1000 * float(bands.mean()), float(np.mean(np.abs(predicted - reference) <= bands))


def figure(reference: Mapping[str, float], results: Mapping[str, Any], path: Path) -> None:
    """Ratios to the reference, with error bars where there are any."""
    names = list(reference)
    drawing = Figure(figsize=(8.5, 0.34 * len(names) + 1.4), layout="constrained")
    axes = drawing.subplots()
    for k, (label, result) in enumerate(results.items()):
        ratio = [result["properties"][name] / reference[name] for name in names]
        bars = [result["bands"].get(name, 0.0) / abs(reference[name]) for name in names]
        y = np.arange(len(names)) + 0.22 * (k - 1)
        axes.errorbar(ratio, y, xerr=bars if any(bars) else None, fmt="o", ms=4, capsize=2, label=label)
    axes.axvline(1.0, color="#333333", lw=1)
    axes.axvspan(0.85, 1.15, color="#D9D9D9", alpha=0.5, zorder=0)
    axes.set(yticks=range(len(names)), yticklabels=names, xlabel="over the reference", xlim=(0, 2))
    axes.invert_yaxis()
    drawing.legend(loc="outside upper center", ncols=3, frameon=False)
    drawing.savefig(path, dpi=150)


def main(arguments: list[str] | None = None) -> int:
    """Fit, extrapolate, compare; the exit code."""
    parser = argparse.ArgumentParser(description="Extrapolation from small amorphous Li–Si cells.")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the reference data")
    parser.add_argument("--out", type=Path, default=Path("lisi"), metavar="DIR", help="(%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="threads (%(default)s)")
    parser.add_argument("--force", action="store_true", help="overwrite what is in the folder")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    options = parser.parse_args(arguments)
    written = [options.out / name for name in ("LiSi.json", "study.json", "study.png")]
    if any(path.exists() for path in written) and not options.force:
        print(f"there are results in {options.out}; overwrite them with --force", file=sys.stderr)
        return 2
    try:
        train = options.data / "lisi_train.extxyz"
        sets = {
            "small, unseen": read_frames(options.data / "lisi_test.extxyz"),
            "large": read_frames(options.data / "lisi_large.extxyz"),
        }
        reference, start = references(options.data), structures(options.data)
        frames = read_frames(train)
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    progress = not options.quiet
    problem = Problem(SETTINGS, ["Li", "Si"], frames, options.workers, progress)
    with threadpoolctl.threadpool_limits(1):
        normals = problem.normals()
    parts = normals.weighted(SETTINGS.sigmas)
    models = {
        "all columns": with_all_columns(problem, parts, SETTINGS),
        "selected": solve(problem, normals, SETTINGS, "selected", progress)[0],
        "selected and bagged": bagged(problem, normals, SETTINGS),
    }
    results: dict[str, Any] = {}
    for name, model in models.items():
        values, bands = properties(model, start, progress)
        results[name] = {
            "columns": len(model.weights),
            "errors": errors_of(model, sets, options.workers),
            "properties": values,
            "bands": bands,
        }
    results["selected"]["energy bands"] = {
        name: energy_bands(models["selected"], frames, options.workers) for name, frames in sets.items()
    }
    report(reference, results)
    (options.out / "study.json").write_text(
        json.dumps({"reference": reference, "models": results}, indent=1, ensure_ascii=False) + "\n"
    )
    figure(reference, results, options.out / "study.png")
    shipped = fit(
        train,
        test=options.data / "lisi_test.extxyz",
        settings=SETTINGS,
        name="LiSi",
        metadata={"citation": CITATION},
        progress=progress,
        workers=options.workers,
    )
    shipped.model.save(options.out / "LiSi.json", overwrite=options.force)
    return 0


def report(reference: Mapping[str, float], results: Mapping[str, Any]) -> None:
    """Print the tables."""
    heads = ["", *(f"{name} ({result['columns']})" for name, result in results.items())]
    rows = []
    for part in ("small, unseen", "large"):
        for key, unit, scale in (("energy_mae", "meV/atom", 1), ("force_mae", "meV/Å", 1000)):
            cells = [f"{scale * result['errors'][part][key]:.1f}" for result in results.values()]
            rows.append([f"{part}, {key.replace('_', ' ').replace('mae', 'MAE')} ({unit})", *cells])
    print(text_table(heads, rows))
    rows = []
    for name, true in reference.items():
        digits = 3 if name == BARRIER else 1
        cells = [f"{true:.{digits}f}"]
        for result in results.values():
            value, band = result["properties"][name], result["bands"].get(name)
            bar = "" if band is None else f" ± {band:.{digits}f}"
            cells.append(f"{value:.{digits}f}{bar}")
        rows.append([name, *cells])
    print()
    print(text_table(["", "reference", *results], rows))
    print()
    for label, result in results.items():
        values = {n: result["properties"][n] for n in reference}
        elastic = [n for n in reference if n != BARRIER]
        near = sum(abs(values[n] / reference[n] - 1) <= 0.15 for n in elastic)
        ratio = result["errors"]["large"]["energy_mae"] / result["errors"]["small, unseen"]["energy_mae"]
        line = f"{label}: {near} of {len(elastic)} within 15 %, barrier off by "
        line += f"{abs(values[BARRIER] - reference[BARRIER]):.3f} eV, "
        line += f"energy errors of large cells {ratio:.2f} of those of small ones"
        if result["bands"]:
            inside = sum(abs(values[n] - reference[n]) <= result["bands"][n] for n in reference)
            line += f", {inside} of {len(reference)} references within the error bars"
        print(line)


if __name__ == "__main__":
    sys.exit(main())
