"""Spoken digits in English and French, made by the program espeak-ng: synthetic voices, no recordings of people."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dlrun.dataset import sounds
from dlrun.dataset.sound_file import read_wav
from dlrun.dataset.source import Splits, TensorSource
from dlrun.errors import UserError

PROGRAM = "espeak-ng"
Language = Literal["en", "fr"]
WORDS: dict[str, tuple[str, ...]] = {
    "en": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "fr": ("zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"),
}
ACCENTS = {"en": ("en-gb", "en-us", "en-gb-scotland"), "fr": ("fr-fr", "fr-be", "fr-ch")}
VOICES = {
    "train": ("m1", "m2", "m3", "m4", "m6", "m8", "f1", "f2", "f3", "klatt", "klatt3", "croak"),
    "test": ("m5", "m7", "f4", "f5", "klatt2"),
}
"""Variants of espeak-ng's voice; those of the test are never heard in training."""
SPEED, PITCH = (110, 190), (25, 75)
"""Words in a minute and espeak-ng's measure of pitch, the least and the most."""


class Spoken(NamedTuple):
    """How a digit is spoken."""

    word: str
    voice: str
    speed: int
    pitch: int


def load(
    image_size: int | None,
    languages: Sequence[Language] = ("en", "fr"),
    takes: int = 3,
    rate: int = 8000,
    seconds: float = 1.0,
    form: sounds.Form = "spectrogram",
) -> Splits:
    """The ten digits by many voices: 12 to train, 5 others to test, with speed, pitch and accent drawn by a fixed seed.

    A class is a digit, whatever the language. The words are made anew each time, and once in a process.

    Args:
        image_size: side of the spectrograms in pixels.
        languages: of the words, ``en``, ``fr`` or both.
        takes: how often each voice says each word.
        rate: samples in a second.
        seconds: of each clip.
        form: what the network reads: ``spectrogram``, a picture, or ``samples``, a signal (1, rate x seconds).

    Raises:
        UserError: espeak-ng is not installed, or lacks a voice; or there is no such language.
    """
    for language in languages:
        if language not in WORDS:
            raise UserError(f"dataset.source.languages={language}: no such language; expected {', '.join(WORDS)}")
    parts: dict[str, TensorSource] = {}
    for split, voices in VOICES.items():
        asked, targets = script(voices, languages, takes, seed=len(parts))
        clips = torch.stack([sounds.clip(samples, round(rate * seconds)) for samples in spoken(tuple(asked), rate)])
        parts[split] = sounds.source(clips, torch.tensor(targets), form, image_size, rate)
    classes = [str(digit) for digit in range(10)]
    return Splits(parts["train"], parts["test"], classes, fields=sounds.fields(form))


def script(
    voices: Sequence[str], languages: Sequence[Language], takes: int, seed: int
) -> tuple[list[Spoken], list[int]]:
    """What is to be spoken, and the digit of each."""
    rng = np.random.default_rng(seed)
    asked, digits = [], []
    for voice in voices:
        for language in languages:
            for digit, word in enumerate(WORDS[language]):
                for _ in range(takes):
                    accent = ACCENTS[language][rng.integers(len(ACCENTS[language]))]
                    speed, pitch = int(rng.integers(*SPEED)), int(rng.integers(*PITCH))
                    asked.append(Spoken(word, f"{accent}+{voice}", speed, pitch))
                    digits.append(digit)
    return asked, digits


@functools.lru_cache(maxsize=8)
def spoken(asked: tuple[Spoken, ...], rate: int) -> list[Tensor]:
    """The samples of each word, float32 (L,), by as many espeak-ng at a time as there are threads.

    Raises:
        UserError: espeak-ng is not installed, or fails.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise UserError(f"dataset=spoken_digits: needs the program {PROGRAM}; Debian's package is called so too")

    def speak(number: int) -> Tensor:
        one, file = asked[number], Path(folder) / f"{number}.wav"
        command = [program, "-v", one.voice, "-s", str(one.speed), "-p", str(one.pitch), "-w", str(file), one.word]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode or not file.exists():
            reason = (ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"])[0]
            raise UserError(f"dataset=spoken_digits: {PROGRAM} -v {one.voice}: {reason}")
        return read_wav(file, rate)

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        return list(pool.map(speak, range(len(asked))))
