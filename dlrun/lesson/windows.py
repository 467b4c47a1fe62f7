"""A classifier of windows, trained on digits among clutter, and the same network as convolutions alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dlrun.lesson.brief import digit_images, train

SIDE = 16
"""Pixels of a window, and of a digit."""
STRIDE = 4
"""Pixels from a window to the next one: that of the network's two poolings together."""
BACKGROUND = 10
"""The class of a window that shows no digit, or a part of one."""
SCRAPS = 0.002
"""Pieces of digits in the clutter, for each pixel of a canvas."""
EXAMPLES = 6000
"""Windows to learn from."""
NEAR, FAR = 2, 7
"""Pixels by which a window may miss its digit and still show it; from which on it shows a part only."""


def clutter(count: int, height: int, width: int, digits: Tensor) -> Tensor:
    """Canvases (count, 1, height, width) in [0,1] of noise and scraps, squares of 6x6 cut out of digits."""
    canvases = 0.3 * torch.rand(count, 1, height, width)
    scraps = max(1, round(SCRAPS * height * width))
    for canvas in canvases:
        for _ in range(scraps):
            chosen = digits[int(torch.randint(len(digits), ()))]
            top, left = torch.randint(SIDE - 6, (2,)).tolist()
            row, column = int(torch.randint(height - 6, ())), int(torch.randint(width - 6, ()))
            place = canvas[:, row : row + 6, column : column + 6]
            torch.maximum(place, chosen[:, top : top + 6, left : left + 6], out=place)
    return canvases


def put(canvas: Tensor, digit: Tensor, row: int, column: int) -> None:
    """Lay a digit (1, SIDE, SIDE) on a canvas (1, H, W), in place; what lies outside is cut off."""
    height, width = canvas.shape[1:]
    top, left = max(row, 0), max(column, 0)
    place = canvas[:, top : min(row + SIDE, height), left : min(column + SIDE, width)]
    part = digit[:, top - row : top - row + place.shape[1], left - column : left - column + place.shape[2]]
    torch.maximum(place, part, out=place)


def canvases(count: int, height: int, width: int, digits: Tensor) -> tuple[Tensor, Tensor]:
    """Clutter (count, 1, height, width) with a digit on each canvas, and the digits' upper left corners (count, 2)."""
    made = clutter(count, height, width, digits)
    corners = torch.stack(
        [torch.randint(height - SIDE + 1, (count,)), torch.randint(width - SIDE + 1, (count,))], dim=1
    )
    for canvas, (row, column) in zip(made, corners.tolist(), strict=True):
        put(canvas, digits[int(torch.randint(len(digits), ()))], row, column)
    return made, corners


def window_network() -> nn.Sequential:
    """Conv, pool, conv, pool, dense, dense: one window (B, 1, 16, 16) to 11 logits, digits and background."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 2 * 2, 32), nn.ReLU(), nn.Linear(32, BACKGROUND + 1),
    )  # fmt: skip


def fully_convolutional(network: nn.Sequential) -> nn.Sequential:
    """The same weights without a dense layer: images (B, 1, H, W) to a map of logits (B, 11, rows, columns).

    The first dense layer becomes a convolution of the size of what it read, 2x2, the second one of 1x1.
    """
    *features, _, hidden, relu, last = network
    assert isinstance(hidden, nn.Linear)
    assert isinstance(last, nn.Linear)
    heads = []
    for dense, side in ((hidden, 2), (last, 1)):
        head = nn.Conv2d(dense.in_features // side**2, dense.out_features, side)
        head.load_state_dict({"weight": dense.weight.detach().view_as(head.weight), "bias": dense.bias.detach()})
        heads.append(head)
    return nn.Sequential(*features, heads[0], relu, heads[1]).eval()


def trained(epochs: int) -> nn.Sequential:
    """The window network after a brief training: a third digits, a third parts of digits, a third clutter alone."""
    (digits, classes), _ = digit_images(SIDE)
    images = clutter(EXAMPLES, SIDE, SIDE, digits)
    targets = torch.full((EXAMPLES,), BACKGROUND)
    for number, image in enumerate(images):
        kind, chosen = number % 3, int(torch.randint(len(digits), ()))
        if kind == 0:
            row, column = torch.randint(-NEAR, NEAR + 1, (2,)).tolist()
            targets[number] = classes[chosen]
        elif kind == 1:
            row, column = torch.randint(-SIDE + 4, SIDE - 3, (2,)).tolist()
            row = row if max(abs(row), abs(column)) >= FAR else FAR
        else:
            continue
        put(image, digits[chosen], row, column)
    network = window_network()
    train(network, images, targets, epochs)
    return network


def presence(logits: Tensor) -> Tensor:
    """The probability that a window shows a digit, (B, rows, columns), of logits (B, 11, rows, columns)."""
    return 1 - logits.softmax(dim=1)[:, BACKGROUND]
