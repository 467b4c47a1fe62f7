"""What libtiff says of a damaged file: it would print that itself, without the file's name."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from PIL import _imaging

LONGEST = 200  # characters of a message
UNNAMED = "tempfile.tif"  # what Pillow calls every file


class _Heard(threading.local):
    """The messages of the file that this thread decodes."""

    messages: list[str] | None = None


_heard = _Heard()


@contextmanager
def listening() -> Iterator[list[str]]:
    """Gathers meanwhile what libtiff has against the file that this thread decodes, at most ten messages."""
    messages: list[str] = []
    _heard.messages = messages
    try:
        yield messages
    finally:
        _heard.messages = None


@ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)  # type: ignore[untyped-decorator]
def _hear(place: bytes | None, form: bytes, values: int | None) -> None:
    """Take in a message as C's printf has it: where it comes from, and a form with its values."""
    text = ctypes.create_string_buffer(LONGEST)
    ctypes.CDLL(None).vsnprintf(text, ctypes.c_size_t(LONGEST), form, ctypes.c_void_p(values))
    said = text.value.decode(errors="replace").rstrip(". ")
    source = (place or b"").decode(errors="replace")
    if _heard.messages is not None and len(_heard.messages) < 10:
        _heard.messages.append(said if source in ("", UNNAMED) else f"{source}: {said}")


with suppress(AttributeError, OSError):  # where Pillow was built with another libtiff inside of it
    ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(_hear)
