"""What is left of the data when a prediction is taken away."""

from __future__ import annotations

from matplotlib.figure import Figure
from torch import Tensor

from dlrun.figure.slide import COLOURS, slide


def residuals(inputs: Tensor, targets: Tensor, predictions: Tensor) -> Figure:
    """Draw predictions beside the truth, and the residuals: for one input over it, else against each other.

    Args:
        inputs: what the network read, float (N, ...).
        targets: float (N, K), of which the first is drawn.
        predictions: float (N, K).
    """
    true, predicted = targets[:, 0], predictions[:, 0]
    figure, (left, right) = slide("Prediction, and what it leaves over", columns=2, height=4)
    if inputs[0].numel() == 1:
        at, name = inputs.flatten(), "x"
        order = at.argsort()
        left.scatter(at, true, s=8, color="0.6", label="data")
        left.plot(at[order], predicted[order], color=COLOURS[1], label="prediction")
        left.set(xlabel="x", ylabel="y")
    else:
        at, name = predicted, "prediction"
        low, high = float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))
        left.plot([low, high], [low, high], color="0.6", label="perfect")
        left.scatter(true, predicted, s=8, color=COLOURS[0], label="example")
        left.set(xlabel="truth", ylabel="prediction")
    left.legend(fontsize=9)
    right.axhline(0, color="0.6")
    right.scatter(at, true - predicted, s=8, color=COLOURS[0])
    right.set(xlabel=name, ylabel="residual, truth - prediction")
    for plot in (left, right):
        plot.grid(alpha=0.3)
    return figure
