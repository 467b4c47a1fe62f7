"""Names and errors as text: whatever a terminal can show, and with the file that they are about."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from dlrun.errors import RunError, sentence
from dlrun.files import append
from dlrun.paths import shown


def test_a_terminal_without_a_letter_ends_nothing(tmp_path: Path) -> None:
    script = "from dlrun import console\nwith console.log_to(Path('log')): console.say('é \\udcff 斑')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-c", f"from pathlib import Path\n{script}"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert done.stdout == b"\\xe9 \\udcff \\u6591\n"
    assert (tmp_path / "log").read_bytes() == "é \\udcff 斑\n".encode()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("zèbre 斑马 👩‍🚀.png", "zèbre 斑马 👩‍🚀.png"),
        (unicodedata.normalize("NFD", "é"), "é"),
        (os.fsdecode(b"caf\xe9\xff"), "caf\\xe9\\xff"),
        ("two\nlines\x1b[2J\u2028", "two\\nlines\\x1b[2J\\u2028"),
    ],
)
def test_a_path_is_text_of_one_line(name: str, text: str) -> None:
    assert shown(name) == text
    assert shown(Path("a") / name) == f"a/{text}"


@pytest.mark.parametrize("name", ["runs/a", b"runs/a"])
def test_an_error_of_the_system_names_its_file(name: str | bytes) -> None:
    expected = "runs/a: cannot be written or read: No space left on device; earlier files are intact"
    assert sentence(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)) == expected


def test_a_full_disk_is_named() -> None:
    with pytest.raises(RunError, match=r"^/dev/full: cannot be written: No space left on device"):
        append(Path("/dev/full"), "more")
