"""Images before and after an attack."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from torch import Tensor


def adversarial(clean: Tensor, attacked: Tensor, captions: Sequence[tuple[str, str]]) -> Figure:
    """Draw each image, what the attack made of it, and the magnified difference, side by side.

    Args:
        clean: float (N, C, H, W) in [0,1].
        attacked: the same.
        captions: for each image what the model sees in it, before and after.
    """
    largest = float((attacked - clean).abs().max()) or 1.0
    pairs = 1 if len(clean) < 4 else 2
    rows = -(-len(clean) // pairs)
    figure = Figure(figsize=(5.2 * pairs, 1.95 * rows), layout="constrained")
    grid = figure.subplots(rows, 3 * pairs, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for number, (before, after) in enumerate(captions):
        row, column = number % rows, 3 * (number // rows)
        difference = (attacked[number] - clean[number]) / (2 * largest) + 0.5  # grey is no change
        titles = (before, after, f"difference x {1 / (2 * largest):.2g}")
        for axes, pixels, title in zip(
            grid[row, column : column + 3], (clean[number], attacked[number], difference), titles, strict=True
        ):
            axes.imshow(pixels.permute(1, 2, 0).squeeze(-1).cpu().numpy(), cmap="gray", vmin=0, vmax=1)
            axes.set_title(title, fontsize=8)
    return figure
