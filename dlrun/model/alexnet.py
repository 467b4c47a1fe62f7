"""torchvision's AlexNet for any number of channels."""

from __future__ import annotations

from torch import nn

from dlrun.model.first_conv import set_channels
from dlrun.model.size import require


def fit(network: nn.Module, channels: int, image_size: int) -> nn.Module:
    """Make a torchvision AlexNet take these images.

    Raises:
        ValueError: the image is smaller than 63 pixels on a side: there is no small-image form.
    """
    require("alexnet", image_size, 63)
    set_channels(network, channels)
    return network
