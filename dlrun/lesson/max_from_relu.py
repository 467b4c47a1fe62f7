"""Max pooling written with ReLU alone (002_650a5abb4bbbf8e1.txt, exercise)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from matplotlib.figure import Figure
from pydantic import Field
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional

from dlrun.figure.slide import slide
from dlrun.lesson.lesson import Findings, Lesson, Row


def maximum(a: Tensor, b: Tensor) -> Tensor:
    """The larger of two: relu(b - a) + a."""
    return torch.relu(b - a) + a


def pool(images: Tensor) -> Tensor:
    """The largest of each 2 x 2 pixels, (N, H, W) to (N, H/2, W/2), by ReLU and sums."""
    top = maximum(images[:, ::2, ::2], images[:, ::2, 1::2])
    bottom = maximum(images[:, 1::2, ::2], images[:, 1::2, 1::2])
    return maximum(top, bottom)


class MaxFromRelu(Lesson):
    """max(a, b) = relu(b - a) + a, on a digit with a little noise, so that no two pixels are equal.

    Args:
        index: which of scikit-learn's digits.
    """

    def __init__(self, index: Annotated[int, Field(ge=0, lt=1797)]) -> None:
        self.index = index

    def __call__(self) -> Findings:
        """Outputs and gradients beside those of ``max_pool2d``; and what each does with two equal numbers."""
        digits = torch.from_numpy(load_digits().images)
        image = digits[self.index].div(16).unsqueeze(0)
        image = (image + 0.02 * torch.rand_like(image)).requires_grad_()
        by_relu, by_torch = pool(image), functional.max_pool2d(image, 2)
        weights = torch.randn_like(by_relu)
        gradients = [torch.autograd.grad((out * weights).sum(), image)[0] for out in (by_relu, by_torch)]
        ties: list[Row] = []
        forms: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "relu(b - a) + a": maximum,
            "torch.maximum": torch.maximum,
        }
        for name, function in forms.items():
            a, b = (torch.tensor(1.0, requires_grad=True) for _ in range(2))
            left, right = torch.autograd.grad(function(a, b), (a, b))
            ties.append({"at a = b": name, "derivative in a": float(left), "derivative in b": float(right)})
        metrics = {
            "output_difference": float((by_relu - by_torch).detach().abs().max()),
            "gradient_difference": float((gradients[0] - gradients[1]).abs().max()),
            "relu_derivative_in_a_at_a_tie": float(ties[0]["derivative in a"]),
            "maximum_derivative_in_a_at_a_tie": float(ties[1]["derivative in a"]),
        }
        return Findings(metrics, {"pooling": draw(image[0], by_torch[0], by_relu[0], *gradients)}, {"ties": ties})


def draw(image: Tensor, by_torch: Tensor, by_relu: Tensor, of_relu: Tensor, of_torch: Tensor) -> Figure:
    """The image, both outputs, and both gradients."""
    figure, axes = slide("Max pooling by ReLU alone: max(a, b) = relu(b - a) + a", 1, 5, height=2.7)
    limit = float(of_torch.abs().max())
    shown = {
        "image": (image, "gray", 0.0, 1.02),
        "max_pool2d": (by_torch, "gray", 0.0, 1.02),
        "by ReLU": (by_relu, "gray", 0.0, 1.02),
        "gradient,\nmax_pool2d": (of_torch[0], "PuOr", -limit, limit),
        "gradient,\nby ReLU": (of_relu[0], "PuOr", -limit, limit),
    }
    for each, (title, (values, colours, low, high)) in zip(axes, shown.items(), strict=True):
        each.imshow(values.detach(), cmap=colours, vmin=low, vmax=high)
        each.set_title(title)
        each.set_axis_off()
    return figure
