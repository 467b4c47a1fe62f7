"""``dlrun visualize``: pictures of what a network has learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from dlrun import build, console, device, paths, seeding
from dlrun.board import Board
from dlrun.dataset import imagenet
from dlrun.dataset.examples import read
from dlrun.errors import UserError
from dlrun.figure.layer_grid import layer_grid
from dlrun.run import Run
from dlrun.visualizer.visualizer import Subject

SHOWN = 8
"""Frames in the filmstrip."""


def main(config: DictConfig, run: Run) -> dict[str, Any]:
    """Draw as the config says, into the run's folder; returns what goes into ``result.json``."""
    config.weights = str(paths.find_weights(config.run, config.weights))
    build.check_targets(config)
    options = build.trainer_options(config)
    place = device.choose(options.device)
    seeding.seed_everything(config.seed, options.deterministic)
    visualizer = build.visualizer(config)
    dataset, image = config.dataset, None
    if visualizer.needs_image and config.input is not None:
        image = read(config.input, dataset.channels, dataset.image_size, dataset.resize_size, 1).images[0]
    if HydraConfig.get().runtime.choices["dataset"] == "imagenet":
        names = imagenet.classes()
    elif config.run is not None and (image is not None or not visualizer.needs_image):
        names = paths.class_names(config.run)
    else:
        data = build.data(config, place)
        names, count = data.classes, data.test.num_images
        if visualizer.needs_image and image is None:
            if config.index >= count:
                raise UserError(f"index={config.index}: no such image; expected 0 to {count - 1}")
            image = data.test.images(torch.tensor([config.index]))[0].float() / 255
    model = build.model(config, build.task(config), place).eval()
    run.save_config(config)
    size = (dataset.channels, dataset.image_size, dataset.image_size)
    with place:
        shown = visualizer.show(model, Subject(size, names, None if image is None else image.to(place)))

    board = Board(run.path)
    for name, values in shown.curves.items():
        for step, value in enumerate(values):
            board.scalars({name: value}, step)
    if shown.frames is not None:
        write_film(run.path / "ascent.gif", shown.frames)
        chosen = torch.linspace(0, len(shown.frames) - 1, min(SHOWN, len(shown.frames))).long()
        strip = {f"frame {k}": shown.frames[k].cpu() for k in chosen.tolist()}
        shown.figures["filmstrip"] = layer_grid(strip, [[""] * shown.frames.shape[1]] * len(strip))
    for name, figure in shown.figures.items():
        figure.savefig(run.path / f"{name}.png", dpi=120)
        board.figure(name, figure, 0)
    board.scalars(shown.metrics, 0)
    board.close()
    for name, value in shown.metrics.items():
        console.say(f"{name} {value:.4f}")
    return {"metrics": shown.metrics, "classes": names}


def write_film(path: Path, frames: Tensor, scale: int = 4) -> None:
    """Write frames (n, images, C, H, W) in [0,1] as an animated GIF, five images in a row, small ones enlarged."""
    grids = torch.stack([make_grid(frame.cpu(), nrow=5, padding=1) for frame in frames])
    larger = scale if grids.shape[-1] < 400 else 1
    pixels = (grids * 255).round().byte().permute(0, 2, 3, 1).numpy()
    images = [Image.fromarray(frame) for frame in pixels]
    images = [image.resize((image.width * larger, image.height * larger), Image.Resampling.NEAREST) for image in images]
    images[0].save(path, save_all=True, append_images=images[1:], duration=100, loop=0)
