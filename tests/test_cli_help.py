"""What the command line says about itself, and how it refuses wrong usage."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from ase_scatter import cli

COMMANDS = {
    "tour": "Å",
    "singlepoint": "eV/Å",
    "relax": "eV/Å",
    "md": "GPa",
    "elastic": "GPa",
    "eos": "GPa",
    "cohesive": "eV/atom",
    "vacancy": "eV",
    "surface": "J/m²",
    "barrier": "eV",
    "report": "eV",
    "check": "eV",
    "fit": "eV/Å",
    "evaluate": "eV/Å",
    "info": "eV",
    "select": "units of",
    "learn": "eV/Å",
    "compare-data": "share",
    "judge-descriptor": "µs",
    "onthefly": "eV/Å",
    "phonons": "THz",
    "lammps": "eV",
    "kim": "eV",
    "benchmark": "Å",
    "completion": "fish",
}
"""Every command, and a unit (of `completion` a shell) that its help names."""


def test_all_commands_are_known(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out.split("COMMAND\n")[1].split("options:")[0]
    assert re.findall(r"^ {4}(\w[\w-]*)", text, re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_a_summary_units_and_examples_that_are_understood(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert re.search(r"^[A-Z].*\.$", text, re.MULTILINE)
    assert COMMANDS[command] in text
    # What comes after several blanks explains the example.
    examples = re.findall(
        rf"^  ase-scatter ({command}.*?)(?: {{3,}}.*)?$", text.split("examples:")[1], re.MULTILINE
    )
    assert examples
    for example in examples:
        run = cli.build_parser().parse_args(example.split()).run.__name__
        name = f"run_{command.replace('-', '_')}"
        assert run == name or run.startswith(f"{name}_")


@pytest.mark.parametrize("module", ["ase_scatter", "ase_scatter.cli"])
def test_the_command_is_run_by_python_as_well(module):
    command = [sys.executable, "-m", module, "evaluate", "Si", "a.xyz", "--plot", "nowhere/a.png"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "ase-scatter: nowhere/a.png cannot be written: nowhere is no folder that you may write to\n"
    )


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("ase-scatter ")


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["fit", "x", "-o", "y.json", "--columns", "-1"], ["evaluate", "x"]]
)
def test_wrong_usage_has_the_exit_code_of_argparse(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err
