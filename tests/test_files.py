"""Files appear whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import ast
import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import read
from matplotlib.figure import Figure

from ase_scatter.cli.files import write_json, write_structures
from ase_scatter.compute import files
from ase_scatter.compute.files import write_whole
from ase_scatter.plotting.base import written

PACKAGE = Path(files.__file__).parents[1]
GROWING = {
    ("training", "hyperparameters.py"),  # a record that grows line by line
    ("training", "baselines.py"),  # input of another program, in a folder of its own
    ("reporting", "machine.py"),  # /proc
}
"""Files of the package that write otherwise."""


def test_contents_and_modes(tmp_path):
    path = tmp_path / "a.txt"
    write_whole(path, "å\n")
    assert path.read_bytes() == "å\n".encode()
    path.chmod(0o640)
    write_whole(str(path), b"\x00")
    assert path.read_bytes() == b"\x00"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "a.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    write_whole(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    dangling = tmp_path / "dangling.txt"
    dangling.symlink_to(tmp_path / "there" / "b.txt")
    write_whole(dangling, "new")
    assert (tmp_path / "there" / "b.txt").read_text() == "new"
    write_whole(os.devnull, "nowhere")
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize("nameless", [True, False])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, nameless):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    if not nameless:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    path = tmp_path / "a.txt"
    write_whole(path, "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="files without a name are there on Linux only")
def test_a_kill_leaves_nothing_behind(tmp_path):
    path = tmp_path / "a.txt"
    write_whole(path, "old")
    code = (
        "import os, signal, sys\n"
        "from ase_scatter.compute.files import write_whole\n"
        "os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_whole(sys.argv[1], 'new')\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=60)
    assert killed.returncode == -9
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_outputs_are_written_whole(tmp_path, monkeypatch):
    outputs = {
        "a.json": lambda path: write_json(path, {"a": 1}),
        "a.png": lambda path: written(Figure(), path),
        "a.SVG": lambda path: written(Figure(), path),
        "a.extxyz": lambda path: write_structures(path, [bulk("Si")] * 2),
    }
    for name, output in outputs.items():
        output(tmp_path / name)
    assert len(read(tmp_path / "a.extxyz", ":")) == 2
    before = {name: (tmp_path / name).read_bytes() for name in outputs}

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for name, output in outputs.items():
        with pytest.raises(OSError, match="No space left"):
            output(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before[name]


def test_nothing_else_in_the_package_writes():
    """Besides trajectories, which grow frame by frame."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            plain = isinstance(node.func, ast.Name)
            if name in ("write_text", "write_bytes") or (plain and name == "write"):
                found.add(path.relative_to(PACKAGE).parts)
    assert found - GROWING == {("cli", "files.py")}
