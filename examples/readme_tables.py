"""Print the tables of the documentation: errors from the shipped model files, options from their defaults.

    python examples/readme_tables.py             print them
    python examples/readme_tables.py --write     put them between their marks in README.md and docs/

A table stands between <!-- NAME --> and <!-- /NAME -->; the tests hold the pages to what this prints.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from ase_scatter import FitSettings, GridSettings, Model, SitesSettings

ROOT = Path(__file__).resolve().parents[1]
ELEMENTS = ("Li", "Si", "Mo", "Cu", "NbMoTaW", "LiSi")

SITES_OPTIONS = {
    "scales": "wavelet scales β, Å, ascending; if not given, after the data's bond lengths",
    "cutoff": "neighbours up to this distance count, Å; if not given, validation decides",
    "switch": "over so many Å before the cutoff they fade out",
    "epsilon2": "ε², in units of the mean of U²: how smooth the modulus is at 0",
    "first": "order 1: largest l for p = 0, 1, …",
    "inner": "order 2, first wavelet: largest l for p = 0, 1, …",
    "outer": "order 2, second wavelet: largest l for p = 0, 1, …",
    "skipped": "order 2 leaves out so many of the smallest scales",
    "triple": "largest l of products of three fields, 0 for none",
    "exponents1": "exponents q of order 1",
    "exponents2": "exponents q of order 2; none leave order 2 out (`--order 1`)",
}
GRID_OPTIONS = {
    "scales": "wavelet scales β, Å, ascending; if not given, four, √2 apart, after the data's bond lengths",
    "band": "waves up to k = band/β are kept",
    "spacing": "grid spacing over β",
    "epsilon2": "ε², in units of the mean of U²: how smooth the modulus is at 0",
    "first": "order 1: largest l for p = 0, 1, …",
    "inner": "order 2, first wavelet: largest l for p = 0, 1, …",
    "outer": "order 2, second wavelet: largest l for p = 0, 1, …",
    "exponents1": "exponents q of order 1",
    "exponents2": "exponents q of order 2; none leave order 2 out (`--order 1`)",
    "max_ratio": "largest β2/β1 of order 2",
}
FIT_OPTIONS = {
    "transform": "`sites` (sums over atoms), `grid` (integrals over space) or `both`",
    "channels": "densities: `species`, `charges`, or in Python a table {channel: {element: weight}}",
    "columns": "largest number of columns in the model; if not given, 600 per element, at most 1800",
    "sigma_energy": "what counts as an error of 1: energies, eV/atom; if not given, validation decides",
    "sigma_force": "the same for force components, eV/Å; if not given, 0.06 (only ratios count)",
    "sigma_stress": "the same for stress components, GPa; if not given, validation decides",
    "sigma_atomic": "the same for energies of single atoms, eV, where the data have them",
    "sigma_net": "the same for the net force over the number of atoms, eV/Å",
    "thrift": "a column's gain is divided by its cost to this power when columns are chosen",
    "ridge": "strength of the ridge; if not given, the best of `ridges` by validation",
    "ridges": "strengths that are tried",
    "folds": 'parts that the data are dealt into: whole frames, those of one `info["source"]` together',
    "members": "of the committee that gives error bars, 0 for none",
    "e0": "energies of the free atoms, eV; if not given, those of frames of one atom, or least squares",
    "weights": "group → how much the squares of its errors count (`GROUP=W`, repeatable); 1 if not given",
    "core": "subtract a ZBL core before fitting (`--no-core`)",
    "dtype": "of the design matrix while fitting; the model is float64",
}
MICROSECONDS = {"**Si**": 33, "MTP": 81, "SNAP": 77}
"""Per atom and evaluation, as examples/benchmarks/sites_speed.py measured them."""
PYTHON_ONLY = {
    "skipped",
    "exponents1",
    "exponents2",
    "sigma_net",
    "thrift",
    "ridges",
    "dtype",
}


def options_table() -> str:
    """Every setting of a fit with its default."""
    lines = ["| option | Python | default | meaning |", "|---|---|---|---|"]
    for settings, holder, options in (
        (SitesSettings.recommended(1, 2.35), "SitesSettings", SITES_OPTIONS),
        (GridSettings(), "GridSettings", GRID_OPTIONS),
        (FitSettings(), "FitSettings", FIT_OPTIONS),
    ):
        known = {field.name for field in fields(settings)} - {"grid", "sites"}
        if known != set(options):
            raise ValueError(f"options and {holder} differ: {sorted(known ^ set(options))}")
        for name, meaning in options.items():
            command = "" if name in PYTHON_ONLY else f"`--{name.replace('_', '-')}`"
            if name == "weights":
                command = "`--weight`"
            if name == "core":
                command = "`--no-core`"
                meaning = meaning.replace(" (`--no-core`)", "")
            chosen = holder == "SitesSettings" and name in ("scales", "cutoff")
            default = "–" if chosen else _shown(getattr(settings, name))
            lines.append(f"| {command} | `{holder}({name}=…)` | {default} | {meaning} |")
    return "\n".join(lines)


def errors_table() -> str:
    """Errors of the shipped models on the test files, beside those of others."""
    heads = ("", "potential", "columns", "energy MAE / RMSE (meV/atom)", "force MAE / RMSE (eV/Å)")
    lines = ["| " + " | ".join((*heads, "stress RMSE (GPa)")) + " |", "|---" * (len(heads) + 1) + "|"]
    for element in ELEMENTS:
        peers: dict[str, dict[str, float]] = {}
        for name in (element, f"{element}-grid", f"{element}-both"):
            path = ROOT / "potentials" / f"{name}.json"
            if not path.exists():
                continue
            model = Model.load(path)
            ours = model.metadata["errors"]["test"]["all"]
            first = f"**{element}**" if not peers else ""
            lines.append(_row(first, f"**{model.name}**", str(model.transform.n_columns), ours))
            peers = model.metadata.get("reference", {}).get("test_errors", {"": {}})
        lines += [_row("", name, "", errors) for name, errors in peers.items() if errors]
    return "\n".join(lines)


def summary_table() -> str:
    """Errors of the models on sites beside two others, with times for silicon."""
    heads = ("energy MAE (meV/atom)", "force MAE (eV/Å)", "stress RMSE (GPa)", "µs/atom")
    lines = ["| | potential | " + " | ".join(heads) + " |", "|---" * 6 + "|"]
    for element in ("Li", "Si", "Mo", "Cu"):
        metadata = Model.load(ROOT / "potentials" / f"{element}.json").metadata
        rows = {f"**{element}**": metadata["errors"]["test"]["all"]}
        peers = metadata["reference"]["test_errors"]
        rows |= {name: peers[name] for name in ("GAP", "MTP", "SNAP") if name in peers}
        for name, errors in rows.items():
            stress = f"{errors['stress_rmse']:.2f}" if "stress_rmse" in errors else "–"
            time = MICROSECONDS.get(name, "") if element == "Si" else ""
            first = f"**{element}**" if name == f"**{element}**" else ""
            means = f"{errors['energy_mae']:.2f} | {errors['force_mae']:.4f}"
            lines.append(f"| {first} | {name} | {means} | {stress} | {time} |")
    return "\n".join(lines)


def _row(element: str, name: str, columns: str, errors: dict[str, float]) -> str:
    stress = f"{errors['stress_rmse']:.2f}" if "stress_rmse" in errors else "–"
    energy = f"{errors['energy_mae']:.2f} / {errors['energy_rmse']:.2f}"
    force = f"{errors['force_mae']:.4f} / {errors['force_rmse']:.4f}"
    return f"| {element} | {name} | {columns} | {energy} | {force} | {stress} |"


def _shown(value: Any) -> str:
    if value is None or value in ((), {}):
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ", ".join(_shown(entry) for entry in value)
    if isinstance(value, float):
        return "∞" if math.isinf(value) else f"{value:g}"
    return str(value)


TABLES = {
    "SUMMARY": ("README.md", summary_table),
    "ERRORS": ("docs/explanation/accuracy.md", errors_table),
    "OPTIONS": ("docs/reference/fit_options.md", options_table),
}
"""The page of each table, and what writes it."""


def replaced(name: str) -> tuple[Path, str]:
    """The page of a table, and its text with the table as it should be."""
    page, table = TABLES[name]
    text = (ROOT / page).read_text(encoding="utf-8")
    marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if len(marks.findall(text)) != 1:
        raise ValueError(f"{page} must have the marks of {name} once")
    return ROOT / page, marks.sub(rf"\g<1>{table()}\n\g<2>", text)


def main(arguments: list[str] | None = None) -> int:
    """Print the tables or write them; the exit code."""
    parser = argparse.ArgumentParser(description="Print the tables of the documentation.")
    parser.add_argument("--write", action="store_true", help="put them into their pages")
    options = parser.parse_args(arguments)
    for name, (_, table) in TABLES.items():
        if options.write:
            page, text = replaced(name)
            page.write_text(text, encoding="utf-8")
        else:
            print(f"{name}\n\n{table()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
