"""Scattering coefficients summed over the atoms."""
