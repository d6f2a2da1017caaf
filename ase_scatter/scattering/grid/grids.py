"""Which grids a structure gets."""

from __future__ import annotations

VARIATION = 0.15


COARSENING = 10 / 9
"""The design matrix is made on grids with this much more spacing than the model's, varied downwards:
the integrals are the same but for discretisation errors, which the net-force rows see the better."""
