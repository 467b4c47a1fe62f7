"""Maximum and mean of blocks: pooling in 1-D and 2-D, and which of the two is linear."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from dlrun.errors import UserError
from dlrun.figure.slide import COLOURS, slide
from dlrun.figure.tiles import Tile, picture, tiles
from dlrun.lesson.drawing import signal as draw
from dlrun.lesson.lesson import Findings, Lesson, Row
from dlrun.lesson.photos import photo

ENTRY = ((1, 3, 2, 4), (2, 5, 1, 3), (4, 2, 6, 1), (3, 1, 2, 5))
"""The example of 003_7190ac02314fafbe.txt; the bars of its table were read as ones, and are taken out again."""


class Pooling(Lesson):
    """Keep one number for each block: its maximum or its mean.

    Args:
        signal: numbers, to be pooled in 1-D.
        size: of a block of the signal.
        photo: of those that scikit-learn ships, to be pooled in 2-D.

    Raises:
        UserError: the signal has no block of this size; or there is no such photo.
    """

    def __init__(self, signal: Sequence[float], size: int, photo: str) -> None:
        if not 1 <= size <= len(signal):
            raise UserError(f"lesson.size={size}: expected 1 to {len(signal)}, the numbers of the signal")
        self.signal, self.size, self.photo = [float(value) for value in signal], size, photo

    def __call__(self) -> Findings:
        """Pool the signal, the document's 4x4 example and the photo."""
        signal, entry = torch.tensor(self.signal), torch.tensor(ENTRY, dtype=torch.float)
        highest, mean = blocks(signal, self.size).amax(dim=1), blocks(signal, self.size).mean(dim=1)
        torch_highest = F.max_pool1d(signal[None], self.size)[0]
        torch_mean = F.avg_pool1d(signal[None], self.size)[0]
        small = F.max_pool2d(entry[None], 2)[0]
        first, second = torch.randn(2, 1, 1, 16, 16, dtype=torch.float64)
        gaps = {
            name: float((pool(first + second, 2) - pool(first, 2) - pool(second, 2)).abs().max())
            for name, pool in (("max", F.max_pool2d), ("average", F.avg_pool2d))
        }
        metrics = {f"document/{row}{column}": float(small[row, column]) for row in (0, 1) for column in (0, 1)}
        metrics |= {
            "torch_difference": float(torch.cat([highest - torch_highest, mean - torch_mean]).abs().max()),
            "max_of_sum_less_sum_of_max": gaps["max"],
            "average_of_sum_less_sum_of_average": gaps["average"],
        }
        table: list[Row] = [
            {
                "block": place,
                "values": " ".join(f"{value:g}" for value in block),
                "max": float(high),
                "mean": float(low),
            }
            for place, (block, high, low) in enumerate(
                zip(blocks(signal, self.size).tolist(), highest, mean, strict=True)
            )
        ]
        figures = {
            "signal": self._signal_figure(highest, mean),
            "example": _example_figure(entry, {"max": small, "average": F.avg_pool2d(entry[None], 2)[0]}),
            "photo": _photo_figure(self.photo),
        }
        return Findings(metrics, figures, {"blocks": table})

    def _signal_figure(self, highest: Tensor, mean: Tensor) -> Figure:
        figure, (above, left, right) = slide(f"Pooling keeps one number for each block of {self.size}", 3, height=6)
        colours = [COLOURS[0 if place // self.size % 2 else 5] for place in range(len(self.signal))]
        draw(above, self.signal, f"signal, {len(self.signal)} samples", colours)
        draw(left, highest.tolist(), "max pooling", COLOURS[1])
        draw(right, mean.tolist(), "average pooling", COLOURS[2])
        right.set_xlabel("sample, or block")
        return figure


def blocks(signal: Tensor, size: int) -> Tensor:
    """The whole blocks of a signal (W,) as rows, (W // size, size); what is left over at its end goes."""
    return signal[: len(signal) // size * size].view(-1, size)


def _example_figure(entry: Tensor, pooled: dict[str, Tensor]) -> Figure:
    figure, plots = slide("Each block of four keeps its largest number, or its mean", 1, 3, 3.6, width_ratios=[2, 1, 1])
    _numbers(plots[0], entry, 2, "input, 4x4")
    for axes, (name, values) in zip(plots[1:], pooled.items(), strict=True):
        _numbers(axes, values, 1, f"{name} pooling, 2x2")
    return figure


def _numbers(axes: Axes, values: Tensor, block: int, title: str) -> None:
    """A matrix as numbers, its four quarters in colours of their own."""
    quarters = np.indices(tuple(values.shape)) // block
    axes.set_xlim(-0.5, values.shape[1] - 0.5)
    axes.set_ylim(len(values) - 0.5, -0.5)
    for (row, column), value in np.ndenumerate(values.numpy()):
        colour = COLOURS[[5, 4, 2, 3][int(2 * quarters[0, row, column] + quarters[1, row, column])]]
        axes.fill(
            [column - 0.5, column + 0.5, column + 0.5, column - 0.5],
            [row - 0.5] * 2 + [row + 0.5] * 2,
            colour,
            alpha=0.5,
            edgecolor="white",
        )
        axes.text(column, row, f"{value:g}", ha="center", va="center", fontsize=20)
    axes.set_aspect("equal")
    axes.axis("off")
    axes.set_title(title)


def _photo_figure(name: str) -> Figure:
    image = photo(name)
    size = 16
    pooled = {"max": F.max_pool2d(image, size), "mean": F.avg_pool2d(image, size)}
    small = "x".join(map(str, pooled["max"].shape[1:]))
    shown: list[Tile | None] = [Tile(picture(image), f"photo, {image.shape[1]}x{image.shape[2]}")]
    shown += [Tile(picture(each), f"{kind} of {size}x{size}") for kind, each in pooled.items()]
    return tiles(f"{small} pixels are left of a photo; the maximum keeps what is bright", [shown])
