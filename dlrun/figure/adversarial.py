"""Images before and after an attack."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from torch import Tensor

from dlrun.figure.slide import CHANGE, STRIKING
from dlrun.figure.tiles import Bar, Tile, coloured, picture, tiles


def adversarial(
    title: str, clean: Tensor, attacked: Tensor, captions: Sequence[tuple[str, str]], fooled: Sequence[bool]
) -> Figure:
    """Draw each image, below it what the attack made of it, and the difference.

    Args:
        title: says what is to be seen.
        clean: float (N, C, H, W) in [0,1].
        attacked: the same.
        captions: for each image what the model sees in it, before and after.
        fooled: which images the attack made wrong.
    """
    change = attacked - clean
    largest = float(change.abs().max()) or 1.0
    if clean.shape[1] == 1:
        name, bars = "change", [Bar(CHANGE, -largest, largest, "change of a pixel (of 0 to 1)")]
        changes = [coloured(one[0], CHANGE, -largest, largest) for one in change]
    else:
        name, bars = f"change x {1 / (2 * largest):.2g} (grey: none)", []
        changes = [picture(one / (2 * largest) + 0.5) for one in change]
    befores, afters = zip(*captions, strict=True)
    colours = [STRIKING if one else "black" for one in fooled]
    rows = [
        [Tile(picture(image), text) for image, text in zip(clean, befores, strict=True)],
        [Tile(picture(image), *style) for image, *style in zip(attacked, afters, colours, strict=True)],
        [Tile(pixels) for pixels in changes],
    ]
    return tiles(title, rows, ["clean", "attacked", name], bars)
