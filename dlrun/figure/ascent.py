"""How strongly units respond while images are made for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch.nn import functional

from dlrun.figure.slide import COLOURS, legend, slide

FEW = 3
"""Lines that are all named; of more, the highest and the lowest at the end."""


def ascent(title: str, activations: Mapping[str, Sequence[float]]) -> Figure:
    """Draw the activations by unit over the steps, smoothed: each step shifts and blurs the image, and so jumps.

    Args:
        title: says what is to be seen.
        activations: by the unit's name, a value before each step and one after the last.
    """
    figure, (axes,) = slide(title)
    raw = torch.tensor(list(activations.values()))
    span = max(1, raw.shape[1] // 20) // 2 * 2 + 1
    padded = functional.pad(raw.unsqueeze(1), (span // 2, span // 2), mode="replicate") if span > 1 else raw[:, None]
    smooth = functional.avg_pool1d(padded, span, 1).squeeze(1)
    order = smooth[:, -1].argsort(descending=True).tolist()
    named = order if len(order) <= FEW else [order[0], order[-1]]
    names = list(activations)
    for number in order:
        if number not in named:
            axes.plot(smooth[number], color="0.75", linewidth=1)
    for number, colour, style in zip(named, COLOURS, ("-", "--", "-."), strict=False):
        place = "" if len(order) <= FEW else "highest: " if number == order[0] else "lowest: "
        label = place + names[number]
        axes.plot(smooth[number], color=colour, linestyle=style, linewidth=2.5, label=label)
    if len(order) > FEW:
        axes.plot(smooth.median(dim=0).values, color="black", linewidth=2.5, label=f"median of all {len(order)}")
    axes.set(xlabel="step of gradient ascent on the image", ylabel=f"activation (mean of {span} steps)")
    axes.grid(alpha=0.3)
    legend(figure, axes)
    return figure
