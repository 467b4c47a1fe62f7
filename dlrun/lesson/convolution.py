"""The 1-D convolution: an exact example, a detector of a motif, and the operation that commutes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from dlrun.errors import UserError
from dlrun.figure.slide import COLOURS, slide
from dlrun.lesson.drawing import signal as draw
from dlrun.lesson.lesson import Findings, Lesson, Row

RAMP = (0, 0, 0, 0, 1, 2, 3, 4, 4, 4, 4)
STEP = (-1, 1)
MOTIF = (1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0)
"""Barker's code of seven: it resembles no shifted copy of itself (R. H. Barker, 1953)."""
PLACES = (12, 37, 60)
LENGTH = 80


class Convolution(Lesson):
    """A kernel slides along a signal (000_9560d611d10ac6dd.txt, "convolution" 1D).

    What networks call convolution is the correlation sum_a x[t + a] k[a] at the W - w + 1 places where the kernel lies
    within the signal. The convolution turns the kernel, x[t - a] for x[t + a], and it alone commutes.

    Args:
        signal: numbers.
        kernel: numbers, no more than the signal has.
        noise: standard deviation of what hides the motif, whose own numbers are 1 and -1.

    Raises:
        UserError: there is no number in the kernel, or more than in the signal.
    """

    def __init__(self, signal: Sequence[float], kernel: Sequence[float], noise: float) -> None:
        if not 1 <= len(kernel) <= len(signal):
            raise UserError(
                f"lesson.kernel={list(kernel)}: {len(kernel)} numbers for a signal of {len(signal)};"
                f" expected 1 to {len(signal)}"
            )
        self.signal, self.kernel, self.noise = [float(x) for x in signal], [float(k) for k in kernel], noise

    def __call__(self) -> Findings:
        """The document's example, the options' own, the motif, and both operations in both orders."""
        printed = correlate(RAMP, STEP)
        own = correlate(self.signal, self.kernel)
        torch_own = F.conv1d(torch.tensor([[self.signal]]), torch.tensor([[self.kernel]])).flatten()
        noisy, answer, found = self._motif()
        orders, document = both_orders(self.signal, self.kernel), both_orders(RAMP, STEP)
        metrics = {f"document/{place}": value for place, value in enumerate(printed)}
        metrics |= {
            "size": float(len(own)),
            "size_difference": float(len(own) - (len(self.signal) - len(self.kernel) + 1)),
            "torch_difference": float((torch.tensor(own) - torch_own).abs().max()),
            "motifs_found": len(set(found) & set(PLACES)) / len(PLACES),
            "convolution_order_difference": _gap(orders["x * k"], orders["k * x"]),
            "document/correlation_order_difference": _gap(document["x ⋆ k"], document["k ⋆ x"]),
        }
        table: list[Row] = [
            {"place": place, "by the definition": value, "torch.nn.functional.conv1d": float(other)}
            for place, (value, other) in enumerate(zip(own, torch_own, strict=True))
        ]
        figures = {
            "slide": self._slide(own),
            "motif": _motif_figure(noisy, answer, found),
            "orders": _orders_figure(orders),
        }
        return Findings(metrics, figures, {"output": table})

    def _motif(self) -> tuple[Tensor, Tensor, list[int]]:
        """A noisy signal with the motif at PLACES, its correlation with the motif, and the three highest places."""
        noisy = self.noise * torch.randn(LENGTH)
        motif = torch.tensor(MOTIF)
        for place in PLACES:
            noisy[place : place + len(MOTIF)] += motif
        answer = F.conv1d(noisy.view(1, 1, -1), motif.view(1, 1, -1)).flatten()
        return noisy, answer, sorted(answer.topk(len(PLACES)).indices.tolist())

    def _slide(self, own: list[float]) -> Figure:
        title = f"The kernel slides along {len(self.signal)} samples: {len(own)} outputs"
        if self.kernel == [-1, 1]:
            title = "The kernel (-1, 1) answers where the signal rises, and only there"
        figure, (top, middle, bottom) = slide(title, 3, height=6, sharex=True)
        draw(top, self.signal, "signal x")
        draw(middle, self.kernel, "kernel k, at its first place", COLOURS[1])
        draw(bottom, own, "output: the sum over a of x[t + a] k[a]", COLOURS[2])
        bottom.set_xlabel("sample t")
        return figure


def correlate(signal: Sequence[float], kernel: Sequence[float]) -> list[float]:
    """The correlation at all W - w + 1 places, by its definition."""
    places = range(len(signal) - len(kernel) + 1)
    return [float(sum(signal[t + a] * weight for a, weight in enumerate(kernel))) for t in places]


def both_orders(signal: Sequence[float], kernel: Sequence[float]) -> dict[str, list[float]]:
    """Correlation (a star) and convolution (an asterisk) of two signals in both orders, where they overlap at all."""

    def overlapping(fixed: Sequence[float], sliding: Sequence[float]) -> list[float]:
        margin = [0.0] * (len(sliding) - 1)
        return correlate([*margin, *fixed, *margin], sliding)

    return {
        "x ⋆ k": overlapping(signal, kernel),
        "k ⋆ x": overlapping(kernel, signal),
        "x * k": overlapping(signal, kernel[::-1]),
        "k * x": overlapping(kernel, signal[::-1]),
    }


def _gap(first: list[float], second: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(first, second, strict=True))


def _motif_figure(noisy: Tensor, answer: Tensor, found: list[int]) -> Figure:
    figure, (above, below) = slide("A kernel finds its own shape, wherever that is", 2, sharex=True)
    above.plot(noisy, color="black")
    below.plot(answer, color=COLOURS[2])
    for place in PLACES:
        above.axvspan(place, place + len(MOTIF) - 1, color=COLOURS[4], alpha=0.4)
        above.plot(range(place, place + len(MOTIF)), MOTIF, color=COLOURS[1], linewidth=2.5)
    below.plot(found, answer[found], "o", color=COLOURS[1], label="the three highest")
    above.set_title("noisy signal, the motif in orange")
    below.set_title("correlation with the motif")
    below.set_xlabel("sample t")
    below.legend()
    return figure


def _orders_figure(orders: dict[str, list[float]]) -> Figure:
    figure, plots = slide("Only the convolution, which turns the kernel, commutes", 2, 2, height=5, sharey=True)
    for axes, (name, values) in zip(plots, orders.items(), strict=True):
        turns = "*" in name
        axes.bar(range(len(values)), values, color=COLOURS[2 if turns else 1])
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set_title(f"{'convolution' if turns else 'correlation'} {name}")
    for axes in plots[2:]:
        axes.set_xlabel("place of the output")
    return figure
