"""Figures: what they show, that they are written, and that matplotlib is left as it was."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from matplotlib.figure import Figure

from ase_scatter.errors import InputError
from ase_scatter.plotting import barrier_plot, columns_plot, elastic_plot, eos_plot, parity_plot
from ase_scatter.properties import Barrier, EnergyVolume
from ase_scatter.structures.dataset import Frame
from ase_scatter.structures.system import System
from ase_scatter.training.metrics import Prediction


@pytest.fixture(autouse=True)
def same_matplotlib():
    """No figure may go through pyplot, nor change what the user has set."""
    before = dict(mpl.rcParams)
    backend = mpl.get_backend(auto_select=False)
    yield
    assert dict(mpl.rcParams) == before
    assert mpl.get_backend(auto_select=False) == backend
    if "matplotlib.pyplot" in sys.modules:
        assert not sys.modules["matplotlib.pyplot"].get_fignums()


def texts(figure: Figure) -> str:
    """All that is written in a figure."""
    found = [text.get_text() for text in figure.findobj(mpl.text.Text)]
    return "\n".join(text for text in found if text)


def labelled(stress: bool = True) -> tuple[list[Prediction], list[Frame]]:
    rng = np.random.default_rng(0)
    frames, predictions = [], []
    for index in range(12):
        atoms = bulk("Si", a=5.4 + 0.02 * index)
        tensor = rng.normal(size=6)
        frames.append(
            Frame(
                System.from_atoms(atoms),
                energy=-10 + 0.1 * index,
                forces=rng.normal(size=(2, 3)),
                stress=tensor if stress else None,
                group="hot" if index % 2 else "cold",
            )
        )
        predictions.append(Prediction(-10 + 0.1 * index + 0.008, frames[-1].forces + 0.25, tensor))
    return predictions, frames


def barrier(converged: bool = True) -> Barrier:
    path = np.linspace(0, 2, 5)
    return Barrier(
        energies=np.array([-5.0, -4.6, -4.2, -4.6, -5.0]),
        path=path,
        slopes=np.array([0, 1, 0, -1, 0]),
        forward=0.8,
        backward=0.8,
        images=(Atoms("H"),) * 5,
        max_force=0.01,
        steps=3,
        converged=converged,
    )


def is_png(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000


def test_parity(tmp_path):
    predictions, frames = labelled()
    figure = parity_plot(predictions, frames, tmp_path / "p.png", title="a title")
    assert is_png(tmp_path / "p.png")
    assert len(figure.axes) == 3
    written = texts(figure)
    # 8 meV over two atoms; forces off by 0.25; stresses exact.
    for piece in ("a title", "hot", "cold", "MAE   4\nRMSE 4\nmeV/atom", "MAE   0.25", "MAE   0\n"):
        assert piece in written
    points = np.concatenate([line.get_xdata() for line in figure.axes[0].lines if len(line.get_xdata()) == 6])
    np.testing.assert_allclose(np.sort(points), [-5 + 0.05 * i for i in range(12)])


def test_parity_without_labels():
    predictions, frames = labelled(stress=False)
    assert len(parity_plot(predictions, frames).axes) == 2
    with pytest.raises(InputError, match="no labels"):
        parity_plot([], [])


def test_energy_volume(tmp_path):
    curve = EnergyVolume(
        volumes=np.linspace(36, 44, 7),
        energies=-10 + 0.01 * np.linspace(-4, 4, 7) ** 2,
        v0=40.0,
        e0=-10.0,
        lengths=np.full(3, 3.42),
        bulk_modulus=98.0,
        bulk_derivative=4.2,
        v0_half_width=0.05,
        bulk_modulus_half_width=None,
        n_atoms=2,
        rmse=0.1,
        converged=True,
    )
    figure = eos_plot(curve, tmp_path / "e.png", reference_volume=20.5, title="Si")
    assert is_png(tmp_path / "e.png")
    for piece in ("20.000 ± 0.025 Å³/atom", "98.0 GPa", "4.20", "DFT minimum"):
        assert piece in texts(figure)


def test_barrier(tmp_path):
    figure = barrier_plot(barrier(), tmp_path / "b.png", references={"MTP": 0.7})
    assert is_png(tmp_path / "b.png")
    assert "forward 0.800 eV" in texts(figure)
    assert "MTP" in texts(figure)
    smooth = figure.axes[0].lines[0]
    assert smooth.get_ydata().max() == pytest.approx(0.8, abs=1e-3)
    assert "not converged" not in texts(figure)
    assert "not converged" in texts(barrier_plot(barrier(converged=False)))


def test_elastic(tmp_path):
    values = {"model": {"C11": 150.0, "C44": 75.0}, "DFT": {"C11": 153.0, "C44": None}}
    figure = elastic_plot(values, tmp_path / "c.png")
    assert is_png(tmp_path / "c.png")
    assert sorted(bar.get_height() for bar in figure.axes[0].patches) == [75, 150, 153]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["C11", "C44"]
    with pytest.raises(InputError, match="no elastic constants"):
        elastic_plot({"DFT": {"C44": None}})


def test_columns(tmp_path):
    figure = columns_plot({400: 1.4, 100: 2.0, 200: 1.3}, tmp_path / "n.png")
    assert is_png(tmp_path / "n.png")
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xdata(), [100, 200, 400])
    assert "lowest: 200 columns" in texts(figure)
    with pytest.raises(InputError, match="no scores"):
        columns_plot({})


def test_unknown_formats_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"\.png, \.pdf or \.svg"):
        columns_plot({1: 1.0}, tmp_path / "n.doc")
    columns_plot({1: 1.0, 2: 2.0}, tmp_path / "n.svg")
    assert "<svg" in (tmp_path / "n.svg").read_text()
