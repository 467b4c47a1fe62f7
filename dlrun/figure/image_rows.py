"""Rows of images below each other."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure
from torch import Tensor


def image_rows(rows: Mapping[str, Tensor]) -> Figure:
    """Draw rows of images, each float (n, C, H, W) in [0,1] with the same n, beside their names."""
    count = max(map(len, rows.values()))
    figure = Figure(figsize=(0.8 * count + 1.4, 0.85 * len(rows)), layout="constrained")
    plots = figure.subplots(len(rows), 1, squeeze=False)
    for axes, (name, images) in zip(plots.flat, rows.items(), strict=True):
        strip = torch.cat(list(images.clamp(0, 1)), dim=2).permute(1, 2, 0).squeeze(-1)
        axes.imshow(strip.cpu(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        for spine in axes.spines.values():
            spine.set_visible(False)
    return figure
