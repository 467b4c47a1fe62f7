"""The exact margin of a small ReLU network, beside what is certified and attacked (002_650a5abb4bbbf8e1.txt)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.optimize import Bounds, LinearConstraint, milp
from sklearn.datasets import load_digits
from torch import Tensor, nn

from dlrun.attack.pgd import PGD
from dlrun.certify.bounds import Bound, lower_margins
from dlrun.config.section import Positive, Some
from dlrun.figure.slide import slide
from dlrun.lesson.lesson import Findings, Lesson, Row

CLASSES = (3, 8)
"""Of scikit-learn's digits."""
HALVINGS = 14
INFEASIBLE = 2
"""The status of a program without a solution."""
SLACK = 1e-4
"""Beyond the distance at which the network is known to be wrong, so that rounding excludes no solution."""
RADII = torch.linspace(0.01, 0.5, 50, dtype=torch.float64)
"""At which the attack is tried."""


@dataclass
class Radii:
    """Of each point the radius in L-infinity, (N,): proved, exact, and at which an attack succeeds."""

    interval: Tensor
    polytope: Tensor
    exact: Tensor
    attacked: Tensor
    seconds: dict[str, float]
    """Of the processor, for one point, by method."""


class ExactMargin(Lesson):
    """How far a point may move before the network changes its mind: exactly, by mixed-integer programming.

    A binary variable for each neuron says whether its ReLU is on; the number of cases can double with each, and
    deciding is NP-complete (Katz et al. 2017). Bounds from below and above are quick.

    Args:
        points: of which the margins are taken.
        widths: neurons in each of two hidden layers, a network for each; the last one's margins are drawn.
        steps: of Adam, to train each network.
    """

    def __init__(self, points: Positive, widths: Some[Positive], steps: Positive) -> None:
        self.points, self.widths, self.steps = points, widths, steps

    def __call__(self) -> Findings:
        """All radii of the networks, with the time that the exact ones take."""
        found = {width: self.measure(width) for width in self.widths}
        rows: list[Row] = [
            {
                "neurons": 2 * width,
                "certified, interval": float(radii.interval.mean()),
                "certified, polytope": float(radii.polytope.mean()),
                "exact": float(radii.exact.mean()),
                "attacked": float(radii.attacked.mean()),
                **{f"seconds, {name}": value for name, value in radii.seconds.items()},
            }
            for width, radii in found.items()
        ]
        every = list(found.values())
        metrics = {
            "interval_above_polytope": largest([radii.interval - radii.polytope for radii in every]),
            "certified_above_exact": largest([radii.polytope - radii.exact for radii in every]),
            "exact_above_attacked": largest([radii.exact - radii.attacked for radii in every]),
            "certified_share_of_exact": float((every[-1].polytope / every[-1].exact).mean()),
            "exact_share_of_attacked": float((every[-1].exact / every[-1].attacked).mean()),
            "interval_share_of_exact": float((every[-1].interval / every[-1].exact).mean()),
            "exact_seconds_ratio": every[-1].seconds["exact"] / every[0].seconds["exact"],
        }
        figures = {"margins": draw(every[-1], 2 * self.widths[-1]), "time": draw_time(self.widths, every)}
        return Findings(metrics, figures, {"networks": rows})

    def measure(self, width: int) -> Radii:
        """Train a network of two layers of ``width`` neurons, and take the margins of points that it gets right."""
        digits = load_digits()
        chosen = np.isin(digits.target, CLASSES)
        x = torch.from_numpy(digits.data[chosen]).div(16)
        y = torch.from_numpy((digits.target[chosen] == CLASSES[1]).astype(np.int64))
        hidden = [nn.Linear(x.shape[1], width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
        model = nn.Sequential(*hidden, nn.Linear(width, 2)).double()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(self.steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        right = (model(x).argmax(dim=1) == y).nonzero().flatten()[: self.points]
        x, y = x[right], y[right]
        seconds: dict[str, float] = {}

        def timed(name: str, call: Callable[[], Tensor]) -> Tensor:
            started = time.process_time()
            found = call()
            seconds[name] = (time.process_time() - started) / len(x)
            return found

        interval = timed("interval", lambda: certified(model, x, y, "interval"))
        polytope = timed("polytope", lambda: certified(model, x, y, "polytope"))
        attacked = timed("attack", lambda: attack(model, x, y))
        whole = zip(x, y.tolist(), attacked.tolist(), strict=True)
        solved = timed("exact", lambda: torch.tensor([exact(model, *one) for one in whole], dtype=torch.float64))
        return Radii(interval, polytope, solved, attacked, seconds)


def largest(differences: list[Tensor]) -> float:
    """The largest number in any of them."""
    return max(float(each.max()) for each in differences)


def certified(model: nn.Module, x: Tensor, y: Tensor, bound: Bound) -> Tensor:
    """The largest radius that a bound proves, for each point (N, 2) with its class (N,), by halving."""
    radii = []
    for point, target in zip(torch.split(x, 1), torch.split(y, 1), strict=True):
        low, high = 0.0, 1.0
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            with torch.no_grad():
                margins = lower_margins(model, point, target, middle, bound)
            others = margins[0, torch.arange(2) != target]
            low, high = (middle, high) if bool((others > 0).all()) else (low, middle)
        radii.append(low)
    return torch.tensor(radii, dtype=torch.float64)


def attack(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The nearest of all points that PGD finds beyond the boundary, by their distances, (N,)."""
    nearest = torch.ones(len(x), dtype=torch.float64)
    pgd = PGD(eps=1.0, steps=15)
    for radius in RADII.tolist():
        found = pgd.at(radius)(model, x, y)
        with torch.no_grad():
            fooled = model(found).argmax(dim=1) != y
            low, high = torch.zeros(len(x), 1, dtype=torch.float64), torch.ones(len(x), 1, dtype=torch.float64)
            for _ in range(HALVINGS):  # back towards the image, as far as it stays fooled
                middle = (low + high) / 2
                still = (model(x + middle * (found - x)).argmax(dim=1) != y).unsqueeze(1)
                low, high = torch.where(still, low, middle), torch.where(still, middle, high)
        distance = (high * (found - x)).abs().amax(dim=1)
        nearest = torch.where(fooled, torch.minimum(nearest, distance), nearest)
    return nearest


def exact(model: nn.Sequential, x: Tensor, target: int, limit: float) -> float:
    """The exact radius of a point: the least distance at which the other class is as likely.

    Variables are the pixels, the distance, and for each hidden neuron its output and whether it is on. With bounds
    l <= z <= u of what a neuron adds up, its output h is held by h >= 0, h >= z, h <= u on, h <= z - l (1 - on).

    Args:
        model: layers of neurons with ReLU between them; two outputs.
        x: its pixels (D,), in [0,1] as those of all that are looked at.
        target: its class.
        limit: a distance at which the network is known to be wrong.

    Returns:
        The radius; the limit where there is no other class within it.
    """
    layers = [
        (layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in model if isinstance(layer, nn.Linear)
    ]
    hidden = sum(len(bias) for _, bias in layers[:-1])
    point, limit, pixels = x.numpy(), limit + SLACK, len(x)
    size = pixels + 1 + 2 * hidden  # pixels, distance, outputs of neurons, whether each is on
    low, high = np.clip(point - limit, 0, 1), np.clip(point + limit, 0, 1)
    lower, upper = np.zeros(size), np.ones(size)
    lower[:pixels], upper[:pixels], upper[pixels] = low, high, limit
    program = Program(lower, upper)
    for place in range(pixels):
        program.hold({place: 1, pixels: -1}, point[place])
        program.hold({place: -1, pixels: -1}, -point[place])
    before, first = list(range(pixels)), pixels + 1
    for weight, bias in layers[:-1]:
        least = np.maximum(weight, 0) @ low + np.minimum(weight, 0) @ high + bias
        most = np.maximum(weight, 0) @ high + np.minimum(weight, 0) @ low + bias
        for neuron in range(len(bias)):
            out, on = first + neuron, first + hidden + neuron
            upper[out] = max(most[neuron], 0)
            sums = dict(zip(before, weight[neuron], strict=True))
            program.hold({**sums, out: -1}, -bias[neuron])
            program.hold({out: 1, on: -max(most[neuron], 0)}, 0)
            below = min(least[neuron], 0)
            program.hold({**{place: -value for place, value in sums.items()}, out: 1, on: -below}, bias[neuron] - below)
        before, first = list(range(first, first + len(bias))), first + len(bias)
        low, high = np.maximum(least, 0), np.maximum(most, 0)
    weight, bias = layers[-1]
    other = 1 - target
    program.hold(dict(zip(before, weight[target] - weight[other], strict=True)), bias[other] - bias[target])
    least_distance = program.least(pixels, binaries=range(pixels + 1 + hidden, size))
    return limit - SLACK if least_distance is None else least_distance


class Program:
    """A mixed-integer program: inequalities on variables between bounds.

    Args:
        lower: of each variable, (V,).
        upper: of each variable, (V,); may be changed until the program is solved.
    """

    def __init__(self, lower: np.ndarray, upper: np.ndarray) -> None:
        self.lower, self.upper = lower, upper
        self.rows: list[np.ndarray] = []
        self.ends: list[float] = []

    def hold(self, terms: Mapping[int, float], most: float) -> None:
        """The sum of factors times variables, by place, is at most a number."""
        row = np.zeros(len(self.lower))
        for place, factor in terms.items():
            row[place] += factor
        self.rows.append(row)
        self.ends.append(most)

    def least(self, place: int, binaries: range) -> float | None:
        """The least value of a variable, while those of a range of places are 0 or 1; None without a solution."""
        goal, whole = np.zeros(len(self.lower)), np.zeros(len(self.lower))
        goal[place], whole[binaries.start : binaries.stop] = 1, 1
        held = LinearConstraint(np.array(self.rows), -np.inf, self.ends)
        ended = milp(goal, integrality=whole, bounds=Bounds(self.lower, self.upper), constraints=held)
        return None if ended.status == INFEASIBLE else float(ended.fun)


def draw(radii: Radii, neurons: int) -> Figure:
    """The radii of all points, ordered by the exact one."""
    figure, (axes,) = slide("Certified ≤ exact ≤ attacked, for every image")
    order = radii.exact.argsort()
    places = range(1, len(order) + 1)
    axes.plot(places, radii.attacked[order], "v", label="attacked (PGD): at most")
    axes.plot(places, radii.exact[order], "_", color="black", markersize=9, markeredgewidth=2.5, label="exact (MILP)")
    axes.plot(places, radii.polytope[order], "^", label="certified (polytope): at least")
    axes.plot(places, radii.interval[order], "+", label="certified (intervals): at least")
    axes.set(
        xlabel=f"image of a 3 or an 8, by its exact margin; network of {neurons} neurons",
        ylabel=r"radius in $L_\infty$, of the pixel range",
        ylim=(0, None),
    )
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def draw_time(widths: list[int], every: list[Radii]) -> Figure:
    """The time that each method takes, against the number of neurons."""
    figure, (axes,) = slide("The price of exactness: the time for one image")
    neurons = [2 * width for width in widths]
    names = {"exact": "exact (MILP)", "attack": "attack (PGD)", "polytope": "certificate (polytope)",
             "interval": "certificate (intervals)"}  # fmt: skip
    for (name, label), style in zip(names.items(), ("o-", "v--", "^-.", "s:"), strict=True):
        axes.semilogy(neurons, [radii.seconds[name] for radii in every], style, linewidth=2, label=label)
    axes.set(xlabel="hidden neurons", ylabel="seconds of the processor", xticks=neurons)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
