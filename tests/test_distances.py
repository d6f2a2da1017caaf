"""The shortest distances in the training data, and the core that ends there."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk

from ase_scatter.model.extrapolation import Domain
from ase_scatter.scattering import SitesSettings, SitesTransform
from ase_scatter.scattering.channels import Channels
from ase_scatter.structures.distances import distances_seen, shortest_distances
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


def test_nearer_than_ever_is_outside() -> None:
    atoms = bulk("Cu", cubic=True)
    systems = []
    for seed in range(6):
        atoms.positions = bulk("Cu", cubic=True).positions
        atoms.rattle(0.05, seed=seed)
        systems.append(System.from_atoms(atoms))
    settings = SitesSettings(scales=(1.0, 1.5), cutoff=4.0, first=(1,), triple=0, exponents2=())
    transform = SitesTransform.candidates(settings, Channels.by_species(["Cu"])).calibrated(systems)
    domain = Domain.of(transform, systems, 1, False)
    nearest = distances_seen(systems, ["Cu"])[0, 0]
    assert domain.regions["Cu"].shortest == {"Cu": nearest}
    pair = Atoms("CuCu", positions=[[0, 0, 0], [0, 0, 0.999 * nearest]])
    assert domain.grade(transform, System.from_atoms(pair)).min() > 1
    again = Domain.from_dict(domain.to_dict())
    assert again.regions["Cu"].shortest == domain.regions["Cu"].shortest
    assert max(domain.grade(transform, system).max() for system in systems) <= 1 + 1e-9
