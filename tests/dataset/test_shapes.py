"""Drawn shapes: captions say what is drawn, combinations held out are not trained on, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dlrun.dataset import shapes
from dlrun.dataset.source import Splits, TensorSource
from dlrun.errors import UserError
from tests.conftest import QUICK, Dlrun


def tensors(splits: Splits, part: str) -> dict[str, Tensor]:
    source = getattr(splits, part)
    assert isinstance(source, TensorSource)
    return source.tensors


def texts(splits: Splits, part: str) -> list[str]:
    found = splits.fields["caption"].shown(tensors(splits, part)["caption"])
    assert isinstance(found, list)
    return found


def test_images_and_captions_are_the_same_every_time_and_differ_between_the_parts() -> None:
    first, again, other = (shapes.load(train=40, test=40, seed=seed) for seed in (0, 0, 1))
    for name in ("image", "caption"):
        assert torch.equal(tensors(first, "train")[name], tensors(again, "train")[name])
        assert not torch.equal(tensors(first, "train")[name], tensors(first, "test")[name])
        assert not torch.equal(tensors(first, "train")[name], tensors(other, "train")[name])
    assert len(shapes.WORDS) + 2 == 23  # that of the config


def test_captions_say_what_is_drawn() -> None:
    splits = shapes.load(train=300, test=0, image_size=48)
    found = tensors(splits, "train")
    pixels = found["image"].float()
    height, width = torch.meshgrid(torch.arange(48), torch.arange(48), indexing="ij")
    ink = (pixels - pixels.median(dim=3, keepdim=True).values.median(dim=2, keepdim=True).values).abs().amax(dim=1) > 60
    for number, text in enumerate(texts(splits, "train")):
        there = ink[number]
        x, y = float(width[there].float().mean()) / 48, float(height[there].float().mean()) / 48
        across = next((word for word in ("left", "right") if word in text), "middle")
        down = next((word for word in ("top", "bottom") if word in text), "middle")
        assert {"left": x < 0.4, "right": x > 0.6, "middle": 0.4 < x < 0.6}[across], text
        assert {"top": y < 0.4, "bottom": y > 0.6, "middle": 0.4 < y < 0.6}[down], text
        red, green, blue = pixels[number][:, there].mean(dim=1)
        colour = text.split()[2]
        assert (colour == "blue") == bool(blue > red + 65), text
        assert (colour in ("red", "yellow")) == bool(red > blue + 65), text
        assert (colour in ("green", "yellow")) == bool(green > blue + 65), text
        extent = width[there].max() - width[there].min()
        assert bool(extent > 12) == ("large" in text), text
        assert shapes.CLASSES[found["target"][number]] == " ".join(text.split()[2:4])


def test_held_out_combinations_are_half_of_the_test_and_not_in_the_training() -> None:
    splits = shapes.load(train=2000, test=100, held_out=["red circle", "large blue"])
    assert not [text for text in texts(splits, "train") if "red circle" in text or "large blue" in text]
    assert any("small blue" in text for text in texts(splits, "train"))
    assert tensors(splits, "train")["held_out"].sum() == 0
    flags = tensors(splits, "test")["held_out"]
    lacking = torch.tensor(["red circle" in text or "large blue" in text for text in texts(splits, "test")])
    assert torch.equal(flags.bool(), lacking)
    assert flags.sum() == 50


def test_brief_captions_leave_out_size_and_place() -> None:
    always = texts(shapes.load(train=20, test=0, brief=1.0), "train")
    assert {len(text.split()) for text in always} == {3}
    half = texts(shapes.load(train=400, test=0, brief=0.5), "train")
    assert np.mean(["small" in text or "large" in text for text in half]) == pytest.approx(0.5, abs=0.1)


def test_a_scale_draws_the_same_larger() -> None:
    plain, large = (shapes.load(train=30, test=0, scale=scale) for scale in (1.0, 1.35))
    assert texts(plain, "train") == texts(large, "train")
    inks = [float((tensors(made, "train")["image"].amax(dim=1) > 150).float().sum()) for made in (plain, large)]
    assert inks[1] / inks[0] == pytest.approx(1.35**2, rel=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 8}, r"length=8: the longest caption has 8 words and an end; expected 9 or more"),
        ({"held_out": "pink circle"}, r"held_out=pink circle: no such word; .*choose from .*blue"),
        ({"held_out": ["red"]}, r"held_out=\[red\]: leaves no colour 'red' to train on; expected combinations"),
        ({"held_out": ["small", "large"]}, "leaves no size 'small' to train on"),
        ({"held_out": [""]}, "no such word"),
        ({"brief": 1.5}, r"brief=1\.5: expected a probability"),
        ({"scale": 0}, r"scale=0: expected a number above 0"),
    ],
)
def test_what_leaves_nothing_to_learn_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=rf"^dataset\.source\.{message}|{message}"):
        shapes.load(train=2, test=2, **options)


def test_the_dataset_trains_a_classifier_and_its_captions_are_kept(dlrun: Dlrun) -> None:
    few = ("dataset.source.train=60", "dataset.source.test=20")
    ended = dlrun("train", "dataset=shapes", *QUICK, *few, "hydra.run.dir=run")
    assert ended.status == 0, ended.err
    assert Path("run/vocabulary.txt").read_text().split() == list(shapes.WORDS)
    ended = dlrun("train", "dataset=shapes", "dataset.words=9", *QUICK, *few)
    assert (ended.status, ended.errors) == (2, ["dlrun: dataset.words=9: expected 23, as many as the captions have"])
