"""torchvision's ResNets for any number of channels, with a form for small images."""

from __future__ import annotations

from torch import nn
from torchvision.models import ResNet

from dlrun.model.first_conv import like, set_channels


def fit(network: ResNet, channels: int, image_size: int, small_images: bool | None = None) -> ResNet:
    """Make a torchvision ResNet take these images.

    The small-image form (He et al. 2015, section 4.2) begins with a 3x3 convolution of stride 1 in the place of the
    7x7 one of stride 2, and has no max pooling: 28x28 and 32x32 images reach the last stage with 4x4 positions.

    Args:
        network: the ResNet.
        channels: of the image.
        image_size: its side in pixels.
        small_images: use that form; None chooses it for images of less than 64 pixels on a side.
    """
    set_channels(network, channels)
    if image_size < 64 if small_images is None else small_images:
        network.conv1 = like(network.conv1, kernel_size=3, stride=1, padding=1)
        network.maxpool = nn.Identity()
    return network
