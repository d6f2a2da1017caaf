"""References by name, for the command line."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ase.calculators.calculator import BaseCalculator, get_calculator_class

from ..errors import InputError

OTHERS = {
    "tblite": ("tblite.ase", "TBLite", "tblite"),
    "xtb": ("tblite.ase", "TBLite", "tblite"),
    "mace": ("mace.calculators", "MACECalculator", "mace-torch"),
    "gpaw": ("gpaw", "GPAW", "gpaw"),
}
"""Name → module, class and package of calculators that ASE does not find by their name."""


def make_reference(name: str, options: Mapping[str, Any] | None = None) -> BaseCalculator:
    """Make a calculator from its name.

    Parameters
    ----------
    name : str
        A name that ASE knows ("emt", "vasp", "espresso", "cp2k" …), "tblite", "gpaw", or
        ``module:function``, which is called with the options; the module is looked for in the working
        directory, too.
    options : mapping, optional
        Keyword arguments.

    Returns
    -------
    BaseCalculator

    Raises
    ------
    InputError
        If there is no such calculator, or it does not take the options.
    """
    options = dict(options or {})
    if ":" in name:
        module, _, attribute = name.partition(":")
        here = str(Path.cwd())
        sys.path.insert(0, here)
        try:
            maker = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise InputError(
                f"the reference {name!r} cannot be found ({error}); give module:function of a module that "
                "Python finds here"
            ) from error
        finally:
            sys.path.remove(here)
    elif name in OTHERS:
        module, attribute, package = OTHERS[name]
        try:
            maker = getattr(importlib.import_module(module), attribute)
        except ImportError as error:
            raise InputError(f"the reference {name} needs the package {package}; install it first") from error
    else:
        try:
            maker = get_calculator_class(name)
        except (ImportError, AttributeError, ValueError) as error:
            raise InputError(
                f"ASE knows no calculator {name!r}; give one of its names, such as emt or vasp, or "
                "module:function"
            ) from error
    try:
        made: BaseCalculator = maker(**options)
    except InputError:
        raise
    except Exception as error:  # whatever a calculator refuses
        raise InputError(
            f"the reference {name} does not start with these options ({type(error).__name__}: {error})"
        ) from error
    return made
