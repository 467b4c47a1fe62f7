"""Three ways to calculate a convolution: one matrix product, Winograd's, Fourier's; and what each has to multiply."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from dlrun.errors import UserError
from dlrun.figure.slide import slide
from dlrun.lesson.lesson import Findings, Lesson, Row

Way = Callable[[Tensor, Tensor], Tensor]
"""From an image (B, C, H, W) and weights (D, C, h, w) to their correlation (B, D, H - h + 1, W - w + 1)."""
REPEATS = 3  # the fastest of which counts
INPUT = torch.tensor([[1.0, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
KERNEL = torch.tensor([[1.0, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
OUTPUT = torch.tensor([[1.0, 1, 1, 0], [0, 1, -1, -1]])
"""The three transforms of F(2x2, 3x3) (A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural Networks, 2016)."""


class FastConvolution(Lesson):
    """im2col, Winograd and Fourier beside torch (004_f2c8751b5d3b52bc.txt, implémentation sous-jacente de PyTorch).

    Args:
        image_size: side of the image in pixels.
        channels: of input and output.
        kernels: sides of the kernels whose times are drawn.

    Raises:
        UserError: a kernel is larger than the image, or the image too small for Winograd's tiles.
    """

    def __init__(self, image_size: int, channels: int, kernels: Sequence[int]) -> None:
        if image_size < 4:
            raise UserError(f"lesson.image_size={image_size}: expected 4 or more, the side of Winograd's tile")
        if not kernels or min(kernels) < 1 or max(kernels) > image_size:
            raise UserError(f"lesson.kernels={list(kernels)}: expected sides from 1 to {image_size}, that of the image")
        self.side, self.channels, self.kernels = image_size, channels, list(kernels)

    def __call__(self) -> Findings:
        """Hold outputs and gradients against torch, count multiplications, take times."""
        metrics = {f"{name}_{what}": value for name, gaps in self._gaps().items() for what, value in gaps.items()}
        counts = {size: multiplications(self.side, size, self.channels) for size in self.kernels}
        winograd = multiplications(self.side, 3, self.channels)
        cheaper = [size for size, count in counts.items() if count["Fourier"] < count["im2col"]]
        metrics |= {
            "im2col_over_winograd": winograd["im2col"] / winograd["Winograd"],
            "fourier_multiplies_less_from": float(min(cheaper, default=0)),
        }
        times = {size: self._times(size) for size in self.kernels}
        table: list[Row] = []
        for size in self.kernels:
            row: dict[str, str | int | float] = {"kernel": f"{size}x{size}"}
            for name in ("im2col", "Winograd", "Fourier"):
                row[f"{name}: multiplications"] = counts[size].get(name, "")
                row[f"{name}: ms"] = round(1e3 * times[size][name], 3) if name in times[size] else ""
            table.append(row)
        return Findings(metrics, {"times": _figure(self.kernels, counts, times)}, {"kernels": table})

    def _gaps(self) -> dict[str, dict[str, float]]:
        """The largest differences from torch: output, gradients of the image and of the kernel."""
        image = torch.randn(2, self.channels, self.side, self.side, requires_grad=True)
        weight = torch.randn(self.channels, self.channels, 3, 3, requires_grad=True)
        right = F.conv2d(image, weight)
        ahead = torch.randn_like(right) / right[0].numel() ** 0.5
        right_gradients = torch.autograd.grad(right, [image, weight], ahead)
        found = {}
        for name, way in WAYS.items():
            output = way(image, weight)
            gradients = torch.autograd.grad(output, [image, weight], ahead)
            gaps = [output - right, *(one - other for one, other in zip(gradients, right_gradients, strict=True))]
            names = ("difference", "image_gradient_difference", "kernel_gradient_difference")
            found[name.lower()] = {what: float(gap.detach().abs().max()) for what, gap in zip(names, gaps, strict=True)}
        by_hand = im2col_gradients(image.detach(), weight.detach(), ahead)
        found["col2im"] = {
            "difference": max(float((a - b).abs().max()) for a, b in zip(by_hand, right_gradients, strict=True))
        }
        return found

    @torch.no_grad()
    def _times(self, size: int) -> dict[str, float]:
        """Seconds of the processor, which others may use too, of each way for one image and a kernel of this side."""
        image = torch.randn(1, self.channels, self.side, self.side)
        weight = torch.randn(self.channels, self.channels, size, size)
        ways: dict[str, Way] = {"torch": F.conv2d}
        ways |= {name: way for name, way in WAYS.items() if name != "Winograd" or size == 3}
        taken = {}
        for name, way in ways.items():
            seconds = []
            for _ in range(REPEATS):
                begun = time.process_time()
                way(image, weight)
                seconds.append(time.process_time() - begun)
            taken[name] = min(seconds)
        return taken


def im2col(image: Tensor, weight: Tensor) -> Tensor:
    """Every window of an image (B, C, H, W) as a column, then one product with the weights (D, C, h, w) as a matrix."""
    height, width = image.shape[2] - weight.shape[2] + 1, image.shape[3] - weight.shape[3] + 1
    columns = F.unfold(image, (weight.shape[2], weight.shape[3]))
    products: Tensor = weight.flatten(1) @ columns
    return products.view(len(image), len(weight), height, width)


def im2col_gradients(image: Tensor, weight: Tensor, ahead: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of image and weights, by hand, from that of the output (B, D, H', W').

    The product Y = W X has the gradients dX = W^T dY and dW = dY X^T; col2im adds what the windows say of a pixel.
    """
    kernel, flat = (weight.shape[2], weight.shape[3]), ahead.flatten(2)
    columns = F.unfold(image, kernel)
    of_weight = (flat @ columns.transpose(1, 2)).sum(dim=0).view_as(weight)
    return F.fold(weight.flatten(1).T @ flat, (image.shape[2], image.shape[3]), kernel), of_weight


