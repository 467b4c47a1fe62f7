"""What every layer makes of one image."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from dlrun.explainer.layer import feature_maps, grid, layers, named
from dlrun.figure.layer_grid import layer_grid
from dlrun.model.normalized import Normalized
from dlrun.visualizer.visualizer import Shown, Subject, Visualizer

NBSP = "\N{NO-BREAK SPACE}"
TITLE = "One image, layer by layer: channels from their lowest (black) to their highest (white)"


@dataclass
class FeatureMaps(Visualizer):
    """The first channels of each layer's output for one image, a row for each layer.

    Args:
        layers: the dotted names of layers; None takes all that have no layers within, up to ``rows``, evenly spaced.
        count: channels of each.
        rows: layers, at most.
    """

    layers: list[str] | None = None
    count: int = 10
    rows: int = 6

    needs_image = True

    def show(self, model: Normalized, subject: Subject) -> Shown:
        """A picture of the maps, each in its own range of grey."""
        assert subject.image is not None
        outputs = feature_maps(model, subject.image.unsqueeze(0))
        if self.layers is None:
            modules = layers(model)
            names = [name for name in outputs if not any(True for _ in modules[name].children())]
            step = max(1, -(-len(names) // self.rows))
            names = names[::step]
        else:
            names = [name for name in self.layers if named(model, name)]
        maps = {}
        for name in names:
            whole = grid(outputs[name] if name in outputs else torch.empty(1, 0, 1, 1), name)[0]
            output = whole[: self.count].float()
            low, high = output.amin(dim=(1, 2), keepdim=True), output.amax(dim=(1, 2), keepdim=True)
            label = name if len(whole) <= self.count else f"{name} ({self.count}{NBSP}of{NBSP}{len(whole)})"
            maps[label] = ((output - low) / (high - low).clamp(min=1e-12)).unsqueeze(1).cpu()
        titles = [[str(number) for number in range(len(rows))] for rows in maps.values()]
        return Shown({"feature_maps": layer_grid(TITLE, maps, titles, subject.image)})
