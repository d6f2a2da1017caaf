"""Do a potential's warnings find its large errors on data unlike the training?

    python examples/descriptors/warnings_in_time.py W_train.extxyz W_extrapolation.extxyz

Fits a small potential to the first file and evaluates it on the second: errors, grades and half-widths by
group, and areas under the curves that find errors above three times the median. Where DScribe (PyPI) is
installed, the distance to the nearest training atom in the space of SOAP is judged by the same errors. The
table goes to warnings_in_time.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from ase_scatter import FitSettings, fit, read_frames
from ase_scatter.compute.files import write_whole
from ase_scatter.descriptors.classifier import auc
from ase_scatter.descriptors.transferability import transferability
from ase_scatter.reporting.descriptors import transfer_text

SETTINGS = FitSettings(
    sites={"exponents2": (), "exponents1": (1.0, 2.0), "triple": 3}, columns=200, folds=4, members=8,
    ridges=(1e-9, 1e-7),
)  # fmt: skip


def soap_distances(train, frames, most=4000):
    """Distance of each atom to the nearest of the training's in the space of SOAP."""
    from ase import Atoms
    from dscribe.descriptors import SOAP
    from scipy.spatial import cKDTree

    def atoms(system):
        return Atoms(system.numbers, system.positions, cell=system.cell, pbc=system.pbc)

    soap = SOAP(species=["W"], r_cut=5.5, n_max=6, l_max=6, periodic=True)
    known = np.concatenate([soap.create(atoms(frame.system)) for frame in train])
    known = known[:: -(-len(known) // most)]
    mean = known.mean(axis=0)
    values, axes = np.linalg.eigh(np.cov((known - mean).T))
    axes = axes[:, np.argsort(values)[::-1][:20]]
    tree = cKDTree((known - mean) @ axes)
    return np.concatenate([tree.query((soap.create(atoms(f.system)) - mean) @ axes)[0] for f in frames])


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Do warnings find large errors on other data?")
    parser.add_argument("train", help="training frames")
    parser.add_argument("other", help="frames unlike them")
    options = parser.parse_args(arguments)
    train, other = options.train, options.other
    frames = read_frames(train), read_frames(other)
    model = fit(frames[0], settings=SETTINGS, name=Path(train).stem, progress=False, workers=1).model
    found = transferability(model, frames[1], name=Path(other).name, workers=1)
    print(transfer_text(found), flush=True)
    document = found.to_dict()
    try:
        distances = soap_distances(*frames)
    except ImportError:
        print("DScribe is not installed: no distances in the space of SOAP")
    else:
        document["roc"]["distance in SOAP space"] = auc(distances, found.errors > found.threshold)
        print("distance in SOAP space:", document["roc"]["distance in SOAP space"])
    write_whole(
        Path(__file__).with_suffix(".json"), json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