def winograd(image: Tensor, weight: Tensor) -> Tensor:
    """F(2x2, 3x3): each tile of 4x4 pixels gives 2x2 outputs for 16 products instead of 36; kernels of 3x3 alone."""
    height, width = image.shape[2] - 2, image.shape[3] - 2
    padded = F.pad(image, (0, width % 2, 0, height % 2))
    tiles = padded.unfold(2, 4, 2).unfold(3, 4, 2)  # (B, C, rows, columns, 4, 4)
    tiles = INPUT.to(image) @ tiles @ INPUT.to(image).T
    kernels = KERNEL.to(image) @ weight @ KERNEL.to(image).T
    products = torch.einsum("bcyxij,dcij->bdyxij", tiles, kernels)
    blocks = OUTPUT.to(image) @ products @ OUTPUT.to(image).T
    return blocks.transpose(3, 4).flatten(4, 5).flatten(2, 3)[:, :, :height, :width]


def fourier(image: Tensor, weight: Tensor) -> Tensor:
    """Transform, multiply *point by point*, transform back; the conjugate makes a correlation of it."""
    size = list(image.shape[2:])
    spectrum = torch.fft.rfft2(image)
    kernels = torch.fft.rfft2(weight, s=size).conj()
    whole: Tensor = torch.fft.irfft2(torch.einsum("bcyx,dcyx->bdyx", spectrum, kernels), s=size)
    return whole[:, :, : size[0] - weight.shape[2] + 1, : size[1] - weight.shape[3] + 1]


WAYS: dict[str, Way] = {"im2col": im2col, "Winograd": winograd, "Fourier": fourier}


def multiplications(side: int, kernel: int, channels: int) -> dict[str, int]:
    """Real multiplications for one image of C channels, a square (side, side), and C kernels.

    im2col: one for each weight and output. Winograd (3x3 alone): 16 a tile of four outputs and pair of channels; its
    transforms only add and halve. Fourier: 4 a complex product, for each of side (side/2 + 1) frequencies and pair of
    channels; and 2 N log2 N for each transform of N = side^2 real numbers, of which there are C for the image and C
    for the output; the kernels' are made once and for all.
    """
    out = side - kernel + 1
    counts = {
        "im2col": channels**2 * kernel**2 * out**2,
        "Fourier": round(4 * channels**2 * side * (side // 2 + 1) + 2 * channels * 2 * side**2 * _log2(side**2)),
    }
    if kernel == 3:
        counts["Winograd"] = channels**2 * 16 * (-(-out // 2)) ** 2
    return counts


def _log2(value: int) -> float:
    return float(torch.tensor(float(value)).log2())


def _figure(kernels: list[int], counts: dict[int, dict[str, int]], times: dict[int, dict[str, float]]) -> Figure:
    figure, (left, right) = slide("Fourier's way costs the same for every kernel: it wins for large ones", 1, 2)
    marks = {"torch": "s", "im2col": "o", "Winograd": "*", "Fourier": "^"}
    for axes, values, scale in ((left, counts, 1.0), (right, times, 1e3)):
        for name, mark in marks.items():
            known = [size for size in kernels if name in values[size]]
            if known:
                size = 14 if mark == "*" else 7
                axes.plot(known, [scale * values[k][name] for k in known], marker=mark, label=name, markersize=size)
            else:
                axes.plot([], [])  # keeps the colours of both sides alike
        axes.set_yscale("log")
        axes.set_xlabel("side of the kernel (pixels)")
        axes.grid(alpha=0.3)
    left.set_title("multiplications, counted")
    left.set_ylabel("real multiplications")
    right.set_title("time here")
    right.set_ylabel("ms of the processor for one image")
    right.legend()
    return figure
