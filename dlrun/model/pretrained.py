"""Trained weights to start from, and the preprocessing that they were trained with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torchvision import models

from dlrun import console
from dlrun.errors import UserError, suggest
from dlrun.model import efficientnet_lite0, published, timm_network


@dataclass(frozen=True)
class Preprocessing:
    """What images go through in front of a network; the names are those of the ``dataset`` section."""

    image_size: int
    resize_size: int
    channels: int
    mean: list[float] | None
    std: list[float] | None


@dataclass(frozen=True)
class Pretrained:
    """A file of weights with what belongs to it."""

    path: Path | None
    """None for random weights."""
    preprocessing: Preprocessing
    classes: list[str]
    """What the weights' own head tells apart."""


def find(name: str, weights: str | None) -> Pretrained:
    """The trained weights of a published classifier, downloaded on first use.

    Args:
        name: of the classifier, such as ``resnet50``, ``timm/resnet18d`` or ``efficientnet_lite0``.
        weights: ``DEFAULT``, a file, or None for random weights; of torchvision's classifiers also another of its
            names (``V1`` is short for ``IMAGENET1K_V1``), or a folder with files under torchvision's names. A file has
            the preprocessing of the weights that torchvision publishes under its name, or else that of ``DEFAULT``.

    Raises:
        UserError: no such weights, or neither on disk nor to be had from the network.
    """
    published.check_name(name)
    if name == published.EFFICIENTNET_LITE0 or name.startswith(published.TIMM):
        return _of_timm(name.removeprefix(published.TIMM), weights, name == published.EFFICIENTNET_LITE0)
    entries = models.get_model_weights(name)
    default = getattr(entries, "DEFAULT", next(iter(entries), None))
    if default is None:  # torchvision has the network, but no weights for it
        raise UserError(f"model.backbone={name}: torchvision has no weights for it; expected another")
    if weights is None:
        return _described(default, None)
    path = Path(weights)
    if path.is_file():
        return _described(next((entry for entry in entries if _file_name(entry) == path.name), default), path)
    if path.is_dir():
        folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
        inside = [(entry, folder / _file_name(entry)) for entry in (default, *entries)]
        for entry, file in inside:
            if file.is_file():
                return _described(entry, file)
        names = ", ".join(dict.fromkeys(file.name for _, file in inside))
        raise UserError(f"weights={weights}: none of {name}'s files in {folder}; expected {names}")
    known = ["DEFAULT", *entries.__members__]
    full = f"IMAGENET1K_{weights}" if f"IMAGENET1K_{weights}" in known else weights
    if full not in known:
        raise UserError(
            f"weights={weights}: no such file or folder, and torchvision has no such weights of {name};"
            f" {suggest(weights, dict.fromkeys(known))}"
        )
    entry = default if full == "DEFAULT" else entries[full]
    return _described(entry, _downloaded(entry, weights))


def _of_timm(name: str, weights: str | None, is_packaged: bool) -> Pretrained:
    """Weights of timm, or those of EfficientNet-Lite0 in its package, with the preprocessing that timm states."""
    path = None if weights is None else Path(weights)
    if weights == "DEFAULT":
        path = efficientnet_lite0.weights_file() if is_packaged else timm_network.downloaded(name)
    elif path is not None and not path.is_file():
        raise UserError(f"weights={weights}: no such file; expected one, DEFAULT, or null for random weights")
    entry = timm_network.described(efficientnet_lite0.NETWORK if is_packaged else name)
    channels, size, _ = entry.input_size
    preprocessing = Preprocessing(size, int(size / entry.crop_pct), channels, list(entry.mean), list(entry.std))
    return Pretrained(path, preprocessing, timm_network.classes(entry))


def _described(entry: Any, path: Path | None) -> Pretrained:
    transforms = entry.transforms()
    (crop,), (resize,) = transforms.crop_size, transforms.resize_size
    preprocessing = Preprocessing(crop, resize, 3, list(transforms.mean), list(transforms.std))
    return Pretrained(path, preprocessing, list(entry.meta["categories"]))


def _file_name(entry: Any) -> str:
    return Path(urlparse(entry.url).path).name


def _downloaded(entry: Any, weights: str) -> Path:
    """The file of weights in torch hub's cache."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / _file_name(entry)
    if path.is_file():
        return path
    console.say(f"downloading {entry.url} to {path.parent}")
    digest = path.stem.rpartition("-")[2]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(entry.url, str(path), digest, progress=console.terminal.is_terminal)
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong checksum is a RuntimeError
        raise UserError(
            f"weights={weights}: no {path.name} in {path.parent}, and the download failed"
            f" ({' '.join(str(error).split())}); put the file of {entry.url} there, name one with weights=FILE,"
            " or go on from random weights with weights=null"
        ) from None
    return path
