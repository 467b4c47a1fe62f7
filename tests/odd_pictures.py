"""A corpus of odd pictures, under a megabyte, in two class folders: what people's disks hold, and what breaks readers.

``python -m tests.odd_pictures FOLDER`` writes it. A file's name begins with ``ok`` where it can be read, and with
``bad`` where it is to be refused by name; all others are to be left alone.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

LATIN = os.fsdecode(b"caf\xe9")
"""A class whose name is no UTF-8."""
CLASSES = ("zèbre 斑马", LATIN)
SIDE = 24


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, bits: int, colour_type: int, rows: bytes, key: tuple[int, ...] = ()) -> bytes:
    """A PNG file; ``key`` is the colour that stands for transparent."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0))
    transparent = chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)) if key else b""
    pixels = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + transparent + pixels


def tiff(width: int, bits: int, row: bytes, photometric: int = 1, sample_format: int = 1) -> bytes:
    """A TIFF file of one row, little-endian, not compressed."""
    tags = {256: width, 257: 1, 258: bits, 259: 1, 262: photometric, 277: 1, 278: 1, 279: len(row)}
    tags |= {273: 8 + 2 + 12 * 10 + 4, 339: sample_format}  # where the row begins
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + row


def readable(folder: Path, rng: np.random.Generator) -> None:
    """Pictures of every kind that can be read."""
    colour = rng.integers(0, 256, (SIDE, SIDE + 4, 3), dtype=np.uint8)
    deep = rng.integers(0, 65536, (SIDE, SIDE), dtype=np.uint16)
    image, grey = Image.fromarray(colour), Image.fromarray(colour[..., 0])
    translucent = Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 4), dtype=np.uint8))

    def save(picture: Image.Image, name: str, **options: Any) -> None:
        picture.save(folder / f"ok-{name}", **options)

    for suffix in ("png", "jpg", "bmp", "gif", "tiff", "webp", "ppm"):
        save(image, f"plain.{suffix}")
    for number in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = number
        save(image, f"exif-{number}.jpg", exif=exif)
    for name, picture in {"16-bit": Image.fromarray(deep), "1-bit": grey.convert("1"), "grey": grey}.items():
        save(picture, f"{name}.png")
    save(image.convert("CMYK"), "cmyk.jpg")
    save(image.quantize(8), "palette.png", transparency=3)
    save(image.quantize(8), "palette-alpha.png", transparency=bytes(range(0, 256, 32)))
    save(translucent, "alpha.webp")
    save(translucent.convert("LA"), "grey-alpha.png")
    for suffix in ("gif", "webp", "png"):
        save(image, f"animated.{suffix}", save_all=True, append_images=[image.rotate(90)])
    save(Image.new("L", (1, 1), 9), "1x1.png")
    save(Image.new("RGB", (1, 10_000), 9), "1x10000.png")
    save(Image.new("RGB", (10_000, 1), 9), "10000x1.jpg")
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    (folder / "ok-16-bit-key.png").write_bytes(png(SIDE, SIDE, 16, 0, rows, (int(deep[0, 0]),)))
    (folder / "ok-16-bit-colour-key.png").write_bytes(png(SIDE // 3, SIDE, 16, 2, rows, (1, 2, 3)))
    (folder / "ok-2-bit-key.png").write_bytes(png(16, 1, 2, 0, b"\0" + rng.bytes(4), (1,)))
    (folder / "ok-12-bit.tif").write_bytes(tiff(SIDE, 12, rng.bytes(SIDE * 3 // 2)))
    (folder / "ok-white-is-zero.tif").write_bytes(tiff(SIDE, 16, rng.bytes(SIDE * 2), photometric=0))
    (folder / "ok-wrong-suffix.jpg").write_bytes((folder / "ok-plain.png").read_bytes())
    (folder / "OK-CAPITALS.JPG").write_bytes((folder / "ok-plain.jpg").read_bytes() + b"more after the end")
    (folder / os.fsdecode(b"ok-\xff\xfe.png")).write_bytes((folder / "ok-grey.png").read_bytes())
    (folder / "ok-two\nlines.png").write_bytes((folder / "ok-1-bit.png").read_bytes())
    (folder / "deeper").mkdir()
    grey.rotate(90).save(folder / "deeper" / "ok-deep.png")


def refused(folder: Path) -> None:
    """Files that are called like pictures and are none, or too much of one."""
    whole = (folder / "ok-plain.png").read_bytes()
    contents: dict[str, bytes] = {
        "empty.png": b"",
        "text.jpg": b"this is no picture",
        "cut-off.png": whole[: len(whole) // 2],
        "cut-off.jpg": (folder / "ok-plain.jpg").read_bytes()[:300],
        "bomb.png": png(60_000, 60_000, 8, 0, b"\0" * 1000),
        "small-bomb.png": png(12_000, 12_000, 1, 0, b"\0" * 1000),
        "text-bomb.png": whole[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 2**23)) + whole[33:],
        "bomb.gif": b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0\0\0;",
        "postscript.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
        "signed.tif": tiff(SIDE, 16, bytes(SIDE * 2), sample_format=2),
        "fractions.tif": tiff(SIDE, 32, bytes(SIDE * 4), sample_format=3),
    }
    for name, content in contents.items():
        (folder / f"bad-{name}").write_bytes(content)
    (folder / "bad-circle.png").symlink_to("bad-circle.png")
    (folder / "bad-nowhere.png").symlink_to("nowhere")


def left_alone(folder: Path) -> None:
    """What is no picture, though it may be called like one."""
    os.mkfifo(folder / "pipe.png")
    here = os.getcwd()
    os.chdir(folder)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
    os.chdir(here)
    (folder / "folder.png").mkdir()
    (folder / "up").symlink_to("..", target_is_directory=True)
    (folder / "itself").symlink_to(".", target_is_directory=True)
    (folder / "circle").symlink_to("circle")
    (folder / "notes.txt").write_text("no image")
    (folder / "._photo.jpg").write_bytes(b"\0\5\x16\7")
    for name in (".ipynb_checkpoints", "__MACOSX", "@eaDir"):
        (folder / name).mkdir()
        (folder / name / "copy.png").write_bytes((folder / "ok-plain.png").read_bytes())


def write(root: Path) -> None:
    """Write the corpus below a folder."""
    for number, name in enumerate(CLASSES):
        folder = root / name
        folder.mkdir(parents=True)
        readable(folder, np.random.default_rng(number))
        refused(folder)
        left_alone(folder)
    (root / "__MACOSX").mkdir()
    (root / "LICENSE").write_text("no class")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
