"""Total and atomic energies of small molecules with PySCF, for `local_energies.py`.

    OMP_NUM_THREADS=1 python examples/descriptors/local_energy_labels.py molecules.extxyz

needs PySCF (PyPI). Closed-shell molecules of H, C, N and O of `ase.collections.g2`, each at rest
and displaced at random (0.05 Å), PBE/def2-SVP with density fitting. Mean-field energies are sums over
electrons and nuclei: with the matrix

    M = T + v_nuclei / 2 + J / 2 + e_xc

of orbitals, E = Tr P M + Σ_A Z_A (Σ_B≠A Z_B / R_AB - ∫ ρ / |r - R_A|) / 2. The second sum is one over
atoms; the first becomes one with a basis of orbitals at atoms, E_A = Σ_{a on A} (P M)_aa. There are three:
atomic orbitals ("mulliken"), the same made orthogonal symmetrically ("lowdin"), and intrinsic atomic orbitals
("iao"). The sum over atoms is the total energy of each, which is checked. Entries `mulliken`, `lowdin` and
`iao` hold the atomic energies less those of free atoms, in eV.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.collections import g2
from ase.io import write
from ase.units import Hartree

try:
    from pyscf import dft, gto, lo
except ImportError:
    dft = None

BASIS, FUNCTIONAL, DISPLACEMENT, GEOMETRIES = "def2-svp", "pbe", 0.05, 3
GROUPS = {
    "alkane": "CH4 C2H6 C3H8 isobutane trans-butane C3H6_D3h cyclobutane bicyclobutane",
    "alkene": "C2H4 C3H6_Cs butadiene isobutene C3H4_D2d C3H4_C2v cyclobutene methylenecyclopropane",
    "alkyne": "C2H2 C3H4_C3v 2-butyne",
    "aromatic": "C6H6 C5H5N C4H4NH C4H4O",
    "alcohol": "CH3OH CH3CH2OH C2H6CHOH",
    "ether": "CH3OCH3 CH3CH2OCH3 CH2OCH2",
    "carbonyl": "H2CO CH3CHO CH3COCH3 OCHCHO H2CCO",
    "acid or ester": "HCOOH CH3COOH HCOOCH3",
    "amine": "H3CNH2 C2H6NH C3H9N CH3CH2NH2 CH2NHCH2",
    "amide": "CH3CONH2",
    "nitrile": "HCN CH3CN H2CCHCN NCCN",
    "nitro": "CH3NO2 CH3ONO",
}


def solve(atoms, spin=0, density=None):
    """The converged mean field, from a density to begin with."""
    mol = gto.M(
        atom=list(zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)),
        basis=BASIS,
        spin=spin,
        verbose=0,
    )
    field = (dft.UKS if spin else dft.RKS)(mol, xc=FUNCTIONAL).density_fit()
    field.grids.level = 1
    field.kernel(density)
    if not field.converged:
        raise RuntimeError(f"{atoms.get_chemical_formula()} does not converge")
    return field


def atomic_energies(field):
    """Atomic energies in Hartree by the name of the partition."""
    mol, grids, density = field.mol, field.grids, field.make_rdm1()
    orbitals = field._numint.eval_ao(mol, grids.coords, deriv=1)
    rho = field._numint.eval_rho(mol, orbitals, density, xctype="GGA")
    per_electron = field._numint.eval_xc(FUNCTIONAL, rho, spin=0, deriv=0)[0]
    exchange = orbitals[0].T @ ((grids.weights * per_electron)[:, None] * orbitals[0])
    matrix = mol.intor("int1e_kin") + 0.5 * mol.intor("int1e_nuc") + 0.5 * field.get_j(dm=density) + exchange
    charges, places = mol.atom_charges(), mol.atom_coords()
    distances = np.linalg.norm(places[:, None] - places, axis=-1) + np.diag(np.full(mol.natm, np.inf))
    nuclei = 0.5 * charges * (charges / distances).sum(axis=1)
    for a in range(mol.natm):
        with mol.with_rinv_at_nucleus(a):
            nuclei[a] -= 0.5 * charges[a] * np.sum(density * mol.intor("int1e_rinv"))
    overlap = mol.intor("int1e_ovlp")
    size, vectors = np.linalg.eigh(overlap)
    root = (vectors * np.sqrt(size)) @ vectors.T
    inverse = np.linalg.inv(root)
    intrinsic = lo.vec_lowdin(lo.iao.iao(mol, field.mo_coeff[:, field.mo_occ > 0]), overlap)
    inside = overlap @ intrinsic
    minimal = lo.iao.reference_mol(mol)

    def shared(per_orbital, molecule_):
        atom = [label[0] for label in molecule_.ao_labels(fmt=None)]
        return nuclei + np.bincount(atom, per_orbital, minlength=mol.natm)

    found = {
        "mulliken": shared(np.diag(density @ matrix), mol),
        "lowdin": shared(np.diag(root @ density @ matrix @ inverse), mol),
        "iao": shared(
            np.diag(inside.T @ density @ inside @ intrinsic.T @ matrix @ intrinsic),
            minimal,
        ),
    }
    for name, energies in found.items():
        if abs(energies.sum() - field.e_tot) > 1e-5:
            raise RuntimeError(f"{name}: atomic energies sum to {energies.sum()}, not {field.e_tot}")
    return found


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Label molecules with energies of their atoms, by PySCF.")
    parser.add_argument("path", help="where to write them")
    path = parser.parse_args(arguments).path
    if dft is None:
        print("PySCF is not installed: pip install pyscf", file=sys.stderr)
        return 2
    free = {s: solve(Atoms(s), spin).e_tot for s, spin in {"H": 1, "C": 2, "N": 3, "O": 2}.items()}
    rng = np.random.default_rng(0)
    names = [(group, name) for group, members in GROUPS.items() for name in members.split()]
    assert {name for _, name in names} <= set(g2.names)
    frames, begin = [], time.process_time()
    for group, name in names:
        density = None
        for index in range(GEOMETRIES):
            atoms = molecule(name)
            if index:
                atoms.positions += rng.normal(0.0, DISPLACEMENT, size=(len(atoms), 3))
            field = solve(atoms, density=density)
            density = field.make_rdm1()
            base = np.array([free[s] for s in atoms.get_chemical_symbols()])
            for kind, energies in atomic_energies(field).items():
                atoms.arrays[kind] = (energies - base) * Hartree
            atoms.info |= {"energy": (field.e_tot - base.sum()) * Hartree, "group": group, "source": name}
            frames.append(atoms)
        print(f"{group}: {name}, {time.process_time() - begin:.0f} s", flush=True)
        write(path, frames, format="extxyz")
    return 0


if __name__ == "__main__":
    sys.exit(main())
