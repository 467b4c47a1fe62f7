"""LeNet-5."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from dlrun.model.activation import Name
from dlrun.model.activation import activation as make_activation
from dlrun.model.size import conv_size, require


class LeNet(nn.Sequential):
    """LeNet-5 (LeCun et al. 1998) with max pooling: two convolutions 5x5, three dense layers.

    The first convolution pads by 2, so a 28x28 image gives the sizes that the paper has for 32x32: 61,706 parameters
    for one channel and ten classes.

    Args:
        channels: of the image.
        image_size: its side in pixels, 12 or more.
        num_classes: outputs.
        activation: after every layer but the last.
        dropout: probability before every dense layer.
    """

    def __init__(
        self, channels: int, image_size: int, num_classes: int, activation: Name = "relu", dropout: float = 0.0
    ) -> None:
        require("lenet", image_size, 12)
        size = conv_size(image_size, 2, stride=2)
        size = conv_size(conv_size(size, 5), 2, stride=2)
        super().__init__(
            OrderedDict(
                conv1=nn.Conv2d(channels, 6, 5, padding=2),
                act1=make_activation(activation),
                pool1=nn.MaxPool2d(2),
                conv2=nn.Conv2d(6, 16, 5),
                act2=make_activation(activation),
                pool2=nn.MaxPool2d(2),
                flatten=nn.Flatten(),
                drop1=nn.Dropout(dropout),
                fc1=nn.Linear(16 * size**2, 120),
                act3=make_activation(activation),
                drop2=nn.Dropout(dropout),
                fc2=nn.Linear(120, 84),
                act4=make_activation(activation),
                drop3=nn.Dropout(dropout),
                fc3=nn.Linear(84, num_classes),
            )
        )
