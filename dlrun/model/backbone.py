"""All of a frozen network but its head, as fast as the device can run it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from dlrun.compute.precision import TYPES, Precision
from dlrun.errors import UserError
from dlrun.model.finetuned import head_name
from dlrun.model.frozen import freeze
from dlrun.model.inference import fast_copy
from dlrun.model.normalized import Normalized


@dataclass
class Backbone:
    """A function from images to what the model's head takes, without any gradient.

    Args:
        model: stays as it is.
        precision: the number format to compute in.
    """

    model: Normalized
    precision: Precision

    @cached_property
    def body(self) -> Normalized:
        """The model without its head: a copy in evaluation mode, its convolutions fused, made when it is first needed.

        It gives the model's own features, but for rounding.
        """
        body = freeze(copy.deepcopy(self.model))
        body.network.set_submodule(head_name(body.network), nn.Identity())
        body.network = fast_copy(body.network, TYPES[self.precision.resolved])
        return body

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """The features, float32 (B, F), of images, float (B, C, H, W) in [0,1].

        Raises:
            UserError: the network does something with its last layer's output, or with its input's shape before.
        """
        body, kind = self.body, TYPES[self.precision.resolved]
        found: Tensor = body.network(body.normalize(images).to(kind, memory_format=torch.channels_last))
        inputs = self.model.network.get_submodule(head_name(self.model.network)).in_features
        if found.ndim != 2 or found.shape[1] != inputs:
            shape = "x".join(map(str, found.shape[1:]))
            name = type(self.model.network).__name__
            raise UserError(f"model={name}: its head takes {shape}; expected {inputs} features")
        return found.float()
