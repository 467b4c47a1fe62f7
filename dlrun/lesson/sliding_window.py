"""A classifier slides over a canvas, window by window; as convolutions alone it does so in one pass."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from dlrun.errors import UserError
from dlrun.figure.slide import COLOURS, slide
from dlrun.lesson.brief import digit_images
from dlrun.lesson.lesson import Findings, Lesson, Row
from dlrun.lesson.windows import BACKGROUND, SIDE, STRIDE, clutter, fully_convolutional, presence, put, trained


class SlidingWindow(Lesson):
    """Windows one by one, all in a batch, and one pass (003_7190ac02314fafbe.txt, réseau complétement convolutionnel).

    Args:
        height: of the canvas in pixels.
        width: of it.
        epochs: of the classifier's training.

    Raises:
        UserError: three digits do not fit on the canvas; or no epoch.
    """

    def __init__(self, height: int, width: int, epochs: int) -> None:
        for name, value, least in (("height", height, SIDE), ("width", width, 3 * SIDE), ("epochs", epochs, 1)):
            if value < least:
                raise UserError(f"lesson.{name}={value}: expected {least} or more")
        self.height, self.width, self.epochs = height, width, epochs

    @torch.no_grad()
    def __call__(self) -> Findings:
        """Calculate the map of a canvas with three digits in the three ways."""
        with torch.enable_grad():
            network = trained(self.epochs)
        whole, canvas = fully_convolutional(network), self._canvas()
        ways: dict[str, Callable[[], Tensor]] = {
            "one window after the other": lambda: one_by_one(network, canvas),
            "all windows in one batch": lambda: in_a_batch(network, canvas),
            "one pass over the canvas": lambda: whole(canvas[None])[0],
        }
        maps, seconds = {}, {}
        for name, way in ways.items():
            way()  # the first call is slower
            begun = time.perf_counter()
            maps[name] = way()
            seconds[name] = time.perf_counter() - begun
        slow, batch, fast = maps.values()
        work = {name: multiply_adds(network, canvas, windows=name != "one pass over the canvas") for name in ways}
        metrics = {
            "difference": max(float((fast.softmax(0) - each.softmax(0)).abs().max()) for each in (slow, batch)),
            "windows": float(fast[0].numel()),
            "multiply_adds_ratio": work["all windows in one batch"] / work["one pass over the canvas"],
            "windows_of_a_phone_photo": float(windows(3000, 4000, 224, 1)),
        }
        table: list[Row] = [
            {"way": name, "multiply-adds": work[name], "ms": round(1e3 * seconds[name], 2)} for name in ways
        ]
        table_counts: list[Row] = [
            {"image": "4000x3000", "window": "224x224", "stride": 1, "windows": windows(3000, 4000, 224, 1)},
            {
                "image": f"{self.width}x{self.height}",
                "window": f"{SIDE}x{SIDE}",
                "stride": STRIDE,
                "windows": fast[0].numel(),
            },
        ]
        figures = {"maps": _figure(canvas, slow, fast)}
        return Findings(metrics, figures, {"ways": table, "counts": table_counts})

    def _canvas(self) -> Tensor:
        """Three test digits side by side among clutter, (1, height, width)."""
        _, (digits, _) = digit_images(SIDE)
        canvas = clutter(1, self.height, self.width, digits)[0]
        for third in range(3):
            row = int(torch.randint(self.height - SIDE + 1, ()))
            column = third * self.width // 3 + int(torch.randint(self.width // 3 - SIDE + 1, ()))
            put(canvas, digits[int(torch.randint(len(digits), ()))], row, column)
        return canvas


def windows(height: int, width: int, side: int, stride: int) -> int:
    """How many windows of a side an image of this size has."""
    return ((height - side) // stride + 1) * ((width - side) // stride + 1)


def one_by_one(network: nn.Module, canvas: Tensor) -> Tensor:
    """The document's double loop: the logits (11, rows, columns) of every window of a canvas (1, H, W)."""
    rows = range(0, canvas.shape[1] - SIDE + 1, STRIDE)
    columns = range(0, canvas.shape[2] - SIDE + 1, STRIDE)
    found = [
        torch.stack([network(canvas[None, :, row : row + SIDE, column : column + SIDE])[0] for column in columns])
        for row in rows
    ]
    return torch.stack(found).permute(2, 0, 1)


def in_a_batch(network: nn.Module, canvas: Tensor) -> Tensor:
    """The same for all windows at once."""
    cut = canvas.unfold(1, SIDE, STRIDE).unfold(2, SIDE, STRIDE)[0]
    logits: Tensor = network(cut.flatten(0, 1).unsqueeze(1))
    return logits.T.reshape(-1, *cut.shape[:2])


def multiply_adds(network: nn.Sequential, canvas: Tensor, windows: bool) -> int:
    """Products of a network on a canvas: window by window, or in one pass as convolutions."""
    layers = network if windows else fully_convolutional(network)
    values = (
        canvas.unfold(1, SIDE, STRIDE).unfold(2, SIDE, STRIDE)[0].flatten(0, 1).unsqueeze(1)
        if windows
        else canvas[None]
    )
    total = 0
    for layer in layers:
        values = layer(values)
        if isinstance(layer, nn.Conv2d | nn.Linear):
            total += layer.weight[0].numel() * values.numel()
    return total


def _figure(canvas: Tensor, slow: Tensor, fast: Tensor) -> Figure:
    figure, plots = slide("Window by window or in one pass: the same map", 2, 2, 5.6)
    classes = fast.argmax(dim=0)
    shown = (("canvas", canvas[0]), ("digit seen?  window by window", presence(slow[None])[0]),
             ("class of each window", classes), ("digit seen?  in one pass", presence(fast[None])[0]))  # fmt: skip
    extent = (0, canvas.shape[2], canvas.shape[1], 0)
    for axes, (name, values) in zip(plots, shown, strict=True):
        axes.imshow(canvas[0] * (1.0 if name == "canvas" else 0.4), cmap="gray", vmin=0, vmax=1)
        axes.set_title(name)
        if "digit" in name:
            picture = axes.imshow(values, cmap="viridis", vmin=0, vmax=1, extent=extent, interpolation="nearest")
        if "class" in name:
            for row, column in (classes != BACKGROUND).nonzero().tolist():
                place = (STRIDE * column + SIDE / 2, STRIDE * row + SIDE / 2)
                axes.text(
                    *place, str(int(classes[row, column])), color=COLOURS[6], ha="center", va="center", fontsize=11
                )
        axes.set_xticks([])
        axes.set_yticks([])
    figure.colorbar(picture, ax=plots[1::2], label="probability", shrink=0.8)
    return figure
