"""Damaged files and strange structures are computed or refused in a sentence; `fuzz.py` runs many more."""

from __future__ import annotations

import fuzz
import pytest

COUNTS = {"models": 60, "data": 40, "structures": 40}


@pytest.mark.parametrize("kind", COUNTS)
def test_nothing_but_results_and_refusals(kind):
    found = list(fuzz.run(kind, COUNTS[kind], seed=0))
    assert [case for case, _ in found] == list(range(COUNTS[kind]))
    assert [entry for entry in found if entry[1] not in fuzz.FINE] == []
    # Cases that are all refused, or all computed, would show nothing.
    assert {said for _, said in found} == set(fuzz.FINE)


def test_crashes_and_hangs_are_seen(monkeypatch, tmp_path):
    script = tmp_path / "broken.py"
    script.write_text(
        "import os, sys, time\n"
        "start = int(sys.argv[3])\n"
        "print('ready', flush=True)\n"
        "if start == 0:\n"
        "    print('computed', flush=True)\n"
        "    os.abort()\n"
        "if start == 2:\n"
        "    time.sleep(60)\n"
        "print('refused', flush=True)\n"
    )
    monkeypatch.setattr(fuzz, "__file__", str(script))
    monkeypatch.setattr(fuzz, "LIMIT", 2.0)
    found = list(fuzz.run("models", 4, seed=0))
    assert [said.split(":")[0] for _, said in found] == ["computed", "crash", "hang", "refused"]


def test_results_that_cannot_be_right_are_seen():
    with pytest.raises(fuzz.Wrong, match="low"):
        fuzz.require(False, "low")
