"""What happens to a network's outputs when the image moves: equivariance, invariance, and neither."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import rotate

from dlrun.errors import UserError
from dlrun.figure.slide import slide
from dlrun.figure.tiles import Tile, picture, tiles
from dlrun.lesson.brief import accuracy, digit_images, train
from dlrun.lesson.lesson import Findings, Lesson, Row

MARGIN = 8
"""Pixels around a digit of 8x8."""
SIDE = 8 + 2 * MARGIN
REACH = 3
"""Pixels that an output of three convolutions sees to each side."""
SHIFTS = range(MARGIN - REACH - 1)
"""Pixels. No output that sees the digit then sees zeros that stand for values outside the canvas, which comes to the
second and third convolution alone and reaches two pixels in."""
ANGLES = range(0, 91, 15)
RATES = {"dense": 3e-3, "convolutional": 3e-3, "pooled": 1e-2}
"""Learning rates."""
TESTED = 200


class Equivariance(Lesson):
    """A dense, a convolutional and a pooled network, each trained briefly (003_7190ac02314fafbe.txt, invariances).

    A convolution is *equivariant*: where the image is shifted, its output is (004_f2c8751b5d3b52bc.txt calls that
    invariance). Only the maximum over all positions makes it *invariant*. To turning an image neither is.

    Args:
        epochs: of each training.

    Raises:
        UserError: no epoch.
    """

    def __init__(self, epochs: int) -> None:
        if epochs < 1:
            raise UserError(f"lesson.epochs={epochs}: expected 1 or more")
        self.epochs = epochs

    def __call__(self) -> Findings:
        """Train the three, move the test images, and measure how far the outputs move."""
        (images, targets), (test, truth) = ((placed(each), classes) for each, classes in digit_images(8))
        test, truth = test[:TESTED], truth[:TESTED]
        nets = networks()
        for name, net in nets.items():
            train(net, images, targets, self.epochs, RATES[name])
        moved = {
            "shift": {n: distances(net, test, shifted, SHIFTS) for n, net in nets.items()},
            "turn": {n: distances(net, test, turned, ANGLES) for n, net in nets.items()},
        }
        convolutions = nets["convolutional"][:6]
        metrics = {f"{name}/accuracy": accuracy(net, test, truth) for name, net in nets.items()}
        last = SHIFTS[-1]
        metrics |= {f"{name}/accuracy_shifted": accuracy(net, shifted(test, last), truth) for name, net in nets.items()}
        metrics |= {f"{name}/moved_by_shift": moved["shift"][name][-1] for name in nets}
        metrics |= {f"{name}/moved_by_turn": moved["turn"][name][-1] for name in nets}
        metrics["equivariance_error"] = equivariance_error(convolutions, test, last)
        table: list[Row] = [
            {
                "network": name,
                "weights": sum(p.numel() for p in net.parameters()),
                "accuracy": metrics[f"{name}/accuracy"],
                f"accuracy, shifted by {last}": metrics[f"{name}/accuracy_shifted"],
                f"outputs move, shifted by {last}": metrics[f"{name}/moved_by_shift"],
                "outputs move, turned by 90": metrics[f"{name}/moved_by_turn"],
            }
            for name, net in nets.items()
        ]
        figures = {"outputs": _curves(moved), "maps": _maps(convolutions, test[:1], last)}
        return Findings(metrics, figures, {"networks": table})


def networks() -> dict[str, nn.Sequential]:
    """Three networks with new weights; the last two have the same convolutions, and differ in what follows."""

    def convolutions() -> list[nn.Module]:
        widths = (1, 8, 16, 32)
        pairs = pairwise(widths)
        return [module for a, b in pairs for module in (nn.Conv2d(a, b, 3, padding=1), nn.ReLU())]

    return {
        "dense": nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, 64), nn.ReLU(), nn.Linear(64, 10)),
        "convolutional": nn.Sequential(*convolutions(), nn.Flatten(), nn.Linear(32 * SIDE**2, 10)),
        "pooled": nn.Sequential(*convolutions(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(32, 10)),
    }


def placed(digits: Tensor) -> Tensor:
    """Digits (N, 1, 8, 8) in the middle of a black canvas."""
    return F.pad(digits, [MARGIN] * 4)


def shifted(images: Tensor, pixels: int) -> Tensor:
    """Images moved to the right; what leaves comes in on the left, which is black on these canvases."""
    return images.roll(pixels, dims=3)


def turned(images: Tensor, degrees: int) -> Tensor:
    """Images turned around their middle."""
    result: Tensor = rotate(images, degrees, InterpolationMode.BILINEAR)
    return result


@torch.no_grad()
def distances(net: nn.Module, images: Tensor, move: Callable[[Tensor, int], Tensor], amounts: range) -> list[float]:
    """How far outputs move on average, in units of the distance between the outputs of two different images."""
    outputs = net(images)
    unit = (outputs - outputs.roll(1, dims=0)).norm(dim=1).mean()
    return [float((net(move(images, amount)) - outputs).norm(dim=1).mean() / unit) for amount in amounts]


@torch.no_grad()
def equivariance_error(convolutions: nn.Module, images: Tensor, pixels: int) -> float:
    """The largest difference between the maps of shifted images and the shifted maps, away from the border."""
    gap = convolutions(shifted(images, pixels)) - shifted(convolutions(images), pixels)
    inside = slice(REACH, -REACH)
    return float(gap[:, :, inside, REACH + pixels : -REACH].abs().max())


def _curves(moved: dict[str, dict[str, list[float]]]) -> Figure:
    figure, plots = slide("Pooled over all positions: no shift is seen, but a turn is", 1, 2, sharey=True)
    labels = (("shift", SHIFTS, "shift (pixels)"), ("turn", ANGLES, "turn (degrees)"))
    for axes, (kind, amounts, label) in zip(plots, labels, strict=True):
        for (name, values), mark in zip(moved[kind].items(), "so^", strict=True):
            axes.plot(amounts, values, marker=mark, label=name)
        axes.axhline(1, color="black", linestyle="--", linewidth=1)
        axes.set_xlabel(label)
        axes.set_xticks(amounts)
    plots[0].set_ylabel("outputs move by\n(1: as for another image)")
    plots[0].legend()
    return figure


@torch.no_grad()
def _maps(convolutions: nn.Module, image: Tensor, pixels: int) -> Figure:
    """A digit and its shifted copy, one map of each, and the map shifted by hand."""
    other = shifted(image, pixels)
    before, after = convolutions(image)[0], convolutions(other)[0]
    channel = int(before.flatten(1).std(dim=1).argmax())
    highest = before[channel].max().clamp(min=1e-6)
    shown: list[list[Tile | None]] = [
        [Tile(picture(image[0]), "image"), Tile(picture(before[channel, None] / highest), "its map"), None],
        [Tile(picture(other[0]), f"image, {pixels} pixels to the right"),
         Tile(picture(after[channel, None] / highest), "its map"),
         Tile(picture(shifted(before[None], pixels)[0, channel, None] / highest), "the first map, shifted")],
    ]  # fmt: skip
    return tiles("A convolution is equivariant: its map moves with the image", shown)
