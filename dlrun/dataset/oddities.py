"""What makes the figures of a run doubtful, said in a line each: classes without examples, images in two places."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from dlrun import console
from dlrun.dataset.fitted import Fitted
from dlrun.dataset.folder_tree import listed
from dlrun.dataset.image_folder import FileSource
from dlrun.paths import shown

TAIL = 4096
"""Bytes at the end of a file, which tell nearly all files of one length apart."""

MOST = 100_000
"""Files of which copies are looked for: to read the end of each of many more would hold up the training."""


class Place(NamedTuple):
    """An image file, and where it is used."""

    path: Path
    split: str
    target: int


def say_missing(sources: Mapping[str, Fitted], classes: list[str]) -> None:
    """Say which classes have no examples in a split.

    Args:
        sources: by split.
        classes: their names.
    """
    for split, source in sources.items():
        targets = getattr(source, "targets", None)
        if classes and len(source) and targets is not None and targets.ndim == 1 and not targets.is_floating_point():
            present = set(targets.tolist())
            missing = [name for number, name in enumerate(classes) if number not in present]
            if missing and len(missing) <= len(present):  # of ImageNet's classes a few photos lack most, on purpose
                console.say(f"warning: dataset: no examples in {split} of {listed(missing)}")


def say_copies(sources: Mapping[str, Fitted]) -> None:
    """Say which image files are in two splits, or in two classes; of very many that they were not compared.

    Args:
        sources: by split.
    """
    places = [
        Place(source.source.paths[index], split, int(source.source.targets[index]))
        for split, source in sources.items()
        if isinstance(source.source, FileSource)
        for index in source.indices.tolist()
    ]
    if len(places) > MOST:
        console.say(f"dataset.root: {len(places):,} images, too many to look for copies among them")
        return
    copies = same_content(places)
    for what in ("split", "target"):
        spread = [group for group in copies if len({getattr(place, what) for place in group}) > 1]
        if spread:
            first, *rest = spread[0]
            other = next(place for place in rest if getattr(place, what) != getattr(first, what))
            count, kind = f"{len(spread):,} image{'s' * (len(spread) > 1)}", "splits" if what == "split" else "classes"
            pair = f"{shown(first.path)} and {shown(other.path)}"
            console.say(f"warning: dataset.root: {count} in two {kind} or more, by content, such as {pair}")


def same_content(places: list[Place]) -> list[list[Place]]:
    """The groups of files with equal content; only those of one length and with one end are read."""
    groups: dict[tuple[Hashable, ...], list[Place]] = {(): places}
    with ThreadPoolExecutor() as pool:
        for of in (_length, _end, _digest):
            left = [(known, place) for known, group in groups.items() for place in group]
            groups = defaultdict(list)
            paths = [place.path for _, place in left]
            values = map(of, paths) if of is _length else pool.map(of, paths)
            for (known, place), value in zip(left, values, strict=True):
                groups[*known, value].append(place)
            groups = {known: group for known, group in groups.items() if known[-1] is not None and len(group) > 1}
    return list(groups.values())


def _length(path: Path) -> int | None:
    with suppress(OSError):  # the file is read later, which says so
        return path.stat().st_size
    return None


def _end(path: Path) -> bytes | None:
    with suppress(OSError), path.open("rb") as stream:
        stream.seek(max(os.fstat(stream.fileno()).st_size - TAIL, 0))
        return stream.read()
    return None


def _digest(path: Path) -> bytes | None:
    with suppress(OSError), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
    return None
