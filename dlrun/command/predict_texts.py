"""``dlrun predict`` where the model reads texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from rich.table import Table

from dlrun import build, console
from dlrun.command.classifier import classifier
from dlrun.dataset.data import input_shape
from dlrun.dataset.texts import one_text, text_files
from dlrun.dataset.vocabulary import Vocabulary
from dlrun.errors import UserError
from dlrun.model.logits import class_logits
from dlrun.paths import shown
from dlrun.run.folder import Run
from dlrun.trained import open_trained

SHOWN = 16
"""Texts in the table that is printed."""


def predict_texts(config: DictConfig, run: Run) -> dict[str, Any]:
    """The most probable classes of one text file, or of the files ``.txt`` in a folder.

    Raises:
        UserError: there are none, or one has no words.
    """
    place = Path(config.input or "")
    if config.input is None or not place.exists():
        raise UserError(f"input={config.input}: no such file or folder; expected a text file or a folder of them")
    files = text_files(place) if place.is_dir() else [place]
    if not files:
        raise UserError(f"input={shown(place)}: no files .txt in this folder")
    trained = open_trained(config, run, with_data=False)
    classifier(trained.task, "predict")
    vocabulary = Vocabulary.read(Path(trained.config.dataset.source.vocabulary))
    (length,) = input_shape(trained.config.dataset)
    tokens = vocabulary.encode([one_text(file, "input") for file in files], length).long()
    rows = []
    printed = Table("file", "rank", "class", "probability")
    with torch.inference_mode(), trained.precision.autocast():
        parts = torch.split(tokens, trained.config.dataset.eval_batch_size)
        logits = torch.cat([trained.model(part.to(trained.device)).float() for part in parts])
    top = class_logits(logits).softmax(dim=1).topk(min(config.top_k, len(trained.classes)))
    for number, (file, places, values) in enumerate(zip(files, top.indices.tolist(), top.values.tolist(), strict=True)):
        for rank, (of, value) in enumerate(zip(places, values, strict=True), start=1):
            name = trained.classes[of]
            rows.append({"file": shown(file), "rank": rank, "class": name, "probability": f"{value:.6f}"})
            if number < SHOWN and (len(files) == 1 or rank <= 3):
                printed.add_row(shown(file) if rank == 1 else "", str(rank), name, f"{value:.4f}")
    console.say(printed)
    with build.recorder(trained.config, run.path) as recorder:
        recorder.table("predictions", rows)
    return {"texts": len(files), "classes": trained.classes}
