"""Scattering coefficients as features, with the interface of scikit-learn.

scikit-learn is not needed: its conventions (`get_params`, `set_params`, `fit`, `transform`, attributes that
end in an underscore after `fit`) are kept here, so that its `clone`, pipelines and searches work where it is
installed.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ..compute import threads
from ..compute.parallel import in_order
from ..errors import InputError
from ..model.model import Model
from ..scattering import SitesTransform, Transform
from ..structures.dataset import Frame, as_systems, elements_of
from ..structures.sampling import CALIBRATION_FRAMES, spread
from ..structures.system import System
from ..training.settings import TRANSFORMS, FitSettings
from .derivatives import Derivatives

if TYPE_CHECKING:
    from sklearn.utils import Tags

Floats = NDArray[np.float64]
POOLINGS = ("atom", "sum", "mean", "element")


class ScatteringDescriptor:
    """Wavelet scattering coefficients as features of atoms or structures.

    Structures are lists of ASE's `Atoms` (or `System`, `Frame`). A feature belongs to an element: of atoms
    of other elements it is 0.

    Parameters
    ----------
    elements : sequence of str, optional
        Chemical symbols that can be transformed; by default those of the structures that `fit` sees.
    transform : str, default "sites"
        "sites" (sums over neighbours within a cutoff), "grid" (integrals over space) or "both".
    settings : mapping, optional
        Hyperparameters that differ from the recommended ones: those of `SitesSettings` for "sites", of
        `GridSettings` for "grid", and {"sites": …, "grid": …} for "both".
    pooling : str, default "atom"
        What a row is: "atom" (one row for each atom), "sum" (of the atoms of a structure), "mean" (the sum
        over the number of atoms) or "element" (of each feature the mean over the atoms of its element). On a
        grid there are no rows of atoms or elements.
    n_jobs : int, default 1
        Structures at a time; −1 for one per core.
    model : Model, str or Path, optional
        A fitted model, a shipped name or a model file, whose columns are the features. `fit` then learns
        nothing, and elements, transform and settings must be left alone.

    Attributes
    ----------
    transform_ : Transform
        The calibrated columns, after `fit`.
    n_features_out_ : int
        Number of features, after `fit`.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase_scatter import ScatteringDescriptor
    >>> crystals = [bulk("Cu", "fcc", a, cubic=True) for a in (3.5, 3.6, 3.7)]
    >>> descriptor = ScatteringDescriptor(settings={"exponents2": ()}, pooling="mean").fit(crystals)
    >>> descriptor.transform(crystals).shape[0]
    3
    """

    def __init__(
        self,
        elements: Sequence[str] | None = None,
        *,
        transform: str = "sites",
        settings: Mapping[str, Any] | None = None,
        pooling: str = "atom",
        n_jobs: int = 1,
        model: Model | str | Path | None = None,
    ) -> None:
        # As scikit-learn wants it: nothing is checked or changed before `fit`.
        self.elements = elements
        # `transform` is a method, and also a parameter.
        self._kind = transform
        self.settings = settings
        self.pooling = pooling
        self.n_jobs = n_jobs
        self.model = model

    # ---- scikit-learn's conventions -----------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of the constructor.

        Parameters
        ----------
        deep : bool, default True
            Without a meaning here: no parameter has parameters of its own.

        Returns
        -------
        dict
            Name and value of each.
        """
        return {name: getattr(self, "_kind" if name == "transform" else name) for name in _names()}

    def set_params(self, **params: Any) -> Self:
        """Change parameters of the constructor.

        Parameters
        ----------
        **params : object
            Name and value of each.

        Returns
        -------
        ScatteringDescriptor
            Itself.

        Raises
        ------
        ValueError
            If a name is not known.
        """
        for name, value in params.items():
            if name not in _names():
                raise InputError(
                    f"{name!r} is no parameter of ScatteringDescriptor; it has {', '.join(_names())}"
                )
            setattr(self, "_kind" if name == "transform" else name, value)
        return self

    def __repr__(self) -> str:
        changed = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if value != inspect.signature(type(self)).parameters[name].default
        ]
        return f"ScatteringDescriptor({', '.join(changed)})"

    def __sklearn_tags__(self) -> Tags:
        """What scikit-learn, which calls this, wants to know."""
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=[]),
            input_tags=InputTags(two_d_array=False),
            requires_fit=True,
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "transform_")

    # ---- fit and transform --------------------------------------------------------------------------

    def fit(self, structures: Sequence[Atoms | System | Frame] | None = None, y: Any = None) -> Self:
        """Choose elements, scales and norms from structures.

        Parameters
        ----------
        structures : sequence of Atoms, System or Frame, optional
            The structures; not needed with a model.
        y : object, optional
            Ignored.

        Returns
        -------
        ScatteringDescriptor
            Itself.

        Raises
        ------
        InputError
            If parameters do not fit together, or the structures hold elements that are not asked for.
        """
        if self.pooling not in POOLINGS:
            raise InputError(f"pooling must be one of {', '.join(POOLINGS)}, not {self.pooling!r}")
        if self._kind not in TRANSFORMS:
            raise InputError(f"transform must be one of {', '.join(TRANSFORMS)}, not {self._kind!r}")
        found = self._of_data(structures) if self.model is None else self._of_model(self.model)
        if self.pooling in ("atom", "element") and not isinstance(found, SitesTransform):
            raise InputError(
                f"columns on a grid are no sums over atoms, so that there is no pooling {self.pooling!r}; "
                "ask for pooling='mean' or 'sum'"
            )
        self.transform_ = found
        self.n_features_out_ = found.n_columns
        return self

    def _of_model(self, model: Model | str | Path) -> Transform:
        if self.elements is not None or self.settings is not None or self._kind != "sites":
            raise InputError("a model has elements, transform and settings of its own; leave them out")
        return (model if isinstance(model, Model) else Model.load(model)).transform

    def _of_data(self, structures: Sequence[Atoms | System | Frame] | None) -> Transform:
        if structures is None or not len(structures):
            raise InputError("fit needs structures, or a model")
        systems = as_systems(structures)
        seen = elements_of(systems)
        elements = seen if self.elements is None else list(self.elements)
        strange = sorted(set(seen) - set(elements))
        if strange:
            raise InputError(f"the structures hold {', '.join(strange)}, not among the elements asked for")
        given = dict(self.settings or {})
        fit_settings = FitSettings(transform=self._kind)
        if self._kind == "both":
            unknown = sorted(set(given) - {"sites", "grid"})
            if unknown:
                raise InputError(f"settings of both are given for 'sites' and 'grid', not {unknown}")
        else:
            given = {self._kind: given}
        try:
            if "sites" in given:
                fit_settings = replace(fit_settings, sites=given["sites"])
            if "grid" in given:
                fit_settings = replace(fit_settings, grid=replace(fit_settings.grid, **given["grid"]))
            candidates = fit_settings.candidates(fit_settings.make_channels(elements), systems)
        except TypeError as error:
            raise InputError(f"settings: {error}") from error
        return candidates.calibrated(spread(systems, CALIBRATION_FRAMES))

    def transform(self, structures: Iterable[Atoms | System | Frame]) -> Floats:
        """Compute the features of structures.

        Parameters
        ----------
        structures : iterable of Atoms, System or Frame
            The structures.

        Returns
        -------
        ndarray, shape (n_rows, n_features)
            Rows as `index` tells them.

        Raises
        ------
        InputError
            If there was no `fit`, or a structure cannot be computed.
        """
        columns = self._fitted()
        systems = as_systems(structures)
        rows = list(in_order(lambda system: self._rows(columns, system), systems, self._workers()))
        return np.concatenate(rows) if rows else np.empty((0, columns.n_columns))

    def fit_transform(self, structures: Sequence[Atoms | System | Frame], y: Any = None) -> Floats:
        """Do `fit` and `transform` with the same structures.

        Parameters
        ----------
        structures : sequence of Atoms, System or Frame
            The structures.
        y : object, optional
            Ignored.

        Returns
        -------
        ndarray, shape (n_rows, n_features)
        """
        return self.fit(structures, y).transform(structures)

    def index(self, structures: Iterable[Atoms | System | Frame]) -> NDArray[np.int64]:
        """Which structure and atom each row of `transform` belongs to.

        Parameters
        ----------
        structures : iterable of Atoms, System or Frame
            The structures.

        Returns
        -------
        ndarray of int, shape (n_rows, 2)
            Numbers of the structure and of the atom; the latter is −1 for rows of structures.
        """
        rows = [
            (k, i)
            for k, system in enumerate(as_systems(structures))
            for i in (range(len(system)) if self.pooling == "atom" else (-1,))
        ]
        return np.array(rows, dtype=np.int64).reshape(-1, 2)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Readable labels of the features.

        Parameters
        ----------
        input_features : object, optional
            Ignored.

        Returns
        -------
        ndarray of str, shape (n_features,)
        """
        return np.array([column.label for column in self._fitted().columns], dtype=object)

    def derivatives(self, atoms: Atoms | System | Frame, centres: Sequence[int] | None = None) -> Derivatives:
        """Compute the features of a structure with their derivatives.

        Parameters
        ----------
        atoms : Atoms, System or Frame
            The structure.
        centres : sequence of int, optional
            Atoms whose features are wanted, with pooling "atom"; by default all.

        Returns
        -------
        Derivatives
            With respect to all positions, sparse, and to the strain.

        Raises
        ------
        InputError
            If there was no `fit`, the structure cannot be computed, or there are no such centres.
        """
        columns = self._fitted()
        (system,) = as_systems([atoms])
        if self.pooling == "atom":
            assert isinstance(columns, SitesTransform)
            if centres is not None and not all(0 <= i < len(system) for i in centres):
                raise InputError(f"centres must be among the {len(system)} atoms")
            return Derivatives.of_atoms(columns.local_jacobian(system, centres), len(system))
        if centres is not None:
            raise InputError("centres have a meaning with pooling='atom' only")
        values, d_positions, d_strain = columns.jacobian(system)
        scale = self._scale(columns, system)
        return Derivatives.of_structure(
            values * scale, d_positions * scale[:, None, None], d_strain * scale[:, None, None]
        )

    # ---- inner ----------------------------------------------------------------------------------------

    def _fitted(self) -> Transform:
        if not hasattr(self, "transform_"):
            raise InputError("this ScatteringDescriptor is not fitted; call fit first")
        found: Transform = self.transform_
        return found

    def _workers(self) -> int:
        return threads.count() if self.n_jobs == -1 else max(1, self.n_jobs or 1)

    def _rows(self, columns: Transform, system: System) -> Floats:
        if self.pooling == "atom":
            return columns.local_features(system)
        if isinstance(columns, SitesTransform):
            total: Floats = columns.local_features(system).sum(axis=0)[None]
            return total * self._scale(columns, system)
        return columns.features(system)[None] * self._scale(columns, system)

    def _scale(self, columns: Transform, system: System) -> Floats:
        """(n_features,) what the sums over atoms are multiplied by."""
        if self.pooling == "element":
            assert isinstance(columns, SitesTransform)
            kinds = columns.channels.kinds(system.numbers)
            counts = np.maximum(1, np.bincount(kinds, minlength=len(columns.elements)))
            return 1.0 / counts[[column.element for column in columns.terms]]
        return np.full(columns.n_columns, 1.0 / len(system) if self.pooling == "mean" else 1.0)


def _names() -> list[str]:
    """Names of the constructor's parameters."""
    return list(inspect.signature(ScatteringDescriptor).parameters)
