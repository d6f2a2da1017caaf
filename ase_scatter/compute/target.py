"""Where and how precisely something is computed, as one value."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .backend import Backend, require_device, require_dtype

Shapes = NDArray[np.int64]
"""Grid points per direction of each grid, (n_grids, 3)."""


@dataclass(frozen=True)
class Target:
    """A device, a precision and, where the grids must not follow the cell, frozen grids.

    Parameters
    ----------
    device : str
        "cpu", "cuda" or the name of a device that was registered.
    dtype : str
        "float64" or "float32".
    grids : array_like of int, shape (n_grids, 3), optional
        Grid points per direction of each grid, to be used whatever the cell. By default they follow
        the cell.

    Raises
    ------
    InputError
        If the dtype is unknown. An unknown device is refused when it is first used.
    """

    device: str = "cpu"
    dtype: str = "float64"
    grids: ArrayLike | None = None

    def __post_init__(self) -> None:
        require_dtype(self.dtype)
        if self.grids is not None:
            # As tuples, so that targets can be compared and hashed.
            rows = np.atleast_2d(np.asarray(self.grids, dtype=np.int64)).tolist()
            object.__setattr__(self, "grids", tuple(map(tuple, rows)))

    @property
    def backend(self) -> Backend:
        """Arrays, FFTs and kernels of the device.

        Raises
        ------
        DeviceError
            If the device is not there.
        InputError
            If its name is unknown.
        """
        return require_device(self.device)

    @property
    def on_host(self) -> bool:
        """Whether this is the CPU."""
        return self.device == "cpu"

    @property
    def shapes(self) -> Shapes | None:
        """The frozen grids as an array (n_grids, 3), None without."""
        return None if self.grids is None else np.array(self.grids, dtype=np.int64)

    def with_grids(self, grids: ArrayLike | None) -> Target:
        """The same device and precision with other frozen grids.

        Parameters
        ----------
        grids : array_like of int, shape (n_grids, 3), optional
            Grid points per direction of each grid; None lets the grids follow the cell.

        Returns
        -------
        Target
        """
        return replace(self, grids=grids)


HOST = Target()
"""The CPU in double precision."""
