"""Arguments that commands share, and how their texts become values."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError


def new_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], summary: str, examples: str
) -> argparse.ArgumentParser:
    """Add a command.

    Parameters
    ----------
    commands : argparse subparsers
        What the command is added to.
    name : str
        Its name.
    run : callable
        What runs it; takes the options and returns the exit code.
    summary : str
        What it does, in lower case and without a full stop.
    examples : str
        Examples and notes, shown at the end of its help.

    Returns
    -------
    argparse.ArgumentParser
        Its parser, to which arguments are added.
    """
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


# ---- groups of arguments --------------------------------------------------------------------------------


def add_model(command: argparse.ArgumentParser, nargs: str | None = None) -> None:
    """Add the argument MODEL.

    Parameters
    ----------
    command : argparse.ArgumentParser
        The command.
    nargs : str, optional
        "?" if it may be left out.
    """
    command.add_argument("model", metavar="MODEL", nargs=nargs, help="a shipped name or a model file")


def add_structure(command: argparse.ArgumentParser, remark: str = "") -> None:
    """Add the argument STRUCTURE.

    Parameters
    ----------
    command : argparse.ArgumentParser
        The command.
    remark : str
        What is done with it.
    """
    text = "a crystal: a file that ASE reads, or a name that ase.build.bulk knows, such as Si"
    command.add_argument("structure", metavar="STRUCTURE", help=text + remark)


def add_outputs(command: argparse.ArgumentParser, *, json: str = "", plot: str = "") -> None:
    """Add --json and --plot.

    Parameters
    ----------
    command : argparse.ArgumentParser
        The command.
    json, plot : str
        What is written; "" for a command without that option.
    """
    if json:
        command.add_argument("--json", type=Path, metavar="FILE", help=json)
    if plot:
        text = f"{plot} (.png, .pdf or .svg)"
        command.add_argument("--plot", type=Path, metavar="FILE", help=text)


def add_rattle(command: argparse.ArgumentParser) -> None:
    """Add --rattle.

    Parameters
    ----------
    command : argparse.ArgumentParser
        The command.
    """
    command.add_argument(
        "--rattle",
        type=float,
        default=0.0,
        metavar="Å",
        help="displace the ions at random before they are relaxed (default: 0)",
    )


def add_training_set(command: argparse.ArgumentParser, *, test_required: bool = False) -> None:
    """Add TRAIN and --test.

    Parameters
    ----------
    command : argparse.ArgumentParser
        The command.
    test_required : bool
        Whether the test set must be given.
    """
    command.add_argument("train", metavar="TRAIN", help="labelled structures to fit")
    command.add_argument(
        "--test", metavar="TEST", required=test_required, help="labelled structures to test on"
    )


def add_device(command: argparse.ArgumentParser, *, dtype: bool = True) -> None:
    """Add --device and --dtype.

    Parameters
    ----------
    command : argparse.ArgumentParser
        The command.
    dtype : bool
        Whether there is --dtype.
    """
    command.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where to compute (default: %(default)s)"
    )
    if dtype:
        command.add_argument(
            "--dtype",
            choices=("float64", "float32"),
            default="float64",
            help="how precisely to compute (default: %(default)s)",
        )


def add_keys(command: argparse.ArgumentParser) -> None:
    """Add the names of the labels.

    Parameters
    ----------
    command : argparse.ArgumentParser
        The command.
    """
    labels = command.add_argument_group("labels", "names of the labels, where they are not ASE's own")
    for name, unit in (
        ("energy", "eV"),
        ("forces", "eV/Å"),
        ("stress", "eV/Å³, positive in tension"),
        ("atomic-energies", "eV"),
    ):
        meaning = with_default(f"name of the {name.replace('-', ' ')} ({unit})", name.replace("-", "_"))
        labels.add_argument(f"--{name}-key", metavar="NAME", help=meaning)


def add_workers(command: argparse.ArgumentParser, meaning: str) -> None:
    """Add --workers.

    Parameters
    ----------
    command : argparse.ArgumentParser
        The command.
    meaning : str
        What their number is of.
    """
    command.add_argument("--workers", type=positive, help=with_default(meaning, "one per core"))


def add_common(command: argparse.ArgumentParser) -> None:
    """Add --force and --quiet.

    Parameters
    ----------
    command : argparse.ArgumentParser
        The command.
    """
    command.add_argument("--force", action="store_true", help="overwrite existing files")
    command.add_argument("--quiet", action="store_true", help="no progress bars")


# ---- values ---------------------------------------------------------------------------------------------


def given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Collect the options that were given; the others keep the defaults of what they are passed to.

    Parameters
    ----------
    options : argparse.Namespace
        The options.
    *names : str
        Names of those that are looked at.

    Returns
    -------
    dict
        Name → value.
    """
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def keys_of(options: argparse.Namespace) -> dict[str, str]:
    """Collect the names of labels that were given.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_keys` defines.

    Returns
    -------
    dict
        Keywords of `read_frames`.
    """
    return given(options, "energy_key", "forces_key", "stress_key", "atomic_energies_key")


