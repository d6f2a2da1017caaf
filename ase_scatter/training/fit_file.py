"""A whole fit as a TOML file: data, settings, and what else decides the model.

It is written beside every model that `ase-scatter fit` makes; the same command repeats the fit from it. TOML
is read by the standard library; what is written here are tables of numbers, texts, lists and tables.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..compute.files import write_whole
from ..errors import InputError
from ..scattering import GridSettings
from .settings import FitSettings

HEAD = (
    "# A fit of ase-scatter. `ase-scatter fit THIS_FILE` repeats it. Units are eV and Å, stresses in GPa.\n"
)


@dataclass(frozen=True, kw_only=True)
class FitFile:
    """A whole fit.

    Parameters
    ----------
    train : tuple of str
        Files with the training data; relative ones lie beside the fit file.
    output : str
        The model file.
    name : str
        Of the model.
    test : str, optional
        File with the data to test on.
    test_fraction : float, optional
        Part of the training data to test on instead.
    seed : int
        Of that part.
    device : str
        "cpu" or "cuda".
    workers : int, optional
        Threads; results are the same bit for bit with the same number.
    strict : bool
        Whether data that look wrong are refused.
    keys : mapping of str to str
        Names of labels: energy_key, forces_key, stress_key, atomic_energies_key.
    settings : mapping
        Of the fit: fields of `FitSettings` that differ from the defaults.
    """

    train: tuple[str, ...]
    output: str
    name: str
    test: str | None = None
    test_fraction: float | None = None
    seed: int = 0
    device: str = "cpu"
    workers: int | None = None
    strict: bool = False
    keys: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def fit_settings(self) -> FitSettings:
        """The settings as an object.

        Returns
        -------
        FitSettings

        Raises
        ------
        InputError
            For settings that there are not, or that make no sense.
        """
        given = dict(self.settings)
        _known(given, {f.name for f in fields(FitSettings)}, "settings")
        if "grid" in given:
            _known(given["grid"], {f.name for f in fields(GridSettings)}, "settings.grid")
            given["grid"] = GridSettings(**given["grid"])
        return FitSettings(**given)

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Parameters
        ----------
        path : Path
            Its name.
        """
        write_whole(path, HEAD + to_toml(asdict(self)))

    @classmethod
    def read(cls, path: str | Path) -> FitFile:
        """Read a file.

        Parameters
        ----------
        path : str or Path
            Its name.

        Returns
        -------
        FitFile
            With the paths of files as they are from here.

        Raises
        ------
        InputError
            If it is not there, is no TOML, or has keys that there are not.
        """
        path = Path(path)
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"there is no fit file {path}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read as TOML: {error}") from error
        _known(data, {f.name for f in fields(cls)}, str(path))
        missing = [name for name in ("train", "output") if not data.get(name)]
        if missing:
            raise InputError(f"{path} does not say {' and '.join(missing)}")
        train = data["train"]
        files = [train] if isinstance(train, str) else list(train)
        data["train"] = tuple(str(path.parent / file) for file in files)
        data["output"] = str(path.parent / data["output"])
        if "test" in data:
            data["test"] = str(path.parent / data["test"])
        data.setdefault("name", Path(data["output"]).stem)
        found = cls(**data)
        found.fit_settings()
        return found


def changed(settings: FitSettings) -> dict[str, Any]:
    """Settings that differ from the defaults, as a fit file holds them.

    Parameters
    ----------
    settings : FitSettings
        The settings.

    Returns
    -------
    dict
    """
    default, given = FitSettings().to_dict() | {"grid": GridSettings().to_dict()}, settings.to_dict()
    found = {key: value for key, value in given.items() if value != default.get(key)}
    if "grid" in found:
        found["grid"] = {k: v for k, v in found["grid"].items() if v != default["grid"][k]}
    return found


def to_toml(data: Mapping[str, Any]) -> str:
    """Write tables as TOML. What is None or an empty table is left out.

    Parameters
    ----------
    data : mapping
        Keys and values: bool, int, float, str, lists of them, and tables.

    Returns
    -------
    str
    """
    return "".join(_lines(data, ()))


def _lines(table: Mapping[str, Any], place: tuple[str, ...]) -> list[str]:
    plain = {k: v for k, v in table.items() if v is not None and not isinstance(v, Mapping)}
    inner = {k: v for k, v in table.items() if isinstance(v, Mapping) and v}
    lines = [f"\n[{'.'.join(map(_key, place))}]\n"] if place and plain else []
    lines += [f"{_key(key)} = {_value(value)}\n" for key, value in plain.items()]
    for key, value in inner.items():
        lines += _lines(value, (*place, key))
    return lines


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else json.dumps(key, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float):
        return repr(value)  # inf and nan are TOML's words too
    return str(value) if isinstance(value, int) else json.dumps(value, ensure_ascii=False)


def _known(data: Mapping[str, Any], names: set[str], where: str) -> None:
    strange = sorted(set(data) - names)
    if strange:
        raise InputError(
            f"{where} has {', '.join(strange)}, which there is not; there are {', '.join(sorted(names))}"
        )
