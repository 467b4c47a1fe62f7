"""A convolution is a dense layer: most weights are zero, the others are nine, shared by all outputs."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.errors import UserError
from dlrun.figure.slide import slide
from dlrun.lesson.lesson import Findings, Lesson, Row

BYTES = 4  # of a number in fp32
MOST = 48
"""Pixels of a side, of which the dense layer has the fourth power of weights: 5.3 million."""


class SharedWeights(Lesson):
    """Write a convolution as the matrix of a dense layer (002_650a5abb4bbbf8e1.txt, le neurone convolutif).

    Args:
        image_size: side of the image in pixels.
        kernel_size: side of the kernel, an odd number.

    Raises:
        UserError: the image is too large for its matrix, or the kernel is even.
    """

    def __init__(self, image_size: int, kernel_size: int) -> None:
        if not 2 <= image_size <= MOST:
            raise UserError(f"lesson.image_size={image_size}: expected 2 to {MOST}; a side of n has n^4 dense weights")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise UserError(
                f"lesson.kernel_size={kernel_size}: expected an odd number, so that the kernel has a middle"
            )
        self.side, self.kernel_size = image_size, kernel_size

    def __call__(self) -> Findings:
        """Compare outputs and gradients of both layers, draw the matrix, count weights."""
        images = torch.randn(8, self.side**2, dtype=torch.double, requires_grad=True)
        kernel = torch.randn(self.kernel_size, self.kernel_size, dtype=torch.double, requires_grad=True)
        square = images.view(-1, 1, self.side, self.side)
        convolved = F.conv2d(square, kernel[None, None], padding=self.kernel_size // 2).flatten(1)
        matrix = dense_matrix(kernel, self.side).requires_grad_()
        dense = F.linear(images, matrix)
        target = torch.randn_like(dense)
        of_kernel, of_images = torch.autograd.grad(F.mse_loss(convolved, target), [kernel, images])
        of_matrix, of_images_dense = torch.autograd.grad(F.mse_loss(dense, target), [matrix, images])
        shared = kernel_gradient(of_matrix, self.kernel_size, self.side)
        counted = counts()
        metrics = {
            "output_difference": float((convolved - dense).detach().abs().max()),
            "input_gradient_difference": float((of_images - of_images_dense).abs().max()),
            "kernel_gradient_difference": float((of_kernel - shared).abs().max()),
            "different_weights": float(len(set(matrix[matrix != 0].tolist()))),
            "share_of_zeros": float((matrix == 0).double().mean()),
        } | {f"count/{name}": float(value) for name, (value, _) in counted.items()}
        table: list[Row] = [
            {"what": name.replace("_", " "), "number": value, "of": of} for name, (value, of) in counted.items()
        ]
        return Findings(metrics, {"matrix": matrix_figure(kernel.detach(), matrix.detach())}, {"counts": table})


def dense_matrix(kernel: Tensor, side: int) -> Tensor:
    """The weights (side^2, side^2) of the dense layer that a kernel (k, k) is, with zeros around the image.

    Row h side + l of it is the neuron of the document: K[i - h + d, j - l + d] at pixel (i, j) near (h, l), else 0.
    """
    matrix = kernel.new_zeros(side**2, side**2)
    for rows, columns, u, v in places(len(kernel), side):
        matrix[rows, columns] = kernel[u, v].detach()
    return matrix


def kernel_gradient(gradient: Tensor, kernel_size: int, side: int) -> Tensor:
    """The gradient of the kernel from that of the matrix: that of a weight is the sum over its places."""
    shared = gradient.new_zeros(kernel_size, kernel_size)
    for rows, columns, u, v in places(kernel_size, side):
        shared[u, v] = gradient[rows, columns].sum()
    return shared


def places(kernel_size: int, side: int) -> list[tuple[Tensor, Tensor, int, int]]:
    """For each weight (u, v) of the kernel the rows and columns of the matrix where it stands."""
    reach = kernel_size // 2
    height, width = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    found = []
    for u in range(kernel_size):
        for v in range(kernel_size):
            i, j = height + u - reach, width + v - reach
            inside = (i >= 0) & (i < side) & (j >= 0) & (j < side)
            found.append(((height * side + width)[inside], (i * side + j)[inside], u, v))
    return found


def counts() -> dict[str, tuple[int | float, str]]:
    """The numbers that three documents print, counted of layers without memory, each with what it is of."""
    with torch.device("meta"):
        dense = nn.Linear(256 * 256, 256 * 256, bias=False)
        colour = nn.Linear(256 * 256 * 3, 256 * 256 * 3, bias=False)
        kernel = nn.Conv2d(1, 1, 3, padding=1, bias=False)
        hidden = nn.Linear(224 * 224 * 3, 1000, bias=False)
        first = nn.Conv2d(3, 64, 3)
    of_colour = colour.weight.numel()
    return {
        "kernel_weights": (kernel.weight.numel(), "one kernel of 3x3, whatever the image's size (002)"),
        "dense_weights": (dense.weight.numel(), "a dense layer from 256x256 pixels to as many (002)"),
        "dense_weights_in_colour": (of_colour, "the same with three channels, 3.87e10 (000)"),
        "gigabytes_in_colour": (
            of_colour * BYTES / 1e9,
            f"of it; {of_colour * BYTES / 2**30:.0f} GiB; 000 rounds to 150 Gb",
        ),
        "inputs": (hidden.in_features, "an image of 224x224 in colour; inputs they are, where 003 says neurons"),
        "hidden_weights": (hidden.weight.numel(), "a dense layer from it to 1000 neurons, 150 million (003)"),
        "first_convolution": (sum(p.numel() for p in first.parameters()), "3x3x3x64 + 64, weights and biases (003)"),
        "kernel_terms": (kernel.weight.numel(), "the sums of 002 run to 2d + 1, and would have 16 terms: to 2d it is"),
    }


def matrix_figure(kernel: Tensor, matrix: Tensor) -> Figure:
    """The kernel, and the matrix that it is."""
    weights = len(kernel) ** 2
    title = f"As a dense layer: {matrix.numel():,} weights, of which {weights} differ and most are zero"
    figure, plots = slide(title, 1, 2, width_ratios=[1, 3])
    limit = float(kernel.abs().max())
    names = (f"kernel, {weights} weights", f"matrix of all {len(matrix)} outputs and inputs")
    for axes, values, name in zip(plots, (kernel, matrix), names, strict=True):
        picture = axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        axes.set_title(name)
    plots[0].set_xticks([])
    plots[0].set_yticks([])
    plots[1].set_xlabel("input pixel")
    plots[1].set_ylabel("output pixel")
    figure.colorbar(picture, ax=plots, label="weight", shrink=0.7)
    return figure
