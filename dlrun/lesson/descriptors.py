"""Hand-made descriptors, raw pixels, a convolutional network: which of them survives another scale or a shift?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.errors import UserError
from dlrun.figure.slide import slide
from dlrun.figure.tiles import Tile, picture, tiles
from dlrun.lesson.brief import digit_images, train
from dlrun.lesson.lesson import Findings, Lesson, Row

CANVAS = 28
SIDE = 16
"""Pixels of the digits to learn from."""
CELL = 7
"""Pixels of a cell, over which HOG counts the directions of edges."""


class Descriptors(Lesson):
    """HOG and pixels under a linear classifier, beside a CNN (004_f2c8751b5d3b52bc.txt, premières approches possibles).

    Args:
        smaller: pixels of the smaller test digits; those to learn from have 16.
        larger: of the larger ones.
        shift: pixels by which test digits are moved, to the right and down.
        epochs: of the CNN's training.

    Raises:
        UserError: a digit would leave the canvas of 28x28; or scikit-image is not installed.
    """

    def __init__(self, smaller: int, larger: int, shift: int, epochs: int) -> None:
        for name, value in (("smaller", smaller), ("larger", larger)):
            if not 4 <= value <= CANVAS:
                raise UserError(f"lesson.{name}={value}: expected 4 to {CANVAS} pixels")
        if not 0 <= shift <= (CANVAS - SIDE) // 2:
            raise UserError(f"lesson.shift={shift}: expected 0 to {(CANVAS - SIDE) // 2} pixels")
        try:
            from skimage.feature import hog
        except ImportError:
            raise UserError("lesson=descriptors: needs scikit-image; pip install 'dlrun[lesson]'") from None
        self.hog: Callable[..., np.ndarray] = hog
        self.smaller, self.larger, self.shift, self.epochs = smaller, larger, shift, epochs

    def __call__(self) -> Findings:
        """Train the three on digits of one size in the middle, and test them on four sets."""
        (train_digits, classes), (test_digits, truth) = digit_images(8)
        images = canvas(train_digits, SIDE)
        tests = {
            "same": canvas(test_digits, SIDE),
            "smaller": canvas(test_digits, self.smaller),
            "larger": canvas(test_digits, self.larger),
            "shifted": canvas(test_digits, SIDE, self.shift),
        }
        methods = {"HOG": linear(self._describe, images, classes), "pixels": linear(flat, images, classes),
                   "CNN": convolutional(images, classes, self.epochs)}  # fmt: skip
        right = {
            method: {name: float(np.mean(answer(each) == truth.numpy())) for name, each in tests.items()}
            for method, answer in methods.items()
        }
        metrics = {f"{method}/{name}": value for method, row in right.items() for name, value in row.items()}
        table: list[Row] = []
        for method, row in right.items():
            falls = [name for name, value in row.items() if value < row["same"] - 0.1]
            table.append({"method": method, **row, "falls by more than 0.1": ", ".join(falls) or "nowhere"})
        return Findings(metrics, {"accuracy": _bars(right), "digits": _digits(tests)}, {"accuracy": table})

    def _describe(self, images: Tensor) -> np.ndarray:
        """Histograms of oriented gradients (N. Dalal, B. Triggs, 2005) of images (N, 1, H, W), float (N, features)."""
        options = {"orientations": 8, "pixels_per_cell": (CELL, CELL), "cells_per_block": (2, 2)}
        return np.stack([self.hog(image, **options) for image in images[:, 0].numpy()])


def canvas(digits: Tensor, side: int, shift: int = 0) -> Tensor:
    """Digits (N, 1, 8, 8) resized to a side, in the middle of a canvas (N, 1, 28, 28) or beside it."""
    large = F.interpolate(digits, size=(side, side), mode="bilinear", antialias=True)
    before, rest = (CANVAS - side) // 2 + shift, CANVAS - side
    return F.pad(large, [before, rest - before, before, rest - before])


def flat(images: Tensor) -> np.ndarray:
    """The pixels in one row for each image."""
    return images.flatten(1).numpy()


Answer = Callable[[Tensor], np.ndarray]


def linear(features: Callable[[Tensor], np.ndarray], images: Tensor, classes: Tensor) -> Answer:
    """A function from images to classes: logistic regression on features."""
    scaler = StandardScaler(with_std=False)
    model = LogisticRegression(max_iter=200).fit(scaler.fit_transform(features(images)), classes.numpy())
    return lambda test: model.predict(scaler.transform(features(test)))


def convolutional(images: Tensor, classes: Tensor, epochs: int) -> Answer:
    """The same by a network of two convolutions and poolings, whose last takes the maximum over all positions."""
    network = nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(),
        nn.Linear(64, 10),
    )  # fmt: skip
    train(network, images, classes, epochs)

    @torch.no_grad()
    def answer(test: Tensor) -> np.ndarray:
        found: np.ndarray = network(test).argmax(dim=1).numpy()
        return found

    return answer


def _bars(right: dict[str, dict[str, float]]) -> Figure:
    worst = {method: min(row, key=lambda name: row[name]) for method, row in right.items()}
    falls = ", ".join(f"{method} on {name} ones" for method, name in worst.items())
    figure, (axes,) = slide(f"Digits unlike those learned. Worst: {falls}")
    for place, (method, row) in enumerate(right.items()):
        at = np.arange(len(row)) + 0.27 * (place - 1)
        drawn = axes.bar(at, list(row.values()), 0.25, label=method)
        axes.bar_label(drawn, [f"{value:.2f}" for value in row.values()], padding=2)
    axes.axhline(0.1, color="black", linestyle="--", linewidth=1, label="chance")
    axes.set_xticks(range(len(row)), [f"{name}" for name in row])
    axes.set_xlabel("digits to test on")
    axes.set_ylabel("accuracy")
    axes.set_ylim(0, 1.3)
    axes.legend(ncols=4, loc="upper center")
    return figure


def _digits(tests: dict[str, Tensor]) -> Figure:
    row: list[Tile | None] = [Tile(picture(images[0]), name) for name, images in tests.items()]
    return tiles("Digits to test on; the training had only digits like the first", [row])
