"""``dlrun predict`` on a run of captioning: what pictures show, in words."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import DictConfig
from rich.table import Table
from torch import Tensor

from dlrun import build, console, interrupt, paths
from dlrun.dataset import examples, vocabulary
from dlrun.errors import UserError
from dlrun.figure.attention import captions
from dlrun.model.decoder import Writer
from dlrun.run.folder import Run
from dlrun.task.sequence import cut
from dlrun.trained import Trained

SHOWN = 6
"""Pictures in the table that is printed, and in the figure."""
TITLE = "What the model says of pictures, and where it looks for each word"


def describe(config: DictConfig, run: Run, trained: Trained, files: list[Path]) -> dict[str, Any]:
    """Describe every picture: ``predictions.csv``, and a figure of where the model looked.

    Returns:
        What goes into ``result.json``.

    Raises:
        UserError: there is no run, which alone knows the words.
    """
    if config.run is None:
        raise UserError("run: none given; captions need the words of a run")
    known = vocabulary.Vocabulary.read(paths.find_run(config.run) / vocabulary.FILE)
    network = cast(Writer, trained.model.network)
    rows, kept = list[dict[str, str]](), list[tuple[Tensor, Tensor]]()
    with console.bar("pictures", len(files)) as advance:
        for found, images in examples.read(files, trained.config):
            interrupt.check()
            with torch.inference_mode(), trained.precision.autocast():
                written = network.greedy(trained.model.normalize(images.to(trained.device)), network.length)
            texts = [known.decode(numbers) for numbers in cut(written.logits.argmax(dim=2)).cpu()]
            rows += [{"file": paths.shown(file), "caption": text} for file, text in zip(found, texts, strict=True)]
            kept += list(zip(images, written.weights.float().cpu(), strict=True))[: SHOWN - len(kept)]
            advance(len(found))
    printed = Table("file", "caption")
    for row in rows[:SHOWN]:
        printed.add_row(*row.values())
    console.say(printed)
    with build.recorder(trained.config, run.path) as recorder:
        recorder.table("predictions", rows)
        shown, weights = (torch.stack(part) for part in zip(*kept, strict=True))
        if bool(weights.any()):
            words = [row["caption"].split() for row in rows[:SHOWN]]
            side = math.isqrt(weights.shape[2])
            maps = weights.view(len(weights), -1, side, side)
            recorder.figure("predictions", captions(TITLE, shown, maps, words, words))
    return {"images": len(rows), "unreadable": len(files) - len(rows)}
