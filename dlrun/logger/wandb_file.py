"""W&B's own files of a run, ``run-ID.wandb``: which rows are in them.

A log in the format of LevelDB (blocks of 32 KiB; a message that does not fit in the rest of one is split), behind a
header of its own, of messages of the protocol of W&B, which has no reader of them in Python.
"""

from __future__ import annotations

import importlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEADER = 7
"""Bytes before the first block's first record."""
BLOCK = 32 * 1024
RECORD = struct.Struct("<IHB")
"""Checksum, length, and kind, before every record."""
WHOLE, LAST = 1, 4
"""The kinds of record with which a message ends."""


def rows(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a run's history; one that a kill cut off is left out."""
    protocol = importlib.import_module("wandb.proto.wandb_internal_pb2")

    for message in messages(file.read_bytes()):
        record = protocol.Record()
        record.ParseFromString(message)
        if record.WhichOneof("record_type") == "history":
            yield {(*item.nested_key, item.key)[0]: json.loads(item.value_json) for item in record.history.item}


def messages(data: bytes) -> Iterator[bytes]:
    """The messages in a log, from its bytes."""
    place, message = HEADER, b""
    while place + RECORD.size <= len(data):
        left = BLOCK - place % BLOCK
        if left < RECORD.size:  # the rest of a block that no record fits in
            place += left
            continue
        _, length, kind = RECORD.unpack_from(data, place)
        place += RECORD.size
        if place + length > len(data):
            return
        message += data[place : place + length]
        place += length
        if kind in (WHOLE, LAST):
            yield message
            message = b""
