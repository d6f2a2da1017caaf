"""Every public function, class and method says what it does and names all its parameters."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest
from numpydoc.validate import validate

import ase_scatter

CODES = {
    "GL08",  # there is no docstring
    "PR01",  # parameters are not documented
    "PR02",  # parameters are documented that there are not
    "PR03",  # in another order
    "RT01",  # what is returned is not documented
    "YD01",  # what is yielded is not documented
}


def modules():
    names = [m.name for m in pkgutil.walk_packages(ase_scatter.__path__, "ase_scatter.")]
    return ["ase_scatter", *(name for name in names if not name.startswith("ase_scatter.potentials"))]


def public(module):
    """Qualified names of what a module defines for others."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value) and getattr(value, "_is_protocol", False):
            continue
        if inspect.isclass(value):
            yield f"{module.__name__}.{name}"
            for key, member in vars(value).items():
                function = getattr(member, "__func__", getattr(member, "fget", member))
                if not key.startswith("_") and inspect.isfunction(function) and not inherits(value, key):
                    yield f"{module.__name__}.{name}.{key}"
        elif inspect.isfunction(value):
            yield f"{module.__name__}.{name}"


def inherits(cls, key):
    """Whether a method is documented where a base class of this project defines it."""
    bases = [base for base in cls.__mro__[1:] if base.__module__.startswith("ase_scatter")]
    return any(key in vars(base) and inspect.getdoc(vars(base)[key]) for base in bases)


def complaints(name):
    found = validate(name)
    wanted = CODES - {"RT01"} if found["type"] == "property" else CODES
    return [f"{name}: {text}" for code, text in found["errors"] if code in wanted]


@pytest.mark.parametrize("name", modules())
def test_docstrings(name):
    module = importlib.import_module(name)
    assert module.__doc__ or name.endswith("__main__")
    found = [complaint for each in public(module) for complaint in complaints(each)]
    assert not found, "\n".join(found)


def lacking(known, forgotten):
    """A function.

    Parameters
    ----------
    known : int
        A number.
    """
    return known + forgotten


def test_it_can_fail():
    found = "\n".join(complaints(f"{__name__}.lacking"))
    assert "forgotten" in found
    assert "Returns" in found
