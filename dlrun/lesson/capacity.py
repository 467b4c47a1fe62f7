"""Error against capacity, with and without weight decay (004_f2c8751b5d3b52bc.txt, fit and variance)."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from torch import Tensor

from dlrun.config.section import NaturalFloat, Positive, PositiveFloat
from dlrun.figure.slide import slide
from dlrun.lesson.lesson import Findings, Lesson, Row

SHOWN = (1, 4, 15)


def curve(x: Tensor) -> Tensor:
    """What is to be found."""
    return torch.sin(3 * x) * (1 - 0.4 * x)


def features(x: Tensor, degree: int) -> Tensor:
    """Chebyshev's polynomials up to a degree, (N, degree + 1), for x (N,) in [-1, 1]: |values| are 1 at most."""
    return torch.cos(torch.arange(degree + 1, dtype=x.dtype) * torch.arccos(x.clamp(-1, 1)).unsqueeze(1))


def fit(x: Tensor, y: Tensor, degree: int, decay: float) -> Tensor:
    """The coefficients of least squares, ``decay`` times their squares added, for y (N, S) of S data sets."""
    rows = features(x, degree)
    penalty = decay * torch.eye(degree + 1, dtype=x.dtype)
    more, none = penalty.sqrt(), y.new_zeros(degree + 1, y.shape[1])
    return torch.as_tensor(torch.linalg.lstsq(torch.cat([rows, more]), torch.cat([y, none])).solution)


class Capacity(Lesson):
    """Polynomials fitted to noisy points of a curve, for many data sets: the U curve of the test error.

    Args:
        points: of a data set, spread evenly.
        noise: standard deviation.
        datasets: of which mean and spread are taken.
        largest: degree.
        decay: weight decay of the second row of curves.
    """

    def __init__(
        self, points: Positive, noise: NaturalFloat, datasets: Positive, largest: Positive, decay: PositiveFloat
    ) -> None:
        self.points, self.noise, self.datasets, self.largest, self.decay = points, noise, datasets, largest, decay

    def __call__(self) -> Findings:
        """Errors by degree; the test error without noise is squared bias plus variance."""
        x = torch.linspace(-1, 1, self.points, dtype=torch.float64)
        y = curve(x).unsqueeze(1) + self.noise * torch.randn(self.points, self.datasets, dtype=torch.float64)
        fine = torch.linspace(-1, 1, 201, dtype=torch.float64)
        truth = curve(fine).unsqueeze(1)
        rows: list[Row] = []
        errors: dict[float, list[Tensor]] = {0.0: [], self.decay: []}
        for degree in range(1, self.largest + 1):
            for decay in errors:
                w = fit(x, y, degree, decay)
                fitted = features(fine, degree) @ w
                test = (fitted - truth).square().mean(dim=0) + self.noise**2  # on new points with noise of their own
                train = (features(x, degree) @ w - y).square().mean(dim=0)
                errors[decay].append(torch.stack([train, test]))
                middle = fitted.mean(dim=1, keepdim=True)
                rows.append({"degree": degree, "weight decay": decay, "training error": float(train.mean()),
                             "test error": float(test.mean()), "its spread": float(test.std()),
                             "bias^2": float((middle - truth).square().mean()),
                             "variance": float((fitted - middle).square().mean())})  # fmt: skip
        means = {decay: torch.stack(found).mean(dim=2) for decay, found in errors.items()}
        plain, decayed = means[0.0], means[self.decay]
        parts = [
            float(row["bias^2"]) + float(row["variance"]) + self.noise**2 - float(row["test error"]) for row in rows
        ]
        best = int(plain[:, 1].argmin())
        metrics = {
            "best_degree": float(best + 1),
            "smallest_degree_ratio": float(plain[0, 1] / plain[best, 1]),
            "largest_degree_ratio": float(plain[-1, 1] / plain[best, 1]),
            "decayed_largest_degree_ratio": float(decayed[-1, 1] / plain[-1, 1]),
            "largest_degree_training_ratio": float(plain[-1, 0] / plain[best, 0]),
            "bias_variance_difference": max(map(abs, parts)),
        }
        figures = {"u_curve": self.draw(errors), "fits": self.draw_fits(x, y[:, 0])}
        return Findings(metrics, figures, {"errors": rows})

    def draw(self, errors: dict[float, list[Tensor]]) -> Figure:
        """Training and test error against the degree, with and without weight decay."""
        title = "The test error is a U; weight decay holds it down"
        figure, axes = slide(title, 1, 2, sharey=True)
        degrees = range(1, self.largest + 1)
        for each, (decay, found) in zip(axes, errors.items(), strict=True):
            values = torch.stack(found)  # (degree, training or test, data set)
            for number, (name, style) in enumerate((("training", "o-"), ("test", "s-"))):
                low, middle, high = values[:, number].quantile(
                    torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64), dim=1
                )
                each.semilogy(degrees, middle, style, label=name)
                each.fill_between(degrees, low, high, alpha=0.2)
            each.axhline(self.noise**2, color="0.4", linestyle=":", label="noise")
            each.set(xlabel="capacity: degree of the polynomial", title=f"weight decay {decay:g}", ylim=(5e-3, 5))
            each.grid(alpha=0.3)
        axes[0].set(ylabel=f"squared error,\nmedian and 80% of {self.datasets} data sets")
        axes[0].legend()
        return figure

    def draw_fits(self, x: Tensor, y: Tensor) -> Figure:
        """One data set, fitted by polynomials of three degrees."""
        degrees = [degree for degree in SHOWN if degree <= self.largest]
        figure, axes = slide("The same points, three capacities", 1, len(degrees), 3.4, sharey=True)
        fine = torch.linspace(-1, 1, 401, dtype=torch.float64)
        for each, degree in zip(axes, degrees, strict=True):
            each.plot(fine, curve(fine), color="0.6", linewidth=3, label="the curve")
            for decay, style in ((0.0, "-"), (self.decay, "--")):
                w = fit(x, y.unsqueeze(1), degree, decay)
                each.plot(fine, features(fine, degree) @ w, style, label=f"fit, weight decay {decay:g}")
            each.plot(x, y, "o", color="black", markersize=4, label="points")
            each.set(title=f"degree {degree}", xlabel="x", ylim=(-2.2, 2.2))
        axes[0].set(ylabel="y")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
        return figure
