"""The sizes and the parameters of convolutions with dilation and groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from torch import nn

from dlrun.errors import UserError
from dlrun.figure.slide import COLOURS, slide
from dlrun.lesson.lesson import Findings, Lesson, Row
from dlrun.model.layer import SingleLayer


class LayerSizes(Lesson):
    """Inputs, outputs, weights of a few convolutions (004_f2c8751b5d3b52bc.txt, Conv2d en Pytorch).

    Args:
        layers: by name, each a ``Conv2d(...)`` of torch.nn as text.
        size: height and width of the image in pixels.
        images: in the batch.

    Raises:
        UserError: a text is no such layer, or it cannot take the image.
    """

    def __init__(self, layers: Mapping[str, str], size: Sequence[int], images: int) -> None:
        self.texts, self.layers = dict(layers), {}
        for name, text in layers.items():
            layer = SingleLayer(text).layer
            if not isinstance(layer, nn.Conv2d):
                raise UserError(f"lesson.layers.{name}={text}: expected a Conv2d(...)")
            self.layers[name] = SingleLayer(text, [images, layer.in_channels, *size])

    def __call__(self) -> Findings:
        """Count, and draw which pixels and which channels a layer reads."""
        metrics: dict[str, float] = {}
        table: list[Row] = []
        for name, one in self.layers.items():
            conv = one.layer
            assert isinstance(conv, nn.Conv2d)
            parameters = sum(each.numel() for each in one.parameters())
            by_formula = (conv.weight[0].numel() + (conv.bias is not None)) * conv.out_channels
            metrics |= {f"{name}/parameters": float(parameters), f"{name}/formula_difference": parameters - by_formula}
            for what in ("output", "weight"):
                metrics |= {f"{name}/{what}_{place}": float(side) for place, side in enumerate(one.sizes()[what])}
            sizes = {"bias": ""} | {what: " x ".join(map(str, size)) for what, size in one.sizes().items()}
            table.append({"layer": self.texts[name], "input": sizes["input"], "output": sizes["output"],
                          "weight": sizes["weight"], "bias": sizes["bias"], "parameters": parameters})  # fmt: skip
        return Findings(metrics, {"views": self._figure()}, {"layers": table})

    def _figure(self) -> Figure:
        title = "What one output reads: pixels (above), channels (below)"
        figure, plots = slide(title, 2, len(self.layers), 6, height_ratios=[1, 1.3])
        columns = len(self.layers)
        for place, (name, one) in enumerate(self.layers.items()):
            conv = one.layer
            assert isinstance(conv, nn.Conv2d)
            parameters = sum(each.numel() for each in conv.parameters())
            _grid(plots[place], pixels_read(conv))
            plots[place].set_title(f"{name}: {parameters:,} parameters")
            _grid(plots[place + columns], channels_read(conv))
            plots[place + columns].set_xlabel(f"{conv.in_channels} input channels")
            plots[place + columns].set_ylabel(f"{conv.out_channels} output channels")
        return figure


def pixels_read(conv: nn.Conv2d) -> np.ndarray:
    """Which pixels of its window an output reads, bool (height, width) of the dilated kernel."""
    sides = [d * (k - 1) + 1 for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
    read = np.zeros(sides, dtype=bool)
    read[:: conv.dilation[0], :: conv.dilation[1]] = True
    return read


@torch.no_grad()
def channels_read(conv: nn.Conv2d) -> np.ndarray:
    """Which input channels an output channel reads, bool (out, in)."""
    read = np.zeros((conv.out_channels, conv.in_channels), dtype=bool)
    outs, ins = conv.out_channels // conv.groups, conv.in_channels // conv.groups
    for group in range(conv.groups):
        read[group * outs : (group + 1) * outs, group * ins : (group + 1) * ins] = True
    return read


def _grid(axes: Axes, read: np.ndarray) -> None:
    axes.pcolormesh(read, cmap=ListedColormap(["white", COLOURS[0]]), vmin=0, vmax=1, edgecolors="0.7", linewidth=0.5)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.set_yticks([])
