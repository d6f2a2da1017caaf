"""What a shell completes after `ase-scatter`."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from ase_scatter import cli, shipped_models


@pytest.fixture
def bash(tmp_path, capsys):
    """A function from words to what bash completes them to, in an empty folder but for a file mine.json."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    assert cli.main(["completion", "bash"]) == 0
    (tmp_path / "script").mkdir()
    script = tmp_path / "script" / "complete.bash"
    script.write_text(capsys.readouterr().out)
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "mine.json").touch()

    def complete(*words):
        listed = " ".join(f'"{word}"' for word in ("ase-scatter", *words))
        text = f"source {script}; COMP_WORDS=({listed}); COMP_CWORD={len(words)}; _ase_scatter; "
        text += 'echo "${COMPREPLY[@]}"'
        done = subprocess.run(["bash", "-c", text], cwd=folder, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout.split()

    return complete


def test_bash(bash):
    assert set(bash("")) == {add.__name__.removeprefix("add_").replace("_", "-") for add in cli.COMMANDS}
    assert bash("coh") == ["cohesive"]
    assert bash("md", "--ens") == ["--ensemble"]
    assert bash("md", "Si", "Si", "--ensemble", "") == ["nve", "nvt", "npt"]
    assert bash("md", "Si", "Si", "--thermostat", "b") == ["bussi"]
    assert set(bash("info", "")) == {"mine.json", *shipped_models()}
    assert bash("md", "Si", "m") == ["mine.json"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_all_options_are_there(shell, capsys):
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for option in ("--ensemble", "--free-atoms", "--tune", "--keep-going"):
        there = (option if shell != "fish" else f"-l {option[2:]} ") in script
        assert there == (option != "--keep-going")
    if shell == "zsh":
        assert "bashcompinit" in script
    if shell == "fish":
        assert all(line.startswith("complete -c ase-scatter ") for line in script.splitlines())
        assert all(line.count("'") % 2 == 0 for line in script.splitlines())
