"""From a model and images to what a perturbation can do at worst."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from dlrun.certify.interval import around, interval
from dlrun.certify.polytope import margins, polytope
from dlrun.certify.step import Dense, steps
from dlrun.model.logits import class_logits

Bound = Literal["interval", "linear", "polytope"]


def lower_margins(model: nn.Module, images: Tensor, targets: Tensor, eps: float, bound: Bound) -> Tensor:
    """How much larger the logit of the class is than each logit, at least, for all images of a ball in L-infinity.

    Args:
        model: takes images, float (B, C, H, W) in [0,1]; of layers that :mod:`dlrun.certify.step` knows.
        images: the balls' centres; balls are cut with the box of pixels in [0,1].
        targets: int64 (B,).
        eps: the radius.
        bound: ``interval``; ``linear``, back to the pixels with intervals for the hidden layers; ``polytope``, with
            linear bounds for these too. The last one takes the tighter of its own and the intervals' for each unit.

    Returns:
        Lower bounds (B, K); 0 for the class itself.
    """
    chain, box = steps(model), around(images, eps)
    if isinstance(chain[-1], Dense) and len(chain[-1].weight) == 1:  # one output
        chain.append(Dense(class_logits(images.new_ones(1, 1)).T, None))
    boxes = polytope(chain, box) if bound == "polytope" else interval(chain, box)
    return margins(chain, boxes, targets, linear=bound != "interval")


def worst_logits(model: nn.Module, images: Tensor, targets: Tensor, eps: float, bound: Bound) -> Tensor:
    """Logits (B, K) relative to that of the class, as large as the bound allows: 0 for the class itself."""
    return -lower_margins(model, images, targets, eps, bound)