def numbers(kind: type) -> Callable[[str], tuple[Any, ...]]:
    """Make a parser of values separated by commas.

    Parameters
    ----------
    kind : type
        Of each value.

    Returns
    -------
    callable
        From a text to a tuple.
    """

    def parse(text: str) -> tuple[Any, ...]:
        return tuple(kind(part) for part in text.split(","))

    parse.__name__ = f"comma-separated {kind.__name__}"  # what argparse calls it in its errors
    return parse


def positive(text: str) -> int:
    """Parse a positive whole number.

    Parameters
    ----------
    text : str
        The text.

    Returns
    -------
    int
        The number.

    Raises
    ------
    ValueError
        If it is none.
    """
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def assigned(text: str) -> tuple[str, float]:
    """Parse a name and its number.

    Parameters
    ----------
    text : str
        As in "group=2.5".

    Returns
    -------
    tuple of (str, float)
        Both.
    """
    name, _, value = text.rpartition("=")
    return name, float(value)


assigned.__name__ = "name=number"  # what argparse calls it in its errors


def energies(text: str) -> dict[str, float]:
    """Parse energies of elements.

    Parameters
    ----------
    text : str
        As in "Li=-1.2,Si=-0.8".

    Returns
    -------
    dict of str to float
        By chemical symbol.

    Raises
    ------
    ValueError
        For what is no element.
    """
    from ase.data import atomic_numbers

    found = dict(assigned(part.strip()) for part in text.split(","))
    if not set(found) <= set(atomic_numbers):
        raise ValueError
    return found


energies.__name__ = "list of element=energy"  # what argparse calls it in its errors


positive.__name__ = "positive integer"  # what argparse calls it in its errors


def require_suffix(path: Path, what: str, *suffixes: str) -> None:
    """Refuse the name of an output file with another ending.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What goes into it, for the error.
    *suffixes : str
        Endings that are accepted; the last is the one that is recommended.

    Raises
    ------
    InputError
        For other endings.
    """
    if path.suffix not in suffixes:
        raise InputError(f"{what} {path.name}, but its name must end in {suffixes[-1]}")


def with_default(meaning: str, value: Any) -> str:
    """Add a default to a help text.

    Parameters
    ----------
    meaning : str
        The text.
    value : object
        The default; of a tuple the entries are listed.

    Returns
    -------
    str
        The text with the default.
    """
    return f"{meaning} (default: {_listed(value) if isinstance(value, tuple) else value})"


def both_defaults(sites: Any, grid: Any) -> str:
    """Name the defaults of the two transforms.

    Parameters
    ----------
    sites, grid : float or tuple of float
        The defaults.

    Returns
    -------
    str
        Both as one text.
    """
    return f"{_listed(sites)} for sites, {_listed(grid)} for grid"


def _listed(value: Any) -> str:
    return ",".join(f"{entry:g}" for entry in (value if isinstance(value, tuple) else (value,)))
