"""The embedded dataset: 1,797 handwritten digits of 8x8 pixels that come with scikit-learn."""

from __future__ import annotations

import functools

import numpy as np
from sklearn.datasets import load_digits

from dlrun.dataset.field import fit
from dlrun.dataset.source import Splits, from_arrays, stratified

read = functools.cache(load_digits)
"""The digits as scikit-learn has them, read from its file once in a process: the jobs of a sweep share it."""


def load(image_size: int = 28) -> Splits:
    """The digits, resized once to ``image_size``, with a fixed stratified fifth of them as the test set."""
    digits = read()
    grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # scikit-learn counts from 0 to 16
    source = from_arrays(grey, digits.target)
    source.tensors["image"] = fit(source.tensors["image"], 1, image_size)
    train, test = stratified(source.targets, 0.2, seed=0)
    return Splits(source.subset(train), source.subset(test), [str(name) for name in digits.target_names])
