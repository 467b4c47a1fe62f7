"""CLIP: its loss against a plain loop, texts and their padding, zero-shot classes, and what predict refuses."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import PIL.Image
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from dlrun.callback.zero_shot import ZeroShot
from dlrun.dataset.shapes import load
from dlrun.figure.similarity import similarity
from dlrun.loss.symmetric_contrastive import SymmetricContrastive
from dlrun.model.clip import CLIP
from dlrun.model.normalized import Normalized
from dlrun.task.clip import Clip, ClipScores
from dlrun.task.task import Clock
from tests.conftest import Dlrun, Train, only_run, result

SMALL = (
    "dataset=shapes",
    "dataset.image_size=8",
    "dataset.source.train=70",
    "dataset.source.test=20",
    "dataset.batch_size=10",
    "task=clip",
    "model=clip",
    "model.widths=[4]",
    "model.width=8",
    "model.heads=2",
    "model.embedding=6",
    "trainer.epochs=1",
    "callback.tensorboard=null",
    "callback.curves=null",
)
ZERO_SHOT = "+callback.zero_shot={_target_: dlrun.callback.zero_shot.ZeroShot}"


def small() -> CLIP:
    torch.manual_seed(0)
    return CLIP(3, 8, words=9, length=5, embedding=6, widths=[4], width=8, heads=2).eval()


def test_the_loss_is_that_of_a_plain_loop() -> None:
    torch.manual_seed(0)
    images, texts = nn.functional.normalize(torch.randn(2, 5, 4), dim=-1).unbind()
    scale = torch.tensor(3.0, requires_grad=True)
    loss = SymmetricContrastive()(images, texts, scale)
    total = 0.0
    for i in range(5):
        logits = [3.0 * float(images[i] @ texts[j]) for j in range(5)]
        total += math.log(sum(map(math.exp, logits))) - logits[i]
        logits = [3.0 * float(images[j] @ texts[i]) for j in range(5)]
        total += math.log(sum(map(math.exp, logits))) - logits[i]
    assert loss.item() == pytest.approx(total / 10, abs=1e-5)
    (slope,) = torch.autograd.grad(loss, scale)
    step = 1e-2
    around = [SymmetricContrastive()(images, texts, torch.tensor(3.0 + sign * step)).item() for sign in (1, -1)]
    assert slope.item() == pytest.approx((around[0] - around[1]) / (2 * step), abs=1e-3)  # the temperature is learned


def test_vectors_have_length_one_and_padding_changes_none() -> None:
    network = small()
    texts = torch.tensor([[2, 3, 4, 0, 0], [2, 0, 0, 0, 0]])
    with torch.no_grad():
        vectors = network.describe(texts)
        assert torch.allclose(network.describe(texts[:, :3]), vectors, atol=1e-6)
        assert torch.allclose(network.describe(texts[1:, :1]), vectors[1:], atol=1e-6)
        assert not torch.allclose(network.describe(torch.tensor([[3, 2, 4]])), vectors[:1], atol=1e-4)  # order counts
        assert torch.allclose(network(torch.rand(2, 3, 8, 8)).norm(dim=1), torch.ones(2), atol=1e-6)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-6)
    assert network.scale().item() == pytest.approx(1 / 0.07)
    nn.init.constant_(network.log_scale, 9.0)
    assert network.scale().item() == 100


def test_a_batch_teaches_both_encoders_and_the_temperature() -> None:
    model = Normalized(small(), None, None)
    texts = torch.tensor([[2, 3, 0, 0, 0], [4, 5, 6, 0, 0], [7, 8, 0, 0, 0]])
    batch = {"image": torch.rand(3, 3, 8, 8), "caption": texts}
    task = Clip(SymmetricContrastive(), 2)
    loss, outputs = task.loss(model, task.prepare(model, batch, Clock(training=True)))
    network = cast(CLIP, model.network)
    expected = SymmetricContrastive()(outputs[:, 0], outputs[:, 1], network.scale())
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
    assert torch.allclose(outputs[:, 1], network.describe(texts))
    torch.autograd.backward(loss)
    for name in ("image.0.weight", "word.weight", "positions", "log_scale"):
        gradient = network.get_parameter(name).grad
        assert gradient is not None
        assert float(gradient.abs().max()) > 0, name


def test_the_shown_images_have_different_captions_and_half_are_held_out() -> None:
    scores = ClipScores(Clip(SymmetricContrastive(), 2))
    captions = torch.arange(12).repeat_interleave(2)[:, None]
    batch = {"image": torch.rand(24, 3, 8, 8), "caption": captions, "held_out": (captions[:, 0] > 7).long()}
    scores.add(batch, torch.tensor(0.0), torch.rand(24, 2, 4))
    _, shown, held_out, vectors = scores.shown()
    assert shown[:, 0].tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
    assert held_out.tolist() == [0] * 4 + [1] * 4
    assert vectors.shape == (8, 2, 4)


class Sees(nn.Module):
    """Knows a description by its last word, and an image by its first pixel."""

    length = 5

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.eye(3)[images[:, 0, 0, 0].long()]

    def describe(self, texts: torch.Tensor) -> torch.Tensor:
        last = torch.tensor([[number for number in text if number][-1] for text in texts.tolist()])
        return torch.eye(3)[last % 3]

    def scale(self) -> torch.Tensor:
        return torch.tensor(1.0)


def test_an_image_is_of_the_class_that_is_described_best() -> None:
    splits = load(image_size=8, train=1, test=1)
    caption = splits.fields["caption"]
    numbers = cast(Any, caption).vocabulary.numbers
    classes = sorted(["circle", "square", "triangle"], key=lambda name: numbers[name] % 3)
    assert [numbers[name] % 3 for name in classes] == [0, 1, 2]
    seen = torch.tensor([0, 1, 2, 0, 0, 1])
    batch = {
        "image": seen.float()[:, None, None, None].expand(6, 3, 8, 8),
        "target": torch.tensor([0, 1, 1, 0, 2, 1]),
        "held_out": torch.tensor([0, 0, 0, 0, 1, 1]),
    }
    data = SimpleNamespace(
        classes=classes,
        fields={"caption": caption},
        evaluation=lambda split: SimpleNamespace(epoch=lambda: iter([batch])),
    )
    trainer: Any = SimpleNamespace(eval_model=Normalized(Sees(), None, None), data=data, device=torch.device("cpu"))
    found = ZeroShot().measure(trainer)
    assert found == {"test/zero_shot_accuracy": 3 / 4, "test/held_out_accuracy": 1 / 2, "test/chance": 1 / 3}


def test_a_matrix_has_a_row_for_each_text_and_a_colour_for_what_is_new() -> None:
    drawn = similarity(torch.rand(2, 3, 8, 8), ["a ring", "a cross"], torch.tensor([False, True]), torch.eye(2))
    labels = drawn.axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == ["a ring", "a cross"]
    assert labels[0].get_color() != labels[1].get_color()
    assert {text.get_text() for text in drawn.axes[0].texts} == {"1.00", "0.00"}
    assert "orange" in drawn.get_suptitle()


def test_a_run_predicts_texts_of_any_kind(dlrun: Dlrun, train_once: Train) -> None:
    train_once(*SMALL, ZERO_SHOT, "hydra.run.dir=run")
    metrics = result(Path("run"))["metrics"]
    assert metrics["test/chance"] == 1 / 25
    assert 0 <= metrics["test/held_out_accuracy"] <= 1
    ended = dlrun("evaluate", "run=run", "hydra.run.dir=evaluated")
    assert ended.status == 0, ended.err
    assert result(Path("evaluated"))["metrics"]["test/loss"] == pytest.approx(metrics["test/loss"])
    assert Path("evaluated/similarity.png").exists()
    pixels = cast(dict[str, torch.Tensor], load(image_size=8, train=1, test=1).train[0])["image"]
    PIL.Image.fromarray(pixels.permute(1, 2, 0).numpy()).save("photo.png")
    ended = dlrun("predict", "run=run", "input=photo.png", "classes=[a red ring,A Blue square]")
    assert ended.status == 0, ended.err
    with (only_run(Path("runs/predict")) / "predictions.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["class"] for row in rows} == {"a red ring", "A Blue square"}
    assert sum(float(row["probability"]) for row in rows) == pytest.approx(1, abs=1e-5)

    state = torch.load("run/checkpoints/best.pt", weights_only=True)["model"]
    network = CLIP(3, 8, words=23, length=12, embedding=6, widths=[4], width=8, heads=2).eval()
    network.load_state_dict(state)
    words = Path("run/vocabulary.txt").read_text(encoding="utf-8").split()
    texts = torch.tensor([[2 + words.index(word) for word in text.split()] for text in ("a red ring", "a blue square")])
    dataset = OmegaConf.load("run/config.yaml").dataset
    image = (pixels[None] / 255 - torch.tensor(dataset.mean)[:, None, None]) / torch.tensor(dataset.std)[:, None, None]
    with torch.no_grad():
        expected = (network.scale() * network(image.float()) @ network.describe(texts).T).softmax(dim=1)[0]
    assert float(rows[0]["probability"]) == pytest.approx(float(expected.max()), abs=1e-4)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "classes: none given; expected texts to choose from"),
        (("classes=[a red ring]",), "classes=[a red ring]: leaves no choice"),
        (("classes=[a red ring,a purple ring]",), "no caption of the training has the word purple"),
        (("classes=[a red ring,a rng]",), "has the word rng; did you mean 'ring'?"),
        (("classes=[a red ring,'']",), "classes='': has no words"),
        (("classes=[a ring,a a a a a a a a a a a a ring]",), "has 13 words; expected 12 or fewer"),
        (("classes=a red ring",), "expected a list"),
    ],
)
def test_texts_that_cannot_be_read_are_refused(
    dlrun: Dlrun, train_once: Train, words: tuple[str, ...], complaint: str
) -> None:
    train_once(*SMALL, ZERO_SHOT, "hydra.run.dir=run")
    PIL.Image.new("RGB", (8, 8)).save("photo.png")
    ended = dlrun("predict", "run=run", "input=photo.png", *words)
    assert (ended.status, len(ended.errors)) == (2, 1), ended.err
    assert complaint in ended.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (
            ("model=linear", "dataset=shapes", "task=clip"),
            "task=clip needs a network of images and texts; expected clip",
        ),
        (("model=clip", "dataset=digits", "task=clip"), "clip reads captions, and the dataset has none"),
        (("model=clip", "dataset=shapes", "task=clip", "model.heads=3"), "heads=3: expected a divisor of width=64"),
        (("model=linear", "dataset=digits", ZERO_SHOT), "ZeroShot takes images with captions; expected model=clip"),
    ],
)
def test_what_cannot_be_trained_is_refused(dlrun: Dlrun, words: tuple[str, ...], complaint: str) -> None:
    ended = dlrun("train", *words, "dataset.image_size=8", "trainer.epochs=1", "callback.tensorboard=null")
    assert (ended.status, len(ended.errors)) == (2, 1), ended.err
    assert complaint in ended.err


def test_a_classifier_takes_no_descriptions(dlrun: Dlrun) -> None:
    ended = dlrun("predict", "model=resnet18", "weights=w.pth", "input=photo.png", "classes=[a cat,a dog]")
    assert (ended.status, len(ended.errors)) == (2, 1), ended.err
    assert "classes: are described to a network of images and texts; expected a run of task=clip" in ended.err
