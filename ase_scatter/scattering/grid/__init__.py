"""Scattering coefficients on periodic grids."""
