"""Step sizes that fall, at one budget (002_650a5abb4bbbf8e1.txt, a step size for each iteration)."""

from __future__ import annotations

from typing import Annotated

import torch
from matplotlib.figure import Figure
from pydantic import Field
from sklearn.datasets import load_digits
from torch import Tensor, nn

from dlrun.config.section import Positive, PositiveFloat
from dlrun.figure.slide import slide
from dlrun.lesson.lesson import Findings, Lesson, Row
from dlrun.scheduler.constant import Constant
from dlrun.scheduler.cosine import Cosine
from dlrun.scheduler.one_cycle import OneCycle
from dlrun.scheduler.schedule import Schedule
from dlrun.scheduler.step import Step

COUNT = 1024
"""Of scikit-learn's digits."""
EVERY = 16
"""Steps between two looks at the loss."""


class StepSizes(Lesson):
    """One network, one budget of steps, one largest step size, and dlrun's four schedules of it.

    Args:
        epochs: the budget.
        batch_size: of a step.
        lr: the largest step size of all schedules.
        noise: standard deviation of what is added to the pixels of each mini-batch, so that its gradient is noisy.
    """

    def __init__(
        self,
        epochs: Positive,
        batch_size: Annotated[int, Field(gt=0, le=COUNT)],
        lr: PositiveFloat,
        noise: PositiveFloat,
    ) -> None:
        self.epochs, self.batch_size, self.lr, self.noise = epochs, batch_size, lr, noise

    def __call__(self) -> Findings:
        """The loss on all examples over the steps, by schedule."""
        digits = load_digits()
        x = torch.from_numpy(digits.data[:COUNT]).float().div(16)
        y = torch.from_numpy(digits.target[:COUNT])
        schedules = {"constant": Constant(), "step": Step(every=max(self.epochs // 3, 1)), "cosine": Cosine(),
                     "one_cycle": OneCycle()}  # fmt: skip
        seed = int(torch.randint(2**31, ()))
        curves = {name: self.train(x, y, schedule, seed) for name, schedule in schedules.items()}
        last = {name: sum(losses[-4:]) / len(losses[-4:]) for name, (_, losses) in curves.items()}
        rows: list[Row] = [
            {"schedule": name, "loss at the end": last[name], "of the constant one": last[name] / last["constant"]}
            for name in curves
        ]
        metrics = {f"{name}_loss": loss for name, loss in last.items()}
        metrics |= {
            f"{name}_over_constant_ratio": loss / last["constant"] for name, loss in last.items() if name != "constant"
        }
        return Findings(metrics, {"schedules": self.draw(curves)}, {"schedules": rows})

    def train(self, x: Tensor, y: Tensor, schedule: Schedule, seed: int) -> tuple[list[float], list[float]]:
        """The step size of every step, and the loss after some of them; from the same weights in the same order."""
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(x.shape[1], 32), nn.ReLU(), nn.Linear(32, 10))
        optimizer = torch.optim.SGD(model.parameters(), lr=self.lr)
        loss = nn.CrossEntropyLoss()
        order = torch.cat([torch.randperm(COUNT) for _ in range(self.epochs)])
        batches = torch.split(order, self.batch_size)
        rates, losses = [], []
        for step, batch in enumerate(batches):
            rates.append(self.lr * schedule.factor(step, len(batches), len(batches) // self.epochs))
            optimizer.param_groups[0]["lr"] = rates[-1]
            optimizer.zero_grad()
            loss(model(x[batch] + self.noise * torch.randn(len(batch), x.shape[1])), y[batch]).backward()
            optimizer.step()
            if step % EVERY == EVERY - 1:
                with torch.no_grad():
                    losses.append(float(loss(model(x), y)))
        return rates, losses

    def draw(self, curves: dict[str, tuple[list[float], list[float]]]) -> Figure:
        """Step sizes beside losses."""
        figure, (rate, loss) = slide("At one budget, a step size that falls ends lower than one that stays", 1, 2, 4.4)
        for (name, (rates, losses)), style in zip(curves.items(), ("-", "--", "-.", ":"), strict=True):
            rate.plot(rates, style, linewidth=2.5, label=name.replace("_", "-"))
            loss.semilogy([EVERY * (number + 1) for number in range(len(losses))], losses, style, linewidth=2)
        rate.set(xlabel="step", ylabel="step size")
        loss.set(xlabel="step", ylabel="loss on all examples")
        loss.grid(alpha=0.3)
        handles, labels = rate.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
        return figure
