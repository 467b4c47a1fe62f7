"""Folders as they lie on people's disks: which are splits, which are classes, which files are images or others."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from dlrun import console
from dlrun.dataset.image_file import SUFFIXES
from dlrun.errors import UserError
from dlrun.paths import shown

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What folders of splits are called, in small letters."""
LEFT_BY_SYSTEMS = {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__pycache__"}
LISTED = 5  # names in a message


def image_files(folder: Path) -> list[Path]:
    """The image files in a folder and below, as :func:`files`."""
    return files(folder, SUFFIXES)


def files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files of some suffixes in a folder and below, sorted.

    Links are followed, but none twice and none upward. What is hidden is left out, and so is what is no regular file,
    with a line; a link that leads nowhere is kept, so that reading it says so.

    Raises:
        UserError: a folder cannot be read.
    """
    found: list[Path] = []
    seen: set[str] = set()
    to_look = [str(folder)]
    while to_look:
        place = to_look.pop()
        real = os.path.realpath(place)
        if real in seen:
            continue
        seen.add(real)
        for entry in _visible(place):
            kind = _kind(entry, suffixes)
            if kind == "folder":
                if not (entry.is_symlink() and Path(real).is_relative_to(os.path.realpath(entry))):
                    to_look.append(entry.path)
            elif kind == "file":
                found.append(Path(entry))
            elif kind == "odd":
                console.say(f"warning: {shown(entry.path)}: no regular file; it is left out")
    return sorted(found)


def splits(root: Path, suffixes: Collection[str] = SUFFIXES) -> dict[str, Path]:
    """The folders ``train``, ``val`` and ``test`` in a folder, by these names; the folder itself as ``train`` without.

    They may be called as in :data:`SPLITS`. A folder ``train`` beside others that holds files itself is a class.

    Raises:
        UserError: it cannot be told, one of them is there twice, or ``train`` is missing.
    """
    inside = _folders(root)
    named = [folder for folder in inside if folder.name.lower() in SPLITS]
    if len(named) < len(inside):
        named = [
            folder
            for folder in named
            if {_kind(entry, suffixes) for entry in _visible(folder)} & {"folder", "file"} == {"folder"}
        ]
    if not named:
        return {"train": root}
    found: dict[str, Path] = {}
    for folder in named:
        other = found.setdefault(SPLITS[folder.name.lower()], folder)
        if other != folder:
            raise UserError(f"{shown(root)}: {other.name} and {folder.name} are the same split; expected one of them")
    if "train" not in found:
        raise UserError(
            f"{shown(root)}: a folder {named[0].name} and no folder train; expected one beside it, or classes alone"
        )
    others = [folder for folder in inside if folder not in named]
    if others and len(found) == 1 and any(files(folder, suffixes) for folder in others):
        raise UserError(
            f"{shown(root)}: {found['train'].name} may be a split, or a class beside {listed(others)};"
            " expected no other folders beside a split, or another name for the class",
        )
    if others:
        console.say(f"warning: dataset.root: {shown(root)}: left out beside the splits: {listed(others)}")
    return found


def classes(folder: Path) -> dict[str, list[Path]]:
    """The folders in a folder by the names of the classes, sorted; two where a name is spelt in two ways (Unicode)."""
    found: dict[str, list[Path]] = {}
    for path in _folders(folder):
        found.setdefault(shown(path.name), []).append(path)
    return dict(sorted(found.items()))


def listed(names: Sequence[Path | str], most: int = LISTED) -> str:
    """A few names of many, as text."""
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(shown(name.name if isinstance(name, Path) else name) for name in names[:most]) + more


def _visible(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{shown(folder)}: cannot be read ({error.strerror})") from None
    return [entry for entry in inside if not entry.name.startswith(".") and entry.name not in LEFT_BY_SYSTEMS]


def _folders(folder: Path) -> list[Path]:
    return [Path(entry) for entry in _visible(folder) if _kind(entry) == "folder"]


def _kind(entry: os.DirEntry[str], suffixes: Collection[str] = ()) -> Literal["folder", "file", "odd", "other"]:
    """What an entry of a folder is: odd is what is called like a file of these suffixes and would hang who reads it."""
    is_file = Path(entry.name).suffix.lower() in suffixes
    with suppress(OSError):  # a circle of links
        if entry.is_dir():
            return "folder"
        if is_file and not entry.is_file() and os.path.exists(entry):
            return "odd"
    return "file" if is_file else "other"
