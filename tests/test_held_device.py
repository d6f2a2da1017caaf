"""Where columns rest, the kernels say what the compiled passes say."""

from __future__ import annotations

import numpy as np
import pytest
import strict  # noqa: F401
from test_held import crowded, transform  # noqa: F401
from test_sites_device import close

from ase_scatter.compute.target import Target
from ase_scatter.scattering import SitesTransform


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_device_agrees_where_columns_rest(transform: SitesTransform, dtype: str) -> None:  # noqa: F811
    system = crowded()
    weights = np.random.default_rng(0).normal(size=transform.n_columns)
    expected = transform.evaluate(system, weights)
    found = transform.evaluate(system, weights, Target("strict", dtype))
    assert expected.energies is not None
    size = tuple(
        float(np.abs(values).max())
        for values in (expected.energies, expected.forces, expected.strain_gradient)
    )
    close(found, expected, size, 1e-10 if dtype == "float64" else 1e-5)
