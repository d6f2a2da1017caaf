"""Potentials on sites in LAMMPS: the pair style "scatter"."""
