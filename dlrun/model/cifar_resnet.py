"""The residual network for small images, and the plain network beside it."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.model.norm import Norm
from dlrun.model.norm import norm as make_norm
from dlrun.model.size import require

STAGES = 3
"""Of one size of feature map each; the second and the third halve it and double the channels."""


class CifarResNet(nn.Sequential):
    """6n+2 layers with weights, by He et al. 2015, section 4.2 (003_7190ac02314fafbe.txt, couches résiduelles).

    A convolution 3x3, three stages of n blocks of two convolutions, the average over all positions and one dense layer.
    A shortcut has no parameters, so the plain network has as many as the residual one.

    Args:
        channels: of the image.
        image_size: its side in pixels.
        num_classes: outputs.
        depth: layers with weights, 6n+2: 8, 14, 20, 32, 44, 56, 110.
        width: channels of the first stage.
        residual: False leaves the shortcuts out: the plain network.
        norm: of every convolution's output, :func:`dlrun.model.norm.norm`.
    """

    def __init__(
        self,
        channels: int,
        image_size: int,
        num_classes: int,
        depth: int = 20,
        width: int = 16,
        residual: bool = True,
        norm: Norm = "batch",
    ) -> None:
        require("cifar_resnet", image_size, 2 ** (STAGES - 1))
        if depth < 8 or (depth - 2) % (2 * STAGES):
            raise ValueError(f"model.depth={depth}: expected 6n+2 layers, such as 8, 20, 56")
        widths = [width * 2**stage for stage in range(STAGES)]
        blocks, inputs = [], width
        for outputs in widths:
            for _ in range((depth - 2) // (2 * STAGES)):
                blocks.append(Block(inputs, outputs, residual, norm))
                inputs = outputs
        super().__init__(
            OrderedDict(
                first=convolution(channels, width, 1, norm),
                act=nn.ReLU(),
                blocks=nn.Sequential(*blocks),
                pool=nn.AdaptiveAvgPool2d(1),
                flatten=nn.Flatten(),
                fc=nn.Linear(widths[-1], num_classes),
            )
        )


class Block(nn.Module):
    """y = relu(F(x) + x), F two convolutions; without its shortcut y = relu(F(x)).

    Where the channels grow, F has stride 2, and the shortcut takes every second position and zeros for the new channels
    (He et al.'s option A).

    Args:
        inputs: channels.
        outputs: channels.
        residual: with the shortcut.
        norm: of both convolutions' outputs.
    """

    def __init__(self, inputs: int, outputs: int, residual: bool, norm: Norm) -> None:
        super().__init__()
        self.stride, self.new, self.residual = (1 if inputs == outputs else 2), outputs - inputs, residual
        self.conv1 = convolution(inputs, outputs, self.stride, norm)
        self.conv2 = convolution(outputs, outputs, 1, norm)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, outputs, ceil(H/stride), ceil(W/stride)) of features (B, inputs, H, W)."""
        made: Tensor = self.conv2(F.relu(self.conv1(features)))
        if self.residual:
            made = made + F.pad(features[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new))
        return F.relu(made)


def convolution(inputs: int, outputs: int, stride: int, norm: Norm) -> nn.Sequential:
    """A convolution 3x3 and its normalisation."""
    made = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=norm == "none")
    return nn.Sequential(OrderedDict(conv=made, norm=make_norm(norm, outputs)))
