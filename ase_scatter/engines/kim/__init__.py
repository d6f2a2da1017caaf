"""Potentials on sites as portable models of the KIM API."""
