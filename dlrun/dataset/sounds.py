"""Clips of sound as what a network reads: pictures of them, or their samples."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from dlrun.dataset.field import Field, Image, Label, Vector
from dlrun.dataset.sound_file import read_wav
from dlrun.dataset.source import TensorSource
from dlrun.dataset.spectrogram import spectrogram
from dlrun.errors import UserError

Form = Literal["spectrogram", "samples"]
PART = 512
"""Clips whose spectrograms are made at once."""


def clip(samples: Tensor, length: int) -> Tensor:
    """The middle of samples (L,), float (length,); shorter ones are put into the middle of silence."""
    spare = length - len(samples)
    return F.pad(samples, (spare // 2, spare - spare // 2))


def picture(path: Path, side: int, rate: int, seconds: float) -> Tensor:
    """The spectrogram of a .wav file as :func:`source` makes it, uint8 (1, side, side)."""
    return spectrogram(clip(read_wav(path, rate), round(rate * seconds)).unsqueeze(0), side, rate)[0]


def fields(form: Form) -> dict[str, Field]:
    """What the tensors of :func:`source` are."""
    return {"image": Image(), "target": Label()} if form == "spectrogram" else {"signal": Vector(), "target": Label()}


def source(clips: Tensor, targets: Tensor, form: Form, side: int | None, rate: int) -> TensorSource:
    """Clips, float (N, L), and their classes, int64 (N,).

    Args:
        clips: samples in [-1,1].
        targets: of each.
        form: ``spectrogram`` makes pictures (1, side, side) of them, ``samples`` leaves signals (1, L).
        side: of the pictures in pixels; None with samples.
        rate: samples in a second.

    Raises:
        UserError: the clips are too short for a picture of this side.
    """
    if form == "samples":
        return TensorSource({"signal": clips.unsqueeze(1), "target": targets})
    if side is None:
        raise UserError("dataset.image_size=null: expected the side of a spectrogram in pixels")
    try:
        pictures = [spectrogram(part, side, rate) for part in torch.split(clips, PART)]
    except ValueError as error:
        raise UserError(f"dataset.image_size={side}: {error}") from None
    return TensorSource({"image": torch.cat(pictures), "target": targets})
