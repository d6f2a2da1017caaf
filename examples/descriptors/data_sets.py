"""Adversarial validation on sets of reference data: which can be told apart, and what lies outside.

    python examples/descriptors/data_sets.py /path/to/data

The folder holds the sets by the names below; what is not there is left out. The table goes to data_sets.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from ase.io import read

from ase_scatter.compute.files import write_whole
from ase_scatter.descriptors.comparison import compare_data


def group(atoms):
    return str(atoms.info.get("group", ""))


def sets(folder):
    """Name → first and second set, read when they are asked for."""

    def frames(name, *wanted, step=1):
        found = [a for a in read(folder / name, ":") if not wanted or group(a) in wanted]
        return found[::step]

    silicon = frames("mlearn/Si_train.extxyz")
    halves = np.random.default_rng(1).permutation(len(silicon)).tolist()
    yield "Si, random halves", [silicon[i] for i in halves[::2]], [silicon[i] for i in halves[1::2]]
    acac = frames("acac/train_300K.extxyz")
    yield "acac, 300 K and 300 K", acac, frames("acac/test_MD_300K.extxyz")
    yield "acac, 300 K and 600 K", acac, frames("acac/test_MD_600K.extxyz")
    tungsten = frames("tungsten/W_train.extxyz")
    other = "tungsten/W_extrapolation.extxyz"
    yield "W, bulk and surfaces", tungsten, frames(other, "surface")
    yield "W, bulk and vacancies", tungsten, frames(other, "vacancy")
    yield "W, bulk and dislocations", tungsten, frames(other, "dislocation_quadrupole")
    lisi = frames("lisi/lisi_train.extxyz", step=3)
    crystals = [a for a in lisi if "cryst" in group(a)]
    amorphous = [a for a in lisi if "amorph" in group(a)]
    if len(crystals) > 4 and len(amorphous) > 4:
        yield "Li–Si, amorphous and crystals", amorphous, crystals
    train = frames("nbmotaw/train.extxyz", step=8)
    yield "NbMoTaW, binaries and quaternaries", train, frames("nbmotaw/test.extxyz", "Multinary_Test")
    for element in ("Li", "Si", "Mo", "Cu"):
        name = f"mlearn/{element}_{{}}.extxyz"
        yield f"{element}, train and test", frames(name.format("train")), frames(name.format("test"))


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Which sets of reference data can be told apart?")
    parser.add_argument("folder", help="with the sets by their names")
    folder = parser.parse_args(arguments).folder
    rows = []
    for name, first, second in sets(Path(folder)):
        found = compare_data(first, second)
        rows.append({"sets": name, **found.to_dict()})
        rows[-1] = {k: v for k, v in rows[-1].items() if k not in ("atoms", "frames", "columns")}
        print(f"{name:40s} AUC {found.auc:.3f}  outside {100 * found.outside:5.1f} %", flush=True)
        write_whole(
            Path(__file__).with_suffix(".json"), json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
