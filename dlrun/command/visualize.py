"""``dlrun visualize``: pictures of what a network has learned."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from dlrun import build, console
from dlrun.dataset import examples
from dlrun.dataset.batch import inputs
from dlrun.errors import UserError
from dlrun.figure.layer_grid import layer_grid
from dlrun.files import write_whole
from dlrun.record.recorder import Recorder
from dlrun.run.folder import Run
from dlrun.trained import open_trained
from dlrun.visualizer.visualizer import Shown, Subject

TITLE = "The ascent from noise, from top to bottom"
SHOWN = 5
"""Frames in the filmstrip."""


def main(config: DictConfig, run: Run) -> dict[str, Any]:
    """Draw as the config says, into the run's folder; returns what goes into ``result.json``."""
    examples.need_images(config)
    visualizer = build.visualizer(config)
    files = examples.find(config.input, config)[:1] if visualizer.needs_image and config.input is not None else []
    trained = open_trained(config, run, with_data=visualizer.needs_image and not files)
    dataset, image = trained.config.dataset, None
    if files:
        image = examples.of_files(files, trained.config).images[0]
    elif visualizer.needs_image:
        test = trained.data.test
        if config.index >= test.num_images:
            raise UserError(f"index={config.index}: no such image; expected 0 to {test.num_images - 1}")
        image = inputs(test.examples(torch.tensor([config.index])))[0]
    size = (dataset.channels, dataset.image_size, dataset.image_size)
    subject = Subject(size, trained.classes, None if image is None else image.to(trained.device))
    shown = visualizer.show(trained.model, subject)

    with build.recorder(trained.config, run.path) as recorder:
        record(recorder, shown)
    for name, value in shown.metrics.items():
        console.say(f"{name} {value:.4f}")
    return {"metrics": shown.metrics, "classes": trained.classes}


def record(recorder: Recorder, shown: Shown) -> None:
    """Curves, frames of a film, figures and metrics."""
    for name, values in shown.curves.items():
        for step, value in enumerate(values):
            recorder.scalars({name: value}, step)
    if shown.frames is not None:
        write_film(recorder.folder / "ascent.gif", shown.frames)
        chosen = torch.linspace(0, len(shown.frames) - 1, min(SHOWN, len(shown.frames))).long()
        strip = {f"frame {k}": shown.frames[k].cpu() for k in chosen.tolist()}
        shown.figures["filmstrip"] = layer_grid(TITLE, strip, [[""] * shown.frames.shape[1]] * len(strip))
    for name, figure in shown.figures.items():
        recorder.figure(name, figure)
    recorder.scalars(shown.metrics, 0)


def write_film(path: Path, frames: Tensor, scale: int = 4) -> None:
    """Write frames (n, images, C, H, W) in [0,1] as an animated GIF, five images in a row, small ones enlarged."""
    grids = torch.stack([make_grid(frame.cpu(), nrow=5, padding=1) for frame in frames])
    larger = scale if grids.shape[-1] < 400 else 1
    pixels = (grids * 255).round().byte().permute(0, 2, 3, 1).numpy()
    images = [Image.fromarray(frame) for frame in pixels]
    images = [image.resize((image.width * larger, image.height * larger), Image.Resampling.NEAREST) for image in images]
    buffer = io.BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=100, loop=0)
    write_whole(path, buffer.getbuffer())
