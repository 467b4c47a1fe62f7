"""A batch: named tensors with one leading dimension, such as ``{"image": ..., "target": ...}``.

The first entry is what the network reads. Names in use: ``image``, float (B, C, H, W) in [0,1]; ``target``, int64 (B,),
or after mixing probabilities, float (B, K); ``mask``, int64 (B, H, W); ``point``, float (B, D); ``features``, float
(B, F).
"""

from __future__ import annotations

from torch import Tensor

Batch = dict[str, Tensor]


def inputs(batch: Batch) -> Tensor:
    """What the network reads: the first entry."""
    return next(iter(batch.values()))


def size(batch: Batch) -> int:
    """The number of examples."""
    return len(inputs(batch))
