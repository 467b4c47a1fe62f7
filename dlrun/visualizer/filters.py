"""The filters of a convolution as pictures."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from dlrun.errors import UserError
from dlrun.explainer.layer import layers
from dlrun.figure.weights import weights
from dlrun.model.normalized import Normalized
from dlrun.visualizer.visualizer import Shown, Subject, Visualizer


@dataclass
class Filters(Visualizer):
    """The weights of the first convolution, whose inputs are colours.

    Args:
        most: filters to draw.
    """

    most: int = 64

    def show(self, model: Normalized, subject: Subject) -> Shown:
        """A picture of each filter.

        Raises:
            UserError: the model has no convolution.
        """
        for name, module in layers(model).items():
            if isinstance(module, nn.Conv2d):
                filters = module.weight.detach()[: self.most].float().cpu()
                titles = [str(number) for number in range(len(filters))]
                count = len(module.weight)
                which = f"the {count}" if count == len(filters) else f"the first {len(filters)} of {count}"
                title = f"What {name} looks for: {which} filters"
                return Shown({"filters": weights(filters, titles, title)})
        raise UserError("visualizer=filters: the model has no convolution; expected a convolutional network")
