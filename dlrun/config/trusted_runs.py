"""The runs with code of the user's own that were made or trusted here, as direnv remembers what it may read.

A note lies in the user's state folder (``$XDG_STATE_HOME/dlrun``, else ``~/.local/state/dlrun``), never in the run: it
names the working directory, from which the code is imported, the run's folder, and what its ``config.yaml`` says.
Any other run is a stranger's; so is one that was moved, is read from another directory, or whose config was changed.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from dlrun.errors import RunError
from dlrun.files import write_whole


def remember(run: Path) -> None:
    """Trust a run whose folder holds its config; where the state folder cannot be written, nothing is remembered."""
    file, text = _note(run), _says(run)
    if file is None or text is None:
        return
    with suppress(OSError, RunError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(file, text)


def remembers(run: object) -> bool:
    """Whether a run is one that was made or trusted here, and says what it said then."""
    if not isinstance(run, (str, Path)) or not str(run):
        return False
    file, text = _note(Path(run)), _says(Path(run))
    try:
        return file is not None and text is not None and file.read_text() == text
    except (OSError, UnicodeDecodeError):
        return False


def _note(run: Path) -> Path | None:
    """The file that remembers a run in this working directory; None for a user who has no home."""
    place = json.dumps([os.path.realpath("."), os.path.realpath(run)])
    try:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    except RuntimeError:
        return None
    return state / "dlrun" / "trusted" / hashlib.sha256(place.encode(errors="surrogateescape")).hexdigest()


def _says(run: Path) -> str | None:
    """What a note says of a run: where it is, and a digest of its config."""
    try:
        config = (run / "config.yaml").read_bytes()
    except OSError:
        return None
    return json.dumps({"run": os.path.realpath(run), "config": hashlib.sha256(config).hexdigest()})
