"""TensorBoard's event file of a run, written in the thread that records: an error of the disk comes up there."""

from __future__ import annotations

import io
import itertools
import os
import socket
import time
from pathlib import Path
from time import monotonic
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import FileWriter, SummaryWriter

from dlrun.files import append

SECONDS, BYTES = 120, 2**20
"""What is recorded is written after so long, or when there is so much of it."""
_numbers = itertools.count()


class EventFile:
    """An event file, to which whole records are added.

    Args:
        folder: to write it in; it is made.

    Raises:
        RunError: it cannot be written; so do all methods, and what is recorded is kept for the next try.
    """

    def __init__(self, folder: Path) -> None:
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        self.path = folder / name
        folder.mkdir(parents=True, exist_ok=True)
        self._pending, self._written = io.BytesIO(), monotonic()
        self._records = RecordWriter(self._pending)
        self.add_event(Event(wall_time=time.time(), file_version="brain.Event:2"))
        self.flush()

    def get_logdir(self) -> str:
        """The folder."""
        return str(self.path.parent)

    def add_event(self, event: Event) -> None:
        """Record an event."""
        self._records.write(event.SerializeToString())
        if self._pending.tell() > BYTES or monotonic() - self._written > SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is recorded."""
        if self._pending.tell():
            append(self.path, self._pending.getvalue())
            self._pending.seek(0)
            self._pending.truncate()
        self._written = monotonic()

    def close(self) -> None:
        """Write what is recorded; there is nothing to close."""
        self.flush()


class Events(FileWriter):  # type: ignore[misc, unused-ignore]
    """torch's writer of events, onto an :class:`EventFile`."""

    def __init__(self, folder: Path) -> None:
        self.event_writer = EventFile(folder)


class Summaries(SummaryWriter):  # type: ignore[misc, unused-ignore]
    """torch's writer of summaries, onto an :class:`EventFile`."""

    def _get_file_writer(self) -> Events:
        found: Any = self.file_writer
        if found is None:
            found = Events(Path(self.log_dir))
            vars(self).update(file_writer=found, all_writers={self.log_dir: found})
        assert isinstance(found, Events)
        return found
