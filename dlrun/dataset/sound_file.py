"""Sound files of any kind as samples of one kind: mono, one rate, floats."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlrun.errors import UserError
from dlrun.paths import shown

SUFFIXES = {".wav", ".wave"}
LONGEST = 2**26
"""Samples of a channel; a longer file is refused."""
RATES = (100, 768_000)
"""Samples in a second, the fewest and the most."""


def read_wav(path: Path, rate: int) -> Tensor:
    """The samples of a .wav file: 8, 16, 24, 32 or 64 bits, whole numbers or floats.

    Several channels are mixed to their mean; another rate is resampled by a polyphase filter that keeps out what the
    new rate cannot hold.

    Args:
        path: the file.
        rate: samples in a second that are wanted.

    Returns:
        float32, shape (L,), in [-1,1] where the file holds whole numbers.

    Raises:
        UserError: the file cannot be read, is damaged, no .wav, has no samples, or some that are no numbers.
    """
    from scipy.io import wavfile  # slow to import

    try:
        if not path.is_file() and path.exists():
            raise ValueError("no regular file")  # to open a pipe would wait for another program
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # of chunks that are no sound
            warnings.filterwarnings("error", "Reached EOF prematurely", wavfile.WavFileWarning)
            own, samples = wavfile.read(path)
        return torch.from_numpy(resampled(mono(samples), own, rate))
    except Exception as error:  # a damaged file raises whatever scipy stumbles over
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(f"{shown(path)}: not a readable .wav file ({reason.splitlines()[0].rstrip('.')})") from None


def mono(samples: NDArray[np.generic]) -> NDArray[np.float32]:
    """One channel of floats, float32 (L,), of samples (L,) or (L, channels).

    Whole numbers are divided by their range, 24 bits lying in the upper part of 32 as scipy reads them.

    Raises:
        ValueError: there are none, too many, or some that are no numbers.
    """
    if not 0 < len(samples) <= LONGEST:
        raise ValueError(f"{len(samples):,} samples; expected 1 to {LONGEST:,}")
    if np.issubdtype(samples.dtype, np.unsignedinteger):
        floats = samples.astype(np.float64) / 128 - 1
    elif np.issubdtype(samples.dtype, np.integer):
        floats = samples.astype(np.float64) / 2.0 ** (8 * samples.dtype.itemsize - 1)
    else:
        floats = samples.astype(np.float64)
    if not np.isfinite(floats).all():
        raise ValueError("a sample is no number")
    return (floats if floats.ndim == 1 else floats.mean(axis=1)).astype(np.float32)


def resampled(samples: NDArray[np.float32], own: int, rate: int) -> NDArray[np.float32]:
    """Samples (L,) of one rate at another.

    Raises:
        ValueError: their rate is none of a sound.
    """
    if not RATES[0] <= own <= RATES[1]:
        raise ValueError(f"{own:,} samples a second; expected {RATES[0]} to {RATES[1]:,}")
    if own == rate:
        return samples
    from scipy.signal import resample_poly

    common = math.gcd(own, rate)
    made: NDArray[np.float32] = resample_poly(samples, rate // common, own // common).astype(np.float32)
    return made
