"""One's own sounds: a folder of .wav files for each class, with or without folders train, val and test above them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from dlrun.dataset import class_folders, sounds
from dlrun.dataset.sound_file import SUFFIXES, read_wav
from dlrun.dataset.source import Splits, TensorSource

KIND = class_folders.Kind(".wav files", "word.wav", SUFFIXES)


def load(
    root: str,
    image_size: int | None,
    rate: int = 8000,
    seconds: float = 1.0,
    form: sounds.Form = "spectrogram",
    test_fraction: float = 0.2,
    seed: int = 0,
    on_error: Literal["raise", "skip"] = "raise",
) -> Splits:
    """The sounds below ``root``, as :func:`dlrun.dataset.image_folder.load` takes images; all are read now.

    Args:
        root: the folder.
        image_size: side of the spectrograms in pixels.
        rate: samples in a second; files of other rates are resampled.
        seconds: of each clip: the middle of longer files, shorter ones in the middle of silence.
        form: what the network reads: ``spectrogram``, a picture, or ``samples``, a signal (1, rate x seconds).
        test_fraction: of the files, for the test.
        seed: of this split.
        on_error: ``skip`` leaves files out that cannot be read.

    Raises:
        UserError: as :func:`dlrun.dataset.class_folders.find`, or a file is no readable .wav file.
    """
    length = round(rate * seconds)
    clips: dict[Path, Tensor] = {}

    def read(path: Path) -> None:
        with class_folders.in_root("" if on_error == "skip" else class_folders.SKIP):
            clips[path] = sounds.clip(read_wav(path, rate), length)

    classes, found = class_folders.find(root, KIND)
    for split, files in found.items():
        if on_error == "skip":
            found[split] = class_folders.readable(files, read)
        else:
            with ThreadPoolExecutor() as pool:
                list(pool.map(read, files.paths))
    own, sources = frozenset(found), dict[str, TensorSource]()
    for split, files in class_folders.tested(found, test_fraction, seed).items():
        taken = torch.stack([clips[path] for path in files.paths]) if files.paths else torch.zeros(0, length)
        sources[split] = sounds.source(taken, files.targets, form, image_size, rate)
    return Splits(sources["train"], sources["test"], classes, sources.get("val"), fields=sounds.fields(form), own=own)
