"""torchvision's VGGs for any number of channels, with a form for small images."""

from __future__ import annotations

from torch import nn
from torchvision.models import VGG

from dlrun.model.first_conv import set_channels


def fit(network: VGG, channels: int, image_size: int, num_classes: int, small_images: bool | None = None) -> VGG:
    """Make a torchvision VGG take these images.

    The small-image form has one dense layer on the average of the last feature map in the place of the head for 7x7
    positions (512 x classes weights, not 120 million), and leaves out the last pooling layers where nothing would be
    left to pool: on 28x28 the fifth, on 32x32 none.

    Args:
        network: the VGG.
        channels: of the image.
        image_size: its side in pixels, 2 or more.
        num_classes: outputs.
        small_images: use that form; None chooses it for images of less than 64 pixels on a side.

    Raises:
        ValueError: the image is too small for the form for large images, which halves it five times.
    """
    set_channels(network, channels)
    small = image_size < 64 if small_images is None else small_images
    if not small and image_size < 32:
        raise ValueError(f"vgg without model.small_images takes images of 32x32 or more, not {image_size}")
    if small:
        pools = [place for place, layer in enumerate(network.features) if isinstance(layer, nn.MaxPool2d)]
        for place in pools[image_size.bit_length() - 1 :]:
            network.features[place] = nn.Identity()
        network.avgpool = nn.AdaptiveAvgPool2d(1)
        network.classifier = nn.Sequential(nn.Linear(512, num_classes))
    return network
