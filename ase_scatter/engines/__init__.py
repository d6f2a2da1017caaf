"""Potentials in other programs: LAMMPS and KIM."""
