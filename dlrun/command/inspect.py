"""``dlrun inspect``: count what a model is made of."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from omegaconf import DictConfig
from rich.table import Table

from dlrun import build, console
from dlrun.config.targets import check_targets
from dlrun.dataset.data import input_shape, input_type
from dlrun.errors import UserError
from dlrun.experiment import claims as expect
from dlrun.model.layer import SingleLayer
from dlrun.model.layer_table import Layer, layers
from dlrun.model.normalized import Normalized
from dlrun.record.recorder import Recorder
from dlrun.run.folder import Run

BYTES = 4  # of a number in fp32
MIB = 2**20


def main(config: DictConfig, run: Run) -> dict[str, Any]:
    """Inspect the config's model on the meta device; returns what goes into ``result.json``."""
    check_targets(config)
    for key in ("num_classes", "image_size"):
        if config.dataset[key] is None:
            raise UserError(f"dataset.{key}: known only from the data; expected dataset.{key}=N")
    place = torch.device("meta")
    with place:
        single = build.layer(config)
        if single is None:
            model = build.model(config, build.task(config), place, load_weights=False)
            image = torch.zeros(1, *input_shape(config.dataset), dtype=input_type(config.dataset))
        else:
            model = Normalized(single, None, None)
            image = torch.zeros(single.input_shape)
        try:
            found = layers(model, image)
        except ValueError as error:
            raise UserError(f"model={type(model.network).__name__}: {error}") from None
    parameters = sum(parameter.numel() for parameter in model.parameters())
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    activations = sum(torch.Size(layer.shape).numel() for layer in found)
    fields = [layer.receptive_field for layer in found if layer.receptive_field is not None]
    metrics = {
        "parameters": parameters,
        "trainable_parameters": trainable,
        "multiply_adds": sum(layer.multiply_adds for layer in found),
        "parameter_mib": parameters * BYTES / MIB,
        "activation_mib": activations * BYTES / MIB,
        "receptive_field": max(fields, default=0),
        "last_conv_receptive_field": max(
            (layer.receptive_field or 0 for layer in found if layer.kind.startswith("Conv")), default=0
        ),
    }
    expect.check_names(config.expect, metrics)
    size = "x".join(map(str, image.shape[1:]))
    console.say(table(found, f"{type(model.network).__name__} on one image of {size}"))
    figures = Table("figure", "value")
    for name, value in metrics.items():
        figures.add_row(name, f"{value:,.2f}" if isinstance(value, float) else f"{value:,}")
    console.say(figures)
    if single is not None:
        console.say(sizes(single))
    recorder = Recorder(run.path)
    recorder.table("layers", [{**asdict(layer), "shape": "x".join(map(str, layer.shape))} for layer in found])
    return {"metrics": metrics}


def sizes(single: SingleLayer) -> Table:
    """A row for each tensor of a layer with its size, to print."""
    made = Table("tensor", "size", title="sizes, examples first")
    for name, size in single.sizes().items():
        made.add_row(name, f"({', '.join(map(str, size))})")
    return made


def table(found: list[Layer], title: str) -> Table:
    """A row for each layer, to print."""
    made = Table("layer", "kind", title=title)
    for name in ("output", "parameters", "trainable", "multiply-adds", "receptive field"):
        made.add_column(name, justify="right")
    for layer in found:
        field = "all" if layer.receptive_field is None else str(layer.receptive_field)
        counts = [f"{count:,}" for count in (layer.parameters, layer.trainable, layer.multiply_adds)]
        made.add_row(layer.name, layer.kind, "x".join(map(str, layer.shape)), *counts, field)
    return made
