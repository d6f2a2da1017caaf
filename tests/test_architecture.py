"""Imports run one way, stay out of private names, and files stay short.

Modules belong to levels. A module imports from its own level and from lower ones, never from higher ones::

    __main__
    cli
    ase_plugins      what ASE's registry lists
    plotting         draws what all below it compute, measure and tabulate
    reporting
    engines          hands potentials to other programs
    descriptors      descriptors by themselves: features, criteria, data sets compared
    testing          checks models and calculators
    onthefly         properties by learning while running
    properties
    calculator
    training
    model
    scattering
    structures
    compute
    units
    errors
    _version

Every import counts: those inside functions and under TYPE_CHECKING too. `ase_scatter/__init__.py`, which
holds the public names, is exempt; nothing imports from it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "ase_scatter"
ORDER = [
    "_version",
    "errors",
    "units",
    "compute",
    "structures",
    "scattering",
    "model",
    "training",
    "calculator",
    "properties",
    "onthefly",
    "testing",
    "engines",
    "descriptors",
    "reporting",
    "plotting",
    "ase_plugins",
    "cli",
    "__main__",
]
MOST_LINES = 450
MOST_TOP_LEVEL = 6
"""Modules that are no packages; `__init__` does not count."""

KNOWN: set[str] = set()
"""Violations that are still there. The list only shrinks: what is mended must be taken out."""


class Module:
    """A module by its dotted name within the package, with what it imports.

    imports: pairs of a module's dotted name and the imported or used name in it ("" for the module itself).
    """

    def __init__(self, root: Path, path: Path) -> None:
        parts = path.relative_to(root).with_suffix("").parts
        self.is_package = parts[-1] == "__init__"
        self.parts = parts[:-1] if self.is_package and len(parts) > 1 else parts
        self.name = ".".join(self.parts)
        self.text = path.read_text(encoding="utf-8")
        self.imports: set[tuple[str, str]] = set()

    @property
    def package(self) -> tuple[str, ...]:
        """What its relative imports start from."""
        return self.parts if self.is_package and self.name != "__init__" else self.parts[:-1]

    @property
    def level(self) -> str:
        return self.parts[0]


def read(root: Path) -> dict[str, Module]:
    """All modules of the package in this folder, with their imports resolved."""
    modules = {module.name: module for module in (Module(root, path) for path in sorted(root.rglob("*.py")))}
    for module in modules.values():
        module.imports = set(_imports(module, modules))
    return modules


def _imports(module: Module, modules: dict[str, Module]) -> Iterable[tuple[str, str]]:
    tree = ast.parse(module.text)
    local: dict[str, str] = {}  # a name of this file, dotted or not → the module that it stands for
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = _base(module, node)
            if base is None:
                continue
            for alias in node.names:
                inner = ".".join((*base, alias.name))
                if inner in modules:
                    local[alias.asname or alias.name] = inner
                    yield inner, ""
                else:
                    yield ".".join(base) or "__init__", alias.name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                first, *rest = alias.name.split(".")
                if first == "ase_scatter":
                    target = ".".join(rest) or "__init__"
                    local[alias.asname or alias.name] = target
                    yield target, ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            target = local.get(ast.unparse(node.value))
            if target is not None:
                yield target, node.attr


def _base(module: Module, node: ast.ImportFrom) -> tuple[str, ...] | None:
    """The package or module of ase_scatter that a `from` names; None for others."""
    named = tuple((node.module or "").split(".")) if node.module else ()
    if node.level == 0:
        return named[1:] if named[:1] == ("ase_scatter",) else None
    return module.package[: len(module.package) - node.level + 1] + named


def circles(modules: dict[str, Module]) -> set[str]:
    """Groups of modules that import each other, however long the way round is.

    That a package's `__init__` runs when one of its modules is imported does not count, unless it is named.
    """
    arrows = {
        name: {target for target, _ in module.imports if target in modules and target != name}
        for name, module in modules.items()
        if name != "__init__"
    }
    found, index, low, stack = set(), {}, {}, []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in arrows.get(name, ()):
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            place = stack.index(name)
            group = stack[place:]
            del stack[place:]
            if len(group) > 1:
                found.add("circle: " + ", ".join(sorted(group)))

    for name in arrows:
        if name not in index:
            visit(name)
    return found


def upward(modules: dict[str, Module]) -> set[str]:
    """Imports from a higher level, or from the public names, which stand above all."""
    return {
        f"up: {module.name} -> {target}"
        for module in modules.values()
        for target, _ in module.imports
        if _height(target) > _height(module.name)
    }


def _height(name: str) -> int:
    """The level of a module; len(ORDER) for `__init__` and for what ORDER does not know."""
    level = name.split(".")[0]
    return ORDER.index(level) if level in ORDER else len(ORDER)


def private(modules: dict[str, Module]) -> set[str]:
    """Modules and names with a leading underscore that another package uses; `_version` is for all."""
    found = set()
    for module in modules.values():
        for target, name in module.imports:
            dotted = f"{target}.{name}".rstrip(".")
            *package, last = dotted.split(".")
            if name and target in modules:
                package = list(modules[target].package)
            reserved = _is_private(last) or any(map(_is_private, target.split(".")))
            if reserved and tuple(package) != module.package:
                found.add(f"private: {module.name} -> {dotted}")
    return found


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_version"


def long_files(modules: dict[str, Module]) -> set[str]:
    return {
        f"long: {module.name}" for module in modules.values() if len(module.text.splitlines()) > MOST_LINES
    }


def crowd(modules: dict[str, Module]) -> set[str]:
    """Whether too many modules stand at the top."""
    top = sorted(m.name for m in modules.values() if len(m.parts) == 1 and not m.is_package)
    return {f"top level: {', '.join(top)}"} if len(top) > MOST_TOP_LEVEL else set()


def unplaced(modules: dict[str, Module]) -> set[str]:
    """Top-level modules and packages that ORDER does not know."""
    return {f"no place in ORDER: {m.level}" for m in modules.values() if m.level not in {*ORDER, "__init__"}}


RULES = [circles, upward, private, long_files, crowd, unplaced]


@pytest.fixture(scope="module")
def modules() -> dict[str, Module]:
    return read(PACKAGE)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_rules(modules, rule):
    assert sorted(rule(modules) - KNOWN) == []


def test_what_is_known_is_still_there(modules):
    found = set().union(*(rule(modules) for rule in RULES))
    assert sorted(KNOWN - found) == [], "take these out of KNOWN"


# ---- each rule can fail --------------------------------------------------------------------------

SOUND = {
    "__init__.py": "from .training.fitting import fit",
    "errors.py": "class InputError(ValueError): ...",
    "compute/__init__.py": "",
    "compute/backend.py": "from ..errors import InputError\n_HIDDEN = 1\n__all__ = []",
    "compute/threads.py": "from .backend import _HIDDEN\nimport numpy as np\nnp._private",
    "model/__init__.py": "from .model import Model",
    "model/model.py": "from ..compute import backend, threads\nbackend.room",
    "training/__init__.py": "",
    "training/fitting.py": "import ase_scatter.model.model\nfrom ..model import Model",
}


def planted(folder: Path, changed: dict[str, str]) -> set[str]:
    """What all rules find in a small package with these files changed."""
    for name, text in (SOUND | changed).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    modules = read(folder)
    return set().union(*(rule(modules) for rule in RULES))


def test_a_sound_package_passes(tmp_path):
    assert planted(tmp_path, {}) == set()


CIRCLE = "circle: compute.backend, compute.threads"
UP = "up: model.model -> training.fitting"
HIDDEN = "private: model.model -> compute.backend._HIDDEN"


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("compute/backend.py", "from . import threads", CIRCLE),
        ("compute/backend.py", "def f():\n    from . import threads", CIRCLE),
        ("compute/backend.py", "if TYPE_CHECKING:\n    from .threads import count", CIRCLE),
        ("compute/backend.py", "import ase_scatter.compute.threads", CIRCLE),
        ("model/model.py", "from . import Model", "circle: model, model.model"),
        ("errors.py", "from .compute import backend", "up: errors -> compute.backend"),
        ("model/model.py", "from ..training import fitting", UP),
        ("model/model.py", "def f():\n    from ..training.fitting import fit", UP),
        ("model/model.py", "if TYPE_CHECKING:\n    from ..training import fitting", UP),
        ("model/model.py", "import ase_scatter.training.fitting as f", UP),
        ("model/model.py", "from ase_scatter.training.fitting import fit", UP),
        ("training/fitting.py", "from ase_scatter import __version__", "up: training.fitting -> __init__"),
        ("training/fitting.py", "from .. import fit", "up: training.fitting -> __init__"),
        ("model/model.py", "from ..compute.backend import _HIDDEN", HIDDEN),
        ("model/model.py", "from ..compute import backend as b\nb._HIDDEN", HIDDEN),
        ("model/model.py", "import ase_scatter.compute.backend as b\nb._HIDDEN", HIDDEN),
        ("model/model.py", "import ase_scatter.compute.backend\nase_scatter.compute.backend._HIDDEN", HIDDEN),
        ("model/model.py", "from ..compute._x import y", "private: model.model -> compute._x.y"),
        ("compute/backend.py", "x = 1\n" * (MOST_LINES + 1), "long: compute.backend"),
        ("utils/__init__.py", "", "no place in ORDER: utils"),
    ],
)
def test_what_breaks_a_rule_is_found(tmp_path, name, text, found):
    assert found in planted(tmp_path, {name: text})


def test_a_long_circle_is_found(tmp_path):
    changed = {
        "model/a.py": "from .b import x",
        "model/b.py": "from .c import x",
        "model/c.py": "from . import a",
    }
    assert planted(tmp_path, changed) == {"circle: model.a, model.b, model.c"}


def test_a_crowd_is_found(tmp_path):
    names = ("_version", "calculator", "cli", "plotting", "testing", "units")
    changed = {f"{name}.py": "" for name in names}
    assert planted(tmp_path, changed) == {
        "top level: _version, calculator, cli, errors, plotting, testing, units"
    }
