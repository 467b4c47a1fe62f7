"""Verbs that take a classifier: what they say about other tasks, and that they see images as they are."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dlrun.attack.attack import Attack
from tests.conftest import QUICK, Dlrun, Train, only_run, result

AUTOENCODER = (
    "experiment=autoencoder_digits",
    "model.width=4",
    "trainer.limit_batches=4",
    "trainer.epochs=1",
    "callback.tensorboard.graph=false",
)
EXPLAIN = ("explain", "run=last", "steps=0", "randomize=false", "pictures=0")
VERBS = {
    "attack": ("attack", "run=last"),
    "certify": ("certify", "run=last"),
    "explain": EXPLAIN,
    "explain attacked": (*EXPLAIN, "attack=pgd"),
    "explain files": (*EXPLAIN, "input=photo.png"),
    "predict": ("predict", "run=last", "input=photo.png"),
}


def test_other_tasks_are_refused_in_one_line_and_without_a_folder(dlrun: Dlrun) -> None:
    dlrun("train", *AUTOENCODER)  # which does not reach what the experiment expects
    Image.fromarray(np.full((30, 20), 90, dtype=np.uint8)).save("photo.png")
    for arguments in VERBS.values():
        ended = dlrun(*arguments)
        assert ended.status == 2, arguments
        (line,) = ended.errors
        assert line.startswith("dlrun: task=Reconstruction: ")
        assert line.endswith(" takes a classifier; expected a run of task=classification")
        assert not list(Path("runs").glob(f"{arguments[0]}/*/*"))
    assert dlrun("evaluate", "run=last").status == 0
    trained, evaluated = (result(only_run(Path("runs") / verb))["metrics"] for verb in ("train", "evaluate"))
    assert evaluated["test/loss"] == pytest.approx(trained["test/loss"], rel=1e-5)


@pytest.mark.parametrize("order", ["most_wrong", "least_certain"])
def test_the_order_of_an_adversarial_run_is_that_of_clean_images(
    dlrun: Dlrun, train_once: Train, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_once(*QUICK, "task=adversarial", "attack=fgsm", "attack.eps=0.1")
    assert dlrun("evaluate", "run=last").status == 0

    def refuse(*_: object) -> torch.Tensor:
        raise AssertionError("attacked")

    monkeypatch.setattr(Attack, "__call__", refuse)
    ended = dlrun(*EXPLAIN, "explainer=saliency", f"order={order}", "limit=5")
    assert ended.status == 0, ended.err
    with (only_run(Path("runs/explain")) / "explanations.csv").open() as stream:
        shown = [int(row["image"]) for row in csv.DictReader(stream)]
    with (only_run(Path("runs/evaluate")) / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    if order == "least_certain":
        expected = sorted(rows, key=lambda row: float(row["probability"]))[:5]
        assert shown == [int(row["index"]) for row in expected]
    else:
        assert len(shown) == 5
        assert all(rows[place]["correct"] == "0" for place in shown)
