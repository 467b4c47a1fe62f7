"""What a frozen backbone makes of the images: computed once, kept on disk, and given out as batches.

A file of the cache holds a row of features for each image, found by the hash of the image's content; its name is a
hash of all that the features follow from: weights, preprocessing, and the content of all the images.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

from dlrun import console, interrupt
from dlrun import weights as checkpoint
from dlrun.dataset.augment import Augment
from dlrun.dataset.batch import Batch, inputs
from dlrun.dataset.fitted import Fitted
from dlrun.dataset.image_folder import FileSource
from dlrun.dataset.loader import Loader
from dlrun.dataset.source import Source, classes
from dlrun.errors import RunError, UserError, sentence

FORMAT = 2
"""Of the cache: a higher number whenever the same images would give other features, or the file changes."""

Backbone = Callable[[Tensor], Tensor]
"""Takes images, float (B, C, H, W) in [0,1], and gives features, float (B, F), without gradients."""


@dataclass
class FeatureLoader(Loader):
    """A loader that gives features that are there already in the place of images, in the same order.

    Args:
        views: features of every image, float (V, N, F) on the device; an epoch takes one view after another.
    """

    views: Tensor = field(default_factory=lambda: torch.empty(0))

    def epoch(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch ``start`` on: features and targets."""
        features, targets = self.views[epoch % len(self.views)], classes(self.source).to(self.device)
        for indices in self.order(epoch)[start:]:
            places = indices.to(self.device)
            yield {"features": features.index_select(0, places), "target": targets.index_select(0, places)}


