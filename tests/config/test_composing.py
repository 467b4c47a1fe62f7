"""The tests compose configs in half the time: to what a process of its own composes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import Dlrun


@pytest.mark.parametrize("words", [["model=cnn", "optimizer=adam"], ["experiment=norms"], ["experiment=missing"]])
def test_hastened_composition_gives_what_hydra_gives(dlrun: Dlrun, words: list[str]) -> None:
    shown = ["train", "--cfg", "job", *words]
    plain = subprocess.run([sys.executable, "-m", "dlrun", *shown], capture_output=True, text=True, timeout=60)
    for _ in range(2):
        ended = dlrun(*shown)
        assert (ended.status, ended.out, ended.err) == (plain.returncode, plain.stdout, plain.stderr)
