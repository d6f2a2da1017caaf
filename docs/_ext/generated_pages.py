"""Pages that are written from the code before each build: the API by package, and the command line.

They go to docs/reference/generated/, which git ignores. Names are not listed by hand: the public ones are
those of `__all__`, the modules of a package are found by walking it, the commands are those of the parser. A
package that has no page ends the build.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_origin

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

PUBLIC = (
    "ase_scatter",
    "ase_scatter.descriptors",
    "ase_scatter.properties",
    "ase_scatter.plotting",
    "ase_scatter.testing",
)
"""Modules whose names users import."""
INNER = ("compute", "structures", "scattering", "scattering.sites", "scattering.grid", "model", "training",
         "engines", "engines.lammps", "engines.kim", "onthefly", "reporting")  # fmt: skip
"""Packages below them, for those who change the code, from the ground up."""

WITHOUT_PAGE = ("ase_scatter.cli", "ase_scatter.potentials")
"""The command line has a page of its own; the other holds model files."""


def public_page(name: str) -> str:
    """The page of a module: a table of its public names, then each of them."""
    module = importlib.import_module(name)
    names = _public_names(module)
    parts = [_title(f"``{name}``", "="), f".. automodule:: {name}\n   :no-members:\n"]
    parts.append(f".. currentmodule:: {name}\n")
    listed = "\n".join(f"   {entry}" for entry in names)
    parts.append(f".. autosummary::\n   :nosignatures:\n\n{listed}\n")
    parts += [_entry(name, entry, getattr(module, entry)) for entry in names]
    return "\n".join(parts)


def _public_names(module: ModuleType) -> list[str]:
    if hasattr(module, "__all__"):
        names = (
            entry
            for entry in module.__all__
            if not entry.startswith("__") and not _is_alias(getattr(module, entry))
        )
        return sorted(names, key=lambda entry: (inspect.isclass(getattr(module, entry)), entry.lower()))
    return [
        entry
        for entry, value in vars(module).items()
        if not entry.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def _is_alias(value: Any) -> bool:
    """Whether this is a type in other words, such as Mapping[str, float] or bool | str."""
    return get_origin(value) is not None


def _entry(module: str, name: str, value: Any) -> str:
    if inspect.isclass(value) and issubclass(value, BaseException):
        return f".. autoexception:: {module}.{name}\n"
    if inspect.isclass(value):
        return f".. autoclass:: {module}.{name}\n   :members:\n"
    if inspect.isroutine(value):
        return f".. autofunction:: {module}.{name}\n"
    return f".. autodata:: {module}.{name}\n   :no-value:\n"


def package_page(package: str) -> str:
    """The page of an inner package: its own docstring, then module by module."""
    name = f"ase_scatter.{package}"
    parts = [_title(f"``{name}``", "="), f".. automodule:: {name}\n   :no-members:\n"]
    for module in _modules(name):
        parts.append(_title(f"``{module.removeprefix('ase_scatter.')}``", "-"))
        parts.append(f".. automodule:: {module}\n   :members:\n")
    return "\n".join(parts)


def _modules(package: str) -> Iterator[str]:
    folder = importlib.import_module(package).__path__
    for found in pkgutil.iter_modules(folder):
        if not found.ispkg and not found.name.startswith("_"):
            yield f"{package}.{found.name}"


def command_page(parser: argparse.ArgumentParser) -> str:
    """The page of the command line: every command with its usage, options and examples."""
    parts = [_title("Command line", "="), _escaped(parser.description or "") + "\n"]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            links = [f"- :ref:`{name} <command-{name}>`: {_escaped(text)}" for name, text in helps.items()]
            parts.append("\n".join(links) + "\n")
            parts += [_command(name, command) for name, command in action.choices.items()]
    return "\n".join(parts)


def _command(name: str, parser: argparse.ArgumentParser) -> str:
    parser.formatter_class = lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=88)
    usage = parser.format_usage().removeprefix("usage: ")
    parts = [
        f".. _command-{name.replace(' ', '-')}:\n",
        _title(f"``{name}``", "-"),
        f".. program:: ase-scatter {name}\n",
    ]
    parts += [_escaped(parser.description or "") + "\n", _literal(usage)]
    for group in parser._action_groups:
        options = [
            _option(parser, action)
            for action in group._group_actions
            if action.dest != "help" and not isinstance(action, argparse._SubParsersAction)
        ]
        if options:
            parts += [f".. rubric:: {(group.title or '').capitalize()}\n", *options]
    if parser.epilog:
        parts.append(_literal(parser.epilog))
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            parts += [_command(f"{name} {inner}", command) for inner, command in action.choices.items()]
    return "\n".join(parts)


def _option(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    formatter = parser._get_formatter()
    if action.option_strings:
        default = formatter._get_default_metavar_for_optional(action)
    else:
        default = formatter._get_default_metavar_for_positional(action)
    value = "" if action.nargs == 0 else formatter._format_args(action, default)
    spelled = ", ".join(f"{name} {value}".strip() for name in action.option_strings or [""])
    text = _escaped(formatter._expand_help(action)) if action.help else ""
    return f".. option:: {spelled}\n\n   {text}\n"


def _literal(text: str) -> str:
    indented = "\n".join(f"   {line}".rstrip() for line in text.strip("\n").splitlines())
    return f".. code-block:: text\n\n{indented}\n"


def _title(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n"


def _escaped(text: str) -> str:
    return re.sub(r"([\\*`|_])", r"\\\1", " ".join(text.split()))


def write_pages(app: Sphinx) -> None:
    """Write the pages that have changed."""
    import ase_scatter
    from ase_scatter import cli

    listed = {*PUBLIC, *(f"ase_scatter.{package}" for package in INNER), *WITHOUT_PAGE}
    packages = pkgutil.walk_packages(ase_scatter.__path__, "ase_scatter.")
    if missing := {package.name for package in packages if package.ispkg} - listed:
        raise ExtensionError(f"packages without a page: {', '.join(sorted(missing))}")
    folder = Path(app.srcdir, "reference", "generated")
    folder.mkdir(exist_ok=True)
    pages = {name: public_page(name) for name in PUBLIC}
    pages |= {f"ase_scatter.{package}": package_page(package) for package in INNER}
    pages["command_line"] = command_page(cli.build_parser())
    for old in folder.glob("*.rst"):
        if old.stem not in pages:
            old.unlink()
    for name, text in pages.items():
        page = folder / f"{name}.rst"
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def escape_bars(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Keep |k| in a docstring an absolute value, which reStructuredText would take for a substitution."""
    code: int | None = None
    for index, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if code is not None and line.strip() and indent <= code:
            code = None
        if code is None and "`" not in line:
            lines[index] = line.replace("|", "\\|")
        if line.rstrip().endswith("::"):
            code = indent


def skip_aliases(app: Sphinx, what: str, name: str, value: Any, skip: bool, options: Any) -> bool | None:
    """Leave aliases of types, and builtins under another name, out of the pages of inner packages."""
    return True if what == "module" and (_is_alias(value) or inspect.isbuiltin(value)) else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the pages before sources are read."""
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-docstring", escape_bars, priority=900)
    app.connect("autodoc-skip-member", skip_aliases)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
