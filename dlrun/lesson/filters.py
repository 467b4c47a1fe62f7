"""Filters with given weights on two photos: they blur, or they show edges."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from dlrun.figure.slide import CHANGE
from dlrun.figure.tiles import Bar, Tile, coloured, picture, tiles
from dlrun.lesson.lesson import Findings, Lesson, Row
from dlrun.lesson.photos import grey

KERNELS = {
    "weak blur": torch.full((7, 7), 1 / 49),
    "strong blur": torch.full((21, 21), 1 / 441),
    "vertical edges": torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
    "horizontal edges": torch.tensor([[-1.0, -2, -1], [0, 0, 0], [1, 2, 1]]),
    "edges in all directions": torch.tensor([[-1.0, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
}
"""Means, Sobel's operators, and a pixel less its eight neighbours (000_9560d611d10ac6dd.txt)."""


class Filters(Lesson):
    """Blur weakly and strongly, show vertical, horizontal and all edges (000_9560d611d10ac6dd.txt, floutage et bords).

    Args:
        photos: of those that scikit-learn ships, china and flower.

    Raises:
        UserError: there is no such photo.
    """

    def __init__(self, photos: Sequence[str]) -> None:
        self.photos = {name: grey(name) for name in photos}

    def __call__(self) -> Findings:
        """Filter the photos, and two patterns of stripes."""
        upright = torch.arange(64).remainder(8).lt(4).float().expand(64, 64)
        patterns = {"upright stripes": upright, "lying stripes": upright.T, "a flat area": torch.full((64, 64), 0.7)}
        table: list[Row] = []
        for name, kernel in KERNELS.items():
            row: dict[str, str | float] = {"filter": name, "sum of the weights": round(float(kernel.sum()), 6)}
            for pattern, image in patterns.items():
                row[f"answer to {pattern}"] = float(apply(image, kernel).abs().max())
            table.append(row)
        metrics: dict[str, float] = {}
        figures: dict[str, Figure] = {}
        for name, image in self.photos.items():
            filtered = {kind: apply(image, kernel) for kind, kernel in KERNELS.items()}
            others = {kind: scipys(image, kernel) for kind, kernel in KERNELS.items()}
            metrics |= {
                f"{name}/scipy_difference": max(float((filtered[kind] - others[kind]).abs().max()) for kind in KERNELS),
                f"{name}/height_lost": float(len(image) - len(filtered["strong blur"])),
                f"{name}/weak_blur_contrast": float(filtered["weak blur"].std() / image.std()),
                f"{name}/strong_blur_contrast": float(filtered["strong blur"].std() / image.std()),
            }
            figures[name] = _figure(image, filtered)
        vertical, horizontal = KERNELS["vertical edges"], KERNELS["horizontal edges"]
        metrics |= {
            "vertical_on_upright": float(apply(upright, vertical).abs().max()),
            "vertical_on_lying": float(apply(upright.T, vertical).abs().max()),
            "horizontal_on_upright": float(apply(upright, horizontal).abs().max()),
            "edges_on_flat": max(float(apply(patterns["a flat area"], KERNELS[k]).abs().max()) for k in EDGES),
        }
        return Findings(metrics, figures, {"patterns": table})


LIMIT = 1.5
"""Answers of an edge filter that are drawn in the strongest colour."""
EDGES = [name for name in KERNELS if "edges" in name]


def _figure(image: Tensor, filtered: dict[str, Tensor]) -> Figure:
    """The photo and what the kernels make of it: blurred ones in grey, edges in red and blue."""
    sizes = {name: f"{name}, {len(kernel)}x{len(kernel)}" for name, kernel in KERNELS.items()}
    shown = [Tile(picture(image[None]), "photo")]
    for name, values in filtered.items():
        pixels = coloured(values, CHANGE, -LIMIT, LIMIT) if name in EDGES else picture(values[None])
        shown.append(Tile(pixels, sizes[name]))
    bar = Bar(CHANGE, -LIMIT, LIMIT, "answer of an edge filter")
    return tiles("One photo, five kernels: what is asked for is what is seen", [shown[:3], shown[3:]], below=[bar])


def apply(image: Tensor, kernel: Tensor) -> Tensor:
    """The correlation (H - h + 1, W - w + 1) of an image (H, W) with a kernel (h, w)."""
    return F.conv2d(image[None, None], kernel[None, None])[0, 0]


def scipys(image: Tensor, kernel: Tensor) -> Tensor:
    """The same by scipy, which works on the whole image: its border, where pixels are missing, is cut off."""
    whole = torch.from_numpy(ndimage.correlate(image.numpy(), kernel.numpy()))
    high, wide = len(kernel) // 2, kernel.shape[1] // 2
    return whole[high : len(image) - high, wide : image.shape[1] - wide]
