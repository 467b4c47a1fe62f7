"""Images beside the classes of their pixels."""

from __future__ import annotations

from matplotlib import colormaps
from matplotlib.colors import ListedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor


def segmentation(images: Tensor, masks: Tensor, predictions: Tensor, classes: list[str]) -> Figure:
    """Draw rows of images, what their pixels are, and what the model says.

    Args:
        images: float (n, C, H, W) in [0,1].
        masks: class numbers (n, H, W).
        predictions: class numbers (n, H, W).
        classes: their names; the first has the colour black.
    """
    count = len(images)
    hues = [to_hex(colormaps["tab20"](2 * place % 20 + place // 10)) for place in range(len(classes) - 1)]
    colours = ["black", *hues]
    palette = ListedColormap(colours)
    figure = Figure(figsize=(1.7 * count + 2.2, 5.4), layout="constrained")
    plots = figure.subplots(3, count, squeeze=False)
    for place in range(count):
        plots[0, place].imshow(images[place].permute(1, 2, 0).squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1)
        for row, numbers in ((1, masks), (2, predictions)):
            plots[row, place].imshow(
                numbers[place].numpy(), cmap=palette, vmin=-0.5, vmax=len(classes) - 0.5, interpolation="nearest"
            )
    for axes in plots.flat:
        axes.set_xticks([])
        axes.set_yticks([])
    for row, name in enumerate(("image", "truth", "prediction")):
        plots[row, 0].set_ylabel(name, fontsize=11)
    handles = [Patch(color=colour, label=name) for colour, name in zip(colours, classes, strict=True)]
    figure.legend(handles=handles, loc="outside right center", fontsize=10, frameon=False)
    figure.suptitle("Segmentation: the class of every pixel")
    return figure
