"""All of a frozen network but its head, as fast as the device can run it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.nn.modules.batchnorm import _BatchNorm

from dlrun.errors import UserError
from dlrun.model.finetuned import head_name
from dlrun.model.normalized import Normalized
from dlrun.precision import TYPES, Precision


def backbone(model: Normalized, precision: Precision) -> Callable[[Tensor], Tensor]:
    """A function from images to what the model's head takes, without any gradient.

    It is a copy of the model in evaluation mode with batch normalisation folded into the convolutions and images in
    channels-last order; the features are the model's own but for rounding.

    Args:
        model: stays as it is.
        precision: the number format of the copy.

    Returns:
        A function that takes images, float (B, C, H, W) in [0,1], and returns features, float32 (B, F).

    Raises:
        UserError: the network does something with its last layer's output, or with its input's shape before.
    """
    head = head_name(model.network)
    body = copy.deepcopy(model).eval().requires_grad_(False)
    inputs = body.network.get_submodule(head).in_features
    body.network.set_submodule(head, nn.Identity())
    if any(isinstance(layer, _BatchNorm) for layer in body.network.modules()):
        try:
            body.network = fuse(body.network)
        except Exception as error:  # whatever the tracer stumbles over in a user's own network
            reason = str(error).split("\n")[0]
            warnings.warn(f"batch normalisation is not folded into the convolutions: {reason}", stacklevel=1)
    kind = TYPES[precision.resolved]
    body.network.to(kind).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def features(images: Tensor) -> Tensor:
        if body.normalizes:
            images = (images - body.mean) / body.std
        found: Tensor = body.network(images.to(kind, memory_format=torch.channels_last))
        if found.ndim != 2 or found.shape[1] != inputs:
            shape = "x".join(map(str, found.shape[1:]))
            raise UserError(f"model={type(model.network).__name__}: its head takes {shape}; expected {inputs} features")
        return found.float()

    return features
