"""The small convolutional network of the work on provable and adversarial robustness."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from dlrun.model.size import conv_size, require


class RobustCNN(nn.Sequential):
    """Two strided convolutions and a dense layer, with ReLU and no pooling, so that bounds can be proved for it.

    16 channels of kernel 4 and stride 2, 32 of the same, 100 units (002_650a5abb4bbbf8e1.txt, adversarial training and
    the convex outer polytope; Wong and Kolter 2018): 166,406 parameters on 28x28 images of one channel, ten classes.

    Args:
        channels: of the image.
        image_size: its side in pixels, 4 or more.
        num_classes: outputs.
    """

    def __init__(self, channels: int, image_size: int, num_classes: int) -> None:
        require("robust_cnn", image_size, 4)
        size = conv_size(conv_size(image_size, 4, stride=2, padding=1), 4, stride=2, padding=1)
        super().__init__(
            OrderedDict(
                conv1=nn.Conv2d(channels, 16, 4, stride=2, padding=1),
                relu1=nn.ReLU(),
                conv2=nn.Conv2d(16, 32, 4, stride=2, padding=1),
                relu2=nn.ReLU(),
                flatten=nn.Flatten(),
                fc1=nn.Linear(32 * size**2, 100),
                relu3=nn.ReLU(),
                fc2=nn.Linear(100, num_classes),
            )
        )
