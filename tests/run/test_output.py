"""A pipe that closes, a full disk behind standard output: the program goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
from dlrun.run import output
output.tolerate()
from dlrun import console
for number in range(500):
    print("line", number)
    console.say("said")
    print("error", file=sys.stderr)
open("done", "w").write(str(output.lost()))
"""


def said(stdout: int, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", CODE], stdout=stdout, stderr=stdout, cwd=folder, check=False)
    assert done.returncode == 0
    return (folder / "done").read_text()


def test_a_pipe_that_closes_ends_nothing(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    assert said(writing, tmp_path) == "None"
    os.close(writing)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_output_that_is_lost_to_a_full_disk_is_told(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        assert said(full.fileno(), tmp_path) == "standard output: cannot be written: No space left on device"