@dataclass
class LiveFeatureLoader(Loader):
    """A loader that computes the features anew in every epoch.

    Args:
        backbone: what computes them.
    """

    backbone: Backbone | None = None

    def epoch(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch ``start`` on: features and targets."""
        assert self.backbone is not None
        for batch in self.pictures(epoch, start):
            features = self.backbone(inputs(batch)).clone()  # a clone may take part in gradients
            yield {"features": features, "target": batch["target"]}


@dataclass(frozen=True)
class Cache:
    """Features on disk.

    Any number of processes may share a folder: one computes, the others wait for it, and no file is ever seen
    half-written.

    Args:
        folder: of the files; made when needed.
        backbone: what computes features that are not there.
        origin: all that the features follow from besides the images, in plain values.
        batch_size: images that the backbone gets at once.
    """

    folder: Path
    backbone: Backbone
    origin: dict[str, Any]
    batch_size: int = 32

    def views(self, loaders: Sequence[Loader], count: int = 1, augment: Augment | None = None) -> list[Tensor]:
        """The features of the images of some loaders, which need not fit into memory themselves.

        Args:
            loaders: their images, as their sources have them.
            count: views of every image.
            augment: what makes the views different; None for the images as they are.

        Returns:
            float32 (count, N, F) on the CPU for each loader.
        """
        digests = [image_digests(loader.source) for loader in loaders]
        place = {digest: number for number, digest in enumerate(sorted({one for some in digests for one in some}))}
        shape = (count, len(place))
        settings = {**self.origin, "count": count, "augment": None, "format": FORMAT}
        if augment is not None:
            settings |= {"augment": vars(augment), "seed": loaders[0].seed}
        key = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
        for digest in place:
            key.update(digest)
        name = key.hexdigest()[:32]
        path = self.folder / f"{name}.pt"
        features = self._read(path, name, shape)  # the folder may be one that cannot be written
        if features is None:
            self._tidy()
            with self._locked(path):
                features = self._read(path, name, shape)
                if features is None:
                    features = self._computed(loaders, digests, place, count, augment)
                    self._keep({"key": name, "features": features}, path)
        return [features[:, torch.tensor([place[one] for one in some], dtype=torch.int64)] for some in digests]

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        """Let one process at a time compute features; all of them may in a folder that cannot be written."""
        lock = FileLock(path.with_suffix(".lock"))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError:  # to keep the features will not work either, and says so
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def _tidy(self) -> None:
        """Remove what killed processes have left half-written; the lock of each file says whether one is at work."""
        for file in self.folder.glob(".*.pt.*"):
            lock = FileLock(self.folder / f"{file.name.split('.')[1]}.lock", timeout=0)
            with suppress(OSError, Timeout), lock:
                file.unlink(missing_ok=True)

    @staticmethod
    def _keep(state: dict[str, Any], path: Path) -> None:
        """Write the features; where that is not possible, they serve this run alone."""
        try:
            checkpoint.save(state, path)
        except (OSError, RunError) as error:
            reason = sentence(error) if isinstance(error, OSError) else str(error)
            console.say(f"warning: cache={path.parent}: the features are not kept: {reason}")

    def _read(self, path: Path, name: str, shape: tuple[int, int]) -> Tensor | None:
        """The features of a file, or None where there is no such file, or a damaged or foreign one."""
        if not path.exists():
            return None
        try:
            found = checkpoint.load(path, "cache")
        except UserError as error:
            console.say(f"warning: {error}; computing the features again")
            return None
        features = found.get("features")
        if found.get("key") != name or not isinstance(features, Tensor) or features.shape[:2] != shape:
            console.say(f"warning: cache={path}: holds something else; computing the features again")
            return None
        console.say(f"features of {shape[1]:,} images from {path}")
        return features

    def _computed(
        self,
        loaders: Sequence[Loader],
        digests: list[list[bytes]],
        place: dict[bytes, int],
        count: int,
        augment: Augment | None,
    ) -> Tensor:
        """Run the backbone on every image once for each view; workers decode the next images meanwhile."""
        features = torch.empty(0)
        done: set[bytes] = set()  # an image that occurs twice is computed once
        started, total = time.perf_counter(), count * len(place)
        if not console.is_live():
            console.say(f"computing features: {total:,} images")
        with console.bar("features", total) as advance:
            for loader, some in zip(loaders, digests, strict=True):
                first = {one: number for number, one in reversed(list(enumerate(some))) if one not in done}
                new = sorted(first.values())
                rows = torch.tensor([place[some[number]] for number in new], dtype=torch.int64)
                part = replace(
                    loader,
                    source=loader.source.subset(torch.tensor(new, dtype=torch.int64)),
                    batch_size=self.batch_size,
                    in_memory=False,
                    limit=None,
                    augment=augment,
                    sampling=None,
                )
                for view in range(count):
                    numbers = rows if part.seed is None else rows[torch.cat(part.order(view))]
                    start = 0
                    for batch in part.pictures(view):
                        interrupt.check()
                        found = self.backbone(inputs(batch)).cpu()
                        if not len(features):
                            features = torch.empty(count, len(place), found.shape[1])
                        features[view, numbers[start : start + len(found)]] = found
                        start += len(found)
                        advance(len(found))
                done.update(first)
        seconds = time.perf_counter() - started
        console.say(f"features of {total:,} images in {seconds:.1f} s: {total / max(seconds, 1e-9):,.1f} images/s")
        return features


def image_digests(source: Source) -> list[bytes]:
    """The SHA-256 of every image's content: of the file's bytes, or else of the pixels as the dataset has them."""

    def digest(index: int) -> bytes:
        if isinstance(source, Fitted) and isinstance(source.source, FileSource):
            with source.source.paths[int(source.indices[index])].open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").digest()
        image = inputs(source.raw(index) if isinstance(source, Fitted) else source[index])
        content = f"{tuple(image.shape)}".encode() + image.contiguous().cpu().numpy().tobytes()
        return hashlib.sha256(content).digest()

    with ThreadPoolExecutor() as pool:
        return list(pool.map(digest, range(len(source))))


def weights_digest(network: nn.Module, without: str) -> str:
    """The SHA-256 of a network's state dict, names and values, without the part of this name."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        if not name.startswith(f"{without}."):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
