import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from ase_scatter.errors import InputError
from ase_scatter.structures.pair_search import completed_cell
from ase_scatter.structures.system import Evaluation, System
from ase_scatter.units import from_voigt, to_voigt


def test_copies_what_it_takes():
    atoms = bulk("Si")
    system = System.from_atoms(atoms)
    system.positions[0] += 1.0
    assert atoms.positions[0, 0] == 0.0
    assert system.has_volume
    assert system.volume == pytest.approx(atoms.get_volume())
    assert not System.from_atoms(molecule("H2O")).has_volume


def wrong(change):
    atoms = bulk("Si", cubic=True)
    change(atoms)
    return atoms


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.positions.__setitem__((3, 1), np.nan), "position of atom 3 is not finite"),
        (lambda a: a.positions.__setitem__((3, 1), np.inf), "position of atom 3 is not finite"),
        (lambda a: a.positions.__setitem__(5, a.positions[2]), "atoms 2 and 5 are at the same place"),
        (lambda a: a.positions.__setitem__(5, a.positions[2] + a.cell[0] - 0.01), "atoms 2 and 5"),
        (lambda a: a.positions.__setitem__(5, a.positions[0] - [1e-9, 1e-9, 1e-9]), "atoms 0 and 5"),
        (lambda a: a.__delitem__(slice(None)), "no atoms"),
        (lambda a: a.set_cell([5.0, 5.0, 1e-4]), "atoms 0 and 0 are at the same place"),
        (lambda a: a.set_cell([5.0, 5.0, 0.0]), "zero or parallel"),
        (lambda a: a.set_cell([[5, 0, 0], [10, 0, 0], [0, 0, 5]]), "zero or parallel"),
        (lambda a: a.cell.__setitem__((0, 0), np.nan), "cell holds values"),
    ],
)
def test_what_cannot_be_computed_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        System.from_atoms(wrong(change))


@pytest.mark.parametrize("corner", [(1, 0, 0), (0, 1, 1), (1, 1, 1), (3, -2, 1)])
def test_atoms_that_coincide_across_faces_edges_and_corners(corner):
    cell = np.array([[4.0, 0.5, 0.0], [0.3, 3.0, 0.7], [-0.4, 0.2, 5.0]])
    positions = np.array([[0.01, 0.01, 0.01], np.array(corner) @ cell - 0.01, [1.0, 2.0, 3.0]])
    with pytest.raises(InputError, match="atoms 0 and 1"):
        System.from_atoms(Atoms("Si3", positions=positions, cell=cell, pbc=True))
    # Open directions have no images.
    open_cell = Atoms("Si3", positions=positions, cell=cell, pbc=[not n for n in corner])
    assert len(System.from_atoms(open_cell)) == 3


def test_near_but_distinct_atoms_pass():
    System.from_atoms(Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.06]]))
    System.from_atoms(Atoms("H", positions=[[0, 0, 0]], cell=[1, 1, 1], pbc=True))


def test_completed_cell_spans_space():
    for pbc in ((True, True, False), (False, True, False), (False, False, False)):
        cell = np.array([[3.0, 0.1, 0], [0.4, 4.0, 1.0], [0, 0, 0]]) * np.array(pbc)[:, None]
        vectors = completed_cell(cell, np.array(pbc))
        assert abs(np.linalg.det(vectors)) > 0.5
        np.testing.assert_array_equal(vectors[np.array(pbc)], cell[np.array(pbc)])


def test_evaluations_add():
    one = Evaluation(1.0, np.ones((2, 3)), np.eye(3))
    both = one + one
    assert both.energy == 2.0
    assert both.forces.sum() == 12.0
    assert both.strain_gradient[0, 0] == 2.0


def test_voigt_order_and_back():
    matrix = np.array([[1.0, 6, 5], [6, 2, 4], [5, 4, 3]])
    assert to_voigt(matrix).tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(from_voigt(to_voigt(matrix)), matrix)
    assert to_voigt(np.array([[0, 1.0, 0], [0, 0, 0], [0, 0, 0]])).tolist() == [0, 0, 0, 0, 0, 0.5]
