"""``dlrun predict`` on a run of segmentation: the class of every pixel of pictures, as pictures."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from matplotlib import colors
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from dlrun import build, console, interrupt
from dlrun.dataset import examples
from dlrun.figure.segmentation import palette, segmentation
from dlrun.files import write_whole
from dlrun.model.inference import inference
from dlrun.run.folder import Run
from dlrun.task.segmentation import predicted
from dlrun.trained import Trained

FOLDER = "masks"
SHOWN = 6


def masks(config: DictConfig, run: Run, trained: Trained, files: list[Path]) -> dict[str, Any]:
    """Write ``masks/NAME.png`` for every picture: the numbers of the classes, with a palette of their colours.

    Returns:
        What goes into ``result.json``.
    """
    folder = run.path / FOLDER
    folder.mkdir(exist_ok=True)
    shown: list[tuple[Tensor, Tensor]] = []
    rows: list[dict[str, Any]] = []
    names = [file.stem for file in files]
    with console.bar("pictures", len(files)) as advance:
        for found, images in examples.read(files, trained.config):
            interrupt.check()
            with torch.inference_mode(), trained.precision.autocast(), inference(trained.model):
                predictions = predicted(trained.model(images.to(trained.device))).cpu()
            for file, image, numbers in zip(found, images, predictions, strict=True):
                name = file.stem if names.count(file.stem) == 1 else "-".join(file.with_suffix("").parts[-2:])
                write_mask(folder / f"{name}.png", numbers, len(trained.classes))
                counts = numbers.flatten().bincount(minlength=len(trained.classes)) / numbers.numel()
                shares = zip(trained.classes, counts.tolist(), strict=True)
                rows.append({"file": f"{name}.png", **{label: f"{share:.6f}" for label, share in shares}})
                if len(shown) < SHOWN:
                    shown.append((image, numbers))
            advance(len(found))
    console.say(f"{len(rows)} masks in {folder}")
    with build.recorder(trained.config, run.path) as recorder:
        recorder.table("predictions", rows)
        images, numbers = (torch.stack(list(parts)) for parts in zip(*shown, strict=True))
        recorder.figure("predictions", segmentation(images, None, numbers, trained.classes))
    return {"images": len(rows), "unreadable": len(files) - len(rows), "classes": trained.classes}


def write_mask(file: Path, numbers: Tensor, count: int) -> None:
    """Write class numbers (H, W), of so many classes, as a PNG with a palette."""
    picture = Image.fromarray(numbers.to(torch.uint8).numpy(), mode="P")
    picture.putpalette([round(255 * part) for colour in palette(count) for part in colors.to_rgb(colour)])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    write_whole(file, buffer.getvalue(), sync=False)
