"""The course's convolutional network for MNIST."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from dlrun.model.size import conv_size, require


class MnistCNN(nn.Sequential):
    """Conv 32 k5, ReLU, pool 3, conv 64 k5, ReLU, pool 2, dense 256 (000_9560d611d10ac6dd.txt, example on MNIST).

    On 28x28 images with ten classes the dense layers are 256-256-10 and there are 120,458 parameters.

    Args:
        channels: of the image.
        image_size: its side in pixels, 22 or more.
        num_classes: outputs.
        dropout: probability before every dense layer.
    """

    def __init__(self, channels: int, image_size: int, num_classes: int, dropout: float = 0.0) -> None:
        require("mnist_cnn", image_size, 22)
        size = conv_size(conv_size(image_size, 5), 3, stride=3)
        size = conv_size(conv_size(size, 5), 2, stride=2)
        super().__init__(
            OrderedDict(
                conv1=nn.Conv2d(channels, 32, 5),
                relu1=nn.ReLU(),
                pool1=nn.MaxPool2d(3),
                conv2=nn.Conv2d(32, 64, 5),
                relu2=nn.ReLU(),
                pool2=nn.MaxPool2d(2),
                flatten=nn.Flatten(),
                drop1=nn.Dropout(dropout),
                fc1=nn.Linear(64 * size**2, 256),
                relu3=nn.ReLU(),
                drop2=nn.Dropout(dropout),
                fc2=nn.Linear(256, num_classes),
            )
        )
