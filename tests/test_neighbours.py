"""Two of each writer at once: one works, the other waits or is refused in one line, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.neighbours import WRITERS


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_two_of_a_writer_leave_what_one_leaves(name: str) -> None:
    if name == "search":
        pytest.importorskip("optuna")
    ended = subprocess.run(
        [sys.executable, "-m", "tests.neighbours", name], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{name}: status [0, {0 if name == 'cache' else 2}]; nothing wrong" in ended.stdout
