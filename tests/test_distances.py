"""The shortest distances in the training data, and the core that ends there."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk

from ase_scatter.structures.distances import shortest_distances
from ase_scatter.structures.system import System


def test_shortest_of_each_pair() -> None:
    near = Atoms("CuCuAu", positions=[[0, 0, 0], [2.0, 0, 0], [0, 2.5, 0]])
    far = Atoms("CuAuAu", positions=[[0, 0, 0], [3.0, 0, 0], [0, 3.1, 0]], cell=[20, 20, 20], pbc=True)
    found = shortest_distances([System.from_atoms(near), System.from_atoms(far)], ["Au", "Cu"])
    like = 2 * 0.8 * 1.36  # Au meets no Au within reach
    assert np.allclose(found, [[like, 0.5 * (like + 2.0)], [0.5 * (like + 2.0), 2.0]])


def test_images_count() -> None:
    found = shortest_distances([System.from_atoms(bulk("Cu"))], ["Cu"])
    assert np.allclose(found, 3.61 / np.sqrt(2))
