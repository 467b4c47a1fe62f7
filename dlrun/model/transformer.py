"""The layers of a transformer's encoder."""

from __future__ import annotations

from torch import nn


def encoder_layers(width: int, heads: int, hidden: int, depth: int, dropout: float = 0.0) -> list[nn.Module]:
    """Torch's own, with the normalisation before attention and before the dense layers (Dosovitskiy et al. 2021).

    Args:
        width: numbers for each token.
        heads: of each attention; they divide the width.
        hidden: numbers between the two dense layers of each layer.
        depth: layers.
        dropout: probability, everywhere in the layers.

    Raises:
        ValueError: the width is none of heads.
    """
    if width % heads:
        raise ValueError(f"heads={heads}: expected a divisor of width={width}")
    return [
        nn.TransformerEncoderLayer(width, heads, hidden, dropout, "gelu", batch_first=True, norm_first=True)
        for _ in range(depth)
    ]
