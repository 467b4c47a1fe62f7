"""Sound as a picture: time to the right, pitch upwards, the louder the brighter."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

FLOOR = 80.0
"""Decibels below the loudest place of a clip at which its picture is black."""
FINE = 4
"""Points of the transform for each of the window's: low bands are narrower than the window resolves."""


def spectrogram(samples: Tensor, side: int, rate: int) -> Tensor:
    """The log-mel spectrogram of clips of one length.

    Windows of Hann, each half over the next, so many that there are ``side``; ``side`` triangular bands, as wide as the
    ear's (the mel scale of O'Shaughnessy 1987); decibels below the loudest place of each clip.

    Args:
        samples: float (N, L), L at least twice ``side``.
        side: pixels of the picture.
        rate: samples in a second.

    Returns:
        uint8 (N, 1, side, side), the highest band in the first row; a silent clip is black.

    Raises:
        ValueError: the clips are too short for so many windows.
    """
    hop = samples.shape[1] // (side + 1)
    if hop < 2:
        raise ValueError(f"{samples.shape[1]} samples a clip are too few for {side} windows; expected {2 * side + 2}")
    window = torch.hann_window(2 * hop)
    points = FINE * 2 ** (2 * hop - 1).bit_length()
    frames = samples.unfold(1, 2 * hop, hop)[:, :side] * window
    power = torch.fft.rfft(frames, points).abs().square()
    bands = power @ mel_bands(side, points, rate)
    loudest = bands.amax(dim=(1, 2), keepdim=True)
    decibels = 10 * (bands.clamp(min=1e-30) / loudest.clamp(min=1e-20)).log10()
    shades: Tensor = (1 + decibels / FLOOR).clamp(0, 1) * 255
    return shades.round().to(torch.uint8).transpose(1, 2).flip(1).unsqueeze(1)


@functools.cache
def mel_bands(count: int, points: int, rate: int) -> Tensor:
    """Triangles over the frequencies of a transform, float (points / 2 + 1, count); neighbours meet at half.

    Their middles are evenly spaced on the mel scale between 0 and half the rate.
    """
    edges = hertz(torch.linspace(0, float(mel(torch.tensor(rate / 2))), count + 2))
    frequencies = torch.linspace(0, rate / 2, points // 2 + 1)[:, None]
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0)


def mel(frequency: Tensor) -> Tensor:
    """Hertz on the mel scale."""
    return 2595 * torch.log10(1 + frequency / 700)


def hertz(mels: Tensor) -> Tensor:
    """What :func:`mel` came from."""
    return 700 * (10 ** (mels / 2595) - 1)
