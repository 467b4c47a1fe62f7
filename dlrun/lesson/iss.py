"""Following the space station: a noisy position, smoothed by a weighted mean of the last measurements."""

from __future__ import annotations

import math

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from dlrun.errors import UserError
from dlrun.figure.slide import COLOURS, slide
from dlrun.lesson.lesson import Findings, Lesson, Row

PERIOD = 92.7
"""Minutes that the station takes for an orbit."""
INCLINATION = 51.6
"""Degrees of the orbit to the equator, and so the highest latitude."""
MINUTES = 40 * 93
"""Measurements, one a minute, to learn from; as many to test on."""
STEPS, MOMENTUM = 500, 0.95
SHOWN = slice(0, 140)


class ISS(Lesson):
    """A 1-D convolution whose weights are given, learned, and calculated (004_f2c8751b5d3b52bc.txt, suivre l'ISS).

    The document has the title alone: the example is that of a laser which follows a ship, its positions averaged with
    weights that fall with a measurement's age (I. Goodfellow et al., Deep Learning, 2016, 9.1). Here it is the latitude
    of the International Space Station, measured once a minute.

    Args:
        noise: standard deviation of a measurement, degrees of latitude.
        window: measurements in the weighted mean, the newest included.

    Raises:
        UserError: no noise, or no measurement.
    """

    def __init__(self, noise: float, window: int) -> None:
        if noise <= 0:
            raise UserError(f"lesson.noise={noise}: expected degrees above 0; without noise nothing is to be smoothed")
        if not 1 <= window <= 60:
            raise UserError(f"lesson.window={window}: expected 1 to 60 measurements")
        self.noise, self.window = noise, window

    def __call__(self) -> Findings:
        """Smooth with falling weights, with learned ones and with the best ones."""
        truth = [latitude(start, MINUTES) for start in (0, MINUTES)]
        seen = [each + self.noise * torch.randn(MINUTES, dtype=torch.double) for each in truth]
        falling = 0.5 ** torch.arange(self.window, dtype=torch.double).flip(0)
        weights = {
            "given": falling / falling.sum(),
            "learned": learned(seen[0], truth[0], self.window),
            "best": best(seen[0], truth[0], self.window),
        }
        now = truth[1][self.window - 1 :]
        errors = {"measured": _error(seen[1][self.window - 1 :], now)}
        smoothed = {name: smooth(seen[1], kernel) for name, kernel in weights.items()}
        errors |= {name: _error(values, now) for name, values in smoothed.items()}
        metrics = {f"error/{name}": error for name, error in errors.items()} | {
            "learned_over_measured": errors["learned"] / errors["measured"],
            "given_over_measured": errors["given"] / errors["measured"],
            "weight_difference": float((weights["learned"] - weights["best"]).abs().max()),
            "learned_over_best": errors["learned"] / errors["best"],
        }
        table: list[Row] = [
            {"age in minutes": self.window - 1 - place}
            | {name: round(float(kernel[place]), 4) for name, kernel in weights.items()}
            for place in reversed(range(self.window))
        ]
        figure = self._figure(now, seen[1][self.window - 1 :], smoothed, weights, errors)
        return Findings(metrics, {"latitude": figure}, {"weights": table})

    def _figure(
        self,
        truth: Tensor,
        seen: Tensor,
        smoothed: dict[str, Tensor],
        weights: dict[str, Tensor],
        errors: dict[str, float],
    ) -> Figure:
        before, after = f"{errors['measured']:.1f}", f"{errors['learned']:.1f}"
        title = f"A weighted mean of {self.window}: from {before} degrees off to {after}"
        figure, (track, bars) = slide(title, 2, height=6, height_ratios=[2, 1])
        track.plot(seen[SHOWN], ".", color="0.6", label=f"measured: off by {errors['measured']:.1f} degrees")
        track.plot(truth[SHOWN], color="black", linewidth=1, label="the true latitude")
        for name, colour in (("given", COLOURS[0]), ("learned", COLOURS[1])):
            track.plot(smoothed[name][SHOWN], color=colour, label=f"{name} weights: off by {errors[name]:.1f} degrees")
        track.set_xlabel("time (minutes)")
        track.set_ylabel("latitude (degrees)")
        track.legend(loc="upper right")
        track.set_ylim(top=150)
        ages = np.arange(self.window)
        for shift, (name, kernel) in zip((-0.27, 0.0, 0.27), weights.items(), strict=True):
            bars.bar(ages + shift, kernel.flip(0), 0.27, label=name)
        bars.set_xlabel("age of the measurement (minutes)")
        bars.set_ylabel("weight")
        bars.set_xticks(ages)
        bars.legend(ncols=3)
        return figure


def latitude(start: int, count: int) -> Tensor:
    """The station's latitude in degrees in ``count`` minutes, float64; a circle that is inclined to the equator."""
    angle = 2 * math.pi / PERIOD * torch.arange(start, start + count, dtype=torch.double)
    return torch.rad2deg(torch.asin(math.sin(math.radians(INCLINATION)) * angle.sin()))


def smooth(seen: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean (T - w + 1,) of each measurement of (T,) and those before it, the last weight for it."""
    return F.conv1d(seen.view(1, 1, -1), weights.view(1, 1, -1)).flatten()


def learned(seen: Tensor, truth: Tensor, window: int) -> Tensor:
    """The weights (window,) that gradient descent finds, from zeros, in steps of one over the largest curvature."""
    windows = seen.unfold(0, window, 1)
    steepest = float(torch.linalg.eigvalsh(2 * windows.T @ windows / len(windows))[-1])
    weights = torch.zeros(window, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.SGD([weights], lr=1 / steepest, momentum=MOMENTUM)
    for _ in range(STEPS):
        optimizer.zero_grad()
        F.mse_loss(smooth(seen, weights), truth[window - 1 :]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return weights.detach()


def best(seen: Tensor, truth: Tensor, window: int) -> Tensor:
    """The weights (window,) of the least squared error, by the normal equations: (X^T X) w = X^T y."""
    windows = seen.unfold(0, window, 1)
    found: Tensor = torch.linalg.solve(windows.T @ windows, windows.T @ truth[window - 1 :])
    return found


def _error(values: Tensor, truth: Tensor) -> float:
    """The root of the mean squared error, in degrees."""
    return float((values - truth).square().mean().sqrt())
